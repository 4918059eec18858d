"""How far a marked picture is from its original."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NO_CHANGE = 100.0


def psnr(original: NDArray[np.uint8], marked: NDArray[np.uint8]) -> float:
    """Peak signal to noise over all three channels, in dB; 100 where nothing differs."""
    error = float(np.mean((original.astype(np.float64) - marked) ** 2))
    return NO_CHANGE if error == 0 else min(NO_CHANGE, 20 * math.log10(255) - 10 * math.log10(error))


def ssim(original: NDArray[np.uint8], marked: NDArray[np.uint8]) -> float:
    """Structural similarity, mean of the three channels, with the Gaussian window of Wang et al. (2004)."""
    from skimage.metrics import structural_similarity

    similarity = structural_similarity(
        original,
        marked,
        channel_axis=2,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return float(similarity)
