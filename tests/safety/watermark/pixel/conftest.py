"""Pictures of several kinds, marked once for the session."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from safety.watermark import embed

Picture = NDArray[np.uint8]
PAYLOAD = 0xA5_0123456_789ABCD


@pytest.fixture(scope="session")
def textures(texture_of: Callable[..., Picture]) -> list[Picture]:
    """Three 512-pixel textures of a photograph's spectrum."""
    return [texture_of(seed, 512) for seed in (1, 2, 3)]


@pytest.fixture(scope="session")
def marked(textures: list[Picture]) -> list[Picture]:
    """The textures, marked with PAYLOAD, PAYLOAD + 1, …"""
    return [embed(picture, PAYLOAD + index) for index, picture in enumerate(textures)]
