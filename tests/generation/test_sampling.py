"""One code path draws with every family of bases: tiny random pipelines of each, made on the spot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from generation.adapters import Adapter
from generation.errors import SamplingFailed
from generation.loading import load_pipeline
from generation.sampling import Sampling, sample, usual_guidance
from provenance.base import resolve_base
from provenance.errors import AdapterError, ProvenanceError, UsageError
from tests.training.conftest import save_tiny_pipeline

TWO_STEPS = Sampling(steps=2, guidance=3.0)


@pytest.mark.parametrize("kind", ["sd1", "v", "sd2", "sdxl", "sd3", "sd3-t5"])
def test_every_architecture_draws_and_repeats_itself(tmp_path: Path, kind: str) -> None:
    base = resolve_base(str(save_tiny_pipeline(tmp_path / kind, kind)))
    pipeline = load_pipeline(base, None)
    first = sample(pipeline, ["a dot", "a square"], [1, 2], TWO_STEPS, 1)
    again = sample(pipeline, ["a square"], [2], TWO_STEPS, 1)
    assert [picture.shape for picture in first] == [(32, 32, 3)] * 2
    assert first[0].dtype == np.uint8
    assert np.abs(first[1].astype(int) - again[0]).max() <= 1
    assert not np.array_equal(first[0], first[1])


@pytest.mark.parametrize("kind", ["sd2", "sd3"])
def test_a_negative_prompt_changes_a_picture(tmp_path: Path, kind: str) -> None:
    pipeline = load_pipeline(resolve_base(str(save_tiny_pipeline(tmp_path / kind, kind))), None)
    (without,) = sample(pipeline, ["a dot"], [1], TWO_STEPS, 1)
    (avoided,) = sample(pipeline, ["a dot"], [1], TWO_STEPS, 1, negatives=["a square"])
    assert not np.array_equal(without, avoided)


def test_a_base_that_follows_flows_gets_their_scheduler_by_default(tmp_path: Path) -> None:
    base = resolve_base(str(save_tiny_pipeline(tmp_path / "sd3", "sd3")))
    assert type(load_pipeline(base, None).scheduler).__name__ == "FlowMatchEulerDiscreteScheduler"
    with pytest.raises(UsageError, match="cannot draw with this base"):
        load_pipeline(base, None, "dpmsolver++")


def test_the_noise_of_a_flow_base_loaded_from_its_folder_carries_a_mark(tmp_path: Path) -> None:
    from generation.latent_mark import marked_noise

    folder = save_tiny_pipeline(tmp_path / "sd3", "sd3")
    config = folder / "transformer" / "config.json"
    config.write_text(config.read_text().replace('"sample_size": 8', '"sample_size": 16'))
    pipeline = load_pipeline(resolve_base(str(folder)), None)
    noise = marked_noise(pipeline, [7, 8], [1, 2])
    assert noise is not None
    first = sample(pipeline, ["a dot"] * 2, [1, 2], TWO_STEPS, 1, noise.latents)
    again = sample(pipeline, ["a dot"], [3], TWO_STEPS, 1, noise.latents[:1])
    assert np.abs(first[0].astype(int) - again[0]).max() <= 1


def test_sdxl_gets_no_watermark_but_ours(tmp_path: Path) -> None:
    base = resolve_base(str(save_tiny_pipeline(tmp_path / "sdxl", "sdxl")))
    assert load_pipeline(base, None).watermark is None


def test_a_base_scales_its_pictures_by_its_own_factor(tmp_path: Path) -> None:
    base = resolve_base(str(save_tiny_pipeline(tmp_path / "sd1", "sd1")))
    (picture,) = sample(load_pipeline(base, None), ["a dot"], [1], TWO_STEPS, 2)
    assert picture.shape == (64, 64, 3)


def test_a_model_that_gives_nan_draws_nothing(tmp_path: Path) -> None:
    import torch

    pipeline = load_pipeline(resolve_base(str(save_tiny_pipeline(tmp_path / "sd1", "sd1"))), None)
    with torch.no_grad():
        pipeline.vae.decoder.conv_out.bias.fill_(torch.nan)
    with pytest.raises(SamplingFailed, match="not numbers"):
        sample(pipeline, ["a dot"], [1], TWO_STEPS, 1)


def test_guidance_is_the_bases_own_or_that_of_its_family(tmp_path: Path) -> None:
    assert usual_guidance(resolve_base("starter")) == 3.0
    folder = save_tiny_pipeline(tmp_path / "sd1", "sd1")
    assert usual_guidance(resolve_base(str(folder))) == 7.5
    for wrong in ('{"guidance": true}', '{"guidance": 1e9}', "[]", "{"):
        (folder / "prov.json").write_text(wrong)
        with pytest.raises(ProvenanceError, match=r"prov\.json"):
            usual_guidance(resolve_base(str(folder)))


UNET_LAYER = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
LAYERS = {
    "sd1": ("unet", UNET_LAYER),
    "sd2": ("unet", UNET_LAYER),
    "sd3": ("transformer", "transformer_blocks.0.attn.to_q"),
}


@pytest.mark.parametrize(("kind", "scale"), [("sd1", 1.0), ("sd1", 0.5), ("sd1", -2.0), ("sd2", 1.0), ("sd3", 0.5)])
def test_an_adapter_is_added_with_its_weight(tmp_path: Path, kind: str, scale: float) -> None:
    import safetensors.torch
    import torch

    component, name = LAYERS[kind]
    base = resolve_base(str(save_tiny_pipeline(tmp_path / kind, kind)))
    plain = getattr(load_pipeline(base, None), component).get_submodule(name).weight.detach().clone()
    down = torch.randn(4, plain.shape[1], generator=torch.Generator().manual_seed(1))
    up = torch.randn(plain.shape[0], 4, generator=torch.Generator().manual_seed(2))
    adapter = safetensors.torch.save(
        {f"{component}.{name}.lora_A.weight": down, f"{component}.{name}.lora_B.weight": up}
    )
    fused = getattr(load_pipeline(base, Adapter(adapter), scale=scale), component).get_submodule(name).weight.detach()
    torch.testing.assert_close(fused - plain, scale * up @ down, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["sd1", "sd3"])
def test_an_adapter_of_another_architecture_is_refused(tmp_path: Path, kind: str) -> None:
    import safetensors.torch
    import torch

    component, name = LAYERS["sd3" if kind == "sd1" else "sd1"]
    down, up = torch.ones(4, 32), torch.ones(32, 4)
    adapter = safetensors.torch.save(
        {f"{component}.{name}.lora_A.weight": down, f"{component}.{name}.lora_B.weight": up}
    )
    base = resolve_base(str(save_tiny_pipeline(tmp_path / kind, kind)))
    with pytest.raises(AdapterError, match="does not fit the base"):
        load_pipeline(base, Adapter(adapter))
