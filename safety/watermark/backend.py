"""The seam between whoever wants a payload in a picture and the ways of putting one there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from safety.errors import WatermarkError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from safety.watermark.detection import Detection

DEFAULT_BACKEND = "pixel"
BACKENDS = ("pixel", "dwtDctSvd", "rivaGan")

_CANNOT = {"dwtDct": "too little of it survives JPEG 90 to carry 64 bits"}


class WatermarkBackend(Protocol):
    """Writes a 64-bit payload into an (H, W, 3) uint8 RGB picture and reads it back; raises WatermarkError."""

    @property
    def name(self) -> str: ...

    @property
    def strengths(self) -> tuple[float, ...]:
        """The strengths worth trying, the default first, rising; the scale is the backend's own."""

    def embed(
        self, pixels: NDArray[np.uint8], payload: int, key: bytes | None, strength: float | None
    ) -> NDArray[np.uint8]:
        """A marked copy, of the same shape; ``key`` None is the public key, ``strength`` None the default."""

    def detect(self, pixels: NDArray[np.uint8], key: bytes | None) -> Detection:
        """What is read under a key, with its p-value over every hypothesis tried."""


def backend(name: str) -> WatermarkBackend:
    """The backend of a name; raises WatermarkError naming those there are."""
    if name == "pixel":
        from safety.watermark.pixel.backend import PixelLayer

        return PixelLayer()
    if name == "dwtDctSvd":
        from safety.watermark.raw_bits import RawBits

        return RawBits()
    if name == "rivaGan":
        from safety.watermark.riva_gan import RivaGan

        return RivaGan()
    raise WatermarkError(
        f"there is no watermark backend {name!r} that carries a payload",
        expected=", ".join(BACKENDS),
        found=_CANNOT.get(name),
        fix=f"use backend {DEFAULT_BACKEND!r}",
    )
