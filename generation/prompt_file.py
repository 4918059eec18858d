"""Prompts from a file: text, JSON lines, CSV or Parquet, read strictly, with every fault told by its line."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from generation.parquet_prompts import parquet_rows
from generation.wanted import MAX_PROMPTS, Wanted
from provenance.canonical import parse_json
from provenance.errors import FormatError, UsageError
from provenance.files import open_file

COLUMNS = ("prompt", "negative", "seed", "steps", "guidance", "n")
MAX_FILE_BYTES = 256 << 20
MAX_LINE_BYTES = 1 << 16
MAX_COUNT = 10_000
SHOWN = 20

_WHOLE = re.compile(r"\d{1,19}", re.ASCII)
_FRACTION = re.compile(r"\d{1,3}(\.\d{1,9})?", re.ASCII)
_SHEET_ERROR = re.compile(r"#(REF!|NAME\?|VALUE!|N/A|DIV/0!|NULL!|NUM!)")

Row = dict[str, Any]
Rows = Iterator[tuple[int, Row]]


@dataclass
class Faults:
    """Everything that is wrong with one file; the first are kept, the rest counted."""

    path: Path
    shown: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, line: int, what: str) -> None:
        """Notes a fault on a line, counted from 1."""
        self.count += 1
        if len(self.shown) < SHOWN:
            self.shown.append(f"line {line}: {what}")

    def raise_any(self) -> None:
        """Raises UsageError with all faults together, if there are any."""
        if self.count:
            more = [f"and {self.count - SHOWN} more"] if self.count > SHOWN else []
            raise UsageError(
                f"{self.path} cannot be drawn from:\n  " + "\n  ".join(self.shown + more),
                fix="correct every line above",
            )


def read_wanted(path: Path, count: int = 1) -> tuple[Wanted, ...]:
    """Every picture that a file asks for, in its order; a row without ``n`` asks for ``count`` of them.

    The suffix names the format: ``.txt`` has a prompt on each line, ``.jsonl``, ``.csv`` and ``.parquet`` have the
    columns ``prompt``, ``negative``, ``seed``, ``steps``, ``guidance`` and ``n``, all but the first of them optional.
    The pictures of a row with a seed use ``seed``, ``seed + 1``, …. Raises UsageError with all faults, or FileRefused.
    """
    rows = _FORMATS.get(path.suffix.lower())
    if rows is None:
        raise UsageError(f"{path} is of no kind that prompts are read from", expected=", ".join(_FORMATS))
    faults, wanted = Faults(path), list[Wanted]()
    for line, row in rows(path, faults):
        wanted += _pictures(row, line, count, faults)
        if len(wanted) > MAX_PROMPTS:
            raise UsageError(f"{path} asks for too many pictures", expected=f"at most {MAX_PROMPTS}, n counted")
    faults.raise_any()
    if not wanted:
        raise UsageError(f"{path} holds no prompt", expected="one prompt on each line")
    return tuple(wanted)


def _pictures(row: Row, line: int, count: int, faults: Faults) -> list[Wanted]:
    before = faults.count
    one = Wanted(
        prompt=_text(row, "prompt", line, faults) or "",
        negative=_text(row, "negative", line, faults),
        seed=_whole(row, "seed", line, faults),
        steps=_whole(row, "steps", line, faults),
        guidance=_number(row, "guidance", line, faults),
        line=line,
    )
    number = _whole(row, "n", line, faults)
    if faults.count == before:
        for fault in one.faults("the prompt"):
            faults.add(line, fault)
        if number is not None and not 1 <= number <= MAX_COUNT:
            faults.add(line, f"n is {number}; 1 to {MAX_COUNT} are possible")
    if faults.count > before:
        return []
    seed = one.seed
    pictures = range(count if number is None else number)
    return [one] * len(pictures) if seed is None else [replace(one, seed=seed + i) for i in pictures]


def _text(row: Row, name: str, line: int, faults: Faults) -> str | None:
    value = row.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        faults.add(line, f"{name} is {value!r:.40}, not a text")
        return None
    stray = next((c for c in value if (c < " " and c not in "\n\t") or c == "\x7f"), None)
    if stray is not None:
        faults.add(line, f"{name} holds the control character U+{ord(stray):04X}")
        return None
    return value.strip()


def _whole(row: Row, name: str, line: int, faults: Faults) -> int | None:
    value = row.get(name)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    faults.add(line, f"{name} is {value!r:.40}, not a whole number")
    return None


def _number(row: Row, name: str, line: int, faults: Faults) -> float | None:
    value = row.get(name)
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e6 and math.isfinite(value):
        return float(value)
    faults.add(line, f"{name} is {value!r:.40}, not a number such as 7.5")
    return None


def _lines(path: Path, faults: Faults) -> Iterator[tuple[int, str]]:
    """Lines as text without their ends, one in memory at a time; a line that is no text is a fault, and empty."""
    with open_file(path) as file:
        read = number = 0
        while data := file.readline(MAX_LINE_BYTES + 1):
            number, read = number + 1, read + len(data)
            if len(data) > MAX_LINE_BYTES or read > MAX_FILE_BYTES:
                raise UsageError(
                    f"{path} is too large at line {number}",
                    expected=f"lines of at most {MAX_LINE_BYTES} bytes, {MAX_FILE_BYTES} in all",
                )
            if number == 1:
                if data.startswith((b"\xff\xfe", b"\xfe\xff")):
                    raise UsageError(f"{path} is UTF-16 text", expected="UTF-8", fix="save it again as UTF-8")
                data = data.removeprefix(b"\xef\xbb\xbf")
            try:
                yield number, data.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                faults.add(number, f"not UTF-8 text ({error.reason} at byte {error.start})")
                yield number, ""  # lines after it keep their numbers


def _text_rows(path: Path, faults: Faults) -> Rows:
    return ((number, {"prompt": text}) for number, text in _lines(path, faults) if text.strip())


def _json_rows(path: Path, faults: Faults) -> Rows:
    for number, text in _lines(path, faults):
        if not text.strip():
            continue
        try:
            row = parse_json(text.encode(), "the line")
        except FormatError as error:
            faults.add(number, f"{error.what} ({error.found or error.expected})")
            continue
        if not isinstance(row, dict):
            faults.add(number, 'not an object such as {"prompt": "a red fish"}')
        elif unknown := set(row) - set(COLUMNS):
            faults.add(number, _unknown(unknown))
        else:
            yield number, row


def _csv_rows(path: Path, faults: Faults) -> Rows:
    reader = csv.reader((text + "\n" for _, text in _lines(path, faults)), strict=True)
    try:
        header = next(reader, [])
        _require_header(header, path)
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                faults.add(reader.line_num, f"{len(cells)} cells under {len(header)} columns")
                continue
            before = faults.count
            row = {name: _cell(name, cell, reader.line_num, faults) for name, cell in zip(header, cells, strict=True)}
            if faults.count == before:
                yield reader.line_num, row
    except csv.Error as error:
        faults.add(reader.line_num, f"not CSV ({error})")


def _require_header(header: list[str], path: Path) -> None:
    if len(header) == 1 and (mark := next((m for m in ";\t" if m in header[0]), None)):
        raise UsageError(f"{path} separates its columns by {mark!r}", expected="commas", fix="save it as CSV (comma)")
    if unknown := set(header) - set(COLUMNS):
        raise UsageError(f"{path}, line 1: {_unknown(unknown)}")
    if "prompt" not in header or len(set(header)) != len(header):
        raise UsageError(
            f"{path}, line 1: the first row does not name the columns",
            expected="prompt, and each other name at most once",
            found=", ".join(header)[:200] or "nothing",
        )


def _cell(name: str, cell: str, line: int, faults: Faults) -> Any:
    """The value of a cell, None for an empty one; numbers in one spelling: a spreadsheet's other ones lose digits."""
    if not cell.strip() and name != "prompt":
        return None
    if cell.startswith("=") or _SHEET_ERROR.fullmatch(cell):
        faults.add(line, f"{name} is a spreadsheet's formula or error ({cell[:20]!r}); save values instead")
        return None
    if name in ("prompt", "negative"):
        return cell
    if name == "guidance":
        return float(cell) if _FRACTION.fullmatch(cell) else cell
    return int(cell) if _WHOLE.fullmatch(cell) else cell


def _unknown(names: set[Any]) -> str:
    listed = ", ".join(sorted(repr(name)[:40] for name in names))
    return f"unknown columns {listed[:200]}; known are {', '.join(COLUMNS)}"


def _parquet(path: Path, faults: Faults) -> Rows:
    return parquet_rows(path, COLUMNS, _unknown)


_FORMATS: dict[str, Callable[[Path, Faults], Rows]] = {
    ".txt": _text_rows,
    ".jsonl": _json_rows,
    ".csv": _csv_rows,
    ".parquet": _parquet,
}
