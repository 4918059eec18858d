from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from provenance.adapter import AdapterManifest
from provenance.base import BaseModel
from provenance.canonical import Json, canonical_json, parse_json
from provenance.identity import Issuer
from provenance.manifest import DatasetManifest
from provenance.screening.screens import ScreeningChoice
from training.config import TrainConfig
from training.errors import CheckpointError, ReplayUnavailable, TrainingInterrupted
from training.estimate import estimate
from training.lora import Progress, train
from training.private import secret as private_secret
from training.private.accounting import epsilon_spent
from training.private.secret import Secret
from training.replay.record import read_recorded
from training.samples import sample_prompts

PRIVATE = TrainConfig(
    steps=4,
    warmup_steps=1,
    batch_size=2,
    rank=2,
    threads=1,
    sample_steps=2,
    sample_count=1,
    kohya=False,
    checkpoint_every=2,
    dp_epsilon=8.0,
    dp_delta=1e-5,
    dp_clip=0.01,
)
KEY = bytes(range(200, 232))

Train = Callable[..., AdapterManifest]


@pytest.fixture
def run(
    manifest: DatasetManifest, issuer: Issuer, sd1_base: BaseModel, lenient: ScreeningChoice, tmp_path: Path
) -> Train:
    def run(config: TrainConfig = PRIVATE, out: str = "squares", **options: Any) -> AdapterManifest:
        release = tmp_path / out
        return train(manifest, sd1_base, config, release, issuer=issuer, screening=lenient, **options)

    return run


def byproducts(adapter: AdapterManifest) -> dict[str, Json]:
    return {each["name"]: each["annotations"] for each in adapter.predicate["runDetails"]["byproducts"]}


def stop_at(step: int) -> Callable[[Progress], None]:
    def press(progress: Progress) -> None:
        if progress.stage == "training" and progress.done == step:
            os.kill(os.getpid(), signal.SIGINT)

    return press


def test_the_attestation_states_the_privacy_and_withholds_what_tells_who_was_drawn(
    run: Train, manifest: DatasetManifest
) -> None:
    adapter = run()
    found = byproducts(adapter)
    privacy = found["privacy"]
    assert {"losses", "replay"} == set(privacy["withheld"])
    assert not {"losses", "replay", "validation"} & set(found)
    assert adapter.predicate["buildDefinition"]["internalParameters"]["repeatable"] is False
    assert (privacy["accountant"], privacy["opacus"]) == ("rdp", "1.6.0")
    assert (privacy["items"], privacy["sample_rate"], privacy["steps"]) == (5, 0.4, 4)
    assert privacy["spent"] == epsilon_spent(privacy["sigma"], 0.4, 4, 1e-5) <= privacy["epsilon"] == 8
    with pytest.raises(ReplayUnavailable, match="no chain to replay"):
        read_recorded(adapter)
    # What a sample was drawn for is released with it; captions belong to the pictures.
    assert not any(name.startswith("samples/") for name in adapter.files)
    told = json.dumps(adapter.predicate)
    assert not any(record.caption in told or record.sha256 in told for record in manifest.records)


def test_captions_are_no_prompts_of_samples_and_configured_prompts_are() -> None:
    captions = ["a red square", "a dot"]
    assert sample_prompts(PRIVATE, captions) == ()
    assert sample_prompts(replace(PRIVATE, sample_prompts=("a bird",)), captions) == ("a bird",)
    assert sample_prompts(replace(PRIVATE, dp_epsilon=0.0), captions) == ("a dot",)


def weights(release: Path) -> dict[str, torch.Tensor]:
    return load_file(release / "adapter" / "adapter.safetensors")


def test_two_private_trainings_with_one_seed_differ_in_every_layer(run: Train, tmp_path: Path) -> None:
    run(out="a")
    run(out="b")
    one, other = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert not any(torch.equal(one[name], other[name]) for name in one)


