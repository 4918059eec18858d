"""What a privacy budget leaves of a training's use, in words and numbers, before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from provenance.base import WEIGHT_STEMS, BaseModel
from training.config import TrainConfig
from training.errors import ConfigError
from training.private.accounting import Plan

# Below these ratios of signal to noise over a whole training, by docs/private-training.md.
_WEAK, _USELESS = 1.0, 0.1


@dataclass(frozen=True)
class Outlook:
    """Signal to noise of a private training, at best: as if all pictures pulled the same way and none was clipped.

    ``numbers`` are trained, and noise goes to each of them: its length is sigma · clip · √numbers, that of the signal
    at most clip · the expected batch. Over ``steps`` steps signals add up, and noise by the root of that.
    """

    plan: Plan
    numbers: int

    @property
    def step_ratio(self) -> float:
        """Signal to noise of one step."""
        return self.plan.expected_batch / (self.plan.sigma * math.sqrt(self.numbers))

    @property
    def ratio(self) -> float:
        """Signal to noise of all steps together."""
        return self.step_ratio * math.sqrt(self.plan.steps)

    @property
    def pictures_needed(self) -> int:
        """With how many pictures, in batches larger by as much, signal and noise would be level."""
        return math.ceil(self.plan.items / self.ratio)


def count_trained(base: BaseModel, config: TrainConfig) -> int:
    """How many numbers a LoRA adapter of a base has, from the headers of its weights; raises ConfigError for none."""
    rank, count = config.rank, 0
    for name, shape in _weight_shapes(base):
        layer = f".{name.removesuffix('.weight')}"
        if len(shape) in (2, 4) and any(layer.endswith(f".{target}") for target in config.targets):
            count += rank * (math.prod(shape[1:]) + shape[0])
    if not count:
        raise ConfigError("the training configuration", ("`targets`: the base has no such layer",))
    return count


def told(outlook: Outlook) -> str:
    """The plan, and a plain warning of what it costs, in a few lines for people."""
    plan, ratio = outlook.plan, outlook.ratio
    if ratio < _USELESS:
        verdict = "the adapter will have learned next to nothing"
    elif ratio < _WEAK:
        verdict = "the adapter will have learned little: broad traits at most, no likeness"
    else:
        verdict = "something can be learned; compare it with a training without privacy"
    lines = [
        f"private   epsilon {plan.spent:.3g} at delta {plan.delta:g} after {plan.steps} steps, for each picture by "
        f"itself ({plan.accountant.upper()} accountant of Opacus {plan.opacus})",
        f"          each of {plan.items} pictures is drawn with probability {plan.sample_rate:.3g} in a step; "
        f"noise of {plan.sigma:.3g} times the clip {plan.clip:g} goes to {outlook.numbers:,} numbers",
        f"utility   signal to noise is at best {_ratio(outlook.step_ratio)} in one step and {_ratio(ratio)} in all: "
        f"{verdict}",
    ]
    if ratio < _WEAK:
        lines.append(
            f"          level would need about {outlook.pictures_needed:,} pictures in batches as much larger; "
            "fewer `targets`, a lower `rank` or a larger epsilon help too"
        )
    return "\n".join(lines)


def _ratio(value: float) -> str:
    return f"{value:.1f}" if value >= 1 else f"1 to {1 / value:,.0f}"


def _weight_shapes(base: BaseModel) -> Iterator[tuple[str, tuple[int, ...]]]:
    from safetensors import safe_open

    component = "transformer" if base.family == "sd3" else "unet"
    stem = WEIGHT_STEMS[component]
    whole = base.folder / component / f"{stem}.safetensors"
    for path in [whole] if whole.is_file() else sorted(whole.parent.glob(f"{stem}-?????-of-?????.safetensors")):
        with safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118 - not a mapping
                if name.endswith(".weight"):
                    yield name, tuple(file.get_slice(name).get_shape())
