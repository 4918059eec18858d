"""Memory for what is too large for memory: an unnamed temporary file, so that nobody can exchange what lies in it."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

IN_MEMORY_BYTES = 1 << 30


def empty_tensor(shape: tuple[int, ...], spill: Path) -> torch.Tensor:
    """An uninitialised float32 tensor, in memory up to a gibibyte, beyond that in an unnamed file of ``spill``."""
    import numpy as np
    import torch

    if 4 * math.prod(shape) <= IN_MEMORY_BYTES:
        return torch.empty(shape)
    spill.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=spill) as file:
        return torch.from_numpy(np.memmap(file, dtype=np.float32, mode="w+", shape=shape))
