"""Faces and likenesses: a place for somebody's own check, and none of ours.

Recognising people is nothing this program does. A package that does it offers a check under the entry-point group
``prov.likeness``::

    [project.entry-points."prov.likeness"]
    people-register = "their_package:open_check"

``open_check()`` gives a ``LikenessCheck``. It runs only when it is asked for by name; whatever goes wrong in it blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from safety.errors import FilterError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GROUP = "prov.likeness"
MAX_TEXT = 200


@runtime_checkable
class LikenessCheck(Protocol):
    """Looks for likenesses that may not be used."""

    @property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, of everything that decides: model, register, code."""

    def objections(self, image: NDArray[np.uint8]) -> Sequence[str]:
        """What stands against an (H, W, 3) uint8 picture, in words for the report; empty when nothing does."""


@dataclass(frozen=True)
class NamedCheck:
    """A check under the name it was asked for by."""

    name: str
    digest: str
    check: LikenessCheck

    def objections(self, image: NDArray[np.uint8]) -> tuple[str, ...]:
        """The check's objections; a check that fails, or answers with anything but texts, objects."""
        try:
            found = self.check.objections(image)
            if isinstance(found, str) or not all(isinstance(each, str) and each.strip() for each in found):
                raise FilterError("the answer is not a list of texts")
            return tuple(" ".join(each.split())[:MAX_TEXT] for each in found)
        except Exception as error:
            return (f"the likeness check {self.name} failed ({type(error).__name__}); nothing passes unscreened",)


def open_likeness_check(name: str) -> NamedCheck:
    """Loads an installed check by name; raises FilterError when there is none, or it does not load."""
    from importlib.metadata import entry_points

    offered = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in offered:
        raise FilterError(
            f"no likeness check {name!r} is installed; nothing passes without it",
            expected=", ".join(sorted(offered)) or f"a package with an entry point in {GROUP}",
            fix="install the package that offers it, or leave --likeness out",
        )
    try:
        check = offered[name].load()()
        digest = check.digest
        if not isinstance(check, LikenessCheck) or not isinstance(digest, str) or len(digest) != 64:
            raise FilterError("it has no digest of 64 digits, or no objections")
        int(digest, 16)
    except Exception as error:
        raise FilterError(
            f"the likeness check {name!r} cannot be loaded; nothing passes without it",
            expected="a factory of a LikenessCheck",
            found=f"{type(error).__name__}: {error}"[:300],
            fix="ask whoever made it",
        ) from error
    return NamedCheck(name, digest.lower(), check)
