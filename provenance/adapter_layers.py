"""A file of adapter weights, taken apart without trusting it: which layers it changes, how, and whether it fits a base.

::

    <component>.<layer>.lora_A.weight, lora_B.weight             LoRA    arXiv:2106.09685
    … and lora_magnitude_vector.weight                           DoRA    arXiv:2402.09353
    <component>.<layer>.hada_w1_a, hada_w1_b, hada_w2_a, hada_w2_b       LoHa    arXiv:2108.06098
    <component>.<layer>.lokr_w1 (or lokr_w1_a, lokr_w1_b), lokr_w2 (…)   LoKr    arXiv:2212.10650

Nothing here imports torch: a file is read by it only after it has passed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from provenance.errors import AdapterError, FormatError
from provenance.tensors import Header, Tensor, read_header, require_numbers

MAX_BYTES = 4 * 1024**3
MAX_TENSORS = 16_384
MAX_RANK = 1024
DTYPES = ("BF16", "F16", "F32")
COMPONENTS = ("text_encoder", "text_encoder_2", "transformer", "unet")

LORA, DORA, LOHA, LOKR = "lora", "dora", "loha", "lokr"
_LORA = frozenset({"lora_A.weight", "lora_B.weight"})
_LOKR_FACTORS = tuple((f"lokr_w{n}", f"lokr_w{n}_a", f"lokr_w{n}_b") for n in (1, 2))
_KINDS = {
    _LORA: LORA,
    _LORA | {"lora_magnitude_vector.weight"}: DORA,
    frozenset({"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"}): LOHA,
    **{
        frozenset(first) | frozenset(second): LOKR
        for first in (_LOKR_FACTORS[0][:1], _LOKR_FACTORS[0][1:])
        for second in (_LOKR_FACTORS[1][:1], _LOKR_FACTORS[1][1:])
    },
}
_PARTS = frozenset(part for parts in _KINDS for part in parts)

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One layer that an adapter changes: of which component, where in it, how, and the shapes of its parts."""

    component: str
    path: str
    kind: str
    parts: Mapping[str, Shape]

    @property
    def name(self) -> str:
        """The layer as the file names it; a part's tensor is ``<name>.<part>``."""
        return f"{self.component}.{self.path}"


def read_layers(data: bytes, what: str) -> tuple[Layer, ...]:
    """The layers of an adapter's file, in order of name, if it holds those and nothing else.

    Every tensor must belong to a whole set, of a rank up to `MAX_RANK`, of 16 or 32 bit, without NaN or infinity; the
    file's size and number of tensors are limited. Raises FormatError.
    """
    if len(data) > MAX_BYTES:
        raise FormatError(f"{what} is too large", expected=f"at most {MAX_BYTES} bytes", found=f"{len(data)} bytes")
    header = read_header(data, what)
    if len(header.tensors) > MAX_TENSORS:
        raise FormatError(
            f"{what} has too many tensors", expected=f"at most {MAX_TENSORS}", found=str(len(header.tensors))
        )
    layers = tuple(_layer(name, parts, what) for name, parts in sorted(_grouped(header, what).items()))
    require_numbers(data, header, what)
    return layers


def require_fit(layers: tuple[Layer, ...], shapes: Mapping[str, Mapping[str, Shape]], base: str) -> None:
    """Raises AdapterError unless every layer is one of the base's, of the shape that its parts make.

    ``shapes`` are those of the base's weights, by component and layer.
    """
    for layer in layers:
        own = shapes.get(layer.component, {}).get(layer.path)
        if own is None:
            raise AdapterError(
                "the adapter does not fit the base model",
                expected=f"layers of {base}",
                found=layer.name[:200],
                fix="take the base that the adapter was trained on",
            )
        if len(own) not in (2, 4) or not _makes(layer, own):
            parts = ", ".join(f"{part} {list(shape)}" for part, shape in layer.parts.items())
            raise AdapterError(
                "the adapter does not fit the base model",
                expected=f"parts that make {list(own)} for {layer.name}",
                found=parts,
                fix="take the base that the adapter was trained on",
            )


