"""A picture of any shape as squares that a CLIP image tower sees whole, half overlapping."""

from __future__ import annotations

from typing import TYPE_CHECKING

from safety.errors import FilterError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_VIEWS = 64


def square_views(picture: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Squares (S, S, 3) of a picture (H, W, 3), S its shorter side, that together hold every pixel; one for a square.

    Models cut the middle out of what is not square, and would leave the rest unseen. Raises FilterError for a picture
    so narrow that it needs more than 64.
    """
    height, width = picture.shape[:2]
    side, length = min(height, width), max(height, width)
    starts = [*range(0, length - side, max(1, side // 2)), length - side]
    if len(starts) > MOST_VIEWS:
        raise FilterError(
            "the picture is too narrow to be seen",
            expected=f"a side at most {MOST_VIEWS // 2} times the other",
            found=f"{width} by {height}",
        )
    if width > height:
        return [picture[:, start : start + side] for start in starts]
    return [picture[start : start + side] for start in starts]
