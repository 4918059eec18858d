"""One code path draws with Stable Diffusion 1.x and SDXL: tiny random pipelines of both, made on the spot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from generation.errors import SamplingFailed
from generation.sampling import Sampling, load_pipeline, sample, usual_guidance
from provenance.base import resolve_base
from provenance.errors import ProvenanceError
from tests.training.conftest import save_tiny_pipeline

TWO_STEPS = Sampling(steps=2, guidance=3.0)


@pytest.mark.parametrize("kind", ["sd1", "v", "sdxl"])
def test_every_architecture_draws_and_repeats_itself(tmp_path: Path, kind: str) -> None:
    base = resolve_base(str(save_tiny_pipeline(tmp_path / kind, kind)))
    pipeline = load_pipeline(base, None)
    first = sample(pipeline, ["a dot", "a square"], [1, 2], TWO_STEPS, 1)
    again = sample(pipeline, ["a square"], [2], TWO_STEPS, 1)
    assert [picture.shape for picture in first] == [(32, 32, 3)] * 2
    assert first[0].dtype == np.uint8
    assert np.abs(first[1].astype(int) - again[0]).max() <= 1
    assert not np.array_equal(first[0], first[1])


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


@pytest.mark.parametrize("scale", [1.0, 0.5, -2.0])
def test_an_adapter_is_added_with_its_weight(tmp_path: Path, scale: float) -> None:
    import safetensors.torch
    import torch

    name = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    base = resolve_base(str(save_tiny_pipeline(tmp_path / "sd1", "sd1")))
    plain = load_pipeline(base, None).unet.get_submodule(name).weight.detach().clone()
    down = torch.randn(4, plain.shape[1], generator=torch.Generator().manual_seed(1))
    up = torch.randn(plain.shape[0], 4, generator=torch.Generator().manual_seed(2))
    adapter = safetensors.torch.save({f"unet.{name}.lora_A.weight": down, f"unet.{name}.lora_B.weight": up})
    fused = load_pipeline(base, adapter, scale=scale).unet.get_submodule(name).weight.detach()
    torch.testing.assert_close(fused - plain, scale * up @ down, atol=1e-5, rtol=1e-4)
