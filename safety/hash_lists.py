"""Lists of pictures that are known and unwanted, as hashes that somebody else keeps; none comes with the program.

A line holds one hash and says which kind it is, because a SHA-256 and a PDQ hash look alike::

    # comments and empty lines are passed over
    sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    pdq:f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from safety.duplicates import PDQ_LIMIT
from safety.errors import FilterError
from safety.pdq import PdqHash, pdq_bits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_BYTES = 1 << 30
SHOWN = 20
_LINE = re.compile(r"(sha256|pdq):([0-9a-fA-F]{64})")
_BARE = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True)
class HashMatch:
    """Which list a picture is on, by which kind of hash, and how many of 256 bits are between them."""

    list_name: str
    kind: str
    distance: int


@dataclass(frozen=True)
class HashList:
    """One list: its name, the SHA-256 of its file, and its hashes; ``pdq`` is (N, 4) uint64, one row a hash."""

    name: str
    digest: str
    sha256: frozenset[str]
    pdq: NDArray[np.uint64] = field(repr=False, compare=False)

    @property
    def entries(self) -> int:
        """How many different hashes it holds."""
        return len(self.sha256) + len(self.pdq)

    @classmethod
    def load(cls, path: Path) -> HashList:
        """Reads a list; raises FilterError for a file that cannot be read, or naming every fault in it."""
        try:
            with Path(path).open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise FilterError(
                f"the hash list {path} cannot be read; nothing passes without it",
                found=str(error),
                fix="check --hash-list",
            ) from error
        return cls.parse(data, Path(path).name)

    @classmethod
    def parse(cls, data: bytes, name: str) -> HashList:
        """Reads a list strictly; raises FilterError naming every fault in it."""
        if len(data) > MAX_BYTES:
            raise FilterError(f"the hash list {name} is too large", expected=f"at most {MAX_BYTES} bytes")
        try:
            lines = data.decode("ascii").splitlines()
        except UnicodeDecodeError as error:
            raise FilterError(f"the hash list {name} is not plain text", found=str(error)[:100]) from error
        kinds: dict[str, set[str]] = {"sha256": set(), "pdq": set()}
        faults = []
        for number, line in enumerate(lines, start=1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            match = _LINE.fullmatch(text)
            if match is None:
                faults.append(f"line {number} {_what_is_wrong(text)}")
            else:
                kinds[match[1]].add(match[2].lower())
        if not faults and not any(kinds.values()):
            faults.append("it holds no hash")
        _refuse(faults, name)
        return cls(name, hashlib.sha256(data).hexdigest(), frozenset(kinds["sha256"]), _rows(sorted(kinds["pdq"])))

    def match(self, sha256: str, pdq: PdqHash | None) -> HashMatch | None:
        """The closest hash of the list to a file and to what it shows, in any of eight orientations, if near enough."""
        if sha256 in self.sha256:
            return HashMatch(self.name, "sha256", 0)
        if pdq is None or not len(self.pdq):
            return None
        distance = min(_closest(self.pdq, way) for way in _packed(pdq.orientations))
        return HashMatch(self.name, "pdq", distance) if distance <= PDQ_LIMIT else None


def _closest(rows: NDArray[np.uint64], row: NDArray[np.uint64]) -> int:
    import numpy as np

    return int(np.bitwise_count(rows ^ row).sum(axis=1, dtype=np.int64).min())


def _rows(hashes: list[str]) -> NDArray[np.uint64]:
    import numpy as np

    if not hashes:
        return np.zeros((0, 4), np.uint64)
    return _packed(np.stack([pdq_bits(text) for text in hashes]))


def _packed(bits: NDArray[np.bool_]) -> NDArray[np.uint64]:
    import numpy as np

    return np.packbits(bits, axis=1).view(np.uint64)


def _what_is_wrong(text: str) -> str:
    if _BARE.fullmatch(text):
        return "has 64 digits that may be a SHA-256 or a PDQ hash; write sha256: or pdq: before them"
    return f"is not a hash: {text[:40]!r}" + ("…" if len(text) > 40 else "")


def _refuse(faults: list[str], name: str) -> None:
    if not faults:
        return
    shown = faults[:SHOWN] + ([f"… and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else [])
    count = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}"
    raise FilterError(
        f"the hash list {name} cannot be used",
        expected="one hash a line, as sha256:HEX or pdq:HEX",
        found=count + "".join(f"\n    - {fault}" for fault in shown),
        fix="correct every line above; nothing is screened by half a list",
    )
