"""The base in half precision, quantised, or compiled."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from provenance.adapter import AdapterManifest
from provenance.base import BaseModel
from provenance.identity import Issuer
from provenance.manifest import DatasetManifest
from provenance.screening.screens import ScreeningChoice
from training import setup as setting_up
from training.compiled import compile_denoiser, compiler_release, uncompiled
from training.config import TrainConfig
from training.errors import TrainingError
from training.loop import compute_gradients
from training.lora import train
from training.quantised import quantise
from training.replay.executing import replay
from training.replay.record import read_recorded
from training.replay.snapshots import SNAPSHOTS
from training.setup import Setup, set_up

QUICK = TrainConfig(
    steps=3, warmup_steps=1, batch_size=2, rank=4, learning_rate=0.02, sample_steps=2, sample_count=1, threads=1,
    replay_every=1, replay_snapshots=True,
)  # fmt: skip

ENCODERS = ("vae", "text_encoder")
SetUp = Callable[[TrainConfig], Setup]


@pytest.fixture
def ready(manifest: DatasetManifest, sd1_base: BaseModel, tmp_path: Path) -> SetUp:
    return lambda config: set_up(manifest, sd1_base, config, "cpu", tmp_path, lambda *_: None)


@pytest.fixture
def run(
    manifest: DatasetManifest, issuer: Issuer, sd1_base: BaseModel, lenient: ScreeningChoice, tmp_path: Path
) -> Callable[[TrainConfig], AdapterManifest]:
    def run(config: TrainConfig) -> AdapterManifest:
        return train(manifest, sd1_base, config, tmp_path / "x", issuer=issuer, name="x", screening=lenient)

    return run


@pytest.mark.parametrize("kind", ["sd1_base", "sdxl_base", "sd3_base"])
@pytest.mark.parametrize(("precision", "half"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_a_base_held_in_half_precision_gives_the_bits_of_one_that_is_converted_at_every_use(
    kind: str,
    precision: str,
    half: torch.dtype,
    manifest: DatasetManifest,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base, config = request.getfixturevalue(kind), replace(QUICK, precision=precision)
    gradients, types = [], []
    for hold in (True, False):
        if not hold:
            monkeypatch.setattr(setting_up, "hold_in_precision", lambda *_: None)
            monkeypatch.setattr(setting_up, "spare_conversions", lambda *_: None)
        made = set_up(manifest, base, config, "cpu", tmp_path, lambda *_: None)
        taken = compute_gradients(made, 0)
        gradients.append((taken.loss, {name: p.grad for name, p in made.parameters.items()}))
        types.append({p.dtype for p in made.family.denoiser.parameters() if not p.requires_grad})
        assert {p.dtype for p in made.parameters.values()} == {torch.float32}
    assert (half in types[0], types[1]) == (True, {torch.float32})
    (held_loss, held), (loss, converted) = gradients
    assert held_loss == loss
    assert all(torch.equal(held[name], converted[name]) for name in held)


@pytest.mark.parametrize("change", [{"sample_count": 0}, {"sample_count": 0, "text_encoder_rank": 2}, {}])
def test_what_encodes_is_freed_where_nothing_is_drawn_and_no_text_is_trained(
    ready: SetUp, change: dict[str, Any]
) -> None:
    made = ready(replace(QUICK, **change))
    parts = {name: {p.device.type for p in getattr(made.family.pipe, name).parameters()} for name in ENCODERS}
    place = "meta" if change == {"sample_count": 0} else "cpu"
    assert parts == {name: {place} for name in ENCODERS}
    assert compute_gradients(made, 0).loss > 0


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_quantised_base_predicts_nearly_the_same_in_less_memory(ready: SetUp, bits: str, precision: str) -> None:
    plain, small = (ready(replace(QUICK, precision=precision, quantise=q)) for q in ("none", bits))
    losses = [compute_gradients(made, 0).loss for made in (plain, small)]
    assert losses[1] != losses[0]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    for name, parameter in small.parameters.items():
        assert parameter.grad is not None, name
    names = {type(module).__name__ for module in small.family.denoiser.modules()}
    assert {"8bit": "Linear8bitLt", "4bit": "Linear4bit"}[bits] in names
    by_name = {name: p for name, p in small.family.denoiser.named_parameters() if not p.requires_grad}
    blocks = [p for name, p in by_name.items() if "attn1.to_q.base_layer.weight" in name]
    assert {p.dtype for p in blocks} == {torch.int8 if bits == "8bit" else torch.uint8}
    assert all(not p.dtype.is_floating_point for n, p in by_name.items() if "ff.net" in n and n.endswith("weight"))
    # What embeds times stays as it is.
    assert by_name["time_embedding.linear_1.weight"].dtype.is_floating_point


@pytest.mark.parametrize("change", [{"quantise": "8bit", "optimiser": "adamw-8bit"}, {"quantise": "4bit"}])
def test_a_training_on_a_quantised_base_is_released_and_its_replay_agrees(
    run: Callable[[TrainConfig], AdapterManifest],
    manifest: DatasetManifest,
    sd1_base: BaseModel,
    tmp_path: Path,
    change: dict[str, Any],
) -> None:
    recorded = read_recorded(run(replace(QUICK, precision="bf16", **change)))
    assert recorded.chain.sessions[0].stack["version/bitsandbytes"]
    made = replay(recorded, manifest, sd1_base, (1,), snapshots=tmp_path / "x.work" / SNAPSHOTS)
    assert (made.verdict, made.executed, made.stack) == ("agrees", (1,), ())


def test_only_what_is_used_is_named_in_the_stack(run: Callable[[TrainConfig], AdapterManifest]) -> None:
    stack = read_recorded(run(QUICK)).chain.sessions[0].stack
    assert "version/torch" in stack
    assert not {"version/bitsandbytes", "version/prodigyopt", "version/opacus"} & set(stack)


def test_a_device_or_a_package_that_cannot_quantise_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(QUICK, quantise="4bit")
    with pytest.raises(TrainingError, match=r'"4bit"` does not run on mps'):
        quantise(torch.nn.Linear(2, 2), config, "mps")
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(TrainingError, match="needs the package bitsandbytes") as refusal:
        quantise(torch.nn.Linear(2, 2), config, "cpu")
    assert refusal.value.fix == "pip install 'prov[quantised]'"


@pytest.mark.skipif(compiler_release(replace(QUICK, compile=True)) == {}, reason="no C++ compiler here")
def test_a_compiled_model_computes_the_same_and_is_left_alone_for_samples() -> None:
    config = replace(QUICK, compile=True)
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.SiLU(), torch.nn.Linear(8, 4))
    seen = torch.randn(2, 4)
    expected = model(seen)
    compile_denoiser(model, config, "cpu")
    counted = torch._dynamo.testing.CompileCounter()
    model.compile(backend=counted)
    with uncompiled(config):
        assert torch.equal(model(seen), expected)
    assert counted.frame_count == 0
    compile_denoiser(model, config, "cpu")
    assert torch.allclose(model(seen), expected, atol=1e-5)


def test_without_a_compiler_compile_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(TrainingError, match="needs a compiler") as refusal:
        compile_denoiser(torch.nn.Linear(2, 2), replace(QUICK, compile=True), "cpu")
    assert "C++ compiler" in str(refusal.value.expected)
