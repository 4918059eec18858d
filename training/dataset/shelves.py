"""Pictures as the autoencoder gives them, sorted by size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Shelf:
    """``N`` items whose pictures have one size, with ``V`` views each.

    ``means`` and ``deviations`` are ``(N, V, C, h, w) float32`` before scaling, ``time_ids`` is ``(N, V, 6) float32``,
    ``masks`` is ``(N, V, h, w) float32`` in 0…1, or None where every pixel counts.
    """

    means: torch.Tensor
    deviations: torch.Tensor
    time_ids: torch.Tensor
    masks: torch.Tensor | None = None

    def put(self, index: int, views: Shelf) -> None:
        """Fills the place of one item with its views."""
        self.means[index], self.deviations[index], self.time_ids[index] = views.means, views.deviations, views.time_ids
        if self.masks is not None and views.masks is not None:
            self.masks[index] = views.masks

    def tensors(self) -> dict[str, torch.Tensor]:
        """Its tensors by name, without a mask where it has none."""
        named = {"means": self.means, "deviations": self.deviations, "time_ids": self.time_ids, "masks": self.masks}
        return {name: tensor for name, tensor in named.items() if tensor is not None}
