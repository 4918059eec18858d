from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from provenance.base import BaseModel
from tests.training.adapted import KINDS, settings
from training.config import TrainConfig
from training.errors import ConfigError
from training.families.opening import open_family
from training.layers import add_adapter

# Every kind, and every family.
CASES = [
    *(("sd1_base", kind) for kind in KINDS),
    ("sdxl_base", "dora"),
    ("sd3_t5_base", "lora"),
    ("sd3_t5_base", "lokr"),
]


def base_named(request: pytest.FixtureRequest, name: str) -> BaseModel:
    base: BaseModel = request.getfixturevalue(name)
    return base


def drawn(pipe: Any) -> torch.Tensor:
    """Two steps of drawing: the text encoders, and the denoiser with and without its prompt."""
    noise = torch.Generator().manual_seed(1)
    options = {"num_inference_steps": 2, "height": 32, "width": 32, "generator": noise, "output_type": "latent"}
    picture: torch.Tensor = pipe("a red square", **options).images
    return picture


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_new_adapter_changes_nothing_to_the_last_bit(request: pytest.FixtureRequest, name: str, kind: str) -> None:
    base = base_named(request, name)
    config = settings(base, kind)
    family = open_family(base, "cpu", config)
    before = drawn(family.pipe)
    parameters = add_adapter(family, config)
    assert torch.equal(drawn(family.pipe), before)
    assert any(parameter.any() for parameter in parameters.values())


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_trained_value_is_heard(request: pytest.FixtureRequest, name: str, kind: str) -> None:
    base = base_named(request, name)
    config = settings(base, kind)
    family = open_family(base, "cpu", config)
    parameters = add_adapter(family, config)
    with torch.no_grad():
        for parameter in parameters.values():
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2))
    noise = torch.Generator().manual_seed(3)
    text = family.embed(["a red square"])
    latents = torch.randn(1, 16 if base.family == "sd3" else 4, 8, 8, generator=noise)
    batch = Shown(latents, torch.tensor([500]), text.embeddings, text.pooled, torch.zeros(1, 6))
    family.predict(batch).square().sum().backward()  # type: ignore[arg-type]
    silent = [key for key, parameter in parameters.items() if parameter.grad is None or not parameter.grad.any()]
    # The last block of Stable Diffusion 3 has no use for what its text asks and says; nor for what is added to it.
    assert all("transformer_blocks.1.attn.to_add_out" in key or "add_q_proj" in key for key in silent), silent
    frozen = [p for part in (family.denoiser, *family.text_encoders.values()) for p in part.parameters()]
    trained = {id(parameter) for parameter in parameters.values()}
    assert all(p.grad is None and not p.requires_grad for p in frozen if id(p) not in trained)


class Shown:
    """A batch as far as the denoiser looks at it."""

    def __init__(
        self,
        noisy: torch.Tensor,
        times: torch.Tensor,
        embeddings: torch.Tensor,
        pooled: torch.Tensor | None,
        time_ids: torch.Tensor,
    ) -> None:
        self.noisy, self.times, self.embeddings, self.pooled, self.time_ids = noisy, times, embeddings, pooled, time_ids


def test_parameters_are_named_by_component_in_order_and_kept_in_float32(sdxl_base: BaseModel) -> None:
    config = settings(sdxl_base, "dora")
    parameters = add_adapter(open_family(sdxl_base, "cpu", config), config)
    assert list(parameters) == sorted(parameters)
    assert {name.partition(".")[0] for name in parameters} == {"text_encoder", "text_encoder_2", "unet"}
    assert {parameter.dtype for parameter in parameters.values()} == {torch.float32}
    layer = "text_encoder.text_model.encoder.layers.0.self_attn.q_proj"
    parts = {name.removeprefix(f"{layer}.") for name in parameters if name.startswith(f"{layer}.")}
    assert parts == {"lora_A.weight", "lora_B.weight", "lora_magnitude_vector.weight"}
    assert parameters[f"{layer}.lora_A.weight"].shape == (2, 32)


def test_the_last_layer_of_the_first_encoder_of_sdxl_gets_none_because_it_is_never_heard(sdxl_base: BaseModel) -> None:
    config = settings(sdxl_base, "lora")
    parameters = add_adapter(open_family(sdxl_base, "cpu", config), config)
    assert not any(name.startswith("text_encoder.text_model.encoder.layers.1.") for name in parameters)
    assert any(name.startswith("text_encoder_2.text_model.encoder.layers.1.") for name in parameters)


@pytest.mark.parametrize("kind", KINDS)
def test_initial_values_follow_from_the_seed(sd1_base: BaseModel, kind: str) -> None:
    def begun(seed: int) -> dict[str, torch.nn.Parameter]:
        config = settings(sd1_base, kind, seed=seed)
        return add_adapter(open_family(sd1_base, "cpu", config), config)

    one, same, other = begun(1), begun(1), begun(2)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_t5_gets_no_layers(sd3_t5_base: BaseModel) -> None:
    config = settings(sd3_t5_base, "lora")
    parameters = add_adapter(open_family(sd3_t5_base, "cpu", config), config)
    assert {name.partition(".")[0] for name in parameters} == {"text_encoder", "text_encoder_2", "transformer"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"targets": ("to_q", "to_nowhere")}, "no layer is called 'to_nowhere'"),
        ({"kind": "loha", "quantise": "8bit"}, "loha needs the layers as they are"),
        ({"kind": "dora", "quantise": "8bit"}, "needs a GPU"),
        ({"kind": "lokr", "lora_dropout": 0.5}, r"must be at most 0\.27"),
    ],
)
def test_what_the_base_cannot_do_is_refused(sd1_base: BaseModel, changes: dict[str, Any], reason: str) -> None:
    config = replace(TrainConfig(rank=4), **changes)
    with pytest.raises(ConfigError, match=reason):
        add_adapter(open_family(sd1_base, "cpu", TrainConfig()), config)


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_changes_what_is_said_while_training_and_nothing_afterwards(sd1_base: BaseModel, kind: str) -> None:
    config = settings(sd1_base, kind, lora_dropout=0.2, text_encoder_rank=0)
    family = open_family(sd1_base, "cpu", config)
    for parameter in add_adapter(family, config).values():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2))
    latents, words = torch.ones(1, 4, 8, 8), torch.ones(1, 77, 32)
    with torch.no_grad():
        first, second = (family.denoiser(latents, 5, words).sample for _ in range(2))
        assert not torch.equal(first, second)
        family.denoiser.eval()
        first, second = (family.denoiser(latents, 5, words).sample for _ in range(2))
        assert torch.equal(first, second)
