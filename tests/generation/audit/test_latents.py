"""Latents and pulls on tiny pipelines of both architectures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from generation.audit.latents import latents_of, picture_side
from generation.audit.score_norm import recorded_norms
from generation.errors import SamplingFailed
from generation.loading import load_pipeline
from generation.sampling import Sampling, sample
from provenance.base import resolve_base
from tests.training.conftest import save_tiny_pipeline


@pytest.fixture(scope="module", params=["sd1", "sdxl"])
def pipeline(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = save_tiny_pipeline(tmp_path_factory.mktemp("bases") / request.param, request.param)
    return load_pipeline(resolve_base(str(folder)), None)


def picture(seed: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_pictures_of_any_size_are_compared_in_the_bases_own(pipeline: Any) -> None:
    side = picture_side(pipeline)
    rows = latents_of(pipeline, [picture(1, side, side), picture(2, 3 * side, 2 * side), picture(3, side, 5 * side)])
    scale = pipeline.vae_scale_factor
    assert rows.shape == (3, pipeline.vae.config.latent_channels * (side // scale) ** 2)
    assert rows.dtype == np.float32


def test_a_larger_copy_is_nearer_than_another_picture(pipeline: Any) -> None:
    side = picture_side(pipeline)
    flat = np.full((side, side, 3), 40, np.uint8)
    flat[: side // 2] = (220, 60, 30)
    larger = flat.repeat(3, axis=0).repeat(3, axis=1)
    first, copy, other = latents_of(pipeline, [flat, larger, picture(4, side, side)])
    assert np.abs(first - copy).mean() < 0.2 * np.abs(first - other).mean()


def test_the_autoencoder_keeps_its_precision(pipeline: Any) -> None:
    import torch

    pipeline.vae.to(torch.bfloat16)
    latents_of(pipeline, [picture(1, 64, 64)])
    assert pipeline.vae.dtype == torch.bfloat16
    pipeline.vae.to(torch.float32)


def test_values_that_are_not_numbers_are_refused(pipeline: Any) -> None:
    weight = pipeline.vae.encoder.conv_in.weight
    kept = weight.data.clone()
    weight.data.fill_(float("nan"))
    try:
        with pytest.raises(SamplingFailed, match="autoencoder"):
            latents_of(pipeline, [picture(1, 64, 64)])
    finally:
        weight.data.copy_(kept)


def test_a_pull_is_measured_for_each_prompt_of_either_architecture(pipeline: Any) -> None:
    assert pipeline.scheduler.config.prediction_type == "epsilon"
    seen: list[Any] = []
    hook = pipeline.unet.register_forward_hook(lambda _, given, out: seen.append(out[0].clone()))
    with recorded_norms(pipeline) as norms:
        sample(pipeline, ["a red square", "a dot"], [1, 2], Sampling(2, 5.0), 1)
    hook.remove()
    assert np.stack(norms, axis=1).shape == (2, 2)
    for step, predicted in enumerate(seen):
        without, with_text = predicted.numpy().reshape(2, 2, -1)
        assert norms[step] == pytest.approx(np.sqrt(np.square(with_text - without).mean(axis=1)), rel=1e-4)
