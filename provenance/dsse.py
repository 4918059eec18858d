"""DSSE envelopes, signed with ECDSA P-256.

Follows the DSSE 1.0 protocol (https://github.com/secure-systems-lab/dsse): the signature is over
``PAE(type, payload)``, never over JSON, so that nothing is parsed before it is verified.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from provenance.canonical import canonical_json, parse_json, sha256_hex
from provenance.errors import FormatError, SignatureError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

IN_TOTO = "application/vnd.in-toto+json"
MAX_BYTES = 256 * 1024**2


class Signer(Protocol):
    """Whoever can sign bytes with a P-256 key."""

    @property
    def key_id(self) -> str:
        """SHA-256 of the public key's DER (SubjectPublicKeyInfo), in hexadecimal."""

    def sign(self, data: bytes) -> bytes:
        """An ECDSA P-256 signature over SHA-256 of the data, in DER."""


@dataclass(frozen=True)
class Signature:
    """One signature of an envelope, and the id of the key that is said to have made it."""

    key_id: str
    value: bytes


@dataclass(frozen=True)
class Envelope:
    """A payload, its type, and signatures that bind the two."""

    payload: bytes
    payload_type: str
    signatures: tuple[Signature, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the payload in hexadecimal: what the ledger anchors."""
        return sha256_hex(self.payload)

    @classmethod
    def sign(cls, payload: bytes, payload_type: str, signer: Signer) -> Envelope:
        """Wraps a payload with one signature."""
        signature = Signature(signer.key_id, signer.sign(pae(payload_type, payload)))
        return cls(payload, payload_type, (signature,))

    def to_json(self) -> bytes:
        """The envelope as canonical JSON."""
        signatures = [{"keyid": s.key_id, "sig": _encode(s.value)} for s in self.signatures]
        return canonical_json(
            {"payload": _encode(self.payload), "payloadType": self.payload_type, "signatures": signatures}
        )

    @classmethod
    def parse(cls, data: bytes, what: str = "the envelope") -> Envelope:
        """Reads an envelope without trusting it; raises FormatError."""
        return cls.of_value(parse_json(data, what, limit=MAX_BYTES), what)

    @classmethod
    def of_value(cls, value: Any, what: str = "the envelope") -> Envelope:
        """Reads an envelope from already parsed JSON; raises FormatError."""
        if not isinstance(value, dict) or set(value) != {"payload", "payloadType", "signatures"}:
            raise FormatError(f"{what} is not a DSSE envelope", expected="payload, payloadType and signatures")
        entries = value["signatures"]
        if not isinstance(entries, list) or not 1 <= len(entries) <= 16:
            raise FormatError(f"{what} is not signed", expected="1 to 16 signatures")
        return cls(
            _decode(value["payload"], what), _text(value["payloadType"], what), tuple(_entry(e, what) for e in entries)
        )

    def verify(self, key: EllipticCurvePublicKey, what: str = "the envelope") -> bytes:
        """Returns the payload if one signature is by this key; raises SignatureError."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.hashes import SHA256

        message = pae(self.payload_type, self.payload)
        for signature in self.signatures:
            try:
                key.verify(signature.value, message, ECDSA(SHA256()))
            except InvalidSignature:
                continue
            return self.payload
        raise SignatureError(
            f"{what} has no valid signature by its issuer",
            expected="a signature over these very bytes",
            fix="get the release again from whoever signed it; it was changed after signing",
        )


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: ``DSSEv1 <len> <type> <len> <payload>``."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: Any, what: str) -> bytes:
    try:
        data = base64.b64decode(_text(text, what), validate=True)
    except (binascii.Error, ValueError) as error:
        raise FormatError(f"{what} has bytes that are not base64", found=str(error)) from error
    if _encode(data) != text:
        raise FormatError(f"{what} has base64 with a second spelling", expected="canonical padding")
    return data


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise FormatError(f"{what} has a field that is not text", found=type(value).__name__)
    return value


def _entry(value: Any, what: str) -> Signature:
    if not isinstance(value, dict) or not {"sig"} <= set(value) <= {"sig", "keyid"}:
        raise FormatError(f"{what} has a malformed signature", expected="sig and keyid")
    return Signature(_text(value.get("keyid", ""), what), _decode(value["sig"], what))
