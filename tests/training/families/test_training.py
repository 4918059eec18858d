"""Whole trainings of the families beside Stable Diffusion 1.x and XL, which tests/training/test_lora.py is about."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from safetensors.torch import load_file

from generation.adapters import Adapter
from generation.loading import load_pipeline as load_for_generation
from provenance.adapter import AdapterManifest, verify_adapter
from provenance.base import BaseModel
from provenance.identity import Issuer
from provenance.manifest import DatasetManifest
from provenance.screening.screens import ScreeningChoice
from provenance.trust import TrustStore
from training.config import TrainConfig
from training.errors import ConfigError, TrainingError, TrainingInterrupted
from training.families.opening import load_pipeline
from training.lora import Progress, train
from training.replay.executing import replay
from training.replay.record import read_recorded
from training.replay.snapshots import SNAPSHOTS

QUICK = TrainConfig(
    steps=4,
    warmup_steps=1,
    batch_size=2,
    rank=4,
    alpha=6.0,
    learning_rate=0.05,
    lora_dropout=0.1,
    sample_steps=2,
    sample_count=1,
    threads=1,
)
KINDS = ["sd2_base", "sd3_base", "sd3_t5_base"]

Train = Callable[..., AdapterManifest]


@pytest.fixture
def run(manifest: DatasetManifest, issuer: Issuer, lenient: ScreeningChoice, tmp_path: Path) -> Train:
    def run(base: BaseModel, config: TrainConfig = QUICK, out: str = "squares", **options: Any) -> AdapterManifest:
        return train(
            manifest, base, config, tmp_path / out, issuer=issuer, name="squares", screening=lenient, **options
        )

    return run


def stop_at(step: int) -> Callable[[Progress], None]:
    def press(progress: Progress) -> None:
        if progress.stage == "training" and progress.done == step:
            os.kill(os.getpid(), signal.SIGINT)

    return press


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_training_goes_on_to_an_adapter_that_diffusers_draws_with(
    kind: str, run: Train, trust: TrustStore, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    base = request.getfixturevalue(kind)
    whole = run(base, out="whole")
    with pytest.raises(TrainingInterrupted):
        run(base, progress=stop_at(2))
    assert run(base, resume=True).weights_digest == whole.weights_digest
    signed = verify_adapter(tmp_path / "squares", trust)
    assert "samples/00.png" in signed.files

    file = tmp_path / "squares" / "adapter" / "adapter.safetensors"
    prefix = "unet." if kind == "sd2_base" else "transformer."
    assert all(key.startswith(prefix) for key in load_file(file))
    pipe = load_pipeline(base)

    def draw() -> torch.Tensor:
        noise = torch.Generator().manual_seed(1)
        latents = pipe("a square", num_inference_steps=2, height=32, width=32, generator=noise, output_type="latent")
        return torch.as_tensor(latents.images)

    before = draw()
    pipe.load_lora_weights(str(file.parent), weight_name=file.name)
    assert not torch.allclose(before, draw(), atol=1e-3)
    pipe.unload_lora_weights()
    assert torch.equal(before, draw())


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_falls(kind: str, run: Train, request: pytest.FixtureRequest) -> None:
    config = replace(QUICK, steps=25, learning_rate=2e-2, batch_size=4, caption_dropout=0.0, sample_count=0)
    losses = run(request.getfixturevalue(kind), config).predicate["runDetails"]["byproducts"][0]["annotations"]
    assert losses["last_tenth_mean"] < 0.95 * losses["first_tenth_mean"]


@pytest.mark.parametrize("kind", KINDS)
def test_bf16_and_checkpointed_layers_train_nearly_the_same(
    kind: str, run: Train, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    base, config = request.getfixturevalue(kind), replace(QUICK, learning_rate=1e-3, lora_dropout=0.0)
    losses = []
    for out, changes in (("fp32", {}), ("bf16", {"precision": "bf16", "gradient_checkpointing": True})):
        signed = run(base, replace(config, **changes), out=out)
        losses.append(signed.predicate["runDetails"]["byproducts"][0]["annotations"]["last_tenth_mean"])
        assert (tmp_path / out / "adapter" / "samples" / "00.png").stat().st_size > 0
    assert losses[1] == pytest.approx(losses[0], rel=0.03)
    assert losses[0] != losses[1]


def test_the_attestation_says_how_noise_was_added(run: Train, sd3_base: BaseModel) -> None:
    inner = run(sd3_base).predicate["buildDefinition"]["internalParameters"]
    assert inner["prediction"] == "flow"
    assert inner["noising"] == {"kind": "flow matching", "prediction": "flow", "shift": 3.0, "times": "logit-normal"}


HARD = {"noise_offset": 0.05, "input_perturbation": 0.1, "adversarial_noise": 0.02}


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("sd1_base", {**HARD, "zero_terminal_snr": True, "prediction": "v_prediction", "min_snr_gamma": 5.0}),
        ("sd3_base", HARD),
    ],
)
def test_noise_of_every_kind_can_be_replayed(
    kind: str,
    settings: dict[str, Any],
    run: Train,
    manifest: DatasetManifest,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    base = request.getfixturevalue(kind)
    config = replace(QUICK, **settings, replay_every=2, replay_snapshots=True)
    recorded = read_recorded(run(base, config))
    replayed = replay(recorded, manifest, base, (0, 1), snapshots=tmp_path / "squares.work" / SNAPSHOTS)
    assert replayed.verdict == "agrees"


def test_a_rescaled_schedule_is_drawn_by_and_attested(
    run: Train, sd1_base: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn_by: list[Any] = []
    honest = StableDiffusionPipeline.__call__

    def watched(self: Any, *arguments: Any, **options: Any) -> Any:
        drawn_by.append(self.scheduler)
        return honest(self, *arguments, **options)

    monkeypatch.setattr(StableDiffusionPipeline, "__call__", watched)
    config = replace(QUICK, zero_terminal_snr=True, prediction="v_prediction")
    signed = run(sd1_base, replace(config, prior_prompts=("a dot",), prior_count=1))
    # The base itself, which draws what is to be preserved, knows nothing of it.
    assert drawn_by[0].alphas_cumprod[-1] > 1e-3
    assert drawn_by[0].config.prediction_type == "epsilon"
    assert drawn_by[-1].alphas_cumprod[-1] < 1e-6
    assert drawn_by[-1].config.prediction_type == "v_prediction"
    inner = signed.predicate["buildDefinition"]["internalParameters"]
    assert inner["noising"] == {"kind": "diffusion", "prediction": "v_prediction", "zero_terminal_snr": True}
    # And whoever generates with the adapter draws by it too.
    scheduler = load_for_generation(sd1_base, Adapter.of(signed)).scheduler
    assert scheduler.config.prediction_type == "v_prediction"
    assert scheduler.alphas_cumprod[-1] < 1e-6


def test_settings_that_a_base_cannot_take_are_refused_before_anything_is_written(
    run: Train, sd1_base: BaseModel, sd3_base: BaseModel, svd_base: BaseModel, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="zero terminal SNR"):
        run(sd1_base, replace(QUICK, zero_terminal_snr=True))
    with pytest.raises(ConfigError, match="`min_snr_gamma` must be 0"):
        run(sd3_base, replace(QUICK, min_snr_gamma=5.0))
    with pytest.raises(TrainingError, match="Stable Video Diffusion is for generation alone"):
        run(svd_base)
    assert not (tmp_path / "squares").exists()


def test_samples_of_sd3_are_pictures_of_its_side(run: Train, sd3_base: BaseModel, tmp_path: Path) -> None:
    run(sd3_base, replace(QUICK, size=48, sample_every=2))
    picture = np.asarray(Image.open(tmp_path / "squares" / "adapter" / "samples" / "00.png"))
    assert picture.shape == (48, 48, 3)
    assert picture.std() > 1
