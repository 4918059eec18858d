from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load

from tests.training.adapted import KINDS, Adapted, adapted_once, assert_equal_changes, changes_by_peft, plain_layers
from training.families.opening import load_pipeline
from training.kohya import kohya_bytes

BASES = ("sd1_base", "sd2_base", "sdxl_base", "sd3_t5_base")
PARTS = {
    "lora": [{"lora_down.weight", "lora_up.weight", "alpha"}],
    "dora": [{"lora_down.weight", "lora_up.weight", "alpha", "dora_scale"}],
    "loha": [{"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "alpha"}],
    "lokr": [{"lokr_w1", "lokr_w2", "alpha"}, {"lokr_w1", "lokr_w2_a", "lokr_w2_b", "alpha"}],
}

Trained = Callable[[str, str], Adapted]


@pytest.fixture
def trained(request: pytest.FixtureRequest) -> Trained:
    """An adapter of a kind on a base, made once."""
    return lambda name, kind: adapted_once(request.getfixturevalue(name), kind)


def comfyui_name(layer: str, made: Adapted) -> str:
    """What ComfyUI looks a layer up by: its key map of UNet, transformer and CLIP encoders."""
    component, _, path = layer.partition(".")
    several = "text_encoder_2" in made.family.text_encoders
    prefix = {
        "unet": "lora_unet",
        "transformer": "lora_transformer",
        "text_encoder": "lora_te1" if several else "lora_te",
        "text_encoder_2": "lora_te2",
        "text_encoder_3": "lora_te3",
        "vae": "not among them",
    }[component]
    return f"{prefix}_{path.replace('.', '_')}"


def is_found_by_a1111(name: str) -> bool:
    """Whether A1111's conversion of names to its own modules knows the form of a name."""
    places = r"(down_blocks_\d+|up_blocks_\d+|mid_block)_(attentions|resnets)_\d+_.+"
    layer = r"text_model_encoder_layers_\d+_(self_attn_(q|k|v|out)_proj|mlp_fc[12])"
    return re.fullmatch(rf"lora_unet_{places}|lora_te[12]?_{layer}", name) is not None


def by_lycoris(file: bytes, plain: dict[str, torch.nn.Module], made: Adapted) -> dict[str, torch.Tensor]:
    """Each layer's change as sd-scripts and LyCORIS define it: a reader that shares nothing with `prov`."""
    tensors = load(file)
    changes = {}
    for layer, module in plain.items():
        key = comfyui_name(layer, made)
        p = {name.partition(".")[2]: t for name, t in tensors.items() if name.partition(".")[0] == key}
        if not p:
            continue
        own = module.weight.detach()
        if "hada_w1_a" in p:
            scale = p["alpha"] / p["hada_w1_b"].shape[0]
            change = (p["hada_w1_a"] @ p["hada_w1_b"]) * (p["hada_w2_a"] @ p["hada_w2_b"])
        elif any(part.startswith("lokr") for part in p):
            dimension = p["lokr_w2_b"].shape[0] if "lokr_w2_b" in p else None
            scale = p["alpha"] / dimension if dimension else torch.tensor(1.0)
            w2 = p["lokr_w2_a"] @ p["lokr_w2_b"] if dimension else p["lokr_w2"]
            w1 = p["lokr_w1"].reshape(*p["lokr_w1"].shape, *[1] * (w2.ndim - 2))
            change = torch.kron(w1, w2)
        else:
            scale = p["alpha"] / p["lora_down.weight"].shape[0]
            change = p["lora_up.weight"].flatten(1) @ p["lora_down.weight"].flatten(1)
        change = (scale * change).reshape(own.shape)
        if "dora_scale" in p:
            assert p["dora_scale"].shape == (len(own), *[1] * (own.ndim - 1))
            norms = (own + change).flatten(1).norm(dim=1).reshape(p["dora_scale"].shape)
            change = (own + change) * (p["dora_scale"] / norms) - own
        changes[layer] = change
    return changes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", BASES)
def test_every_layer_changes_by_the_file_as_it_was_trained(trained: Trained, name: str, kind: str) -> None:
    made = trained(name, kind)
    file = kohya_bytes(made.parameters, made.config, {})
    assert_equal_changes(by_lycoris(file, plain_layers(load_pipeline(made.base)), made), made.changes())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", BASES)
def test_names_are_those_that_comfyui_looks_for_and_no_others(trained: Trained, name: str, kind: str) -> None:
    made = trained(name, kind)
    found: dict[str, set[str]] = {}
    for key in load(kohya_bytes(made.parameters, made.config, {})):
        layer, _, part = key.partition(".")
        found.setdefault(layer, set()).add(part)
    assert set(found) == {comfyui_name(layer, made) for layer in made.changes()}
    assert all(parts in PARTS[kind] for parts in found.values())
    if made.base.family != "sd3":
        assert all(is_found_by_a1111(layer) for layer in found)


def test_kronecker_factors_of_both_forms_are_among_those_tested(trained: Trained) -> None:
    keys = set(load(kohya_bytes(trained("sd1_base", "lokr").parameters, trained("sd1_base", "lokr").config, {})))
    assert any(key.endswith(".lokr_w2") for key in keys)
    assert any(key.endswith(".lokr_w2_a") for key in keys)


@pytest.mark.parametrize("name", ["sd1_base", "sdxl_base"])
def test_diffusers_converts_the_file_to_what_was_trained(trained: Trained, name: str, tmp_path: Path) -> None:
    made = trained(name, "lora")
    (tmp_path / "kohya.safetensors").write_bytes(kohya_bytes(made.parameters, made.config, {}))
    pipe = load_pipeline(made.base)
    pipe.load_lora_weights(str(tmp_path), weight_name="kohya.safetensors")
    assert_equal_changes(dict(changes_by_peft(pipe)), made.changes())


def test_alpha_is_kept_beside_the_layers_of_each_rank(trained: Trained) -> None:
    made = trained("sdxl_base", "lora")
    weights = load(kohya_bytes(made.parameters, made.config, {}))
    scales = {
        key.partition("_text")[0].partition("_down")[0]: float(value) / len(weights[f"{key[:-5]}lora_down.weight"])
        for key, value in weights.items()
        if key.endswith(".alpha")
    }
    assert {scales["lora_te1"], scales["lora_te2"], scales["lora_unet"]} == {1.5}
    assert {float(value) for key, value in weights.items() if key.endswith(".alpha")} == {6.0, 3.0}
