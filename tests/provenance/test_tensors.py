from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from provenance.errors import FormatError
from provenance.tensors import Header, Tensor, read_header

ASSETS = Path(__file__).parents[1] / "assets" / "dataset"


def test_header_of_the_safetensors_library_is_read() -> None:
    data = save({"a": np.zeros((2, 3), np.float32), "b": np.zeros(4, np.int8)}, {"format": "pt"})
    assert read_header(data, "a") == Header(
        {"a": Tensor("F32", (2, 3), 0, 24), "b": Tensor("I8", (4,), 24, 28)}, {"format": "pt"}
    )


@pytest.mark.parametrize(
    ("asset", "reason"),
    [
        ("short", "cut short"),
        ("trailing", "bytes after its tensors"),
        ("overlapping", "overlap"),
        ("gap", "gaps"),
        ("wrong-size", "does not fill its shape"),
        ("unknown-type", "known dtype"),
        ("negative", "impossible shape"),
        ("number-metadata", "metadata"),
        ("no-tensors", "no tensors"),
        ("huge-header", "not a safetensors file"),
        ("pickle", "not a safetensors file"),
    ],
)
def test_bad_weights_are_refused(asset: str, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        read_header((ASSETS / f"{asset}.safetensors").read_bytes(), asset)


@given(st.binary(max_size=200), st.integers(0, 199), st.booleans())
def test_arbitrary_bytes_are_refused_never_anything_else(data: bytes, length: int, framed: bool) -> None:
    try:
        read_header(length.to_bytes(8, "little") + data if framed else data, "a")
    except FormatError:
        return
