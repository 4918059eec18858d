"""The seam between the payload's code and the pixels: whoever can write and read bits in a picture is a backend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from safety.errors import WatermarkError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DEFAULT_BACKEND = "dwtDctSvd"

_CANNOT = {
    "rivaGan": "it carries 32 raw bits in a whole picture, and a payload is 64 bits before error correction",
    "dwtDct": "too little of it survives JPEG 90 to carry 64 bits",
}


class WatermarkBackend(Protocol):
    """Writes raw bits into pixels and reads them back as soft values; knows nothing of payloads and keys."""

    @property
    def name(self) -> str: ...

    @property
    def strengths(self) -> tuple[float, ...]:
        """The strengths it reads without being told, the default first, rising."""

    @property
    def hypotheses(self) -> int:
        """The most readings one picture gives; every p-value is multiplied by it."""

    def positions(self, height: int, width: int) -> int:
        """How many raw bits a picture of that size carries; 0 when it is too small."""

    def write(self, image: NDArray[np.uint8], bits: NDArray[np.uint8], strength: float) -> NDArray[np.uint8]:
        """A marked copy of an (H, W, 3) RGB picture; ``bits`` is (positions,) of 0 and 1."""

    def readings(self, image: NDArray[np.uint8]) -> Iterator[NDArray[np.float64]]:
        """Soft values (positions,) in [-1, 1], positive for 1, one array for each hypothesis, likeliest first."""


def backend(name: str) -> WatermarkBackend:
    """The backend of a name; raises WatermarkError naming those there are."""
    if name == DEFAULT_BACKEND:
        from safety.watermark.dwt_dct_svd import DwtDctSvd

        return DwtDctSvd()
    raise WatermarkError(
        f"there is no watermark backend {name!r} that carries a payload",
        expected=DEFAULT_BACKEND,
        found=_CANNOT.get(name),
        fix=f"use backend {DEFAULT_BACKEND!r}",
    )
