"""The Merkle tree against RFC 6962's own test data, and proofs that hold for one leaf at one place only."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.merkle import leaf_hash, node_hash, proof, root, verify_proof

# The reference leaves and roots of google/certificate-transparency (merkle_tree_test.cc): roots of the first 1 … 8.
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def recursive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(recursive_root(leaves[:split]), recursive_root(leaves[split:]))


@pytest.mark.parametrize("count", range(1, 9))
def test_reference_roots(count: int) -> None:
    leaves = [leaf_hash(bytes.fromhex(leaf)) for leaf in LEAVES[:count]]
    assert root(leaves).hex() == ROOTS[count - 1]


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=70))
def test_root_is_the_recursive_definition(data: list[bytes]) -> None:
    leaves = [leaf_hash(item) for item in data]
    assert root(leaves) == recursive_root(leaves)


@pytest.mark.parametrize("count", [*range(1, 34), 255, 256, 257])
def test_every_leaf_has_a_proof(count: int) -> None:
    leaves = [leaf_hash(index.to_bytes(2, "big")) for index in range(count)]
    top = root(leaves)
    for index, leaf in enumerate(leaves):
        path = proof(leaves, index)
        assert len(path) <= (count - 1).bit_length()
        assert verify_proof(leaf, index, count, path, top)


@given(st.integers(2, 40), st.data())
def test_a_proof_holds_for_no_other_leaf_place_count_or_root(count: int, data: st.DataObject) -> None:
    leaves = [leaf_hash(index.to_bytes(2, "big")) for index in range(count)]
    index = data.draw(st.integers(0, count - 1))
    other = data.draw(st.integers(0, count - 1).filter(lambda n: n != index))
    path, top = proof(leaves, index), root(leaves)
    assert not verify_proof(leaves[other], index, count, path, top)
    assert not verify_proof(leaves[index], other, count, path, top)
    assert not verify_proof(leaves[index], index, count, path, leaf_hash(b"other"))
    assert not verify_proof(leaves[index], index, count, path[:-1], top)
    assert not verify_proof(leaves[index], index, count, (*path, top), top)
    if len(path) > 1 and path[0] != path[-1]:
        assert not verify_proof(leaves[index], index, count, path[::-1], top)


def test_a_node_is_no_leaf() -> None:
    leaves = [leaf_hash(b"a"), leaf_hash(b"b")]
    assert root(leaves) != leaf_hash(leaves[0] + leaves[1])
    assert root(leaves) == hashlib.sha256(b"\x01" + leaves[0] + leaves[1]).digest()


@pytest.mark.parametrize(
    ("index", "count", "length"), [(-1, 1, 32), (1, 1, 32), (0, 0, 32), (0, 1, 31), (0, 1, 33), (0, 1, 0)]
)
def test_nonsense_is_not_verified(index: int, count: int, length: int) -> None:
    leaf = b"x" * length
    assert not verify_proof(leaf, index, count, (), leaf)


def test_proof_nodes_of_the_wrong_length_are_refused() -> None:
    leaves = [leaf_hash(b"a"), leaf_hash(b"b")]
    assert not verify_proof(leaves[0], 0, 2, (leaves[1] + b"x",), root(leaves))


@pytest.mark.parametrize("leaves", [[], [b"short"]])
def test_trees_need_leaves_that_are_hashes(leaves: list[bytes]) -> None:
    with pytest.raises(ValueError, match="leaf"):
        root(leaves)
    with pytest.raises(ValueError, match="leaf"):
        proof(leaves, 0)


def test_there_is_no_proof_past_the_end() -> None:
    with pytest.raises(ValueError, match="no leaf 1 among 1"):
        proof([leaf_hash(b"a")], 1)
