"""Schedulers by name: each draws, repeats itself in batches of any size, and is refused where it would draw wrongly."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from generation.latent_mark import latent_shape
from generation.loading import load_pipeline
from generation.order import generate
from generation.request import GenerationRequest
from generation.sampling import Sampling, sample
from generation.schedulers import DEFAULT, SCHEDULERS, put_scheduler
from provenance.base import resolve_base
from provenance.errors import UsageError
from provenance.home import Home
from provenance.setup import set_up
from tests.generation.tiny_flow import tiny_flow_pipeline
from tests.training.conftest import save_tiny_pipeline

DENOISING = [name for name, wanted in SCHEDULERS.items() if not wanted.flow]
FLOWS = [name for name, wanted in SCHEDULERS.items() if wanted.flow]
PROMPTS = ["a dot", "a square", "a ring", "a line"]
SEEDS = [11, 12, 13, 14]
HOW = Sampling(steps=4, guidance=3.0)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("pipelines")
    bases = {kind: resolve_base(str(save_tiny_pipeline(folder / kind, kind))) for kind in ("sd1", "v", "sdxl")}
    return {kind: load_pipeline(base, None) for kind, base in bases.items()} | {"flow": tiny_flow_pipeline()}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return set_up(tmp_path_factory.mktemp("home") / "home", name="Test Studio").home


def same_noise(pipeline: Any) -> np.ndarray:
    shape = latent_shape(pipeline)
    return np.stack([np.random.default_rng(3).standard_normal(shape, np.float32)] * 2)


@pytest.mark.parametrize(
    ("kind", "name"), [*((k, n) for k in ("sd1", "sdxl") for n in DENOISING), *(("flow", n) for n in FLOWS)]
)
def test_four_at_once_are_the_same_as_four_alone(pipelines: dict[str, Any], kind: str, name: str) -> None:
    put_scheduler(pipelines[kind], name)
    together = sample(pipelines[kind], PROMPTS, SEEDS, HOW, 1)
    alone = [sample(pipelines[kind], [p], [s], HOW, 1)[0] for p, s in zip(PROMPTS, SEEDS, strict=True)]
    for one, other in zip(together, alone, strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1
    assert not np.array_equal(together[0], together[1])


@pytest.mark.parametrize(("kind", "name"), [*(("sd1", n) for n in DENOISING), *(("flow", n) for n in FLOWS)])
def test_only_a_stochastic_scheduler_draws_noise_of_its_own(pipelines: dict[str, Any], kind: str, name: str) -> None:
    put_scheduler(pipelines[kind], name)
    pipeline = pipelines[kind]
    first, second = sample(pipeline, ["a dot"] * 2, [1, 2], HOW, 1, same_noise(pipeline))
    differs = np.abs(first.astype(int) - second).max() > 1
    assert differs == SCHEDULERS[name].stochastic


@pytest.mark.parametrize("name", DENOISING)
def test_predictions_and_betas_stay_the_bases_own(pipelines: dict[str, Any], name: str) -> None:
    before = pipelines["v"].scheduler.config
    if name == "heun":
        with pytest.raises(UsageError, match="zero terminal SNR"):
            put_scheduler(pipelines["v"], name)
        return
    put_scheduler(pipelines["v"], name)
    after = pipelines["v"].scheduler
    assert type(after).__name__ == SCHEDULERS[name].kind
    for key in ("prediction_type", "beta_start", "beta_end", "beta_schedule", "rescale_betas_zero_snr"):
        assert after.config[key] == before[key]
    sample(pipelines["v"], ["a dot"], [1], HOW, 1)


@pytest.mark.parametrize("name", ["ddim", "heun", "lcm"])
def test_latents_are_not_clipped_where_the_base_is_silent(pipelines: dict[str, Any], name: str) -> None:
    from diffusers import DDIMScheduler

    pipelines["sd1"].scheduler = DDIMScheduler()
    assert pipelines["sd1"].scheduler.config.clip_sample
    put_scheduler(pipelines["sd1"], name)
    assert not pipelines["sd1"].scheduler.config.clip_sample


def test_flows_and_denoisers_have_schedulers_of_their_own(pipelines: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="denoises with a U-Net") as refusal:
        put_scheduler(pipelines["sd1"], "flow-euler")
    assert DEFAULT in str(refusal.value)
    with pytest.raises(UsageError, match="matches flows") as refusal:
        put_scheduler(pipelines["flow"], "euler")
    assert "flow-euler" in str(refusal.value)


def test_an_unknown_scheduler_is_refused_with_all_that_there_are() -> None:
    with pytest.raises(UsageError) as refusal:
        GenerationRequest(("a dot",), scheduler="k_dpm_2")
    for name in SCHEDULERS:
        assert name in str(refusal.value)


def test_lcm_takes_no_more_steps_than_it_was_distilled_from() -> None:
    GenerationRequest(("a dot",), scheduler="lcm", steps=50)
    with pytest.raises(UsageError, match="51 steps of lcm; at most 50"):
        GenerationRequest(("a dot",), scheduler="lcm", steps=51)


def test_the_help_names_every_scheduler() -> None:
    from cli.generate import SCHEDULER_HELP

    named, unmarked = SCHEDULER_HELP.rstrip(".").split(" without the latent mark: ")
    assert set(unmarked.split(", ")) == {name for name, wanted in SCHEDULERS.items() if wanted.stochastic}
    assert all(name in SCHEDULER_HELP for name in SCHEDULERS)
    assert named.startswith(DEFAULT)


@pytest.mark.parametrize(("name", "marked"), [("ddim", True), ("euler-a", False)])
def test_what_a_stochastic_scheduler_would_wash_out_is_not_claimed(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, marked: bool
) -> None:
    # The starter's own latents are too small for the mark; larger ones are not.
    import generation.order

    def larger(*given: Any) -> Any:
        pipeline = load_pipeline(*given)
        pipeline.unet.register_to_config(sample_size=64)
        return pipeline

    monkeypatch.setattr(generation.order, "load_pipeline", larger)
    request = GenerationRequest(("a red fish in the desert",), seed=5, steps=2, scheduler=name)
    (image,) = generate(request, home=home, out=tmp_path).images
    assert image.record.parameters["scheduler"] == name
    assert ("latent" in image.record.watermark) == marked


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("DPM++ 2M Karras", "dpmsolver++-karras"),
        ("DPM++ 2M", "dpmsolver++"),
        ("Euler a", "euler-a"),
        ("Euler", "euler"),
        ("DDIM", "ddim"),
        ("LCM", "lcm"),
        ("Heun", "heun"),
        ("unipc ", "unipc"),
    ],
)
def test_a_name_of_other_tools_is_refused_with_ours(name: str, meant: str) -> None:
    with pytest.raises(UsageError, match=rf"did you mean {re.escape(meant)}\?"):
        GenerationRequest(("a dot",), scheduler=name)
