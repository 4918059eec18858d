"""What noise does to a batch, beyond what a schedule does: offset, jitter and adversarial noise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from provenance.base import BaseModel
from tests.training.tiny_batch import tiny_batch
from training.batch import Batch, batch_loss
from training.config import TrainConfig
from training.families.opening import open_family
from training.families.protocol import Family

KINDS = ["sd1_base", "v_base", "sdxl_base", "sd3_base"]
BATCH = TrainConfig(batch_size=64)


@pytest.fixture(params=KINDS)
def family(request: pytest.FixtureRequest) -> Family:
    base: BaseModel = request.getfixturevalue(request.param)
    return open_family(base, "cpu", TrainConfig())


def shares(family: Family, batch: Batch) -> torch.Tensor:
    """How much of the noise is in each sample's mixture, ``(B, 1, 1, 1)``."""
    nothing = torch.zeros_like(batch.clean)
    return family.noising.add_noise(nothing, torch.ones_like(nothing), batch.times)[:, :1, :1, :1]


def test_plain_noise_is_what_the_schedule_mixes_in(family: Family) -> None:
    batch = tiny_batch(family, BATCH)
    assert batch.jitter is None
    assert torch.equal(batch.noisy, family.noising.add_noise(batch.clean, batch.noise, batch.times))
    assert torch.equal(batch.target, family.noising.target(batch.clean, batch.noise, batch.times))
    assert float(batch.noise.mean((2, 3)).std()) == pytest.approx(1 / 8, rel=0.15)


def test_offset_noise_moves_whole_channels_of_noise_and_target(family: Family) -> None:
    plain, moved = tiny_batch(family, BATCH), tiny_batch(family, replace(BATCH, noise_offset=0.1))
    difference = moved.noise - plain.noise
    assert torch.allclose(difference, difference[:, :, :1, :1].expand_as(difference), atol=1e-6)
    offsets = difference[:, :, 0, 0]
    assert float(offsets.std()) == pytest.approx(0.1, rel=0.15)
    assert float(offsets.std(1).mean()) > 0.05
    assert torch.allclose(moved.noisy - plain.noisy, shares(family, plain) * difference, atol=1e-5)
    assert torch.equal(moved.target, family.noising.target(moved.clean, moved.noise, moved.times))


def test_jitter_is_shown_but_not_asked_for(family: Family) -> None:
    """arXiv:2301.11706, algorithm 2: the input is made of noise + gamma xi, the target of the noise alone."""
    plain, shaken = tiny_batch(family, BATCH), tiny_batch(family, replace(BATCH, input_perturbation=0.1))
    assert torch.equal(shaken.noise, plain.noise)
    assert torch.equal(shaken.target, plain.target)
    jitter = (shaken.noisy - plain.noisy) / shares(family, plain)
    usable = shares(family, plain).flatten() > 0.1
    assert float(jitter[usable].std()) == pytest.approx(0.1, rel=0.05)
    assert abs(float(jitter[usable].mean())) < 0.01
    together = torch.stack([jitter[usable].flatten(), plain.noise[usable].flatten()])
    assert abs(float(torch.corrcoef(together)[0, 1])) < 0.05


class Listening:
    """A family that remembers what its denoiser was asked."""

    def __init__(self, family: Family) -> None:
        self.asked: list[Batch] = []
        self._family = family

    def __getattr__(self, name: str) -> Any:
        return getattr(self._family, name)

    def predict(self, batch: Batch) -> torch.Tensor:
        self.asked.append(batch)
        return self._family.predict(batch)


def test_adversarial_noise_is_the_worst_within_its_bounds(family: Family) -> None:
    bound = 0.01
    config = replace(BATCH, batch_size=8, adversarial_noise=bound, input_perturbation=0.05)
    batch, listening = tiny_batch(family, config), Listening(family)
    loss = batch_loss(listening, batch, config)  # type: ignore[arg-type]
    drawn, hard = listening.asked
    assert torch.equal(drawn.noisy, batch.noisy)
    step = hard.noise - batch.noise
    assert torch.allclose(step.abs(), torch.full_like(step, bound), atol=1e-5)
    # Other noise over the same picture, and it is that noise which is asked for.
    assert torch.allclose(hard.noisy - batch.noisy, shares(family, batch) * step, atol=1e-5)
    assert torch.equal(hard.target, family.noising.target(batch.clean, hard.noise, batch.times))

    def loss_under(change: torch.Tensor) -> float:
        plain = replace(config, adversarial_noise=0.0)
        with torch.no_grad():
            return float(batch_loss(family, batch.with_noise(family, batch.noise + change), plain))

    assert float(loss) == pytest.approx(loss_under(step), rel=1e-5)
    random = bound * torch.randn(step.shape, generator=torch.Generator().manual_seed(0)).sign()
    rise = loss_under(step) - loss_under(torch.zeros_like(step))
    assert rise > 0
    assert rise > 5 * abs(loss_under(random) - loss_under(torch.zeros_like(step)))
    assert loss_under(-step) < loss_under(torch.zeros_like(step))


def test_looking_for_the_worst_noise_leaves_no_gradient(sd1_base: BaseModel) -> None:
    family = open_family(sd1_base, "cpu", TrainConfig())
    weight = family.denoiser.get_parameter("conv_out.weight").requires_grad_()
    config = replace(BATCH, batch_size=4, adversarial_noise=0.05)
    batch = tiny_batch(family, config)
    listening = Listening(family)
    batch_loss(listening, batch, config).backward()  # type: ignore[arg-type, no-untyped-call]
    found = weight.grad
    assert found is not None
    weight.grad = None
    hard = listening.asked[1]
    batch_loss(family, hard, replace(config, adversarial_noise=0.0)).backward()  # type: ignore[no-untyped-call]
    assert torch.equal(found, weight.grad)
    assert not hard.noisy.requires_grad
