"""A moving average of the trained weights, which is what is released and drawn with when `ema_decay` is above 0.

It forgets quickly at first, so that a short training is not an average over its beginning: after ``n`` steps the decay
is at most (1 + n) / (10 + n) (the warm start of TensorFlow's ``ExponentialMovingAverage``; cf. Karras et al.,
arXiv:2312.02696, on why a constant one is too long early on).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Average:
    """The average of each weight by name, on the device of the weights, in float32."""

    decay: float
    tensors: dict[str, torch.Tensor]

    @classmethod
    def of(cls, parameters: Mapping[str, torch.Tensor], decay: float) -> Average:
        """The average before the first step: the weights themselves."""
        return cls(decay, {name: parameter.detach().clone() for name, parameter in parameters.items()})

    def decay_at(self, step: int) -> float:
        """How much of the average stays at a step, counted from 0."""
        return min(self.decay, (1 + step) / (10 + step))

    def update(self, parameters: Mapping[str, torch.Tensor], step: int) -> None:
        """Takes the weights after a step into the average."""
        import torch

        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.tensors.values()),
                [parameters[name].detach() for name in self.tensors],
                1 - self.decay_at(step),
            )

    @contextmanager
    def in_place_of(self, parameters: Mapping[str, torch.Tensor]) -> Iterator[None]:
        """The model has the averaged weights inside, and its own bits again after."""
        own = {name: parameter.detach().clone() for name, parameter in parameters.items()}
        _copy(self.tensors, parameters)
        try:
            yield
        finally:
            _copy(own, parameters)


def _copy(source: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]) -> None:
    import torch

    with torch.no_grad():
        for name, parameter in target.items():
            parameter.copy_(source[name])
