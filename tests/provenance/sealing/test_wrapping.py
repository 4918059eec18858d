"""A wrapped key opens for one account, one adapter and one ledger."""

from __future__ import annotations

from dataclasses import replace

import eth_account  # noqa: F401  (raises the interpreter's recursion limit, which hypothesis must not see change)
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.canonical import canonical_json
from provenance.errors import FormatError, SealRefused, UsageError
from provenance.ledger.accounts import account_from_key
from provenance.ledger.protocol import LedgerIdentity
from provenance.sealing.cipher import new_content_key
from provenance.sealing.wrapping import WrappedKey, address_of, parse_public_key, public_key_of, unwrap, wrap

IDENTITY = LedgerIdentity(1337, "aa" * 32, "0x" + "12" * 20, "bb" * 32)
PRIVATE, OTHER = bytes(31) + b"\7", bytes(31) + b"\x09"
MAKER, WEIGHTS = "0x" + "ab" * 20, "cd" * 32
CONTENT = new_content_key()


def wrapped(private: bytes = PRIVATE, content: bytes = CONTENT) -> WrappedKey:
    return wrap(content, identity=IDENTITY, weights=WEIGHTS, maker=MAKER, public_key=public_key_of(private))


WRAPPED = wrapped()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 2**255), st.binary(min_size=32, max_size=32))
def test_a_wrapped_key_opens_for_its_account(number: int, content: bytes) -> None:
    private = number.to_bytes(32, "big")
    key = wrapped(private, content)
    assert unwrap(WrappedKey.parse(key.to_bytes()), private) == content
    assert key.account == account_from_key("any", private).address


def test_the_content_key_is_nowhere_in_what_is_handed_over() -> None:
    assert CONTENT.hex() not in WRAPPED.to_bytes().decode()
    assert wrapped().wrapped != WRAPPED.wrapped


def test_another_account_cannot_open_it() -> None:
    with pytest.raises(SealRefused, match="another account"):
        unwrap(WRAPPED, OTHER)


def test_a_key_relabelled_for_another_account_does_not_open() -> None:
    key = public_key_of(OTHER)
    with pytest.raises(SealRefused, match="does not open"):
        unwrap(replace(WRAPPED, public_key=key.hex(), account=address_of(key)), OTHER)


@pytest.mark.parametrize(
    "change",
    [
        {"chain_id": 1},
        {"contract": "0x" + "34" * 20},
        {"weights": "ce" * 32},
        {"maker": "0x" + "ac" * 20},
        {"key_id": "00" * 32},
    ],
    ids=str,
)
def test_a_key_relabelled_for_another_purpose_is_refused(change: dict) -> None:
    with pytest.raises(SealRefused, match="another purpose"):
        unwrap(replace(WRAPPED, **change), PRIVATE)


@settings(max_examples=120, deadline=None)
@given(st.integers(0, len(WRAPPED.wrapped) // 2 * 8 - 1))
def test_a_flipped_bit_in_the_wrapped_bytes_is_refused(place: int) -> None:
    raw = bytearray(bytes.fromhex(WRAPPED.wrapped))
    raw[place // 8] ^= 1 << place % 8
    with pytest.raises(SealRefused):
        unwrap(replace(WRAPPED, wrapped=raw.hex()), PRIVATE)


def test_the_documented_scheme_opens_it_without_eciespy() -> None:
    from coincurve import PublicKey
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    raw = bytes.fromhex(WRAPPED.wrapped)
    ephemeral, nonce, tag, rest = raw[:33], raw[33:45], raw[45:61], raw[61:]
    shared = PublicKey(ephemeral).multiply(PRIVATE).format(compressed=True)
    key = HKDF(SHA256(), 32, b"", b"").derive(ephemeral + shared)
    assert AESGCM(key).decrypt(nonce, rest + tag, None) == CONTENT + WRAPPED.digest()


@pytest.mark.parametrize(
    "change",
    [
        {"type": "urn:prov:wrapped-key:v2"},
        {"chain_id": "1337"},
        {"chain_id": True},
        {"chain_id": 0},
        {"contract": "0x" + "12" * 19},
        {"account": ("0x" + "AB" * 20)},
        {"weights": "cd" * 31},
        {"public_key": "04" + "cd" * 32},
        {"wrapped": ""},
        {"wrapped": WRAPPED.wrapped + "00"},
        {"extra": 1},
        {"key": None},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_malformed_wrapped_key_is_refused(change: dict) -> None:
    with pytest.raises(FormatError, match="malformed"):
        WrappedKey.parse(canonical_json({**WRAPPED.to_json(), **change}))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_no_wrapped_key(data: bytes) -> None:
    with pytest.raises(FormatError):
        WrappedKey.parse(data)


def test_public_keys_are_read_in_every_usual_spelling() -> None:
    from ecies.keys import PrivateKey

    long = PrivateKey("secp256k1", PRIVATE).public_key.to_bytes(False)
    for text in (long.hex(), long[1:].hex(), "0x" + long.hex(), public_key_of(PRIVATE).hex()):
        assert parse_public_key(text) == public_key_of(PRIVATE)


@pytest.mark.parametrize("text", ["", "zz", "02" + "00" * 32, "02" + "ff" * 32, "0x" + "12" * 20, "04" + "11" * 64])
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a secp256k1 public key"):
        parse_public_key(text)


@pytest.mark.parametrize("private", [bytes(32), b"\xff" * 32, b"", b"\1" * 31])
def test_what_is_no_private_key_is_refused(private: bytes) -> None:
    with pytest.raises(SealRefused, match="not a secp256k1 key"):
        public_key_of(private)
