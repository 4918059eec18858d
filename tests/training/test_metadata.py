from __future__ import annotations

import json
from typing import Any

import pytest

from provenance.base import BaseModel
from provenance.manifest import DatasetManifest
from training.attestation import Run
from training.config import TrainConfig
from training.metadata import adapter_metadata, embedding_metadata


def run_of(prediction: str) -> Run:
    return Run(
        name="Red squares",
        started="2026-01-01T00:00:00Z",
        finished="2026-01-01T00:01:00Z",
        seconds=60.0,
        processor_seconds=60.0,
        device="cpu",
        threads=1,
        side=32,
        prediction=prediction,
        losses=(1.0,),
        resumed_at=(),
        watched=None,
    )


def written(manifest: DatasetManifest, base: BaseModel, prediction: str, **changes: Any) -> dict[str, str]:
    return adapter_metadata(manifest, base, TrainConfig(**changes), run_of(prediction))


@pytest.mark.parametrize(
    ("name", "prediction", "architecture", "version", "second"),
    [
        ("sd1_base", "epsilon", "stable-diffusion-v1", "sd_v1", "False"),
        ("v_base", "v_prediction", "stable-diffusion-v1", "sd_v1_v", "False"),
        ("sd2_base", "v_prediction", "stable-diffusion-v2-768-v", "sd_v2_v", "True"),
        ("sd2_base", "epsilon", "stable-diffusion-v2-512", "sd_v2", "True"),
        ("sdxl_base", "epsilon", "stable-diffusion-xl-v1-base", "sdxl_base_v1-0", "False"),
        ("sd3_base", "flow", "stable-diffusion-3-medium", "medium", "False"),
        ("sd3_t5_base", "flow", "stable-diffusion-3-5-medium", "5-medium", "False"),
    ],
)
def test_the_family_is_told_in_the_words_of_sd_scripts_and_modelspec(
    request: pytest.FixtureRequest,
    manifest: DatasetManifest,
    name: str,
    prediction: str,
    architecture: str,
    version: str,
    second: str,
) -> None:
    found = written(manifest, request.getfixturevalue(name), prediction)
    assert found["modelspec.architecture"] == f"{architecture}/lora"
    assert found["ss_base_model_version"] == version
    assert found["ss_v2"] == second
    told = {"epsilon": "epsilon", "v_prediction": "v"}
    assert found.get("modelspec.prediction_type") == told.get(prediction)


@pytest.mark.parametrize(
    ("kind", "module", "arguments"),
    [
        ("lora", "networks.lora", None),
        ("dora", "lycoris.kohya", {"algo": "lora", "dora_wd": "True", "wd_on_output": "True"}),
        ("loha", "lycoris.kohya", {"algo": "loha"}),
        ("lokr", "lycoris.kohya", {"algo": "lokr", "factor": "-1"}),
    ],
)
def test_the_kind_is_told_as_the_network_that_reads_it(
    manifest: DatasetManifest, sd1_base: BaseModel, kind: str, module: str, arguments: dict[str, str] | None
) -> None:
    found = written(manifest, sd1_base, "epsilon", kind=kind)
    assert found["ss_network_module"] == module
    assert json.loads(found.get("ss_network_args", "null")) == arguments
    assert "ss_text_encoder_lr" not in found


def test_training_of_text_and_dropout_are_told(manifest: DatasetManifest, sd1_base: BaseModel) -> None:
    changes = {"text_encoder_rank": 4, "text_encoder_learning_rate": 5e-5, "lora_dropout": 0.1}
    found = written(manifest, sd1_base, "epsilon", **changes, optimiser="adamw-8bit")
    assert (found["ss_unet_lr"], found["ss_text_encoder_lr"]) == ("0.0001", "5e-05")
    assert found["ss_network_dropout"] == "0.1"
    assert json.loads(found["ss_network_args"]) == {"text_encoder_dim": "4"}
    assert found["ss_optimizer"] == "bitsandbytes.optim.AdamW8bit"


def test_a_trigger_is_told_with_the_weights_and_with_its_vectors(
    manifest: DatasetManifest, sdxl_base: BaseModel
) -> None:
    found = written(manifest, sdxl_base, "epsilon", trigger="<dove>", trigger_vectors=2)
    assert found["modelspec.trigger_phrase"] == "<dove>"
    vectors = embedding_metadata(found)
    assert vectors["modelspec.architecture"] == "stable-diffusion-xl-v1-base/textual-inversion"
    assert vectors["modelspec.is_negative_embedding"] == "false"
    assert not any(key.startswith("ss_network") for key in vectors)
    assert vectors["prov.dataset"] == manifest.digest
