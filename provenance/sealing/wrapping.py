"""Wrapped keys: a content key that one account alone can open (ECIES over secp256k1).

A wrapped key is one canonical JSON object::

    {"account", "chain_id", "contract", "key", "maker", "public_key", "type": "urn:prov:wrapped-key:v1", "weights",
     "wrapped"}

``wrapped`` is what eciespy gives (and eciesjs, rs-ecies … read) with a compressed ephemeral key, HKDF-SHA256 over
compressed points and AES-256-GCM with a nonce of 12 bytes, for 64 bytes: the content key, then the SHA-256 of the
object without ``wrapped``. ECIES has no additional data of its own; the digest inside takes its place.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from provenance.canonical import Json, canonical_json, parse_json
from provenance.errors import FormatError, SealRefused, UsageError
from provenance.ledger.protocol import LedgerIdentity
from provenance.sealing.cipher import KEY_BYTES, content_key_id

if TYPE_CHECKING:
    from ecies.config import Config

TYPE = "urn:prov:wrapped-key:v1"
MAX_BYTES = 4096
WRAPPED_BYTES = 33 + 12 + 16 + 2 * KEY_BYTES

_ADDRESS = re.compile(r"0x[0-9a-f]{40}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PUBLIC_KEY = re.compile(r"0[23][0-9a-f]{64}")
_WRAPPED = re.compile(rf"[0-9a-f]{{{2 * WRAPPED_BYTES}}}")


@dataclass(frozen=True)
class WrappedKey:
    """A content key for one account: which ledger, weights and maker it is of, and the key's id."""

    chain_id: int
    contract: str
    weights: str
    maker: str
    key_id: str
    account: str
    public_key: str
    wrapped: str = ""

    def to_json(self) -> Json:
        """The object as it is stored and sent."""
        return {**self._context(), "wrapped": self.wrapped}

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        return canonical_json(self.to_json())

    @classmethod
    def parse(cls, data: bytes, what: str = "the wrapped key") -> WrappedKey:
        """Reads untrusted bytes; raises FormatError."""
        return cls.of_value(parse_json(data, what, limit=MAX_BYTES), what)

    @classmethod
    def of_value(cls, value: Any, what: str = "the wrapped key") -> WrappedKey:
        """Reads an untrusted JSON value; raises FormatError."""
        match value:
            case {
                "type": str(kind),
                "chain_id": int(chain_id),
                "contract": str(contract),
                "weights": str(weights),
                "maker": str(maker),
                "key": str(key_id),
                "account": str(account),
                "public_key": str(public_key),
                "wrapped": str(wrapped),
            } if (
                kind == TYPE
                and len(value) == 9
                and type(chain_id) is int
                and 0 < chain_id < 2**63
                and all(_ADDRESS.fullmatch(each) for each in (contract, maker, account))
                and all(_DIGEST.fullmatch(each) for each in (weights, key_id))
                and _PUBLIC_KEY.fullmatch(public_key)
                and _WRAPPED.fullmatch(wrapped)
            ):
                return cls(chain_id, contract, weights, maker, key_id, account, public_key, wrapped)
            case _:
                raise FormatError(f"{what} is malformed", expected=f"{TYPE}, as `prov keys wrap` writes it")

    def digest(self) -> bytes:
        """SHA-256 of everything but ``wrapped``: what the encryption binds."""
        return hashlib.sha256(canonical_json(self._context())).digest()

    def is_of(self, identity: LedgerIdentity) -> bool:
        """Whether it belongs to this ledger."""
        return (self.chain_id, self.contract) == (identity.chain_id, identity.contract)

    def _context(self) -> Json:
        return {
            "type": TYPE,
            "chain_id": self.chain_id,
            "contract": self.contract,
            "weights": self.weights,
            "maker": self.maker,
            "key": self.key_id,
            "account": self.account,
            "public_key": self.public_key,
        }


def wrap(content_key: bytes, *, identity: LedgerIdentity, weights: str, maker: str, public_key: bytes) -> WrappedKey:
    """Wraps a content key to a compressed public key of 33 bytes; raises UsageError when that is no key."""
    import ecies

    key = parse_public_key(public_key.hex())
    context = WrappedKey(
        chain_id=identity.chain_id,
        contract=identity.contract,
        weights=weights,
        maker=maker,
        key_id=content_key_id(content_key),
        account=address_of(key),
        public_key=key.hex(),
    )
    return replace(context, wrapped=ecies.encrypt(key, content_key + context.digest(), _config()).hex())


def unwrap(wrapped: WrappedKey, private_key: bytes) -> bytes:
    """The content key, opened with the account's private key; raises SealRefused."""
    import ecies

    mine = public_key_of(private_key)
    if mine.hex() != wrapped.public_key or address_of(mine) != wrapped.account:
        raise SealRefused("the wrapped key is for another account", expected=address_of(mine), found=wrapped.account)
    try:
        opened = ecies.decrypt(private_key, bytes.fromhex(wrapped.wrapped), _config())
    except ValueError as error:
        raise SealRefused(
            "the wrapped key does not open", expected="the bytes as they were wrapped", fix="ask the maker for it again"
        ) from error
    content_key, digest = opened[:KEY_BYTES], opened[KEY_BYTES:]
    if not hmac.compare_digest(digest, wrapped.digest()) or content_key_id(content_key) != wrapped.key_id:
        raise SealRefused(
            "the wrapped key was made for another purpose than it says",
            expected="the ledger, weights, maker and key id it was wrapped with",
        )
    return content_key


def parse_public_key(text: str) -> bytes:
    """A compressed public key of 33 bytes from hexadecimal (33, 65 or 64 bytes); raises UsageError."""
    from ecies.keys import PublicKey

    try:
        return bytes(PublicKey("secp256k1", bytes.fromhex(text.removeprefix("0x"))).to_bytes(True))
    except ValueError as error:
        raise UsageError(
            "this is not a secp256k1 public key",
            expected="33 or 65 bytes in hexadecimal, as `prov keys public` prints",
            found=f"{text[:140]!r}",
        ) from error


def public_key_of(private_key: bytes) -> bytes:
    """The compressed public key of a private key; raises SealRefused when it is none."""
    from ecies.keys import PrivateKey

    # The library takes an empty key as a wish for a random one.
    if len(private_key) != KEY_BYTES:
        raise SealRefused("the account's key is not a secp256k1 key", expected=f"{KEY_BYTES} bytes")
    try:
        return bytes(PrivateKey("secp256k1", private_key).public_key.to_bytes(True))
    except ValueError as error:
        raise SealRefused("the account's key is not a secp256k1 key") from error


def address_of(public_key: bytes) -> str:
    """The account that a compressed public key belongs to."""
    from ecies.keys import PublicKey
    from eth_hash.auto import keccak

    point = PublicKey("secp256k1", public_key).to_bytes(False)
    return "0x" + keccak(point[1:])[-20:].hex()


def _config() -> Config:
    from ecies.config import Config

    return Config(
        elliptic_curve="secp256k1",
        is_ephemeral_key_compressed=True,
        is_hkdf_key_compressed=True,
        symmetric_algorithm="aes-256-gcm",
        symmetric_nonce_length=12,
    )