def test_a_plain_training_is_the_same_to_the_bit_and_needs_no_opacus(
    run: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = replace(PRIVATE, dp_epsilon=0.0)
    run(plain, "before")
    run(out="private")
    monkeypatch.setitem(sys.modules, "opacus", None)
    monkeypatch.setattr(private_secret.Secret, "__init__", lambda *_: pytest.fail("a plain training drew a secret"))
    run(plain, "after")
    one, other = weights(tmp_path / "before"), weights(tmp_path / "after")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_secret_is_in_no_file_log_or_attestation(
    run: Train,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    taken: list[bytes] = []

    def known(size: int) -> bytes:
        taken.append(bytes(reversed(KEY)) if taken else KEY)
        return taken[-1][:size]

    monkeypatch.setattr(private_secret, "os", type("System", (), {"urandom": staticmethod(known)}))
    caplog.set_level(logging.DEBUG)
    with pytest.raises(TrainingInterrupted):
        run(progress=stop_at(3))
    stopped = files(tmp_path)
    assert any(path.endswith(".safetensors") for path in stopped)
    adapter = run(resume=True)
    assert taken == [KEY, bytes(reversed(KEY))], "one secret for each session"
    told = [
        *stopped.values(),
        *files(tmp_path).values(),
        caplog.text.encode(),
        *(t.encode() for t in capfd.readouterr()),
    ]
    told.append(canonical_json(adapter.predicate))
    for key in taken:
        seeds = [Secret(key).seed(step, "dropout") for step in range(4)]
        forms = [key, key[::-1], key.hex().encode(), key.hex().upper().encode(), str(list(key)).encode()]
        forms += [str(seed).encode() for seed in seeds] + [
            seed.to_bytes(8, order) for seed in seeds for order in ORDERS
        ]
        assert not any(form in each for form in forms for each in told)


ORDERS: tuple[Any, ...] = ("little", "big")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_resumed_training_counts_every_step_once(run: Train, tmp_path: Path) -> None:
    straight = byproducts(run(out="straight"))["privacy"]
    with pytest.raises(TrainingInterrupted):
        run(progress=stop_at(3))
    adapter = run(resume=True)
    assert byproducts(adapter)["privacy"] == straight
    assert byproducts(adapter)["resources"]["resumed_at"] == [3]


@pytest.mark.parametrize("change", [{"dp_epsilon": 80.0}, {"dp_clip": 0.02}, {"dp_delta": 1e-3}, {"dp_epsilon": 0.0}])
def test_a_training_is_not_resumed_under_another_budget(run: Train, change: dict[str, float]) -> None:
    with pytest.raises(TrainingInterrupted):
        run(progress=stop_at(2))
    with pytest.raises(CheckpointError, match="belongs to another training"):
        run(replace(PRIVATE, **change), resume=True)  # type: ignore[arg-type]


def test_a_training_is_not_resumed_under_other_noise_or_an_unknown_one(run: Train, tmp_path: Path) -> None:
    with pytest.raises(TrainingInterrupted):
        run(progress=stop_at(2))
    kept = tmp_path / "squares.work" / "checkpoints" / "privacy.json"
    plan = parse_json(kept.read_bytes(), "the plan")
    kept.write_bytes(canonical_json(plan | {"sigma": plan["sigma"] / 2, "opacus": "1.5.0"}))
    with pytest.raises(CheckpointError) as refused:
        run(resume=True)
    assert "another privacy plan" in str(refused.value)
    assert "opacus 1.5.0" in str(refused.value)
    for damaged in (b"{}", b"[]", b"no json", None):
        kept.unlink() if damaged is None else kept.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="under which noise"):
            run(resume=True)


def test_a_private_training_can_be_estimated(manifest: DatasetManifest, sd1_base: BaseModel) -> None:
    made = estimate(manifest, sd1_base, PRIVATE)
    assert made.training_seconds > 0
    assert made.samples == 8
