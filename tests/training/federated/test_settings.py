from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from provenance.errors import UsageError
from tests.training.federated.parties import QUICK
from training.config import TrainConfig
from training.errors import ConfigError
from training.federated.settings import contributor_config, reach, require_federable


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"ema_decay": 0.9}, "ema_decay"),
        ({"replay_every": 2}, "replay_every"),
        ({"replay_snapshots": True}, "replay_snapshots"),
        ({"validation_share": 0.2, "patience": 2}, "patience"),
        ({"trigger": "<dove>"}, "trigger"),
        ({"optimiser": "prodigy", "learning_rate": 1.0}, "optimiser"),
        ({"optimiser": "adamw-8bit"}, "optimiser"),
        ({"precision": "fp16"}, "precision"),
        ({"beta1": 0.9, "beta2": 0.8}, "beta2"),
        ({"wandb": True}, "wandb"),
    ],
)
def test_settings_that_a_federated_training_does_not_have_are_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        require_federable(replace(QUICK, **change), 2)
    assert named in str(refusal.value)


def test_steps_that_cannot_be_shared_out_over_the_rounds_are_refused() -> None:
    require_federable(QUICK, 2)
    with pytest.raises(UsageError, match="shared out over the rounds") as refusal:
        require_federable(QUICK, 3)
    assert refusal.value.expected == "a multiple of 3 rounds"


def test_every_contributor_draws_by_a_seed_of_its_own() -> None:
    ada, bea = contributor_config(QUICK, "aa" * 32), contributor_config(QUICK, "bb" * 32)
    assert ada.seed != bea.seed
    assert replace(ada, seed=QUICK.seed) == QUICK
    assert contributor_config(QUICK, "aa" * 32) == ada


@pytest.mark.parametrize("kind", ["constant", "growing", "spike at the end", "alternating", "random"])
@pytest.mark.parametrize(("beta1", "beta2", "decay"), [(0.9, 0.999, 0.01), (0.0, 0.99, 0.0), (0.95, 0.96, 1.0)])
def test_no_gradients_take_adamw_further_than_the_reach(kind: str, beta1: float, beta2: float, decay: float) -> None:
    config = replace(
        TrainConfig(steps=24, warmup_steps=3, learning_rate=0.01), beta1=beta1, beta2=beta2, weight_decay=decay
    )
    rounds, greatest = 2, 3.0
    for number in (1, 2):
        weight = torch.nn.Parameter(torch.tensor([greatest, -greatest, 0.1]))
        start = weight.detach().clone()
        optimiser = torch.optim.AdamW([weight], betas=(beta1, beta2), weight_decay=decay)
        for local in range(12):
            for group in optimiser.param_groups:
                group["lr"] = config.learning_rate_at((number - 1) * 12 + local)
            weight.grad = _gradient(kind, local)
            optimiser.step()
        assert float((weight.detach() - start).abs().max()) <= reach(config, number, rounds, greatest)


def test_the_reach_is_not_much_more_than_adamw_goes() -> None:
    config = TrainConfig(steps=10, warmup_steps=0, learning_rate=0.01, weight_decay=0.0, final_learning_rate=0.01)
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.AdamW([weight], lr=0.01, weight_decay=0.0)
    for _ in range(10):
        weight.grad = torch.ones(1)
        optimiser.step()
    assert float(weight.detach().abs()) <= reach(config, 1, 1, 0.0) <= 1.1 * float(weight.detach().abs())


def _gradient(kind: str, step: int) -> torch.Tensor:
    scale = {
        "constant": 1.0,
        "growing": 10.0**step,
        "spike at the end": 1e6 if step == 11 else 1e-6,
        "alternating": (-1.0) ** step,
        "random": float(torch.randn((), generator=torch.Generator().manual_seed(step))),
    }[kind]
    return torch.tensor([1.0, -1.0, 1.0]) * scale
