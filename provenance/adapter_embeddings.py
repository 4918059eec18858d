"""The file of a learned trigger's vectors, read without trusting it.

``embeddings.safetensors`` holds ``(V, D)`` for each CLIP text encoder: by the trigger's name where the base has one
such encoder, else as ``clip_l`` and ``clip_g``; the trigger is named in the file's metadata, as ``prov.trigger``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from provenance.adapter_layers import DTYPES
from provenance.errors import AdapterError, FormatError
from provenance.tensors import read_header, require_numbers
from provenance.trigger import MAX_VECTORS, is_learned

MAX_BYTES = 16 * 1024**2
KEY = "prov.trigger"
ENCODERS = {"text_encoder": "clip_l", "text_encoder_2": "clip_g"}
TABLE = "text_model.embeddings.token_embedding"


@dataclass(frozen=True)
class Trigger:
    """A learned word: its name, how many vectors, their width and their tensor's name, by component."""

    word: str
    vectors: int
    widths: Mapping[str, int]
    tensors: Mapping[str, str]


def read_trigger(data: bytes, what: str) -> Trigger:
    """What a file of vectors holds, if it is that and nothing else; raises FormatError."""
    if len(data) > MAX_BYTES:
        raise FormatError(f"{what} is too large", expected=f"at most {MAX_BYTES} bytes", found=f"{len(data)} bytes")
    header = read_header(data, what)
    word = header.metadata.get(KEY, "")
    if not is_learned(word):
        raise FormatError(f"{what} does not name its trigger", expected="a word such as <dove>", found=word[:80])
    several = {component: key for component, key in ENCODERS.items() if key in header.tensors}
    tensors = several if set(several.values()) == set(header.tensors) else {"text_encoder": word}
    if set(tensors.values()) != set(header.tensors):
        raise FormatError(
            f"{what} holds other tensors than a trigger's",
            expected=f"{word}, or clip_l and clip_g",
            found=", ".join(sorted(header.tensors))[:200],
        )
    found = {component: header.tensors[key] for component, key in tensors.items()}
    shapes = {component: tensor.shape for component, tensor in found.items()}
    if any(tensor.dtype not in DTYPES for tensor in found.values()):
        raise FormatError(f"{what} is kept in a type that weights are not kept in", expected=", ".join(DTYPES))
    if any(len(shape) != 2 or not 0 < shape[0] <= MAX_VECTORS or not shape[1] for shape in shapes.values()):
        raise FormatError(
            f"{what} holds something that is no list of vectors",
            expected=f"1 to {MAX_VECTORS} of them",
            found=str(shapes)[:200],
        )
    counts = {shape[0] for shape in shapes.values()}
    if len(counts) != 1:
        raise FormatError(f"{what} has another number of vectors for each encoder", found=str(shapes)[:200])
    require_numbers(data, header, what)
    return Trigger(word, counts.pop(), {component: shape[1] for component, shape in shapes.items()}, tensors)


def require_trigger_fit(trigger: Trigger, shapes: Mapping[str, Mapping[str, tuple[int, ...]]], base: str) -> None:
    """Raises AdapterError unless every CLIP encoder of the base, and no other, gets vectors of its own width.

    ``shapes`` are those of the base's weights, by component and layer, of both text encoders.
    """
    own = {component: layers[TABLE][1] for component, layers in shapes.items() if TABLE in layers}
    if own != dict(trigger.widths):
        raise AdapterError(
            f"the vectors of {trigger.word} do not fit the base model",
            expected=f"widths {own} of {base}",
            found=str(dict(trigger.widths)),
            fix="take the base that the adapter was trained on",
        )
