"""Challenges of the key service: EIP-712 typed data that only the account's own key can sign.

The domain names chain and contract, so a signature serves one ledger alone; the nonce is used once, and a challenge
lives for 60 seconds. What travels is the whole typed data, as ``eth_signTypedData_v4`` takes it.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Any, Self

from provenance.canonical import Json
from provenance.errors import FormatError, SignatureError
from provenance.ledger.protocol import LedgerIdentity

NAME, VERSION = "prov keys", "1"
LIFETIME = 60
"""Seconds from issue to end."""
PRIMARY = "KeyRequest"
TYPES: Json = {
    "EIP712Domain": [
        {"name": "name", "type": "string"},
        {"name": "version", "type": "string"},
        {"name": "chainId", "type": "uint256"},
        {"name": "verifyingContract", "type": "address"},
    ],
    PRIMARY: [
        {"name": "account", "type": "address"},
        {"name": "token", "type": "uint256"},
        {"name": "nonce", "type": "bytes32"},
        {"name": "issuedAt", "type": "uint256"},
        {"name": "expiresAt", "type": "uint256"},
    ],
}
MAX_NUMBER = 2**53 - 1
"""Numbers are exact in every JSON reader."""
HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
"""Half of secp256k1's order: of the two signatures (r, s) and (r, n - s), only the lower counts (EIP-2)."""

_ADDRESS = re.compile(r"0x[0-9a-f]{40}")
_NONCE = re.compile(r"0x[0-9a-f]{64}")
_SIGNATURE = re.compile(r"0x[0-9a-f]{130}")


@dataclass(frozen=True)
class Challenge:
    """One request for one key: times are seconds since 1970, by the service's clock."""

    chain_id: int
    contract: str
    account: str
    token: int
    nonce: str
    issued_at: int
    expires_at: int

    @classmethod
    def issue(cls, identity: LedgerIdentity, account: str, token: int, now: int) -> Self:
        """A fresh challenge for an account that wants a token's key."""
        nonce = "0x" + secrets.token_hex(32)
        return cls(identity.chain_id, identity.contract, account, token, nonce, now, now + LIFETIME)

    @classmethod
    def parse(cls, value: Any) -> Self:
        """Reads untrusted typed data: exactly ours, and nothing beside it; raises FormatError."""
        match value:
            case {
                "domain": {"chainId": int(chain_id), "verifyingContract": str(contract)},
                "message": {
                    "account": str(account),
                    "token": int(token),
                    "nonce": str(nonce),
                    "issuedAt": int(issued_at),
                    "expiresAt": int(expires_at),
                },
            } if (
                all(type(n) is int and 0 < n <= MAX_NUMBER for n in (chain_id, token, issued_at, expires_at))
                and _ADDRESS.fullmatch(contract)
                and _ADDRESS.fullmatch(account)
                and _NONCE.fullmatch(nonce)
            ):
                read = cls(chain_id, contract, account, token, nonce, issued_at, expires_at)
                if read.typed_data() == value:
                    return read
        raise FormatError("the challenge is malformed", expected=f"EIP-712 typed data {PRIMARY} of {NAME!r}")

    def typed_data(self) -> Json:
        """The EIP-712 object to sign."""
        return {
            "types": TYPES,
            "primaryType": PRIMARY,
            "domain": {
                "name": NAME,
                "version": VERSION,
                "chainId": self.chain_id,
                "verifyingContract": self.contract,
            },
            "message": {
                "account": self.account,
                "token": self.token,
                "nonce": self.nonce,
                "issuedAt": self.issued_at,
                "expiresAt": self.expires_at,
            },
        }

    def digest(self) -> bytes:
        """The 32 bytes that are signed: EIP-712's hash of the typed data."""
        domain = _hash(
            _type_hash("EIP712Domain") + _text(NAME) + _text(VERSION) + _number(self.chain_id) + _word(self.contract)
        )
        message = _hash(
            _type_hash(PRIMARY)
            + _word(self.account)
            + _number(self.token)
            + _word(self.nonce)
            + _number(self.issued_at)
            + _number(self.expires_at)
        )
        return _hash(b"\x19\x01" + domain + message)

    def sign(self, private_key: bytes) -> str:
        """The account's signature: r, s and v (27 or 28), in hexadecimal."""
        from eth_keys import keys

        signature: bytes = keys.PrivateKey(private_key).sign_msg_hash(self.digest()).to_bytes()
        return "0x" + signature[:64].hex() + bytes([signature[64] + 27]).hex()

    def signer(self, signature: str) -> bytes:
        """The compressed public key that signed, which is the account's; raises SignatureError."""
        from eth_keys import keys
        from eth_keys.exceptions import BadSignature, ValidationError

        if not _SIGNATURE.fullmatch(signature):
            raise SignatureError("the signature is malformed", expected="65 bytes as 0x and lower-case hexadecimal")
        raw = bytes.fromhex(signature[2:])
        r, s, v = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:64], "big"), raw[64]
        if v not in (27, 28) or s > HALF_ORDER:
            raise SignatureError("the signature is malformed", expected="v of 27 or 28, and the lower of both s")
        try:
            public_key = keys.Signature(vrs=(v - 27, r, s)).recover_public_key_from_msg_hash(self.digest())
        except (BadSignature, ValidationError) as error:
            raise SignatureError("the signature is malformed", found=str(error)[:200]) from error
        if public_key.to_address() != self.account:
            raise SignatureError(
                "the challenge was signed by another account",
                expected=self.account,
                found=public_key.to_address(),
                fix="sign with the licensed account's own key; a contract account (ERC-1271) has no public key to "
                "which a key could be wrapped, so grant the licence to an account with one",
            )
        return bytes(public_key.to_compressed_bytes())


def _type_hash(name: str) -> bytes:
    fields = ",".join(f"{field['type']} {field['name']}" for field in TYPES[name])
    return _text(f"{name}({fields})")


def _text(text: str) -> bytes:
    return _hash(text.encode())


def _number(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _word(hexadecimal: str) -> bytes:
    return bytes.fromhex(hexadecimal[2:]).rjust(32, b"\0")


def _hash(data: bytes) -> bytes:
    from eth_hash.auto import keccak

    return bytes(keccak(data))
