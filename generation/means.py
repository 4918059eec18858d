"""By what means pictures are drawn: nothing here decides what they show, but for the last bits of their numbers."""

from __future__ import annotations

from dataclasses import dataclass

from provenance.errors import UsageError

PRECISIONS = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
PLACES = ("ray",)
MOST_AT_ONCE = 256


@dataclass(frozen=True)
class Means:
    """How many pictures are drawn at once and how; raises UsageError.

    ``precision`` is one of ``PRECISIONS``, by default fp16 on an accelerator and fp32 elsewhere. ``compiled`` compiles
    the denoiser, which takes minutes once and pays off over hundreds of pictures. ``on`` is ``ray``, or None for this
    very machine.
    """

    batch_size: int = 4
    precision: str | None = None
    compiled: bool = False
    on: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.batch_size <= MOST_AT_ONCE:
            raise UsageError(
                f"{self.batch_size} pictures cannot be drawn at once", expected=f"a batch size of 1 to {MOST_AT_ONCE}"
            )
        if self.on not in (None, *PLACES):
            raise UsageError(f"nothing can be drawn on {self.on!r}", expected=", ".join(PLACES), found=self.on)
        if self.precision is not None and self.precision not in PRECISIONS:
            raise UsageError(
                f"precision {self.precision!r} is unknown", expected=", ".join(PRECISIONS), found=self.precision
            )
