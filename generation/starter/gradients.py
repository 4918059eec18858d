"""Gradients of one batch on several cores, the same bits every time.

Each worker thread runs its share of the batch with single-threaded kernels. That is as fast as threaded kernels
when the cores are free, several times faster when another program wants one of them (nobody waits inside a
kernel), and the sums are always taken in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

Loss = Callable[..., Tensor]


class Workers:
    """A pool of threads that share a batch."""

    def __init__(self, count: int, bfloat16: bool = True, shares: int = 1):
        torch.set_num_threads(1)
        # With several shares for each worker, one that is held up by another program leaves the rest to the others.
        self._shares, self._bfloat16 = count * shares, bfloat16
        self._pool = ThreadPoolExecutor(count)

    def gradients(self, loss: Loss, parameters: Sequence[nn.Parameter], *batch: Tensor) -> tuple[list[Tensor], float]:
        """The mean gradient of ``loss(*share)`` over equal shares of the batch, and the mean loss."""
        if len(batch[0]) % self._shares:
            raise ValueError(f"expected a batch of {self._shares} equal shares, found {len(batch[0])}")

        def one(share: tuple[Tensor, ...]) -> tuple[tuple[Tensor | None, ...], float]:
            with torch.autocast("cpu", torch.bfloat16, enabled=self._bfloat16):
                value = loss(*share)
            return torch.autograd.grad(value, parameters, allow_unused=True), float(value.detach())

        shares = list(zip(*(part.chunk(self._shares) for part in batch), strict=True))
        results = list(self._pool.map(one, shares))
        total: list[Tensor] = []
        for i, parameter in enumerate(parameters):
            summed = torch.zeros_like(parameter)
            for share_gradients, _ in results:
                if (gradient := share_gradients[i]) is not None:
                    summed += gradient
            total.append(summed.div_(self._shares))
        return total, sum(value for _, value in results) / self._shares

    def each(self, function: Callable[[Any], None], items: Sequence[Any]) -> None:
        """Calls a function for each item, several at a time."""
        list(self._pool.map(function, items))

    def map(self, function: Callable[[Tensor], Tensor], batch: Tensor, size: int) -> Tensor:
        """``function`` over pieces of the batch without gradients, joined again, in float32."""

        def one(piece: Tensor) -> Tensor:
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=self._bfloat16):
                return function(piece).float()

        return torch.cat(list(self._pool.map(one, torch.split(batch, size))))
