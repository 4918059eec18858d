"""Random draws by counter: each comes from (seed, step, sample, purpose) alone, so no draw depends on another.

A resumed training, another batch size or one more sample image therefore changes no other draw.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def draw_seed(seed: int, step: int, sample: int, purpose: str) -> int:
    """The first 63 bits of SHA-256 of ``seed/step/sample/purpose``."""
    digest = hashlib.sha256(f"{seed}/{step}/{sample}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, step: int, sample: int, purpose: str) -> torch.Generator:
    """A CPU generator for one draw, so that every device sees the same numbers."""
    import torch

    return torch.Generator().manual_seed(draw_seed(seed, step, sample, purpose))


def item_at(seed: int, position: int, count: int, group: int = 0) -> int:
    """Which of a group's ``count`` items is at a position of its endless stream: each epoch is its own permutation."""
    epoch, place = divmod(position, count)
    return int(_epoch_order(seed, epoch, count, group)[place])


@lru_cache(maxsize=64)
def _epoch_order(seed: int, epoch: int, count: int, group: int) -> torch.Tensor:
    import torch

    return torch.randperm(count, generator=generator(seed, epoch, group, "order"))
