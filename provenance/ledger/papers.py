"""Signed papers that travel outside the chain: a voucher for a licence, a report of usage.

::

    {"type": "urn:prov:voucher:v1", "chain_id": 1, "contract": "0x…", "signature": "…",
     "voucher": {"token": 1, "licensee": "0x…", "currency": "0x…", "price": "10", "duration": 2592000, "quota": 0,
                 "commercial": false, "transferable": false, "grace": 7, "nonce": "…", "deadline": 1800000000}}
    {"type": "urn:prov:usage:v1", "chain_id": 1, "contract": "0x…", "signature": "…",
     "usage": {"token": 1, "user": "0x…", "used": 250}}

Numbers that may pass 2^53 are decimal strings.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from provenance.canonical import Json, canonical_json, parse_json
from provenance.errors import FormatError, LedgerRefused
from provenance.ledger.licences import NEVER, Terms, Usage, Voucher
from provenance.ledger.protocol import Account, LedgerIdentity
from provenance.ledger.typed_data import usage_typed_data, voucher_typed_data

VOUCHER_TYPE, USAGE_TYPE = "urn:prov:voucher:v1", "urn:prov:usage:v1"
MAX_BYTES = 1 << 16
ADDRESS = re.compile(r"0x[0-9a-f]{40}")
NUMBER = re.compile(r"0|[1-9][0-9]{0,77}")
SIGNATURE = re.compile(r"(?:[0-9a-f]{2}){1,4096}")
"""An account's own signature has 65 bytes; that of a contract wallet may be longer."""

TERMS = {"price": 96, "duration": 40, "quota": 32, "grace": 8}


@dataclass(frozen=True)
class SignedVoucher:
    """A voucher with its signer's signature, for one contract on one chain."""

    voucher: Voucher
    chain_id: int
    contract: str
    signature: bytes

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        terms = asdict(self.voucher.terms)
        fields = {
            "token": self.voucher.token,
            "licensee": self.voucher.licensee,
            **{**terms, "price": str(terms["price"])},
            "nonce": str(self.voucher.nonce),
            "deadline": self.voucher.deadline,
        }
        return _to_bytes(VOUCHER_TYPE, "voucher", fields, self)

    @classmethod
    def parse(cls, data: bytes, what: str = "the voucher") -> SignedVoucher:
        """Reads one strictly; raises FormatError with every fault named."""
        raw, faults = _envelope(data, what, VOUCHER_TYPE, "voucher"), _Faults(what)
        fields = raw["voucher"]
        known = {*TERMS, "token", "licensee", "currency", "commercial", "transferable", "nonce", "deadline"}
        faults.keys(fields, known)
        terms = Terms(
            price=faults.text_number(fields, "price", TERMS["price"]),
            currency=faults.address(fields, "currency"),
            commercial=faults.flag(fields, "commercial"),
            transferable=faults.flag(fields, "transferable"),
            **{name: faults.number(fields, name, TERMS[name]) for name in ("duration", "quota", "grace")},
        )
        voucher = Voucher(
            token=faults.number(fields, "token", 32),
            licensee=faults.address(fields, "licensee"),
            terms=terms,
            nonce=faults.text_number(fields, "nonce", 256),
            deadline=faults.number(fields, "deadline", 40),
        )
        faults.raise_any()
        return cls(voucher, raw["chain_id"], raw["contract"], bytes.fromhex(raw["signature"]))


@dataclass(frozen=True)
class SignedUsage:
    """A usage report with its licensee's signature, for one contract on one chain."""

    usage: Usage
    chain_id: int
    contract: str
    signature: bytes

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        return _to_bytes(USAGE_TYPE, "usage", asdict(self.usage), self)

    @classmethod
    def parse(cls, data: bytes, what: str = "the usage report") -> SignedUsage:
        """Reads one strictly; raises FormatError with every fault named."""
        raw, faults = _envelope(data, what, USAGE_TYPE, "usage"), _Faults(what)
        fields = raw["usage"]
        faults.keys(fields, {"token", "user", "used"})
        usage = Usage(
            faults.number(fields, "token", 32), faults.address(fields, "user"), faults.number(fields, "used", 32)
        )
        faults.raise_any()
        return cls(usage, raw["chain_id"], raw["contract"], bytes.fromhex(raw["signature"]))


