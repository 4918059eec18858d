"""What a screening has found so far, one line a picture, so that an interrupted one goes on where it stopped.

The file is the screener's own and is never signed: it lies beside the report or the training it is for, and counts only
for the very rules it was written under.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from provenance.canonical import canonical_json
from provenance.errors import FormatError, ProvenanceError
from provenance.screening.parsing import parse_item
from provenance.screening.report import ScreenedItem, ScreeningRules
from safety.decision import ERROR_RULE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from safety.pdq import PdqHash

TYPE = "urn:prov:kept-screening:v1"


@dataclass(frozen=True)
class Look:
    """One screened item, and what the search for duplicates needs of its picture; None for what did not decode."""

    item: ScreenedItem
    pdq: PdqHash | None
    direction: NDArray[np.float32] | None


class KeptLooks:
    """Looks by (SHA-256 of the picture, SHA-256 of the caption); in memory alone when there is no file."""

    def __init__(self, path: Path | None, rules: ScreeningRules) -> None:
        """Opens or begins a file; one of other rules, or one that is not ours, is begun anew."""
        self._rules = rules
        self._path = path
        self._looks: dict[tuple[str, str], Look] = {}
        self._file: IO[bytes] | None = None
        if path is not None:
            self._file = self._continued(path)

    def find(self, path: str, sha256: str, caption: str) -> Look | None:
        """The kept look at a picture with this caption, under another path if need be."""
        look = self._looks.get((sha256, caption))
        return None if look is None else replace(look, item=replace(look.item, path=path))

    def add(self, looks: Iterable[Look]) -> None:
        """Keeps looks, on disk before it returns; not those that failed, which the next run shall try again."""
        lines = []
        for look in looks:
            if look.item.sha256 is not None and not any(f.rule == ERROR_RULE for f in look.item.findings):
                self._looks[look.item.sha256, look.item.caption_sha256] = look
                lines.append(canonical_json(_to_json(look)) + b"\n")
        if self._file is not None:
            self._file.write(b"".join(lines))
            self._file.flush()

    def close(self) -> None:
        """Lets go of the file and leaves it where it is."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def delete(self) -> None:
        """Deletes the file: the screening it was for is complete, or refused."""
        self.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _continued(self, path: Path) -> IO[bytes]:
        header = canonical_json({"type": TYPE, "rules": self._rules.digest}) + b"\n"
        lines = path.read_bytes().splitlines(keepends=True) if path.is_file() and not path.is_symlink() else []
        whole = [header]
        if lines and lines[0] == header:
            for line in lines[1:]:
                look = self._read(line)
                if look is not None and look.item.sha256 is not None:
                    self._looks[look.item.sha256, look.item.caption_sha256] = look
                    whole.append(line)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.new")
        temporary.write_bytes(b"".join(whole))
        temporary.replace(path)
        return path.open("ab")

    def _read(self, line: bytes) -> Look | None:
        # A line that was torn by a crash only costs another look at its picture.
        try:
            return _of_json(json.loads(line), self._rules) if line.endswith(b"\n") else None
        except (ProvenanceError, ValueError, KeyError, TypeError):
            return None


def _to_json(look: Look) -> dict[str, Any]:
    import numpy as np

    pdq = None
    if look.pdq is not None:
        bits = base64.b64encode(np.packbits(look.pdq.orientations, axis=1).tobytes()).decode()
        pdq = {"bits": bits, "quality": look.pdq.quality}
    direction = None if look.direction is None else base64.b64encode(look.direction.astype("<f4").tobytes()).decode()
    return {"item": look.item.to_json(), "pdq": pdq, "direction": direction}


def _of_json(value: dict[str, Any], rules: ScreeningRules) -> Look:
    import numpy as np

    from safety.pdq import BITS, PdqHash

    pdq = direction = None
    if value["pdq"] is not None:
        rows = np.frombuffer(base64.b64decode(value["pdq"]["bits"], validate=True), np.uint8).reshape(-1, BITS // 8)
        pdq = PdqHash(np.unpackbits(rows, axis=1).astype(np.bool_), int(value["pdq"]["quality"]))
    if value["direction"] is not None:
        direction = np.frombuffer(base64.b64decode(value["direction"], validate=True), "<f4").astype(np.float32)
        if not np.isfinite(direction).all():
            raise FormatError("a direction is not finite")
    return Look(parse_item(value["item"], rules), pdq, direction)
