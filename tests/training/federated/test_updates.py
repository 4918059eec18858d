from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save

from training.federated.errors import FederationError
from training.federated.updates import (
    commit,
    digest_of,
    flatten,
    mean,
    moved,
    opening,
    pack,
    require_within,
    shapes_of,
    unflatten,
    unpack,
)

WEIGHTS = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.tensor([0.5]), "c.d": torch.ones(1, 1, 2, 2)}


def test_weights_are_read_back_as_they_were_packed_whatever_their_order() -> None:
    data = pack(WEIGHTS)
    assert data == pack(dict(sorted(WEIGHTS.items())))
    read = unpack(data, shapes_of(WEIGHTS), "it")
    assert all(torch.equal(read[name], tensor) for name, tensor in WEIGHTS.items())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a safetensors file"),
        (b"\x80\x04K\x01.", "not a safetensors file"),
        (pack(WEIGHTS)[:-1], "cut short"),
        (pack(WEIGHTS) + b"\x00", "bytes after its tensors"),
        (pack({**WEIGHTS, "a": torch.tensor([float("nan")])}), "not finite"),
        (pack({**WEIGHTS, "b": torch.full((2, 3), float("-inf"))}), "not finite"),
        (pack({**WEIGHTS, "b": torch.ones(3, 2)}), "other layers"),
        (pack({**WEIGHTS, "e": torch.ones(1)}), "other layers"),
        (pack({"a": WEIGHTS["a"]}), "other layers"),
        (save({name: tensor.half() for name, tensor in WEIGHTS.items()}), "other layers"),
    ],
)
def test_what_is_not_these_weights_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(FederationError, match=reason):
        unpack(data, shapes_of(WEIGHTS), "the update")


def test_a_header_that_announces_more_than_there_is_is_refused() -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}).encode()
    with pytest.raises(FederationError):
        unpack(len(header).to_bytes(8, "little") + header, {"a": (1 << 40,)}, "the update")


def test_the_mean_is_weighted_by_items() -> None:
    one, two = ({name: torch.full(t.shape, value) for name, t in WEIGHTS.items()} for value in (1.0, -2.0))
    made = mean([(one, 3), (two, 1)])
    assert shapes_of(made) == shapes_of(WEIGHTS)
    assert all(torch.allclose(tensor, torch.tensor(0.25)) for tensor in made.values())
    after = moved(WEIGHTS, made)
    assert torch.equal(after["a"], torch.tensor([0.75]))


def test_a_vector_is_the_same_update() -> None:
    assert all(
        torch.equal(tensor, WEIGHTS[name]) for name, tensor in unflatten(flatten(WEIGHTS), shapes_of(WEIGHTS)).items()
    )


def test_an_update_beyond_the_reach_is_refused() -> None:
    require_within(WEIGHTS, 5.0, "it")
    with pytest.raises(FederationError, match="goes further than the agreed training can"):
        require_within(WEIGHTS, 4.9, "it")


def test_a_commitment_opens_with_its_salt_alone() -> None:
    commitment, salt = commit(b"update")
    assert opening(salt, b"update") == commitment
    assert opening(salt, b"another") != commitment
    assert commit(b"update")[0] != commitment


def test_parts_cannot_be_moved_from_one_to_the_next() -> None:
    assert digest_of([b"ab", b"c"]) != digest_of([b"a", b"bc"])