def sign_voucher(account: Account, identity: LedgerIdentity, voucher: Voucher) -> SignedVoucher:
    """Signs a voucher for this ledger; it is worth something while the account owns the adapter."""
    signature = account.sign_typed_data(voucher_typed_data(identity, voucher))
    return SignedVoucher(voucher, identity.chain_id, identity.contract, signature)


def sign_usage(account: Account, identity: LedgerIdentity, usage: Usage) -> SignedUsage:
    """Signs a usage report for this ledger; the account is its user."""
    signature = account.sign_typed_data(usage_typed_data(identity, usage))
    return SignedUsage(usage, identity.chain_id, identity.contract, signature)


def require_ledger(paper: SignedVoucher | SignedUsage, identity: LedgerIdentity) -> None:
    """Raises LedgerRefused when a paper was signed for another chain or contract."""
    if (paper.chain_id, paper.contract) != (identity.chain_id, identity.contract):
        raise LedgerRefused(
            "this was signed for another ledger",
            expected=f"chain {identity.chain_id}, contract {identity.contract}",
            found=f"chain {paper.chain_id}, contract {paper.contract}",
            fix="connect to that ledger with `prov chain use`",
        )


def _to_bytes(kind: str, name: str, fields: Json, paper: SignedVoucher | SignedUsage) -> bytes:
    return canonical_json(
        {
            "type": kind,
            "chain_id": paper.chain_id,
            "contract": paper.contract,
            name: fields,
            "signature": paper.signature.hex(),
        }
    )


def _envelope(data: bytes, what: str, kind: str, name: str) -> dict[str, Any]:
    raw = parse_json(data, what, limit=MAX_BYTES)
    if not isinstance(raw, dict) or raw.get("type") != kind:
        raise FormatError(f"{what} is something else", expected=f'type "{kind}"')
    if set(raw) != {"type", "chain_id", "contract", name, "signature"} or not isinstance(raw[name], dict):
        raise FormatError(f"{what} has other fields than expected", expected=f"chain_id, contract, {name}, signature")
    faults = _Faults(what)
    faults.number(raw, "chain_id", 64)
    faults.address(raw, "contract")
    if not isinstance(raw["signature"], str) or not SIGNATURE.fullmatch(raw["signature"]):
        faults.add("signature is not hexadecimal")
    faults.raise_any()
    return raw


class _Faults:
    """Reads fields and keeps what is wrong with them, to say all of it at once."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._found: list[str] = []

    def add(self, fault: str) -> None:
        self._found.append(fault)

    def raise_any(self) -> None:
        if self._found:
            raise FormatError(f"{self._what} is malformed:\n  " + "\n  ".join(self._found))

    def keys(self, raw: Json, known: set[str]) -> None:
        self._found += [f"{name} is missing" for name in sorted(known - set(raw))]
        self._found += [f"{name!r:.100} is not known" for name in sorted(set(raw) - known)]

    def number(self, raw: Json, name: str, bits: int) -> int:
        value = raw.get(name, 0)
        if type(value) is int and 0 <= value < 2**bits:
            return value
        self.add(f"{name} is not a whole number below 2^{bits}: {value!r:.100}")
        return NEVER

    def text_number(self, raw: Json, name: str, bits: int) -> int:
        value = raw.get(name, "0")
        if isinstance(value, str) and NUMBER.fullmatch(value) and int(value) < 2**bits:
            return int(value)
        self.add(f"{name} is not a decimal string of a number below 2^{bits}: {value!r:.100}")
        return 0

    def address(self, raw: Json, name: str) -> str:
        value = raw.get(name, "")
        if isinstance(value, str) and ADDRESS.fullmatch(value):
            return value
        self.add(f"{name} is not a lower-case address: {value!r:.100}")
        return ""

    def flag(self, raw: Json, name: str) -> bool:
        value = raw.get(name, False)
        if not isinstance(value, bool):
            self.add(f"{name} is neither true nor false: {value!r:.100}")
        return value is True
