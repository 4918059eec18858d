"""RLP and tries: the same as py-trie's and rlp's, and nothing that a prover makes up is taken for a proof."""

from __future__ import annotations

import pytest
import rlp
from eth_hash.auto import keccak as other_keccak
from hypothesis import assume, given
from hypothesis import strategies as st
from trie import HexaryTrie

from provenance.errors import FormatError
from provenance.ledger.keccak import keccak
from provenance.ledger.rlp import decode, decode_number, encode, encode_number
from provenance.ledger.trie import EMPTY_ROOT, prove, root_of

items = st.recursive(st.binary(max_size=70), lambda children: st.lists(children, max_size=5), max_leaves=20)
tries = st.dictionaries(st.binary(min_size=1, max_size=40).map(keccak), st.binary(min_size=1, max_size=80), max_size=30)


def prover(values: dict[bytes, bytes]) -> HexaryTrie:
    made = HexaryTrie({})
    for key, value in values.items():
        made[key] = value
    return made


def proof_of(made: HexaryTrie, key: bytes) -> list[bytes]:
    return [rlp.encode(node) for node in made.get_proof(key)]


@given(st.binary(max_size=300))
def test_keccak_is_ethereums(data: bytes) -> None:
    assert keccak(data) == other_keccak(data)


@given(items)
def test_rlp_is_the_same_as_the_librarys_and_comes_back(item: object) -> None:
    encoded = encode(item)  # type: ignore[arg-type]
    assert encoded == rlp.encode(item)
    assert decode(encoded) == item


@given(st.binary(max_size=40))
def test_rlp_that_the_library_refuses_is_refused(data: bytes) -> None:
    try:
        expected = rlp.decode(data, strict=True)
    except rlp.exceptions.DecodingError:
        with pytest.raises(FormatError):
            decode(data)
    else:
        assert decode(data) == expected
        assert encode(expected) == data


def test_deep_rlp_is_refused() -> None:
    data = b"\xc0"
    for _ in range(100):
        data = encode([decode(data)]) if len(data) < 20 else rlp.codec.length_prefix(len(data), 0xC0) + data
    with pytest.raises(FormatError):
        decode(data)


@given(st.integers(min_value=0, max_value=2**256 - 1))
def test_numbers_come_back(value: int) -> None:
    assert decode_number(encode_number(value)) == value


@pytest.mark.parametrize("item", [b"\0", b"\0\1", [b"\1"]])
def test_malformed_numbers_are_refused(item: object) -> None:
    with pytest.raises(FormatError):
        decode_number(item)  # type: ignore[arg-type]


@given(tries)
def test_root_is_the_same_as_the_librarys(values: dict[bytes, bytes]) -> None:
    assert root_of(values) == prover(values).root_hash


@given(st.integers(min_value=1, max_value=300))
def test_root_of_numbered_items_is_the_same_as_the_librarys(count: int) -> None:
    values = {rlp.encode(number): bytes([number % 251]) * (number % 50 + 1) for number in range(count)}
    assert root_of(values) == prover(values).root_hash


def test_empty_trie_holds_nothing() -> None:
    assert root_of({}) == EMPTY_ROOT
    assert prove(EMPTY_ROOT, keccak(b"any"), []) is None


@given(tries, st.binary(max_size=10).map(keccak))
def test_values_and_absences_are_proved(values: dict[bytes, bytes], other: bytes) -> None:
    made = prover(values)
    for key in (*values, other):
        assert prove(made.root_hash, key, proof_of(made, key)) == values.get(key)


@given(tries, st.data())
def test_altered_proof_never_shows_another_value(values: dict[bytes, bytes], data: st.DataObject) -> None:
    assume(values)
    made = prover(values)
    key = data.draw(st.sampled_from(sorted(values)))
    proof = proof_of(made, key)
    place = data.draw(st.integers(0, len(proof) - 1))
    position = data.draw(st.integers(0, len(proof[place]) - 1))
    altered = bytearray(proof[place])
    altered[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(FormatError):
        prove(made.root_hash, key, [*proof[:place], bytes(altered), *proof[place + 1 :]])


@given(tries, st.data())
def test_proof_without_one_of_its_nodes_shows_nothing(values: dict[bytes, bytes], data: st.DataObject) -> None:
    assume(values)
    made = prover(values)
    key = data.draw(st.sampled_from(sorted(values)))
    proof = list(dict.fromkeys(proof_of(made, key)))
    place = data.draw(st.integers(0, len(proof) - 1))
    # Small nodes are part of their parents; py-trie lists them all the same.
    assume(len(proof[place]) >= 32 or place == 0)
    with pytest.raises(FormatError):
        prove(made.root_hash, key, proof[:place] + proof[place + 1 :])


@given(tries, tries)
def test_proof_against_another_root_shows_nothing(values: dict[bytes, bytes], others: dict[bytes, bytes]) -> None:
    assume(values and others and values != others)
    made, other = prover(values), prover(others)
    key = next(iter(values))
    with pytest.raises(FormatError):
        prove(other.root_hash, key, proof_of(made, key))


@given(st.binary(min_size=32, max_size=32), st.lists(st.binary(max_size=60), max_size=5))
def test_bytes_that_are_no_proof_are_refused(key: bytes, proof: list[bytes]) -> None:
    root = keccak(proof[0]) if proof else b"\1" * 32
    try:
        value = prove(root, key, proof)
    except FormatError:
        return
    # Random bytes may be a node; they show at most what they hold.
    assert value is None or any(value in each for each in proof)
