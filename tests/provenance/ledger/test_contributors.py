"""The tree of contributors: OpenZeppelin's own, read strictly."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.errors import FormatError, LedgerLookupError
from provenance.ledger.contributors import ContributorsTree, leaf_hash
from provenance.ledger.keccak import keccak

A, B, C = ("0x" + digit * 40 for digit in "123")
ADDRESSES = st.binary(min_size=20, max_size=20).filter(any).map(lambda raw: "0x" + raw.hex())


@st.composite
def divisions(draw: st.DrawFn) -> dict[str, int]:
    accounts = draw(st.lists(ADDRESSES, min_size=1, max_size=40, unique=True))
    cuts = st.lists(st.integers(1, 999_999), min_size=len(accounts) - 1, max_size=len(accounts) - 1, unique=True)
    edges = [0, *sorted(draw(cuts)), 1_000_000]
    return {account: edges[place + 1] - edges[place] for place, account in enumerate(accounts)}


def climb(leaf: bytes, proof: tuple[str, ...]) -> bytes:
    for each in proof:
        leaf = keccak(b"".join(sorted((leaf, bytes.fromhex(each)))))
    return leaf


@given(divisions())
def test_every_proof_leads_to_the_root_and_only_with_its_own_part(parts: dict[str, int]) -> None:
    tree = ContributorsTree.of(parts)
    for address, millionths in parts.items():
        assert climb(leaf_hash(address, millionths), tree.proof(address)).hex() == tree.root
        assert climb(leaf_hash(address, millionths % 1_000_000 + 1), tree.proof(address)).hex() != tree.root


@given(divisions())
def test_list_reads_back_as_it_was_written(parts: dict[str, int]) -> None:
    tree = ContributorsTree.of(parts)
    assert ContributorsTree.parse(tree.to_bytes()) == tree
    assert dict(tree.parts) == parts


def test_root_and_proofs_are_those_of_openzeppelins_package() -> None:
    # What the npm package @openzeppelin/merkle-tree 1.0.8 gives for this list, types ["address", "uint32"].
    parts = (400_000, 300_000, 200_000, 60_000, 40_000)
    tree = ContributorsTree.of({"0x" + digit * 40: part for digit, part in zip("12345", parts, strict=True)})
    assert tree.root == "18de5aea93d20c95e003f5658844ee3d67aff56d7c4a77d172966355a663fbb3"
    assert tree.proof(B) == (
        "18655f71678d563a30177a9899c46ce0f6566d3995bcdd5b6030a90db8880f78",
        "64c711c6a7e101b82ffbf5dd66868535b729b545fe3184942ae047eda2b8741b",
        "21dac6433f6cf15dfe96b41b33ee5810707593be63d6d5f0fe9005b4d377e9c1",
    )
    assert tree.proof("0x" + "4" * 40) == (
        "3e507cec48570e7d9b8307cc77a4bc48e79548272d5956672693ccbf844f258b",
        "c6711afe036350020184fb652683cb15caed41086205e222ac4c13f11be30470",
    )


def test_leaf_is_the_one_that_the_contract_computes() -> None:
    from eth_abi.abi import encode

    assert leaf_hash(A, 7) == keccak(keccak(encode(["address", "uint32"], [A, 7])))


def test_order_of_the_list_does_not_matter() -> None:
    assert ContributorsTree.of({A: 1, B: 999_999}) == ContributorsTree.of({B: 999_999, A: 1})


def test_single_contributor_needs_no_proof() -> None:
    tree = ContributorsTree.of({A: 1_000_000})
    assert (tree.root, tree.proof(A)) == (leaf_hash(A, 1_000_000).hex(), ())


def test_account_that_is_not_listed_has_no_proof() -> None:
    with pytest.raises(LedgerLookupError, match="is not among the contributors"):
        ContributorsTree.of({A: 1_000_000}).proof(B)


def test_every_fault_is_reported_at_once() -> None:
    entries = [
        {"address": A, "millionths": 0},
        {"address": A.upper(), "millionths": 5},
        {"address": B, "millionths": True},
        {"address": B, "millionths": 1_000_001},
        {"address": "0x" + "00" * 20, "millionths": 1.5},
        {"address": C},
    ]
    with pytest.raises(FormatError) as caught:
        ContributorsTree.parse(json.dumps({"type": "urn:prov:contributors:v1", "contributors": entries}).encode())
    found = caught.value.found or ""
    for fault in (
        "entry 1: 0 is not",
        "entry 2: '0X1111",
        "entry 3: True is not",
        "entry 4: 0x2222222222222222222222222222222222222222 is named before",
        "entry 4: 1000001 is not",
        "entry 5: '0x0000",
        "entry 5: 1.5 is not",
        "entry 6: {'address'",
    ):
        assert fault in found


def test_many_faults_are_counted_and_not_all_printed() -> None:
    with pytest.raises(FormatError, match="and 80 more"):
        ContributorsTree.of({f"0x{number:040x}": 0 for number in range(1, 101)})


@pytest.mark.parametrize(
    ("parts", "fault"),
    [({}, "nobody"), ({A: 999_999}, "add up to 999999"), ({A: 999_999, B: 2}, "add up to 1000001")],
)
def test_parts_must_add_up_to_the_whole(parts: dict[str, int], fault: str) -> None:
    with pytest.raises(FormatError, match=fault):
        ContributorsTree.of(parts)


@pytest.mark.parametrize(
    "value",
    [
        [],
        {"type": "urn:prov:contributors:v2", "contributors": [{"address": A, "millionths": 1_000_000}]},
        {"type": "urn:prov:contributors:v1"},
        {"type": "urn:prov:contributors:v1", "contributors": [], "note": 1},
        {"type": "urn:prov:contributors:v1", "contributors": {}},
        {"type": "urn:prov:contributors:v1", "contributors": [{"address": A, "millionths": 1_000_000, "x": 1}]},
        {"type": "urn:prov:contributors:v1", "contributors": [7]},
    ],
)
def test_what_is_not_a_list_of_contributors_is_a_format_error(value: Any) -> None:
    with pytest.raises(FormatError):
        ContributorsTree.parse(json.dumps(value).encode())


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_any_other_json_is_a_format_error(value: Any) -> None:
    data = json.dumps({"type": "urn:prov:contributors:v1", "contributors": value}).encode()
    with pytest.raises(FormatError):
        ContributorsTree.parse(data)
