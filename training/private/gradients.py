"""Differentially private steps: per-picture gradients, each clipped, their sum under Gaussian noise (DP-SGD).

Abadi et al., arXiv:1607.00133. What protects: a picture is drawn by a coin of its own and moves the sum by at most
``clip``; the coins and the noise are a secret of the process. Everything a picture's gradient depends on beside the
picture itself (view, caption, noise, time) follows from the published seed, the step and the picture's place in the
dataset, so that no picture changes the gradient of another.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provenance.canonical import sha256_hex
from training.batch import make_batch, sample_losses
from training.errors import TrainingError
from training.private.accounting import Plan, plan_privacy
from training.private.plan import PLAN, keep_plan
from training.private.secret import Secret
from training.replay.chain import Taken

if TYPE_CHECKING:
    import torch

    from training.setup import Setup

# What the replay chain is told of a private step: neither who was drawn nor the state of any generator.
UNTOLD = sha256_hex(b"")
# A clipped gradient stays below its bound after rounding, too.
_ROUNDING = 1 + 1e-6


def private_gradients(setup: Setup, folder: Path | None = None, *, resumed: bool = False) -> PrivateGradients:
    """What leaves the gradients of a step in the parameters, privately; with a secret of its own.

    ``folder`` is that of the checkpoints: the plan is kept there, and a training that is resumed must have the same.
    Raises ConfigError, TrainingError, or CheckpointError when the plan is another.
    """
    private = PrivateGradients.of(setup)
    if folder is not None:
        keep_plan(folder / PLAN, private.plan, resumed=resumed)
    return private


@dataclass(frozen=True)
class PrivateGradients:
    """The private steps of one session; each call leaves one step's gradients in the parameters."""

    setup: Setup
    plan: Plan
    secret: Secret

    @classmethod
    def of(cls, setup: Setup, secret: Secret | None = None) -> PrivateGradients:
        """Prepares the denoiser to give per-picture gradients (Opacus' hooks); ``secret`` is for tests."""
        plan = plan_privacy(setup.config, len(setup.cache))
        from opacus.grad_sample.grad_sample_module import GradSampleHooks

        _require_pictures_apart(setup.family.denoiser)
        GradSampleHooks(setup.family.denoiser, batch_first=True, loss_reduction="sum")
        return cls(setup, plan, secret or Secret())

    def __call__(self, step: int) -> Taken:
        """Draws pictures and leaves the noisy mean of their clipped gradients; a step may draw nobody.

        The loss is summed over whoever was drawn and divided by how many that are on average: it is not private.
        """
        sums, loss = self.summed(step, self.drawn(step))
        spread, share = self.plan.sigma * self.plan.clip, 1 / self.plan.expected_batch
        for name, parameter in self.setup.parameters.items():
            noise = self.secret.normals(step, f"noise {name}", parameter.numel(), self.setup.device)
            noisy = sums[name].to(noise.device).double() + spread * noise.view_as(parameter)
            parameter.grad = (share * noisy).to(parameter)
        return Taken(share * loss, UNTOLD, UNTOLD)

    def drawn(self, step: int) -> list[int]:
        """The items of a step: each with probability ``sample_rate``, whoever else is drawn."""
        chances, rate = self.secret.chances(step, "who is drawn", self.plan.items), self.plan.sample_rate
        return [item for item, chance in zip(self.setup.cache.trained, chances.tolist(), strict=True) if chance < rate]

    def summed(self, step: int, items: Sequence[int]) -> tuple[dict[str, torch.Tensor], float]:
        """The sum of the clipped gradients of some items, and of their losses; NaN if any gradient is not finite."""
        import torch

        setup, clip = self.setup, self.plan.clip
        torch.manual_seed(self.secret.seed(step, "dropout"))
        sums, loss = {name: torch.zeros_like(p) for name, p in setup.parameters.items()}, 0.0
        for part in self._parts(items):
            slots = [setup.cache.slot(step, item, item) for item in part]
            batch = make_batch(setup.family, setup.cache, setup.config, step, slots)
            with _hooks_that_end_at_inputs():
                total = sample_losses(setup.family, batch, setup.config).sum()
                total.backward()  # type: ignore[no-untyped-call]
            each = take_sample_gradients(setup.parameters, len(part))
            norms = gradient_norms(each)
            add_clipped(sums, each, norms, clip)
            loss += float(total.detach()) if bool(norms.isfinite().all()) else math.nan
        return sums, loss

    def _parts(self, items: Sequence[int]) -> Iterator[list[int]]:
        """Items in parts of one picture size, none larger than ``batch_size``."""
        sizes: dict[tuple[int, ...], list[int]] = {}
        for item in items:
            sizes.setdefault(tuple(self.setup.cache.latents(item, 0)[0].shape), []).append(item)
        most = self.setup.config.batch_size
        for group in sizes.values():
            yield from (group[first : first + most] for first in range(0, len(group), most))


def take_sample_gradients(parameters: Mapping[str, Any], count: int) -> dict[str, torch.Tensor]:
    """Takes the gradients of ``count`` pictures out of parameters, ``(count, *shape) float32`` each, by name.

    A parameter that no picture reached is left out. Raises TrainingError when a layer mixed pictures up.
    """
    taken = {}
    for name, parameter in parameters.items():
        mixed, each = parameter.grad, getattr(parameter, "grad_sample", None)
        parameter.grad = parameter.grad_sample = None
        if mixed is None and each is None:
            continue
        # Opacus gives a list where gradients of an earlier batch were left behind.
        if each is None or isinstance(each, list) or each.shape != (count, *parameter.shape):
            raise TrainingError(
                "a layer gives no gradient for each picture by itself",
                expected=f"{count} gradients of {name}",
                found="none" if each is None else str(len(each)),
                fix="leave it out of `targets`, or train without dp_epsilon",
            )
        taken[name] = each.float()
    return taken


def gradient_norms(each: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The length of every picture's gradient over all parameters together, ``(count,) float32``."""
    import torch

    squares = [gradients.flatten(1).square().sum(1) for gradients in each.values()]
    return torch.stack(squares).sum(0).sqrt()


def add_clipped(
    sums: dict[str, torch.Tensor], each: Mapping[str, torch.Tensor], norms: torch.Tensor, clip: float
) -> None:
    """Adds every picture's gradient to the sums, shortened to ``clip`` where it is longer."""
    import torch

    factors = clip / (norms * _ROUNDING).clamp(min=clip)
    for name, gradients in each.items():
        sums[name] += torch.tensordot(factors, gradients, dims=1)


def _require_pictures_apart(denoiser: torch.nn.Module) -> None:
    import torch

    mixing = [n for n, part in denoiser.named_modules() if isinstance(part, torch.nn.modules.batchnorm._BatchNorm)]
    if mixing:
        raise TrainingError(
            "this base cannot be trained privately: a layer of it mixes the pictures of a batch",
            expected="no batch normalisation",
            found=mixing[0],
        )


@contextmanager
def _hooks_that_end_at_inputs() -> Iterator[None]:
    """PyTorch warns of hooks on layers whose inputs need no gradient, as those that read captions: they work."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Full backward hook is firing")
        yield
