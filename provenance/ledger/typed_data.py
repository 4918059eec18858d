"""What accounts sign off the chain: mints, vouchers and usage reports as EIP-712 typed data.

The domain is ``{name: "prov", version: "1", chainId, verifyingContract}``; the types are those of ``contracts/src``.
"""

from __future__ import annotations

from typing import Any

from provenance.ledger.licences import Minting, Usage, Voucher
from provenance.ledger.protocol import LedgerIdentity

Fields = tuple[tuple[str, str], ...]

DOMAIN: Fields = (("name", "string"), ("version", "string"), ("chainId", "uint256"), ("verifyingContract", "address"))
MINT: Fields = (
    ("maker", "address"),
    ("weights", "bytes32"),
    ("dataset", "bytes32"),
    ("base", "bytes32"),
    ("terms", "bytes32"),
    ("derivable", "bool"),
    ("royalty", "uint16"),
    ("derivative", "uint16"),
    ("contributors", "uint16"),
    ("contributorsRoot", "bytes32"),
    ("parents", "uint32[]"),
    ("cid", "string"),
    ("salt", "bytes32"),
    ("deadline", "uint256"),
)
VOUCHER: Fields = (
    ("tokenId", "uint256"),
    ("licensee", "address"),
    ("currency", "address"),
    ("price", "uint96"),
    ("duration", "uint40"),
    ("quota", "uint32"),
    ("flags", "uint8"),
    ("grace", "uint8"),
    ("nonce", "uint256"),
    ("deadline", "uint256"),
)
USAGE: Fields = (("tokenId", "uint256"), ("user", "address"), ("used", "uint32"))


def mint_values(minting: Minting) -> tuple[Any, ...]:
    """A mint's values in the contract's order."""
    shares = minting.shares
    return (
        minting.maker,
        minting.weights,
        minting.dataset,
        minting.base,
        minting.terms,
        shares.derivable,
        shares.royalty,
        shares.derivative,
        shares.contributors,
        shares.contributors_root,
        tuple(minting.parents),
        minting.cid,
        minting.salt,
        minting.deadline,
    )


def voucher_values(voucher: Voucher) -> tuple[Any, ...]:
    """A voucher's values in the contract's order."""
    terms = voucher.terms
    return (
        voucher.token,
        voucher.licensee,
        terms.currency,
        terms.price,
        terms.duration,
        terms.quota,
        terms.flags,
        terms.grace,
        voucher.nonce,
        voucher.deadline,
    )


def mint_typed_data(identity: LedgerIdentity, minting: Minting) -> dict[str, Any]:
    """What a maker signs so that another account may send its mint."""
    return _typed(identity, "Mint", MINT, mint_values(minting))


def voucher_typed_data(identity: LedgerIdentity, voucher: Voucher) -> dict[str, Any]:
    """What an adapter's owner signs to promise a licence."""
    return _typed(identity, "Voucher", VOUCHER, voucher_values(voucher))


def usage_typed_data(identity: LedgerIdentity, usage: Usage) -> dict[str, Any]:
    """What a licensee signs to report its images."""
    return _typed(identity, "Usage", USAGE, (usage.token, usage.user, usage.used))


def _typed(identity: LedgerIdentity, name: str, fields: Fields, values: tuple[Any, ...]) -> dict[str, Any]:
    message = {
        field: f"0x{value}" if kind == "bytes32" else list(value) if kind.endswith("[]") else value
        for (field, kind), value in zip(fields, values, strict=True)
    }
    return {
        "types": {
            "EIP712Domain": [{"name": field, "type": kind} for field, kind in DOMAIN],
            name: [{"name": field, "type": kind} for field, kind in fields],
        },
        "primaryType": name,
        "domain": {
            "name": "prov",
            "version": "1",
            "chainId": identity.chain_id,
            "verifyingContract": identity.contract,
        },
        "message": message,
    }
