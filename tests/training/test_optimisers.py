"""Each optimiser, the moving average and float16: resumed and replayed to the same bits."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from provenance.adapter import AdapterManifest
from provenance.base import BaseModel
from provenance.identity import Issuer
from provenance.manifest import DatasetManifest
from provenance.screening.screens import ScreeningChoice
from training.config import TrainConfig
from training.ema import Average
from training.errors import CheckpointError, ConfigError, LossNotFinite, TrainingError, TrainingInterrupted
from training.lora import Progress, train
from training.optimisers import build_optimiser, layout_of, set_learning_rates
from training.precision import loss_scaler, take_scaled_step
from training.replay.executing import replay
from training.replay.record import read_recorded
from training.replay.snapshots import SNAPSHOTS
from training.state import State

# Two of the layers' weights are large enough for the 8-bit optimiser to keep their moments in 8 bits.
QUICK = TrainConfig(
    steps=5,
    warmup_steps=1,
    batch_size=1,
    rank=128,
    alpha=64.0,
    learning_rate=0.02,
    final_learning_rate=0.01,
    lora_dropout=0.1,
    targets=("attn1.to_q",),
    sample_count=0,
    kohya=False,
    threads=1,
    replay_every=2,
    replay_snapshots=True,
)
WAYS: dict[str, dict[str, Any]] = {
    "fused": {"optimiser": "adamw-fused"},
    "8-bit": {"optimiser": "adamw-8bit"},
    "prodigy": {"optimiser": "prodigy", "learning_rate": 1.0, "final_learning_rate": 0.5},
    "average": {"ema_decay": 0.95},
    "fp16": {"precision": "fp16", "accumulate": 2},
    "all": {"optimiser": "prodigy", "learning_rate": 1.0, "precision": "fp16", "ema_decay": 0.5},
}

Train = Callable[..., AdapterManifest]


@pytest.fixture
def run(
    manifest: DatasetManifest, issuer: Issuer, sd1_base: BaseModel, lenient: ScreeningChoice, tmp_path: Path
) -> Train:
    def run(config: TrainConfig, out: str, **options: Any) -> AdapterManifest:
        return train(
            manifest, sd1_base, config, tmp_path / out, issuer=issuer, name="squares", screening=lenient, **options
        )

    return run


def stop_at(step: int) -> Callable[[Progress], None]:
    def press(progress: Progress) -> None:
        if progress.stage == "training" and progress.done == step:
            os.kill(os.getpid(), signal.SIGINT)

    return press


@pytest.mark.parametrize("way", WAYS)
def test_a_stopped_training_goes_on_to_the_same_bits_and_its_replay_agrees(
    run: Train, manifest: DatasetManifest, sd1_base: BaseModel, tmp_path: Path, way: str
) -> None:
    config = replace(QUICK, **WAYS[way])
    whole = read_recorded(run(config, "whole"))
    with pytest.raises(TrainingInterrupted):
        run(config, "parts", progress=stop_at(3))
    resumed = read_recorded(run(config, "parts", resume=True))
    assert resumed.chain.links == whole.chain.links
    assert resumed.adapter.weights_digest == whole.adapter.weights_digest
    assert whole.chain.links[0].parts.adapter != whole.chain.links[-1].parts.adapter

    made = replay(resumed, manifest, sd1_base, (1, 2), snapshots=tmp_path / "parts.work" / SNAPSHOTS)
    assert (made.verdict, made.executed, made.mismatch, made.released_agrees) == ("agrees", (1, 2), None, True)


def parameters() -> dict[str, torch.nn.Parameter]:
    noise = torch.Generator().manual_seed(1)
    return {
        "text_encoder.small": torch.nn.Parameter(torch.randn(4, 8, generator=noise)),
        "unet.large": torch.nn.Parameter(torch.randn(64, 70, generator=noise)),
        "unet.zero": torch.nn.Parameter(torch.zeros(3, 5)),
    }


def stepped(config: TrainConfig, steps: int = 2) -> tuple[dict[str, torch.nn.Parameter], torch.optim.Optimizer]:
    weights = parameters()
    optimiser = build_optimiser(weights, config, "cpu")
    take_steps(weights, optimiser, config, range(steps))
    return weights, optimiser


def take_steps(
    weights: dict[str, torch.nn.Parameter], optimiser: torch.optim.Optimizer, config: TrainConfig, steps: range
) -> None:
    for step in steps:
        noise = torch.Generator().manual_seed(step)
        set_learning_rates(optimiser, config, step)
        for weight in weights.values():
            weight.grad = torch.randn(weight.shape, generator=noise)
        optimiser.step()


def config_of(name: str) -> TrainConfig:
    return TrainConfig(optimiser=name, learning_rate=1.0 if name == "prodigy" else 0.01, warmup_steps=0, beta1=0.8)


@pytest.mark.parametrize("name", ["adamw", "adamw-fused", "adamw-8bit", "prodigy"])
def test_an_optimiser_restored_from_tensors_takes_the_same_steps(name: str) -> None:
    config = config_of(name)
    weights, optimiser = stepped(config)
    kept = State.from_tensors(
        {key: tensor.clone() for key, tensor in State.of(weights, optimiser).to_tensors().items()}
    )
    take_steps(weights, optimiser, config, range(2, 5))

    others = parameters()
    other = build_optimiser(others, config, "cpu")
    kept.restore(others, other)
    take_steps(others, other, config, range(2, 5))
    assert all(torch.equal(weights[key], others[key]) for key in weights)
    assert State.of(weights, optimiser).digests() == State.of(others, other).digests()
    # What was restored from is not what the optimiser then works on.
    assert kept.digests() != State.of(others, other).digests()


@pytest.mark.parametrize("name", ["adamw", "adamw-fused", "adamw-8bit", "prodigy"])
def test_every_tensor_of_a_state_is_in_its_digests_and_in_its_shape(name: str) -> None:
    weights, optimiser = stepped(config_of(name))
    tensors = State.of(weights, optimiser).to_tensors()
    digests = State.from_tensors(tensors).digests()
    for key, tensor in tensors.items():
        changed = tensor.clone()
        changed.view(-1)[-1:] += 1
        assert State.from_tensors({**tensors, key: changed}).digests() != digests, key

        others = parameters()
        for harm in ({**tensors, key: tensor[None]}, {**tensors, key: tensor.double().float().to(torch.int16)}):
            with pytest.raises(CheckpointError, match="not those of this base"):
                State.from_tensors(harm).restore(others, build_optimiser(others, config_of(name), "cpu"))
        del harm[key]
        with pytest.raises(CheckpointError):
            State.from_tensors(harm).restore(others, build_optimiser(others, config_of(name), "cpu"))


def test_a_state_with_a_tensor_of_no_weight_is_refused() -> None:
    tensors = State.of(*stepped(config_of("adamw"))).to_tensors()
    for name in ("exp_avg/unet.other", "average/unet.large", "nonsense"):
        with pytest.raises(CheckpointError, match="belong to no weight"):
            State.from_tensors({**tensors, name: torch.zeros(1)})


def test_an_optimiser_that_keeps_more_than_is_known_is_refused() -> None:
    weights, optimiser = stepped(config_of("adamw"))
    optimiser.state[weights["unet.large"]]["max_exp_avg_sq"] = torch.zeros(1)
    with pytest.raises(TrainingError, match="keeps something that is not known"):
        State.of(weights, optimiser)
    with pytest.raises(TrainingError, match="is not known"):
        layout_of(torch.optim.SGD(weights.values()))


def test_text_encoders_follow_the_schedule_at_a_rate_of_their_own() -> None:
    config = TrainConfig(steps=10, warmup_steps=4, learning_rate=0.1, text_encoder_learning_rate=0.02)
    weights = parameters()
    optimiser = build_optimiser(weights, config, "cpu")
    for step, rate in ((0, 0.025), (4, 0.1)):
        set_learning_rates(optimiser, config, step)
        assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([rate, rate / 5])
    assert optimiser.param_groups[1]["params"] == [weights["text_encoder.small"]]


def test_without_a_rate_of_its_own_a_text_encoder_is_in_the_one_group() -> None:
    (group,) = build_optimiser(parameters(), TrainConfig(), "cpu").param_groups
    assert len(group["params"]) == 3


def test_prodigy_is_refused_a_learning_rate_that_is_adamws() -> None:
    with pytest.raises(ConfigError, match=r"at least 0\.1 with Prodigy, and usually 1, not 0\.0001"):
        TrainConfig(optimiser="prodigy")
    with pytest.raises(ConfigError, match="finds one rate for all"):
        TrainConfig(optimiser="prodigy", learning_rate=1.0, text_encoder_learning_rate=0.5)


def test_prodigy_says_nothing_and_finds_a_larger_rate(capsys: pytest.CaptureFixture[str]) -> None:
    weights = parameters()
    config = config_of("prodigy")
    optimiser = build_optimiser(weights, config, "cpu")
    for _ in range(30):
        for weight in weights.values():
            weight.grad = weight.detach() - 5.0
        optimiser.step()
    assert optimiser.param_groups[0]["d"] > 2e-6
    assert optimiser.param_groups[0]["weight_decay"] == config.weight_decay
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("name", "package"), [("adamw-8bit", "bitsandbytes"), ("prodigy", "prodigyopt")])
def test_a_package_that_is_not_installed_is_named_with_its_extra(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(TrainingError, match=f"needs the package {package}") as refusal:
        build_optimiser(parameters(), config_of(name), "cpu")
    assert "pip install 'prov[" in str(refusal.value.fix)


def test_8_bit_adamw_is_refused_where_it_does_not_run() -> None:
    with pytest.raises(TrainingError, match="does not run on mps"):
        build_optimiser(parameters(), config_of("adamw-8bit"), "mps")


def test_the_average_is_what_is_released_and_the_weights_come_back() -> None:
    weights = parameters()
    average = Average.of(weights, 0.9)
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    with torch.no_grad():
        for weight in weights.values():
            weight += 1.0
    average.update(weights, 0)
    # The first step's decay is 1 / 10.
    assert torch.allclose(average.tensors["unet.zero"], torch.full((3, 5), 0.9))
    assert [average.decay_at(step) for step in (0, 80, 10_000)] == [0.1, 0.9, 0.9]
    with average.in_place_of(weights):
        assert all(torch.equal(weights[name], average.tensors[name]) for name in weights)
    assert all(torch.equal(weights[name], before[name] + 1.0) for name in weights)


def test_a_release_of_an_average_says_so_and_holds_it(run: Train, tmp_path: Path) -> None:
    config = replace(QUICK, ema_decay=0.5)
    adapter = run(config, "averaged")
    assert adapter.predicate["buildDefinition"]["internalParameters"]["released"].startswith("the moving average")
    tensors = load_file(tmp_path / "averaged.work" / SNAPSHOTS / "step-00000005.safetensors")
    released = load_file(tmp_path / "averaged" / "adapter" / "adapter.safetensors")
    by_layer = {name.removeprefix("average/"): t for name, t in tensors.items() if name.startswith("average/")}
    for key, tensor in released.items():
        name = next(each for each in by_layer if key.endswith(each))
        factor = config.alpha / config.rank if ".lora_B." in name else 1.0
        assert torch.equal(tensor, by_layer[name] * factor)
        assert not torch.equal(by_layer[name], tensors[f"adapter/{name}"])


def test_a_checkpoint_without_its_average_is_damaged(run: Train, tmp_path: Path) -> None:
    config = replace(QUICK, ema_decay=0.5)
    with pytest.raises(TrainingInterrupted):
        run(config, "parts", progress=stop_at(3))
    file = tmp_path / "parts.work" / "checkpoints" / "step-00000003.safetensors"
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    save_file({n: t for n, t in load_file(file).items() if not n.startswith("average/")}, file, metadata)
    with pytest.raises(CheckpointError, match="not those of this base and configuration") as refusal:
        run(config, "parts", resume=True)
    assert refusal.value.found == "another moving average"


def test_an_overflow_leaves_a_step_out_and_halves_the_scale() -> None:
    config = TrainConfig(precision="fp16")
    weights = parameters()
    optimiser = build_optimiser(weights, config, "cpu")
    scaler = loss_scaler(config, "cpu")
    assert scaler is not None
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    taken = []
    for step, value in enumerate((float("inf"), 1.0)):
        scaler.scale(torch.ones(()))
        for weight in weights.values():
            weight.grad = torch.full_like(weight, value)
        scaler.unscale_(optimiser)
        taken.append(take_scaled_step(scaler, optimiser, step))
        assert torch.equal(weights["unet.large"], before["unet.large"]) == (step == 0)
    assert (taken, scaler.get_scale()) == ([False, True], 2.0**15)
    kept = State.of(weights, optimiser, None, scaler)
    again = loss_scaler(config, "cpu")
    assert again is not None
    kept.restore(weights, optimiser, None, again)
    assert again.state_dict() == scaler.state_dict()


def test_gradients_that_overflow_at_every_scale_stop_the_training() -> None:
    config = TrainConfig(precision="fp16")
    weights = parameters()
    optimiser = build_optimiser(weights, config, "cpu")
    scaler = loss_scaler(config, "cpu")
    assert scaler is not None

    def overflow() -> None:
        for step in range(40):
            scaler.scale(torch.ones(()))
            for weight in weights.values():
                weight.grad = torch.full_like(weight, float("inf"))
            scaler.unscale_(optimiser)
            take_scaled_step(scaler, optimiser, step)

    with pytest.raises(LossNotFinite, match="overflow float16 whatever the loss is scaled by, at step 23"):
        overflow()


def test_the_loss_of_a_scaled_training_is_that_of_the_model(run: Train) -> None:
    losses = [
        run(replace(QUICK, precision=name), name).predicate["runDetails"]["byproducts"][0]["annotations"]
        for name in ("fp32", "fp16")
    ]
    assert losses[1]["first_tenth_mean"] == pytest.approx(losses[0]["first_tenth_mean"], rel=0.02)