def _grouped(header: Header, what: str) -> dict[str, dict[str, Tensor]]:
    layers: dict[str, dict[str, Tensor]] = {}
    for name, tensor in header.tensors.items():
        layer, part = _split(name)
        component, _, path = layer.partition(".")
        if part not in _PARTS or component not in COMPONENTS or not path:
            raise FormatError(
                f"{what} holds a tensor that is no part of an adapter",
                expected=f"a component ({', '.join(COMPONENTS)}), its layer, and a part such as lora_A.weight",
                found=name[:200],
            )
        if tensor.dtype not in DTYPES:
            raise FormatError(f"{what} holds {name[:200]} in a type that weights are not kept in", found=tensor.dtype)
        layers.setdefault(layer, {})[part] = tensor
    return layers


def _split(name: str) -> tuple[str, str]:
    bare = name.removesuffix(".weight")
    layer, _, part = bare.rpartition(".")
    return layer, part + name[len(bare) :]


def _layer(name: str, parts: Mapping[str, Tensor], what: str) -> Layer:
    kind = _KINDS.get(frozenset(parts))
    if kind is None:
        raise FormatError(
            f"{what} holds no whole set of parts for {name[:200]}",
            expected="; ".join(sorted(", ".join(sorted(known)) for known in _KINDS)),
            found=", ".join(sorted(parts)),
        )
    component, _, path = name.partition(".")
    layer = Layer(component, path, kind, {part: tensor.shape for part, tensor in sorted(parts.items())})
    if not all(layer.parts.values()) or not all(math.prod(shape) for shape in layer.parts.values()):
        raise FormatError(f"{what} has an empty part in {name[:200]}", found=str(dict(layer.parts))[:200])
    for first, second in _products(layer):
        if len(first) < 2 or len(second) < 2 or first[1] != second[0] or not 0 < second[0] <= MAX_RANK:
            raise FormatError(
                f"{what} has parts of {name[:200]} that cannot be multiplied",
                expected=f"one rank from 1 to {MAX_RANK} that both have",
                found=f"{list(first)} and {list(second)}",
            )
    return layer


def _products(layer: Layer) -> Iterator[tuple[Shape, Shape]]:
    """The pairs of parts that are multiplied over a rank: (rows, rank, …) and (rank, columns, …)."""
    parts = layer.parts
    if layer.kind in (LORA, DORA):
        yield parts["lora_B.weight"], parts["lora_A.weight"]
    for name in ("hada_w1", "hada_w2", "lokr_w1", "lokr_w2"):
        if f"{name}_a" in parts:
            yield parts[f"{name}_a"], parts[f"{name}_b"]


def _makes(layer: Layer, own: Shape) -> bool:
    """Whether the parts make a matrix of the shape of the base's own."""
    parts, (rows, *rest) = layer.parts, own
    columns, ones = math.prod(rest), (1,) * (len(own) - 2)
    if layer.kind == LOHA:
        pairs = [*_products(layer)]
        return all(first == (rows, first[1]) and second == (second[0], columns) for first, second in pairs)
    if layer.kind == LOKR:
        (upper, left), (lower, right) = (_factor(layer, name, rest) for name in ("lokr_w1", "lokr_w2"))
        return upper * lower == rows and left * right == columns and len(parts.get("lokr_w1", (0, 0))) == 2
    up, down = parts["lora_B.weight"], parts["lora_A.weight"]
    magnitude = parts.get("lora_magnitude_vector.weight")
    # PEFT keeps the magnitude of a convolution as (1, rows, 1, 1).
    magnitudes = (None, (rows,) if not ones else (1, rows, *ones))
    return up == (rows, down[0], *ones) and down == (down[0], *rest) and magnitude in magnitudes


def _factor(layer: Layer, name: str, rest: list[int]) -> tuple[int, int]:
    """Rows and columns of one factor of a Kronecker product; (0, 0) for shapes that it cannot have."""
    if name in layer.parts:
        shape = layer.parts[name]
        fits = len(shape) == 2 or (len(shape) == 4 and name == "lokr_w2" and shape[2:] == tuple(rest[1:]))
        return (shape[0], math.prod(shape[1:])) if fits else (0, 0)
    first, second = layer.parts[f"{name}_a"], layer.parts[f"{name}_b"]
    return (first[0], second[1]) if len(first) == len(second) == 2 else (0, 0)
