"""Which settings a federated training can have, and how far they can take anybody in one round."""

from __future__ import annotations

import math
from dataclasses import replace

from provenance.errors import UsageError
from provenance.trigger import is_learned
from training.config import TrainConfig
from training.draws import draw_seed
from training.errors import ConfigError

# Rounding, which a bound in real numbers does not know of.
_SLACK = 1.01


def require_federable(config: TrainConfig, rounds: int) -> None:
    """Raises ConfigError or UsageError, naming every setting that this kind of training does not have."""
    faults = [f"{setting} has no meaning in a federated training" for setting, on in _excluded(config).items() if on]
    if config.optimiser not in ("adamw", "adamw-fused"):
        faults.append(f'`optimiser` must be "adamw" or "adamw-fused", whose steps are bounded, not {config.optimiser}')
    elif config.beta1**2 >= config.beta2:
        faults.append("`beta2` must be above the square of `beta1`, or no bound on a step is known")
    if config.precision == "fp16":
        faults.append('`precision` must be "fp32" or "bf16": a loss scale does not survive a round')
    if faults:
        raise ConfigError("the training configuration", tuple(faults))
    if config.steps % rounds:
        raise UsageError(
            "`steps` are shared out over the rounds",
            expected=f"a multiple of {rounds} rounds",
            found=f"steps = {config.steps}",
        )


def contributor_config(config: TrainConfig, dataset: str) -> TrainConfig:
    """The settings of one contributor: a seed of its own, from its dataset's digest, so that no two draw alike."""
    return replace(config, seed=draw_seed(config.seed, 0, 0, f"contributor {dataset}"))


def reach(config: TrainConfig, number: int, rounds: int, greatest: float) -> float:
    """How far AdamW can move any weight in round ``number``, from 1, that begins with weights of at most ``greatest``.

    Whatever the gradients, by Cauchy-Schwarz m̂/√v̂ is at most (1-β1)·√(Σⱼ (β1²/β2)ʲ)·√(1-β2ᵗ) / (√(1-β2)·(1-β1ᵗ)) in
    step t of a new optimiser (arXiv:1412.6980, section 2.1, has the limit for sparse gradients); weight decay
    (arXiv:1711.05101) adds its share of the weight.
    """
    steps = config.steps // rounds
    ratio = config.beta1**2 / config.beta2 if config.beta2 else 0.0
    text = config.text_encoder_learning_rate / config.learning_rate if config.text_encoder_rank else 0.0
    moved, geometric = 0.0, 0.0
    for local in range(steps):
        geometric = geometric * ratio + 1
        t = local + 1
        memory = (1 - config.beta1) * math.sqrt(geometric) / math.sqrt(1 - config.beta2)
        bound = memory * math.sqrt(1 - config.beta2**t) / (1 - config.beta1**t)
        rate = config.learning_rate_at((number - 1) * steps + local) * max(1.0, text)
        moved += rate * (bound + config.weight_decay * (greatest + moved))
    return moved * _SLACK + 1e-6 * steps * greatest


def _excluded(config: TrainConfig) -> dict[str, bool]:
    return {
        "`ema_decay`": config.ema_decay > 0,
        "`patience`": config.patience > 0,
        "`processes`": config.processes > 1,
        "`replay_every`": config.replay_every > 0,
        "`replay_snapshots`": config.replay_snapshots,
        "`trigger` (a word to be learned)": is_learned(config.trigger),
        "`validation_share`": config.validation_share > 0,
        "`wandb`": config.wandb,
    }
