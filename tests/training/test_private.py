"""Statements about distributions fail by chance with a probability below 1e-9 each."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from provenance.base import BaseModel
from provenance.manifest import DatasetManifest
from training.batch import make_batch, sample_losses
from training.config import TrainConfig
from training.errors import TrainingError
from training.loop import apply_gradients, compute_gradients
from training.private.gradients import UNTOLD, PrivateGradients, take_sample_gradients
from training.private.secret import Secret
from training.setup import Setup, set_up

CONFIG = TrainConfig(
    steps=100, warmup_steps=1, batch_size=2, rank=2, threads=1, dp_epsilon=8.0, dp_delta=1e-5, dp_clip=0.01
)
CHANCE = 1e-9


@pytest.fixture
def setup(manifest: DatasetManifest, sd1_base: BaseModel, tmp_path: Path) -> Setup:
    return begun(manifest, sd1_base, CONFIG, tmp_path)


def begun(manifest: DatasetManifest, base: BaseModel, config: TrainConfig, spill: Path) -> Setup:
    """A training whose adapter has learned something already: with B at zero, A has no gradient."""
    made = set_up(manifest, base, config, "cpu", spill, lambda *_: None)
    draw = torch.Generator().manual_seed(1)
    for name, parameter in made.parameters.items():
        if name.endswith("lora_B.weight"):
            parameter.data.normal_(0, 0.1, generator=draw)
    return made


def gradients_alone(setup: Setup, step: int, item: int) -> dict[str, torch.Tensor]:
    """What plain backpropagation gives for a batch of one."""
    batch = make_batch(setup.family, setup.cache, setup.config, step, [setup.cache.slot(step, item, item)])
    sample_losses(setup.family, batch, setup.config).sum().backward()  # type: ignore[no-untyped-call]
    found = {n: torch.zeros_like(p) if p.grad is None else p.grad.clone() for n, p in setup.parameters.items()}
    setup.optimiser.zero_grad(set_to_none=True)
    return found


def length(gradients: dict[str, torch.Tensor]) -> float:
    return math.sqrt(sum(float(tensor.double().square().sum()) for tensor in gradients.values()))


def difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: one[name] - other[name] for name in one}


@pytest.mark.parametrize("kind", ["sd1_base", "sdxl_base", "sd3_base"])
def test_the_sum_is_that_of_clipped_gradients_of_batches_of_one(
    kind: str, manifest: DatasetManifest, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    plain = replace(CONFIG, targets=(*CONFIG.targets, "conv_in") if kind == "sd1_base" else CONFIG.targets)
    setup = begun(manifest, request.getfixturevalue(kind), plain, tmp_path)
    alone = [gradients_alone(setup, 3, item) for item in range(5)]
    lengths = [length(each) for each in alone]
    clip = sorted(lengths)[2] * 1.001  # three of five stay as they are
    factors = [min(1.0, clip / each) for each in lengths]
    private = PrivateGradients.of(replace(setup, config=replace(plain, dp_clip=clip)))
    sums, loss = private.summed(3, range(5))
    assert math.isfinite(loss)
    for name, found in sums.items():
        expected = sum((f * each[name] for f, each in zip(factors, alone, strict=True)), torch.zeros_like(found))
        assert torch.allclose(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()) + 1e-9), name


def test_a_picture_moves_the_sum_by_no_more_than_the_clip_and_no_other_picture(setup: Setup) -> None:
    clip = setup.config.dp_clip
    assert all(length(gradients_alone(setup, 0, item)) > clip for item in range(5)), "or this would say nothing"
    private = PrivateGradients.of(setup)
    everyone, _ = private.summed(0, range(5))
    for item in range(5):
        without, _ = private.summed(0, [other for other in range(5) if other != item])
        moved = length(difference(everyone, without))
        assert clip * 0.999 < moved < clip * (1 + 1e-5)


def test_a_picture_with_a_huge_gradient_is_shortened_like_any_other(
    manifest: DatasetManifest, sd1_base: BaseModel, tmp_path: Path
) -> None:
    # Asked for the picture itself, the denoiser is as far off as the picture is bright.
    setup = begun(manifest, sd1_base, replace(CONFIG, prediction="sample"), tmp_path)
    shelf, index = setup.cache.places[2]
    setup.cache.shelves[shelf].means[index] = 1e4
    assert length(gradients_alone(setup, 0, 2)) > 1e3 * setup.config.dp_clip
    private = PrivateGradients.of(setup)
    with_it, _ = private.summed(0, [0, 2])
    without, _ = private.summed(0, [0])
    assert length(difference(with_it, without)) < setup.config.dp_clip * (1 + 1e-4)


def test_parts_of_any_size_give_the_same_gradients(setup: Setup) -> None:
    private, sums = PrivateGradients.of(setup), {}
    for size in (1, 2, 5):
        sized = replace(private, setup=replace(setup, config=replace(CONFIG, batch_size=size)))
        sums[size], _ = sized.summed(0, range(5))
    for size in (1, 2):
        for name in sums[5]:
            assert torch.allclose(sums[size][name], sums[5][name], rtol=1e-4, atol=1e-8)


def test_the_noise_has_the_standard_deviation_that_was_planned(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    private = PrivateGradients.of(setup)
    monkeypatch.setattr(PrivateGradients, "drawn", lambda self, step: [])
    deviation = private.plan.sigma * private.plan.clip / private.plan.expected_batch
    values = []
    for step in range(4):
        taken = private(step)
        assert taken.loss == 0
        values.append(torch.cat([p.grad.flatten().double() for p in setup.parameters.values() if p.grad is not None]))
    sorted_ = (torch.cat(values) / deviation).sort().values
    count = len(sorted_)
    assert count == 4 * sum(p.numel() for p in setup.parameters.values())
    expected = torch.special.ndtr(sorted_)
    ranks = torch.arange(count, dtype=torch.float64) / count
    distance = float(torch.maximum((ranks + 1 / count - expected).max(), (expected - ranks).max()))
    assert distance < math.sqrt(math.log(2 / CHANCE) / (2 * count))


def test_the_step_is_the_noisy_mean_over_the_expected_batch(setup: Setup) -> None:
    private = PrivateGradients.of(setup, Secret(b"s" * 32))
    step = next(step for step in range(100) if len(private.drawn(step)) == 3)
    sums, loss = private.summed(step, private.drawn(step))
    taken = private(step)
    assert taken.loss == pytest.approx(loss / 2)
    for name, parameter in setup.parameters.items():
        noise = private.secret.normals(step, f"noise {name}", parameter.numel()).view_as(parameter)
        expected = (sums[name].double() + private.plan.sigma * private.plan.clip * noise) / 2
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, expected.float(), rtol=1e-5)


def test_every_picture_is_drawn_by_a_coin_of_its_own(setup: Setup) -> None:
    from scipy.stats import binom

    private, steps, tests = PrivateGradients.of(setup), 4000, 21
    drawn = [frozenset(private.drawn(step)) for step in range(steps)]
    rate = private.plan.sample_rate
    assert rate == 0.4

    def is_plausible(count: int, trials: int, chance: float) -> bool:
        tail = min(binom.cdf(count, trials, chance), binom.sf(count - 1, trials, chance))
        return bool(2 * tail * tests > CHANCE)

    for item in range(5):
        assert is_plausible(sum(item in each for each in drawn), steps, rate)
        for other in range(item):
            assert is_plausible(sum({item, other} <= each for each in drawn), steps, rate**2)
    sizes = Counter(map(len, drawn))
    for size in range(6):
        assert is_plausible(sizes[size], steps, float(binom.pmf(size, 5, rate)))


def test_a_step_that_draws_nobody_is_noise_alone_and_is_taken(setup: Setup) -> None:
    private = PrivateGradients.of(setup)
    step = next(step for step in range(1000) if not private.drawn(step))
    before = {name: parameter.detach().clone() for name, parameter in setup.parameters.items()}
    assert private(step).loss == 0
    apply_gradients(setup, step)
    assert all(not torch.equal(before[name], parameter) for name, parameter in setup.parameters.items())


def test_the_replay_chain_is_told_nothing_of_a_private_step(setup: Setup) -> None:
    private = PrivateGradients.of(setup)
    told = {(taken.batch, taken.random) for taken in map(private, range(3))}
    assert told == {(UNTOLD, UNTOLD)}


def test_two_sessions_draw_other_pictures_and_other_noise(setup: Setup) -> None:
    one = PrivateGradients.of(setup)
    other = replace(one, secret=Secret())
    assert [one.drawn(step) for step in range(100)] != [other.drawn(step) for step in range(100)]


def test_a_gradient_that_is_not_finite_makes_the_loss_so(setup: Setup) -> None:
    private = PrivateGradients.of(setup)
    shelf, index = setup.cache.places[2]
    setup.cache.shelves[shelf].means[index] = math.inf
    assert math.isnan(private.summed(0, [0, 2])[1])


@pytest.mark.parametrize("rows", [None, 3])
def test_gradients_that_are_not_one_for_each_picture_are_refused(rows: int | None) -> None:
    parameter: Any = torch.nn.Parameter(torch.zeros(2, 2))
    parameter.grad, parameter.grad_sample = torch.ones(2, 2), None if rows is None else torch.ones(rows, 2, 2)
    with pytest.raises(TrainingError, match="no gradient for each picture"):
        take_sample_gradients({"layer": parameter}, 2)


def test_a_layer_that_mixes_pictures_is_refused(setup: Setup) -> None:
    setup.family.denoiser.register_module("mixing", torch.nn.BatchNorm2d(2))
    with pytest.raises(TrainingError) as refused:
        PrivateGradients.of(setup)
    assert refused.value.found == "mixing"


def test_plain_gradients_of_a_private_training_are_refused(setup: Setup) -> None:
    with pytest.raises(TrainingError, match="would not be private"):
        compute_gradients(setup, 0)
    assert all(parameter.grad is None for parameter in setup.parameters.values())
