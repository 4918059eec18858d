from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from generation.errors import SamplingFailed
from generation.loading import load_pipeline
from generation.schedulers import put_scheduler
from generation.trained_schedule import follow_training
from provenance.base import resolve_base
from provenance.errors import FormatError
from tests.training.tiny_bases import save_tiny_pipeline

OURS = {"prov.type": "urn:prov:adapter:v1"}
PLAIN = {**OURS, "modelspec.prediction_type": "epsilon", "ss_zero_terminal_snr": "False"}
VELOCITY = {**OURS, "modelspec.prediction_type": "v", "ss_zero_terminal_snr": "False"}
RESCALED = {**OURS, "modelspec.prediction_type": "v", "ss_zero_terminal_snr": "True"}


def file_of(metadata: dict[str, str]) -> bytes:
    return bytes(save({"unet.x.lora_A.weight": torch.zeros(1, 1)}, metadata))


def pipeline_of(kind: str, folder: Path) -> Any:
    return load_pipeline(resolve_base(str(save_tiny_pipeline(folder / kind, kind))), None)


@pytest.mark.parametrize("metadata", [PLAIN, OURS, {"modelspec.prediction_type": "v"}, {}])
def test_an_adapter_of_the_base_s_own_noise_changes_nothing(metadata: dict[str, str], tmp_path: Path) -> None:
    pipeline = pipeline_of("sd1", tmp_path)
    own = pipeline.scheduler
    follow_training(pipeline, [file_of(metadata)])
    assert pipeline.scheduler is own
    follow_training(pipeline, [])
    assert pipeline.scheduler is own


@pytest.mark.parametrize("name", ["dpmsolver++", "ddim", "euler", "unipc"])
@pytest.mark.parametrize("metadata", [VELOCITY, RESCALED], ids=["velocity", "rescaled"])
def test_schedulers_by_name_draw_by_the_noise_that_was_trained_on(
    name: str, metadata: dict[str, str], tmp_path: Path
) -> None:
    pipeline = pipeline_of("sd1", tmp_path)
    before = pipeline.scheduler.alphas_cumprod[-1]
    follow_training(pipeline, [file_of(metadata)])
    put_scheduler(pipeline, name)
    pipeline.scheduler.set_timesteps(4)
    rescaled = metadata is RESCALED
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    assert (pipeline.scheduler.alphas_cumprod[-1] < 1e-6) == rescaled
    assert rescaled or torch.equal(pipeline.scheduler.alphas_cumprod[-1], before)
    assert (int(pipeline.scheduler.timesteps[0]) == 999) == rescaled


def test_an_adapter_on_a_base_of_velocities_may_have_been_trained_on_noise(tmp_path: Path) -> None:
    pipeline = pipeline_of("v", tmp_path)
    follow_training(pipeline, [file_of(PLAIN)])
    assert pipeline.scheduler.config.prediction_type == "epsilon"
    assert pipeline.scheduler.alphas_cumprod[-1] > 1e-3


def test_adapters_of_different_noise_do_not_draw_together(tmp_path: Path) -> None:
    pipeline = pipeline_of("sd1", tmp_path)
    with pytest.raises(SamplingFailed, match="trained on different noise"):
        follow_training(pipeline, [file_of(PLAIN), file_of(VELOCITY)])
    with pytest.raises(SamplingFailed):
        follow_training(pipeline, [file_of({}), file_of(RESCALED)])
    follow_training(pipeline, [file_of(RESCALED), file_of(RESCALED)])
    assert pipeline.scheduler.config.rescale_betas_zero_snr


def test_flows_have_one_noise_alone(tmp_path: Path) -> None:
    pipeline = pipeline_of("sd3", tmp_path)
    own = pipeline.scheduler
    follow_training(pipeline, [file_of(VELOCITY)])
    assert pipeline.scheduler is own


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    pipeline = pipeline_of("sd1", tmp_path)
    with pytest.raises(FormatError):
        follow_training(pipeline, [file_of(RESCALED)[:-1]])
