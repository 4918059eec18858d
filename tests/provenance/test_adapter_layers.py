from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save
from safetensors.torch import load

from generation.adapters import weight_change
from provenance import adapter_embeddings, adapter_layers
from provenance.adapter_embeddings import TABLE, Trigger, read_trigger, require_trigger_fit
from provenance.adapter_layers import Layer, read_layers, require_fit
from provenance.errors import AdapterError, FormatError, ProvenanceError

ASSETS = Path(__file__).parents[1] / "assets" / "adapter"
# What the layers of a base are like: a matrix, and convolutions of one and of nine px.
SHAPES = {"unet": {"mid.to_q": (4, 6), "mid.conv": (4, 6, 3, 3), "mid.shortcut": (4, 6, 1, 1)}}
TABLES = {"text_encoder": {TABLE: (100, 8)}}


def of_shapes(**shapes: tuple[int, ...]) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    return {name.replace("__", ".").replace("_weight", ".weight"): np.ones(s, np.float32) for name, s in shapes.items()}


def kinds(layer: str) -> dict[str, bytes]:
    """A whole file of each kind for a layer of `SHAPES`."""
    rows, columns, *sides = SHAPES["unet"][layer]
    flat, one = columns * int(np.prod(sides)), (1,) * len(sides)
    parts: dict[str, dict[str, tuple[int, ...]]] = {
        "lora": {"lora_A_weight": (2, columns, *sides), "lora_B_weight": (rows, 2, *one)},
        "loha": {"hada_w1_a": (rows, 2), "hada_w1_b": (2, flat), "hada_w2_a": (rows, 3), "hada_w2_b": (3, flat)},
        "lokr": {"lokr_w1": (2, 2), "lokr_w2": (rows // 2, columns // 2, *sides)},
        "lokr of factors": {"lokr_w1": (2, 2), "lokr_w2_a": (rows // 2, 1), "lokr_w2_b": (1, flat // 2)},
    }
    parts["dora"] = parts["lora"] | {"lora_magnitude_vector_weight": (1, rows, *one) if sides else (rows,)}
    prefix = f"unet.{layer}".replace(".", "__")
    return {kind: save(of_shapes(**{f"{prefix}__{n}": s for n, s in each.items()})) for kind, each in parts.items()}


@pytest.mark.parametrize("kind", ["lora", "dora", "loha", "lokr", "lokr of factors"])
@pytest.mark.parametrize("layer", SHAPES["unet"])
def test_whole_files_of_every_kind_are_read(layer: str, kind: str) -> None:
    (found,) = layers = read_layers(kinds(layer)[kind], "a")
    require_fit(layers, SHAPES, "a base")
    assert (found.component, found.path, found.kind) == ("unet", layer, kind.partition(" ")[0])
    assert found.name == f"unet.{layer}"


def test_layers_come_in_order_of_name() -> None:
    parts = {"lora_A_weight": (2, 6), "lora_B_weight": (4, 2)}
    names = ("unet__b", "text_encoder__text_model__a", "unet__a")
    file = save(of_shapes(**{f"{name}__{part}": shape for name in names for part, shape in parts.items()}))
    assert [layer.name for layer in read_layers(file, "a")] == ["text_encoder.text_model.a", "unet.a", "unet.b"]


@pytest.mark.parametrize(
    ("asset", "reason"),
    [
        ("nan", "not numbers"),
        ("infinite-half", "not numbers"),
        ("nan-bfloat", "not numbers"),
        ("double", "in a type"),
        ("bytes", "in a type"),
        ("unknown-part", "no part of an adapter"),
        ("unknown-component", "no part of an adapter"),
        ("no-layer", "no part of an adapter"),
        ("half-a-pair", "no whole set of parts"),
        ("mixed-kinds", "no whole set of parts"),
        ("half-a-product", "no whole set of parts"),
        ("two-ranks", "cannot be multiplied"),
        ("huge-rank", "cannot be multiplied"),
        ("scalar-part", "empty part"),
        ("empty-part", "empty part"),
    ],
)
def test_hostile_weights_are_refused(asset: str, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        read_layers((ASSETS / f"{asset}.safetensors").read_bytes(), asset)


@pytest.mark.parametrize(
    "asset",
    [
        "other-layer",
        "other-rows",
        "other-columns",
        "convolution",
        "other-magnitude",
        "other-product",
        "other-factors",
    ],
)
def test_weights_of_another_base_are_refused(asset: str) -> None:
    layers = read_layers((ASSETS / f"{asset}.safetensors").read_bytes(), asset)
    with pytest.raises(AdapterError, match="does not fit"):
        require_fit(layers, SHAPES, "a base")


def test_a_layer_that_is_no_matrix_is_refused() -> None:
    layers = read_layers(kinds("mid.to_q")["lora"], "a")
    with pytest.raises(AdapterError, match="does not fit"):
        require_fit(layers, {"unet": {"mid.to_q": (4,)}}, "a base")


def test_more_tensors_than_an_adapter_has_are_refused() -> None:
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({f"unet.{n}.lora_A.weight": entry for n in range(adapter_layers.MAX_TENSORS + 1)}).encode()
    with pytest.raises(FormatError, match="too many tensors"):
        read_layers(len(header).to_bytes(8, "little") + header, "a")


@pytest.mark.parametrize("module", [adapter_layers, adapter_embeddings])
def test_larger_files_than_an_adapters_are_refused_unread(module: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 100)
    read = read_layers if module is adapter_layers else read_trigger
    with pytest.raises(FormatError, match="too large"):
        read(bytes(101), "a")  # type: ignore[operator]


def vectors(**tensors: tuple[int, ...]) -> bytes:
    named = {name.replace("dove", "<dove>"): np.ones(shape, np.float32) for name, shape in tensors.items()}
    return save(named, {"prov.trigger": "<dove>"})


def test_vectors_of_one_and_of_two_encoders_are_read() -> None:
    one = read_trigger(vectors(dove=(2, 8)), "a")
    assert one == Trigger("<dove>", 2, {"text_encoder": 8}, {"text_encoder": "<dove>"})
    two = read_trigger(vectors(clip_l=(1, 8), clip_g=(1, 12)), "a")
    assert dict(two.widths) == {"text_encoder": 8, "text_encoder_2": 12}
    assert dict(two.tensors) == {"text_encoder": "clip_l", "text_encoder_2": "clip_g"}


@pytest.mark.parametrize(
    ("asset", "reason"),
    [
        ("no-trigger", "does not name its trigger"),
        ("wrong-trigger", "does not name its trigger"),
        ("other-word", "other tensors"),
        ("one-more", "other tensors"),
        ("no-list", "no list of vectors"),
        ("many-vectors", "no list of vectors"),
        ("unequal", "another number of vectors"),
        ("nan-vector", "not numbers"),
        ("integer-vector", "in a type"),
    ],
)
def test_hostile_vectors_are_refused(asset: str, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        read_trigger((ASSETS / f"{asset}.safetensors").read_bytes(), asset)


@pytest.mark.parametrize("file", [vectors(dove=(2, 9)), vectors(clip_l=(2, 8), clip_g=(2, 8))])
def test_vectors_of_another_base_are_refused(file: bytes) -> None:
    with pytest.raises(AdapterError, match="do not fit"):
        require_trigger_fit(read_trigger(file, "a"), TABLES, "a base")


def test_every_bad_file_is_used() -> None:
    text = Path(__file__).read_text()
    assert [path.stem for path in ASSETS.glob("*.safetensors") if f'"{path.stem}"' not in text] == []


WHOLE = [file for layer in SHAPES["unet"] for file in kinds(layer).values()] + [vectors(dove=(2, 8))]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A whole file with bytes changed, cut out or put in, in its header more often than by chance."""
    file = bytearray(draw(st.sampled_from(WHOLE)))
    end = 8 + int.from_bytes(file[:8], "little")
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.one_of(st.integers(0, min(end, len(file)) - 1), st.integers(0, len(file) - 1)))
        match draw(st.integers(0, 3)):
            case 0:
                file[place] = draw(st.integers(0, 255))
            case 1:
                file[place] = ord(draw(st.sampled_from('0123456789"[]{},:-.e_abFIB')))
            case 2:
                del file[place : place + draw(st.integers(1, 8))]
            case _:
                file[place:place] = draw(st.binary(min_size=1, max_size=8))
        if len(file) < 16:
            break
    if draw(st.booleans()):
        # The length before the header is right again, so that what is in it is looked at.
        file[:8] = (file.rfind(b"}}") + 2 - 8 if b"}}" in file else 0).to_bytes(8, "little", signed=True)
    return bytes(file)


@settings(max_examples=400, deadline=None)
@given(damaged())
def test_damaged_files_are_refused_by_errors_of_our_own_or_make_a_change_of_the_bases_shape(file: bytes) -> None:
    try:
        layers = read_layers(file, "a")
        require_fit(layers, SHAPES, "a base")
    except ProvenanceError:
        pass
    else:
        tensors = load(file)
        for layer in layers:
            assert_makes(layer, tensors)
    try:
        require_trigger_fit(read_trigger(file, "a"), TABLES, "a base")
    except ProvenanceError:
        return
    assert all(tensor.isfinite().all() for tensor in load(file).values())


def assert_makes(layer: Layer, tensors: dict[str, torch.Tensor]) -> None:
    base = torch.ones(SHAPES["unet"][layer.path])
    parts = {part: tensors[f"{layer.name}.{part}"].float() for part in layer.parts}
    assert weight_change(layer.kind, parts, base).shape == base.shape
    assert all(part.isfinite().all() for part in parts.values())
