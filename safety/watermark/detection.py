"""What reading a picture's watermark gives."""

from __future__ import annotations

from dataclasses import dataclass, field

from safety.watermark.geometry import Geometry, Placement

THRESHOLD = 1e-9


@dataclass(frozen=True)
class Detection:
    """What was read: the payload, or None when the p-value is above 1e-9.

    ``geometry`` is what happened to the picture since it was marked, as far as the backend can tell; ``placement`` is
    the same as a place on the pattern's plane, None from backends that have none.
    """

    payload: int | None
    p_value: float
    backend: str
    milliseconds: float
    geometry: Geometry = field(default_factory=Geometry)
    placement: Placement | None = None

    def __bool__(self) -> bool:
        return self.payload is not None
