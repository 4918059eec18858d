"""Whether a received picture is the recorded one, as far as it can be seen: a watermark alone can be copied.

Where record and detection both say where their picture lies on the watermark's plane, the received one is laid back
first, and only the cells are compared of which at least 90 % can be seen; otherwise whole pictures are compared.

The limits were set on 160 scenes of the starter world at 256 px and 40 photographs and starter samples of 256 to 1,536
px, then held against 80 other scenes and other changes of the same 40, each with a mark that was written and read:
- Turned by 5° to 45° (black corners, larger canvas, or cut inside), cropped to 0.5, 0.4 and 0.25 of the area, scaled by
  0.5 to 2, mirrored, on its side, stretched by 1.2, and combinations, each with JPEG 50: of 1,400 the mark was read in
  1,333, of which 1,329 are the same, 4 unclear (3 of a brick wall, too plain; 1 misplaced), none another picture. The
  largest distance is 0.066; with 36 to 64 cells 99 % lie below 0.047, with 16 to 35 below 0.045.
- The mark added pixel for pixel in its place to another picture, or its payload embedded there anew, then whole,
  cropped to 0.5, 0.4 or 0.25, turned by 5° to 45° or enlarged, each with JPEG 50: of 1,840 the mark was read in 1,798;
  none is the same, 7 are unclear, 1 extended.
What showing less gains was measured on 240 scenes more, with windows laid exactly in their place, JPEG 50, a third of
them turned by 25°. Taken for the same, of 360 each: at 0.4 and 0.25 of the area no other object, colour or scene; of
the same scene drawn anew 3 and 4, from 3 of the 240 pairs. At 0.16 (16 cells): 1 other object, 4 of another colour
(hardly any of the object is in sight), 3 drawn anew, no other scene. Below 16 cells nothing is taken for the same.
Brightness +10 % with clipped skies, half a pixel of misplacement and JPEG 40 leave 112 of 122 half pictures the same
and 70 quarters, the other quarters mostly unclear; brightness -10 % and contrast ±10 % all halves and 118 quarters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from provenance.credentials import ProvAssertion
from provenance.placement import read_placement
from provenance.record import ImageRecord

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from provenance.straightened import View
    from safety.watermark import Placement

COVERED = 0.9
WHOLE = 120
MANY, FEWEST, HINT = 36, 16, 6
FEW_THRESHOLD = 0.06
PLAINEST, CLEAREST = 0.2, 8.0
NEAR_MISS = 3.0
MOST_BEYOND = 0.2


class Kind(StrEnum):
    """``same``: the recorded picture; ``other``: another one; ``extended``: the recorded one is only a part of it;
    ``unclear``: what can be seen agrees, but is too little or too plain to tell.
    """

    SAME = "same"
    OTHER = "other"
    EXTENDED = "extended"
    UNCLEAR = "unclear"


@dataclass(frozen=True)
class Issued:
    """What a record or a signed manifest says of the look of its picture; ``size`` is (width, height)."""

    fingerprint: str
    size: tuple[int, int] | None = None
    placement: Placement | None = None

    @classmethod
    def of_record(cls, record: ImageRecord) -> Issued:
        """As a record has it."""
        return cls(record.fingerprint, (record.image.width, record.image.height), record.placement)

    @classmethod
    def of_assertion(cls, assertion: ProvAssertion) -> Issued | None:
        """As a manifest has it; None when it is of a version that did not say."""
        if assertion.fingerprint is None:
            return None
        size = None if assertion.size is None else (assertion.size["width"], assertion.size["height"])
        return cls(assertion.fingerprint, size, read_placement(assertion.placement))


@dataclass(frozen=True)
class Likeness:
    """The outcome: distance from 0 (the same) to 1, the limit it was held to, what was seen in words, and in how many
    of the 144 cells.
    """

    kind: Kind
    distance: float
    limit: float
    detail: str
    cells: int = 144

    @property
    def score(self) -> int:
        """100 the same, 50 the limit; at most 49 for what does not count as the recorded picture."""
        score = round(100 * max(0.0, 1 - self.distance / (2 * self.limit)))
        return score if self.kind is Kind.SAME else min(score, 49)


def likeness(pixels: NDArray[np.uint8], received: Placement | None, issued: Issued) -> Likeness:
    """Compares an (H, W, 3) uint8 picture with what was issued; raises FormatError for a fingerprint that is none.

    ``received`` is where the picture's watermark was found, by the backend that wrote it.
    """
    placement, size = issued.placement, issued.size
    if received is None or placement is None or size is None or received.period != placement.period:
        return _of_whole(pixels, issued.fingerprint)
    return _of_visible(pixels, received, placement, size, issued.fingerprint)


def _of_whole(pixels: NDArray[np.uint8], issued: str) -> Likeness:
    from provenance.fingerprint import MATCH_THRESHOLD, distance, fingerprint

    far = distance(issued, fingerprint(pixels))
    if far <= MATCH_THRESHOLD:
        return Likeness(
            Kind.SAME, far, MATCH_THRESHOLD, f"looks like the recorded picture {_against(far, MATCH_THRESHOLD)}"
        )
    detail = f"the record was issued for another picture {_against(far, MATCH_THRESHOLD)}"
    return Likeness(Kind.OTHER, far, MATCH_THRESHOLD, detail)


def _of_visible(
    pixels: NDArray[np.uint8], received: Placement, placement: Placement, size: tuple[int, int], issued: str
) -> Likeness:
    from provenance.straightened import Straightener, lyings, nudged

    ways = lyings(received, placement, (pixels.shape[1], pixels.shape[0]), size)
    if not ways:
        detail = "the watermark lies where it shows nothing of the recorded picture"
        return Likeness(Kind.OTHER, 1.0, FEW_THRESHOLD, detail)
    straightener = Straightener(pixels, size)
    compared = [_of_view(view, issued) for way in ways for view in straightener.views(way)]
    nearest = min(compared, key=lambda each: each.distance)
    if nearest.limit < nearest.distance <= NEAR_MISS * nearest.limit:
        moved = (each for way in ways for each in nudged(way, size))
        compared += [_of_view(view, issued) for way in moved for view in straightener.views(way)]
    return min(compared, key=_preference)


def _preference(found: Likeness) -> tuple[int, float]:
    """First what is the recorded picture, then what may be; else as it was found first."""
    if found.kind is Kind.SAME:
        return (0, found.distance)
    return (1, found.distance) if found.kind is Kind.UNCLEAR and found.cells >= HINT else (2, 0.0)


def _of_view(view: View, issued: str) -> Likeness:
    from provenance.fingerprint import MATCH_THRESHOLD, contrast_of_cells, distance_of_cells

    counted = view.coverage >= COVERED
    cells = int(counted.sum())
    limit = MATCH_THRESHOLD if cells >= MANY else FEW_THRESHOLD
    far = distance_of_cells(issued, view.cells, counted)
    contrast = contrast_of_cells(issued, counted)
    against, seen = _against(far, limit), _seen(view)
    agrees = f"agrees with the recorded picture {against}, but"
    if cells == 0 and view.beyond <= MOST_BEYOND:
        kind, detail = Kind.UNCLEAR, f"too little of the recorded picture is visible to tell ({seen})"
    elif far > MATCH_THRESHOLD:
        kind, detail = Kind.OTHER, f"the record was issued for another picture {against}, {seen}"
    elif view.beyond > MOST_BEYOND:
        kind = Kind.EXTENDED
        detail = f"shows the recorded picture {against}, {seen}, and {view.beyond:.0%} that is not on record"
    elif cells < FEWEST or far > limit:
        kind, detail = Kind.UNCLEAR, f"{agrees} too little of it is visible to tell ({seen})"
    elif cells < WHOLE and contrast < PLAINEST and far > contrast / CLEAREST:
        kind, detail = Kind.UNCLEAR, f"{agrees} what is visible is too plain to tell ({seen})"
    else:
        kind, detail = Kind.SAME, f"looks like the recorded picture {against}, {seen}"
    return Likeness(kind, far, limit, detail, cells)


def _against(far: float, limit: float) -> str:
    return f"(distance {far:.3f}, limit {limit:.3f})"


def _seen(view: View) -> str:
    return ", ".join([f"{view.visible:.0%} visible", *_changes(view)])


def _changes(view: View) -> Iterator[str]:
    import numpy as np

    from safety.watermark import Geometry

    (a, b), (c, d) = np.linalg.inv(view.matrix).tolist()
    geometry = Geometry.of(a, b, c, d)
    if geometry.flip:
        yield "mirrored"
    if abs(geometry.angle) >= 0.5:
        yield f"turned by {abs(geometry.angle):.0f}° {'counter-' if geometry.angle > 0 else ''}clockwise"
    if abs(geometry.scale - 1) >= 0.01:
        yield f"scaled to {geometry.scale:.2f}"
    if abs(geometry.aspect - 1) >= 0.02:
        yield f"stretched to {geometry.aspect:.2f} times the width"
