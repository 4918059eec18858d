"""Schedulers by name: which diffusers class each means, with which options, and which bases it can draw with."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from generation.latent_mark import is_flow
from provenance.errors import UsageError

DEFAULT, FLOW_DEFAULT = "dpmsolver++", "flow-euler"
USUAL = {"sd3": FLOW_DEFAULT, "svd": "euler"}


@dataclass(frozen=True)
class Scheduler:
    """One way down from noise to a picture.

    ``kind`` is a class of diffusers, ``elsewhere`` what AUTOMATIC1111 calls it; ``options`` are set whatever the base
    says of them. A ``stochastic`` one draws fresh noise at every step, so that what a picture starts from cannot be
    found in it again. ``flow`` ones follow the flows of transformers such as Stable Diffusion 3's, the others denoise
    with a U-Net.
    """

    kind: str
    elsewhere: str
    options: Mapping[str, Any] = field(default_factory=dict)
    stochastic: bool = False
    flow: bool = False
    most_steps: int = 1000


# Latents are not confined to -1 to 1; two classes clip them unless a base's configuration says otherwise.
_UNCLIPPED = {"clip_sample": False}

SCHEDULERS: dict[str, Scheduler] = {
    DEFAULT: Scheduler("DPMSolverMultistepScheduler", "DPM++ 2M", {"algorithm_type": "dpmsolver++"}),
    "dpmsolver++-karras": Scheduler(
        "DPMSolverMultistepScheduler", "DPM++ 2M Karras", {"algorithm_type": "dpmsolver++", "use_karras_sigmas": True}
    ),
    "dpmsolver++-sde": Scheduler(
        "DPMSolverMultistepScheduler", "DPM++ 2M SDE", {"algorithm_type": "sde-dpmsolver++"}, stochastic=True
    ),
    "ddim": Scheduler("DDIMScheduler", "DDIM", _UNCLIPPED),
    "euler": Scheduler("EulerDiscreteScheduler", "Euler"),
    "euler-a": Scheduler("EulerAncestralDiscreteScheduler", "Euler a", stochastic=True),
    "heun": Scheduler("HeunDiscreteScheduler", "Heun", _UNCLIPPED),
    "unipc": Scheduler("UniPCMultistepScheduler", "UniPC"),
    # Distilled from 50 steps, of which it can take no more than there are.
    "lcm": Scheduler(
        "LCMScheduler", "LCM", {**_UNCLIPPED, "original_inference_steps": 50}, stochastic=True, most_steps=50
    ),
    FLOW_DEFAULT: Scheduler("FlowMatchEulerDiscreteScheduler", "Euler", flow=True),
    "flow-heun": Scheduler("FlowMatchHeunDiscreteScheduler", "Heun", flow=True),
}


def usual_scheduler(family: str) -> str:
    """The name of the scheduler that bases of a family are drawn with when nobody asks for another."""
    return USUAL.get(family, DEFAULT)


def scheduler_fault(name: str, steps: int) -> str | None:
    """What is wrong with a scheduler's name or with the steps asked of it; None when nothing is."""
    if name not in SCHEDULERS:
        meant = _meant(name)
        hint = f"did you mean {meant}?" if meant else f"known are {', '.join(SCHEDULERS)}"
        return f"scheduler {name!r} is unknown; {hint}"
    most = SCHEDULERS[name].most_steps
    return f"{steps} steps of {name}; at most {most} are possible" if steps > most else None


def _meant(name: str) -> str | None:
    """Ours for what other tools call it, also in other letters; where flows have the same name, the U-Net's."""
    folded = name.strip().casefold()
    return next((own for own, one in SCHEDULERS.items() if folded in (own, one.elsewhere.casefold())), None)


def put_scheduler(pipeline: Any, name: str) -> None:
    """Gives a pipeline the scheduler of a name; prediction type, betas and spacing stay the base's own.

    Raises UsageError for an unknown name, and for a scheduler that cannot draw what the base predicts.
    """
    fault = scheduler_fault(name, 1)
    if fault is not None:
        raise UsageError(fault)
    import diffusers

    wanted = SCHEDULERS[name]
    kind, config = getattr(diffusers, wanted.kind), pipeline.scheduler.config
    if wanted.flow != is_flow(pipeline):
        raise _does_not_fit(name, "matches flows" if is_flow(pipeline) else "denoises with a U-Net")
    # A class that does not know this option ignores it, and draws from betas the base was not trained on.
    if config.get("rescale_betas_zero_snr") and not _takes(kind, "rescale_betas_zero_snr"):
        raise _does_not_fit(name, "was trained down to pure noise (zero terminal SNR)")
    pipeline.scheduler = kind.from_config(config, **wanted.options)


def _takes(kind: Any, option: str) -> bool:
    return option in inspect.signature(kind.__init__).parameters


def _does_not_fit(name: str, what: str) -> UsageError:
    others = [other for other, wanted in SCHEDULERS.items() if wanted.flow == (what == "matches flows")]
    return UsageError(
        f"scheduler {name} cannot draw with this base",
        found=f"a base that {what}",
        fix=f"choose another --scheduler, for example {others[0]}",
    )
