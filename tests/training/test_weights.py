from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoHaConfig, LoKrConfig, inject_adapter_in_model, set_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import load

from provenance.adapter_layers import read_layers, require_fit
from provenance.base import BaseModel
from provenance.base_shapes import layer_shapes
from tests.training.adapted import (
    KINDS,
    Adapted,
    adapted,
    adapted_once,
    assert_equal_changes,
    changes_by_peft,
    plain_layers,
)
from training.config import TrainConfig
from training.families.opening import load_pipeline
from training.weights import adapter_bytes, file_bytes

BASES = ("sd1_base", "sdxl_base", "sd3_t5_base")

Trained = Callable[[str, str], Adapted]


@pytest.fixture
def trained(request: pytest.FixtureRequest) -> Trained:
    """An adapter of a kind on a base, made once."""
    return lambda name, kind: adapted_once(request.getfixturevalue(name), kind)


def by_the_papers(file: bytes, plain: dict[str, torch.nn.Module]) -> dict[str, torch.Tensor]:
    """Each layer's change as the papers define it, alpha being the rank: a reader that shares nothing with `prov`."""
    tensors = load(file)
    layers = {name.removesuffix(".weight").rpartition(".")[0] for name in tensors}
    changes = {}
    for layer in layers:
        own = plain[layer].weight.detach()
        p = {name.removeprefix(f"{layer}."): t for name, t in tensors.items() if name.startswith(f"{layer}.")}
        if "hada_w1_a" in p:
            change = torch.einsum("or,ri,os,si->oi", p["hada_w1_a"], p["hada_w1_b"], p["hada_w2_a"], p["hada_w2_b"])
        elif any(part.startswith("lokr") for part in p):
            w1, w2 = (p.get(f"lokr_w{n}") for n in (1, 2))
            w1 = p["lokr_w1_a"] @ p["lokr_w1_b"] if w1 is None else w1
            w2 = p["lokr_w2_a"] @ p["lokr_w2_b"] if w2 is None else w2
            change = torch.einsum("ab,cd->acbd", w1, w2.reshape(len(w2), -1))
        else:
            change = torch.einsum("or,ri->oi", p["lora_B.weight"].flatten(1), p["lora_A.weight"].flatten(1))
        change = change.reshape(own.shape)
        if "lora_magnitude_vector.weight" in p:
            merged = own + change
            rows = p["lora_magnitude_vector.weight"].flatten() / merged.flatten(1).square().sum(1).sqrt()
            change = merged * rows.reshape(-1, *[1] * (own.ndim - 1)) - own
        changes[layer] = change
    return changes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", BASES)
def test_every_layer_changes_by_the_file_as_it_was_trained(trained: Trained, name: str, kind: str) -> None:
    made = trained(name, kind)
    file = adapter_bytes(made.parameters, made.config, {})
    assert_equal_changes(by_the_papers(file, plain_layers(load_pipeline(made.base))), made.changes())


@pytest.mark.parametrize("kind", ["lora", "dora"])
@pytest.mark.parametrize("name", BASES)
def test_diffusers_changes_every_layer_as_it_was_trained(
    trained: Trained, name: str, kind: str, tmp_path: Path
) -> None:
    made = trained(name, kind)
    (tmp_path / "adapter.safetensors").write_bytes(adapter_bytes(made.parameters, made.config, {}))
    pipe = load_pipeline(made.base)
    pipe.load_lora_weights(str(tmp_path), weight_name="adapter.safetensors")
    assert_equal_changes(dict(changes_by_peft(pipe)), made.changes())


@pytest.mark.parametrize("kind", ["loha", "lokr"])
def test_peft_loads_what_diffusers_cannot(trained: Trained, kind: str) -> None:
    made = trained("sd1_base", kind)
    weights = load(adapter_bytes(made.parameters, made.config, {}))
    unet = {name.removeprefix("unet."): t for name, t in weights.items() if name.startswith("unet.")}
    pipe = load_pipeline(made.base)
    layers = sorted({name.rpartition(".")[0] for name in unet})
    config: Any = LoHaConfig if kind == "loha" else LoKrConfig
    inject_adapter_in_model(config(r=4, alpha=4, target_modules=layers), pipe.unet)
    outcome = set_peft_model_state_dict(pipe.unet, {f"base_model.model.{name}": t for name, t in unet.items()})
    assert not outcome.unexpected_keys
    expected = {name: change for name, change in made.changes().items() if name.startswith("unet.")}
    assert_equal_changes(dict(changes_by_peft(pipe)), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_is_one_that_our_own_reader_accepts(trained: Trained, kind: str) -> None:
    made = trained("sdxl_base", kind)
    layers = read_layers(adapter_bytes(made.parameters, made.config, {}), "adapter.safetensors")
    assert {layer.name for layer in layers} == set(made.changes())
    assert {layer.kind for layer in layers} == {kind}
    require_fit(layers, layer_shapes(made.base, {layer.component for layer in layers}), made.base.id)


def test_numbers_beside_the_weights_keep_their_precision(tmp_path: Path) -> None:
    tensors = {"lora_unet_x.alpha": torch.tensor(0.3), "lora_unet_x.lora_up.weight": torch.ones(2, 2)}
    (tmp_path / "a").write_bytes(file_bytes(tensors, TrainConfig(save_dtype="bf16"), {"b": "2", "a": "1"}))
    with safe_open(tmp_path / "a", "pt") as file:
        assert file.get_tensor("lora_unet_x.alpha") == torch.tensor(0.3)
        assert file.get_tensor("lora_unet_x.lora_up.weight").dtype == torch.bfloat16
        assert (file.metadata()["a"], file.metadata()["b"]) == ("1", "2")


@pytest.mark.parametrize("base", ["sd2_base"])
def test_half_precision_keeps_every_layer_within_a_thousandth(request: pytest.FixtureRequest, base: str) -> None:
    own: BaseModel = request.getfixturevalue(base)
    made = adapted(own, "lora", save_dtype="fp16")
    file = adapter_bytes(made.parameters, made.config, {})
    single = file_bytes(load(file), TrainConfig(), {})
    assert_equal_changes(by_the_papers(single, plain_layers(load_pipeline(own))), made.changes())
