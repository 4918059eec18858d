"""Masked loss: how much every latent pixel of a picture counts, by the picture's own alpha channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def latent_mask(alpha: torch.Tensor, shape: Sequence[int], floor: float) -> torch.Tensor:
    """Alpha ``(V, H, W)`` in 0…1 to weights ``(V, h, w)``: the mean over each latent pixel, raised to ``floor``…1."""
    from torch.nn.functional import adaptive_avg_pool2d

    return floor + (1 - floor) * adaptive_avg_pool2d(alpha[:, None], (shape[0], shape[1]))[:, 0]


def stacked_masks(masks: Sequence[torch.Tensor | None], shape: Sequence[int]) -> torch.Tensor | None:
    """The masks ``(h, w)`` of a batch as ``(B, 1, h, w)``, or None when all of its pictures count whole."""
    import torch

    if all(mask is None for mask in masks):
        return None
    return torch.stack([torch.ones(*shape) if mask is None else mask for mask in masks])[:, None]


def masked_means(errors: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """The mean of each sample's errors ``(B, C, h, w)``, weighted by ``mask (B, 1, h, w)``; ``(B,)``.

    Weights are relative: a small figure counts as much as a large one. A sample without any weight counts as 0.
    """
    if mask is None:
        return errors.mean(dim=(1, 2, 3))
    return (errors.mean(dim=1, keepdim=True) * mask).sum(dim=(1, 2, 3)) / mask.sum(dim=(1, 2, 3)).clamp(min=1e-6)
