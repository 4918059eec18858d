"""The header of a safetensors file, read without trusting it.

Format: 8 bytes little-endian header length, a JSON header, then the tensors' bytes end to end
(https://github.com/huggingface/safetensors#format).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provenance.canonical import parse_json
from provenance.errors import FormatError

MAX_HEADER_BYTES = 16 * 1024**2
MAX_TENSORS = 65_536
MAX_DIMENSIONS = 8
BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip


# By type: as which integer a number is read, and the bits of its exponent, all set in NaN and infinity.
_EXPONENTS = {"BF16": ("<u2", 0x7F80), "F16": ("<u2", 0x7C00), "F32": ("<u4", 0x7F800000)}


@dataclass(frozen=True)
class Tensor:
    """One tensor: its type, its shape and where its bytes lie after the header."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Header:
    """The tensors of a file by name, and its free-text metadata."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def read_header(data: bytes, what: str) -> Header:
    """Checks that a file is whole safetensors and nothing else: sizes agree and bytes are used once each.

    Raises FormatError.
    """
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > MAX_HEADER_BYTES or 8 + length > len(data):
        raise FormatError(
            f"{what} is not a safetensors file",
            expected=f"a header of at most {MAX_HEADER_BYTES} bytes",
            found=f"{length} bytes announced in a file of {len(data)}",
        )
    header = parse_json(data[8 : 8 + length], f"the header of {what}")
    if not isinstance(header, dict) or len(header) > MAX_TENSORS + 1:
        raise FormatError(f"{what} has a malformed header", expected=f"an object of at most {MAX_TENSORS} tensors")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise FormatError(f"{what} has malformed metadata", expected="text values")
    tensors = {name: _tensor(entry, f"{what}, tensor {name[:80]!r}") for name, entry in header.items()}
    if not tensors:
        raise FormatError(f"{what} holds no tensors")
    position = 0
    for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.start, tensor.end)):
        if tensor.start != position:
            raise FormatError(f"{what} has tensors that overlap or leave gaps", found=f"at byte {position}")
        position = tensor.end
    if 8 + length + position != len(data):
        raise FormatError(
            f"{what} is cut short or has bytes after its tensors",
            expected=f"{8 + length + position} bytes",
            found=f"{len(data)} bytes",
        )
    return Header(tensors, metadata)


def require_numbers(data: bytes, header: Header, what: str) -> None:
    """Raises FormatError when a tensor of 16 or 32-bit floating point holds NaN or infinity, naming it."""
    import numpy as np

    body = 8 + int.from_bytes(data[:8], "little")
    for name, tensor in header.tensors.items():
        if tensor.dtype in _EXPONENTS:
            kind, exponent = _EXPONENTS[tensor.dtype]
            count = (tensor.end - tensor.start) // BYTES[tensor.dtype]
            bits = np.frombuffer(data, kind, count, body + tensor.start)
            if ((bits & exponent) == exponent).any():
                raise FormatError(f"{what} holds values that are not numbers", expected="none", found=name[:200])


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of a file's tensors by name, from its header alone, following links; raises FormatError."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        text = file.read(length) if length <= MAX_HEADER_BYTES else b""
    if len(text) != length:
        raise FormatError(f"{path} is not a safetensors file", expected="a whole header")
    header = parse_json(text, f"the header of {path}")
    if not isinstance(header, dict) or len(header) > MAX_TENSORS + 1:
        raise FormatError(f"{path} has a malformed header", expected=f"an object of at most {MAX_TENSORS} tensors")
    return {
        name: _tensor(entry, f"{path}, tensor {name[:80]!r}").shape
        for name, entry in header.items()
        if name != "__metadata__"
    }


def _tensor(entry: Any, what: str) -> Tensor:
    match entry:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [int(start), int(end)]} if dtype in BYTES:
            pass
        case _:
            raise FormatError(f"{what} is malformed", expected="a known dtype, a shape and two offsets")
    if len(shape) > MAX_DIMENSIONS or not all(type(side) is int and 0 <= side < 2**40 for side in shape):
        raise FormatError(f"{what} has an impossible shape", found=str(shape)[:100])
    size = BYTES[dtype]
    for side in shape:
        size *= side
    if start < 0 or end - start != size:
        raise FormatError(f"{what} does not fill its shape", expected=f"{size} bytes", found=f"{end - start} bytes")
    return Tensor(dtype, tuple(shape), start, end)
