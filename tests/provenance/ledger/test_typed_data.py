"""What accounts sign: the types of the contract, bound to one chain and one contract."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from contracts.artifact import FOLDER, load_artifact
from provenance.ledger.accounts import account_from_key
from provenance.ledger.licences import NEVER, Minting, Shares, Terms, Usage, Voucher
from provenance.ledger.protocol import LedgerIdentity
from provenance.ledger.typed_data import (
    DOMAIN,
    MINT,
    USAGE,
    VOUCHER,
    Fields,
    mint_typed_data,
    mint_values,
    usage_typed_data,
    voucher_typed_data,
    voucher_values,
)

SOURCES = "".join(file.read_text() for file in sorted((FOLDER / "src").glob("*.sol")))
IDENTITY = LedgerIdentity(31337, "ab" * 32, "0x" + "cd" * 20, "ef" * 32)
LICENSEE = "0x" + "11" * 20
VOUCHERS = st.builds(
    Voucher,
    token=st.integers(0, 2**32),
    licensee=st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex()),
    terms=st.builds(
        Terms,
        price=st.integers(0, 2**96 - 1),
        duration=st.integers(1, NEVER),
        quota=st.integers(0, 2**32 - 1),
        commercial=st.booleans(),
        transferable=st.booleans(),
        grace=st.integers(0, 255),
    ),
    nonce=st.integers(0, 2**256 - 1),
    deadline=st.integers(0, 2**256 - 1),
)


@pytest.mark.parametrize(
    ("name", "fields"), [("EIP712Domain", DOMAIN), ("Mint", MINT), ("Voucher", VOUCHER), ("Usage", USAGE)]
)
def test_types_are_those_of_the_contracts_sources(name: str, fields: Fields) -> None:
    joined = re.sub(r'"\s*"', "", SOURCES)
    assert f'"{name}({",".join(f"{kind} {field}" for field, kind in fields)})"' in joined


@pytest.mark.parametrize(("function", "fields"), [("mint", MINT), ("redeem", VOUCHER)])
def test_values_are_in_the_order_of_the_contracts_structs(function: str, fields: Fields) -> None:
    struct = load_artifact().functions[function].inputs[0]
    assert [(each.name, each.type) for each in struct.components] == list(fields)


@given(VOUCHERS)
def test_voucher_is_signed_as_its_fields_say(voucher: Voucher) -> None:
    account = account_from_key("maker", b"\x01" * 32)
    typed = voucher_typed_data(IDENTITY, voucher)
    signature = account.sign_typed_data(typed)
    assert len(signature) == 65
    recovered = Account.recover_message(encode_typed_data(full_message=typed), signature=signature)
    assert recovered.lower() == account.address
    assert list(typed["message"].values()) == list(voucher_values(voucher))


def digest(typed: dict[str, Any]) -> tuple[bytes, bytes]:
    signable = encode_typed_data(full_message=typed)
    return bytes(signable.header), bytes(signable.body)


def test_anything_that_differs_is_another_thing_to_sign() -> None:
    voucher = Voucher(1, LICENSEE, Terms(price=5, duration=60), nonce=1, deadline=100)
    terms = voucher.terms
    others = [
        voucher_typed_data(replace(IDENTITY, chain_id=1), voucher),
        voucher_typed_data(replace(IDENTITY, contract="0x" + "ce" * 20), voucher),
        *(
            voucher_typed_data(IDENTITY, each)
            for each in (
                replace(voucher, token=2),
                replace(voucher, licensee="0x" + "12" * 20),
                replace(voucher, nonce=2),
                replace(voucher, deadline=101),
                replace(voucher, terms=replace(terms, price=6)),
                replace(voucher, terms=replace(terms, duration=61)),
                replace(voucher, terms=replace(terms, quota=1)),
                replace(voucher, terms=replace(terms, commercial=True)),
                replace(voucher, terms=replace(terms, transferable=True)),
                replace(voucher, terms=replace(terms, grace=8)),
                replace(voucher, terms=replace(terms, currency="0x" + "c0" * 20)),
            )
        ),
    ]
    digests = {digest(voucher_typed_data(IDENTITY, voucher)), *(digest(each) for each in others)}
    assert len(digests) == len(others) + 1


def test_mint_names_everything_that_is_minted() -> None:
    shares = Shares(derivable=True, royalty=1, derivative=2, contributors=3, contributors_root="04" * 32)
    minting = Minting(LICENSEE, "01" * 32, "02" * 32, "03" * 32, "05" * 32, "cid", "06" * 32, shares, (7, 8), 9)
    message = mint_typed_data(IDENTITY, minting)["message"]
    assert message == {
        "maker": LICENSEE,
        "weights": "0x" + "01" * 32,
        "dataset": "0x" + "02" * 32,
        "base": "0x" + "03" * 32,
        "terms": "0x" + "05" * 32,
        "derivable": True,
        "royalty": 1,
        "derivative": 2,
        "contributors": 3,
        "contributorsRoot": "0x" + "04" * 32,
        "parents": [7, 8],
        "cid": "cid",
        "salt": "0x" + "06" * 32,
        "deadline": 9,
    }
    assert len(mint_values(minting)) == len(MINT)


def test_usage_names_the_total_so_far() -> None:
    typed = usage_typed_data(IDENTITY, Usage(1, LICENSEE, 70))
    assert typed["message"] == {"tokenId": 1, "user": LICENSEE, "used": 70}
    assert typed["domain"] == {
        "name": "prov",
        "version": "1",
        "chainId": 31337,
        "verifyingContract": IDENTITY.contract,
    }
