"""What one run covers: all of it, a quick look, or a person's own pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.watermark import drawn, pictures
from benchmarks.watermark.pictures import Picture
from benchmarks.watermark.suite import COMBINED, GROUPS, NONE, STRONGEST, TARGETS, group_of, suite
from benchmarks.watermark.systems import RIVA_GAN, RIVA_GAN_32, system

SLOW_PICTURES = 3
QUICK_PICTURES = 3
# Everything but the photographs at 512 × 512, on which the whole suite is run.
OTHER_SETS: tuple[Callable[[], list[Picture]], ...] = (
    pictures.small_photographs,
    pictures.large_photographs,
    drawn.drawn_scenes,
    drawn.starter_samples,
    drawn.text_pages,
    drawn.flat_pictures,
    drawn.dark_pictures,
    drawn.saturated_pictures,
)


@dataclass(frozen=True)
class Stage:
    """Some systems on some pictures through some attacks."""

    systems: tuple[str, ...]
    pictures: tuple[Picture, ...]
    attacks: tuple[str, ...]


@dataclass(frozen=True)
class Scope:
    """``most``: pictures of each set, None for all; ``folder``: a person's own pictures instead of those here."""

    systems: tuple[str, ...]
    folder: Path | None = None
    quick: bool = False
    most: int | None = None

    def main_pictures(self) -> list[Picture]:
        """Those that the tables of attacks are about."""
        own = pictures.from_folder(self.folder) if self.folder else pictures.photographs()
        return own[: self._most(QUICK_PICTURES if self.quick else None)]

    def stages(self) -> list[Stage]:
        """The whole suite on the main pictures, the grouped attacks on the others, fewer of both for slow systems."""
        grouped = _names(GROUPS)
        fast = tuple(name for name in self.systems if not system(name).slow)
        slow = tuple(name for name in self._with_native() if system(name).slow)
        main = self.main_pictures()
        if self.quick:
            looked_at = _names((TARGETS, COMBINED))
            stages = [Stage(fast, tuple(main), looked_at), Stage(slow, tuple(main[:1]), _names((TARGETS,)))]
        else:
            slow_pictures = tuple(main[: self._most(SLOW_PICTURES)])
            stages = [Stage(fast, tuple(main), tuple(suite())), Stage(slow, slow_pictures, grouped)]
            if self.folder is None:
                stages += [Stage(fast, tuple(some()[: self._most(None)]), grouped) for some in OTHER_SETS]
        return [stage for stage in stages if stage.systems and stage.pictures]

    def timed_systems(self) -> tuple[str, ...]:
        """All of them, rivaGan both with a payload and as its package uses it."""
        return self._with_native()

    def _with_native(self) -> tuple[str, ...]:
        native = (RIVA_GAN_32,) if RIVA_GAN in self.systems and RIVA_GAN_32 not in self.systems else ()
        return (*self.systems, *native)

    def _most(self, usual: int | None) -> int | None:
        bounds = [bound for bound in (usual, self.most) if bound is not None]
        return min(bounds, default=None)


def _names(groups: Sequence[str]) -> tuple[str, ...]:
    return (NONE, *group_of(*groups))


GROUP_TARGETS = {TARGETS: 0.99, STRONGEST: 0.95, COMBINED: 0.95}
