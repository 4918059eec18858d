"""Makes the bad files beside it, one for each refusal: ``python tests/assets/adapter/make_assets.py``."""

from __future__ import annotations

import json
import math
from pathlib import Path

HERE = Path(__file__).parent
LAYER = "unet.mid.to_q"
A, B = "lora_A.weight", "lora_B.weight"
ONES = {"BF16": "803f", "F16": "003c", "F32": "0000803f", "F64": "000000000000f03f", "I8": "01"}

Tensor = tuple[str, tuple[int, ...], bytes]


def ones(*shape: int, dtype: str = "F32", last: str = "") -> Tensor:
    """A tensor of ones, whose last element may be other bytes, in hex."""
    one, count = bytes.fromhex(ONES[dtype]), math.prod(shape)
    return dtype, shape, one * (count - 1) + bytes.fromhex(last) if last else one * count


def write(name: str, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    body = b""
    for key, (dtype, shape, data) in tensors.items():
        header[key] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header, separators=(",", ":")).encode()
    (HERE / f"{name}.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + body)


def layer(**parts: Tensor) -> dict[str, Tensor]:
    return {f"{LAYER}.{part.replace('_weight', '.weight')}": tensor for part, tensor in parts.items()}


def lora(a: Tensor = ones(2, 6), b: Tensor = ones(4, 2), **parts: Tensor) -> dict[str, Tensor]:
    return layer(lora_A_weight=a, lora_B_weight=b, **parts)


def layers() -> None:
    write("nan", lora(a=ones(2, 6, last="0000c07f")))
    write("infinite-half", lora(b=ones(4, 2, dtype="F16", last="007c")))
    write("nan-bfloat", lora(b=ones(4, 2, dtype="BF16", last="c0ff")))
    write("double", lora(a=ones(2, 6, dtype="F64")))
    write("bytes", lora(a=ones(2, 6, dtype="I8")))
    write("unknown-part", lora(lora_C_weight=ones(2, 2)))
    write("unknown-component", {key.replace("unet", "safety_checker"): t for key, t in lora().items()})
    write("no-layer", {f"unet.{A}": ones(2, 6), f"unet.{B}": ones(4, 2)})
    write("half-a-pair", layer(lora_A_weight=ones(2, 6)))
    write("mixed-kinds", lora(hada_w1_a=ones(4, 2), hada_w1_b=ones(2, 6)))
    write("half-a-product", layer(lokr_w1=ones(2, 2), lokr_w2_a=ones(2, 1)))
    write("two-ranks", lora(a=ones(3, 6)))
    write("huge-rank", lora(a=ones(1025, 1, dtype="F16"), b=ones(1, 1025, dtype="F16")))
    write("empty-part", lora(a=ones(0, 6), b=ones(4, 0)))
    write("scalar-part", lora(a=ones()))
    write("other-layer", {key.replace("mid", "elsewhere"): t for key, t in lora().items()})
    write("other-rows", lora(b=ones(5, 2)))
    write("other-columns", lora(a=ones(2, 7)))
    write("convolution", lora(a=ones(2, 6, 1, 1), b=ones(4, 2, 1, 1)))
    write("other-magnitude", lora(lora_magnitude_vector_weight=ones(1, 4)))
    hada = {"hada_w1_a": ones(4, 2), "hada_w1_b": ones(2, 6), "hada_w2_a": ones(4, 2)}
    write("other-product", layer(**hada, hada_w2_b=ones(2, 5)))
    write("other-factors", layer(lokr_w1=ones(2, 2), lokr_w2=ones(3, 3)))


def vectors() -> None:
    named = {"prov.trigger": "<dove>"}
    write("no-trigger", {"<dove>": ones(2, 8)})
    write("wrong-trigger", {"<Dove>": ones(2, 8)}, {"prov.trigger": "<Dove>"})
    write("other-word", {"<gull>": ones(2, 8)}, named)
    write("one-more", {"clip_l": ones(2, 8), "clip_g": ones(2, 8), "clip_h": ones(2, 8)}, named)
    write("no-list", {"<dove>": ones(8)}, named)
    write("many-vectors", {"<dove>": ones(33, 8)}, named)
    write("unequal", {"clip_l": ones(2, 8), "clip_g": ones(3, 8)}, named)
    write("nan-vector", {"<dove>": ones(2, 8, last="0000c07f")}, named)
    write("integer-vector", {"<dove>": ones(2, 8, dtype="I8")}, named)


if __name__ == "__main__":
    layers()
    vectors()
