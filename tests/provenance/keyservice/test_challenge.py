"""A challenge is signed as EIP-712 says, and its signature counts for exactly one request."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_keys.constants import SECPK1_N
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.errors import FormatError, SignatureError
from provenance.keyservice.challenge import HALF_ORDER, Challenge
from provenance.ledger.protocol import LedgerIdentity
from provenance.sealing.wrapping import public_key_of

IDENTITY = LedgerIdentity(1337, "aa" * 32, "0x" + "12" * 20, "bb" * 32)
PRIVATE, OTHER = bytes(31) + b"\7", bytes(31) + b"\x09"
ADDRESS = str(Account.from_key(PRIVATE).address).lower()
CHALLENGE = Challenge.issue(IDENTITY, ADDRESS, 3, 1_800_000_000)
SIGNATURE = CHALLENGE.sign(PRIVATE)


def test_a_challenge_lives_for_a_minute() -> None:
    assert CHALLENGE.expires_at - CHALLENGE.issued_at == 60


def test_no_nonce_is_issued_twice() -> None:
    assert len({Challenge.issue(IDENTITY, ADDRESS, 3, 0).nonce for _ in range(1000)}) == 1000


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 2**53 - 1), st.integers(1, 2**53 - 1), st.binary(min_size=32, max_size=32))
def test_the_digest_is_the_one_wallets_sign(chain_id: int, token: int, nonce: bytes) -> None:
    challenge = replace(CHALLENGE, chain_id=chain_id, token=token, nonce="0x" + nonce.hex())
    message = encode_typed_data(full_message=copy.deepcopy(challenge.typed_data()))
    signed = Account.from_key(PRIVATE).sign_message(message)
    assert bytes(signed.message_hash) == challenge.digest()
    assert challenge.signer("0x" + bytes(signed.signature).hex()) == public_key_of(PRIVATE)
    assert challenge.sign(PRIVATE) == "0x" + bytes(signed.signature).hex()


def test_typed_data_reads_back() -> None:
    assert Challenge.parse(CHALLENGE.typed_data()) == CHALLENGE


def test_the_public_key_comes_out_of_the_signature() -> None:
    assert CHALLENGE.signer(SIGNATURE) == public_key_of(PRIVATE)


@pytest.mark.parametrize(
    "change",
    [
        {"chain_id": 1},
        {"contract": "0x" + "34" * 20},
        {"token": 4},
        {"nonce": "0x" + "00" * 32},
        {"issued_at": 1_800_000_001},
        {"expires_at": 1_900_000_000},
    ],
    ids=str,
)
def test_a_signature_does_not_serve_another_challenge(change: dict) -> None:
    with pytest.raises(SignatureError, match="another account"):
        replace(CHALLENGE, **change).signer(SIGNATURE)


def test_another_accounts_signature_is_refused_and_contract_accounts_are_explained() -> None:
    with pytest.raises(SignatureError, match="another account") as refusal:
        CHALLENGE.signer(CHALLENGE.sign(OTHER))
    assert "ERC-1271" in str(refusal.value)


def test_the_twin_signature_with_high_s_is_refused() -> None:
    raw = bytes.fromhex(SIGNATURE[2:])
    s = int.from_bytes(raw[32:64], "big")
    assert s <= HALF_ORDER == SECPK1_N // 2
    twin = raw[:32] + (SECPK1_N - s).to_bytes(32, "big") + bytes([27 + 28 - raw[64]])
    with pytest.raises(SignatureError, match="lower of both s"):
        CHALLENGE.signer("0x" + twin.hex())


@pytest.mark.parametrize("v", [0, 1, 26, 29, 35, 255])
def test_another_v_is_refused(v: int) -> None:
    with pytest.raises(SignatureError, match="v of 27 or 28"):
        CHALLENGE.signer(SIGNATURE[:-2] + bytes([v]).hex())


@pytest.mark.parametrize("signature", ["", "0x", SIGNATURE[2:], SIGNATURE + "00", SIGNATURE.upper(), "0x" + "zz" * 65])
def test_a_malformed_signature_is_refused(signature: str) -> None:
    with pytest.raises(SignatureError, match="malformed"):
        CHALLENGE.signer(signature)


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=64, max_size=64), st.sampled_from([27, 28]))
def test_arbitrary_signatures_are_refused_and_nothing_else_is_raised(raw: bytes, v: int) -> None:
    with pytest.raises(SignatureError):
        CHALLENGE.signer("0x" + raw.hex() + bytes([v]).hex())


@pytest.mark.parametrize("signature", ["0x" + "00" * 64 + "1b", "0x" + "00" * 32 + "00" * 31 + "01" + "1b"])
def test_zero_signatures_are_refused(signature: str) -> None:
    with pytest.raises(SignatureError):
        CHALLENGE.signer(signature)


def changed(path: tuple[str, ...], value: object) -> object:
    data = copy.deepcopy(CHALLENGE.typed_data())
    place = data
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return data


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        changed(("extra",), 1),
        changed(("domain", "salt"), "0x00"),
        changed(("domain", "name"), "other"),
        changed(("domain", "version"), "2"),
        changed(("domain", "chainId"), "1337"),
        changed(("domain", "chainId"), True),
        changed(("domain", "verifyingContract"), "0x12"),
        changed(("message", "token"), -1),
        changed(("message", "token"), 2**256),
        changed(("message", "token"), 1.0),
        changed(("message", "extra"), 1),
        changed(("message", "account"), ADDRESS.upper()),
        changed(("message", "nonce"), "0x00"),
        changed(("primaryType",), "Permit"),
        changed(("types", "KeyRequest"), []),
    ],
    ids=lambda _: "",
)
def test_typed_data_that_is_not_exactly_ours_is_refused(value: object) -> None:
    with pytest.raises(FormatError, match="challenge is malformed"):
        Challenge.parse(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(JSON, st.sampled_from([(), ("message",), ("domain",), ("types",), ("message", "token"), ("domain", "chainId")]))
def test_arbitrary_json_in_any_place_is_refused_and_nothing_else_is_raised(value: object, path: tuple) -> None:
    data = changed(path, value) if path else value
    if data == CHALLENGE.typed_data():
        return
    try:
        parsed = Challenge.parse(data)
    except FormatError:
        return
    # A number of the right kind, in the place of another: a whole challenge, which no service ever issued.
    assert parsed.typed_data() == data
    assert parsed != CHALLENGE
