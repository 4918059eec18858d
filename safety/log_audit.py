"""Walks the whole log of what was blocked and names everything that is wrong with it, all at once."""

from __future__ import annotations

import fcntl
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from safety.decision import STAGES
from safety.errors import SafetyError
from safety.log_entry import FIRST, MAX_LINE, LogEntry, stated
from safety.log_head import head_path, read_head
from safety.log_report import Fault, LogReport


@dataclass(frozen=True)
class KnownHead:
    """A head of the log that somebody kept: the hash of an entry, its number where that is known, and who says so."""

    hash: str
    whence: str
    sequence: int | None = None


@dataclass(frozen=True)
class _Row:
    """One line: its place from 1, its number in the chain where it can be told, and the entry if it is whole."""

    line: int
    number: int | None
    digest: str | None
    entry: LogEntry | None
    fault: str = ""


@dataclass(frozen=True)
class _Whole:
    """A line that is whole, under the number it states."""

    line: int
    number: int
    entry: LogEntry


def audit_log(path: Path, heads: Sequence[KnownHead] = ()) -> LogReport:
    """Checks every line and every link of a log, and that it holds the heads given and the one kept beside it.

    A log that does not exist is an empty one. An incomplete last line is what a crash leaves, and only a note.
    Raises SafetyError for a file that cannot be read.
    """
    rows, torn, kept = _read(path)
    faults, notes = [], []
    if isinstance(kept, Fault):
        faults.append(kept)
    elif kept is not None:
        heads = [kept, *heads]
    elif path.exists():
        notes.append(f"no {head_path(path).name} is kept beside it: lines cut off the end would not be noticed")
    if torn:
        notes.append(f"the last line is incomplete ({torn} bytes): what a crash leaves; the next entry replaces it")
    rows = _numbered(rows)
    good = [_Whole(row.line, row.entry.sequence, row.entry) for row in rows if row.entry is not None]
    genuine = _genuine(good, {head.hash for head in heads})
    faults += [Fault("altered", f"line {r.line} was altered: {r.fault}", (r.line,)) for r in rows if r.entry is None]
    faults += _inserted(good, genuine)
    faults += _moved(genuine)
    faults += _missing(rows)
    faults += _rewritten(genuine)
    faults += _lacking(rows, heads)
    return _report(path, [genuine[number].entry for number in sorted(genuine)], faults, notes)


def _read(path: Path) -> tuple[list[_Row], int, KnownHead | Fault | None]:
    """The lines of a log, the bytes of a torn last one, and the head beside it or what is wrong with that."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return [], 0, _kept(path)
    except OSError as error:
        raise SafetyError(f"{path} cannot be read", found=str(error)) from error
    with file:
        # So that neither a half-written line nor a head one entry behind is taken for the state of the log.
        fcntl.flock(file, fcntl.LOCK_SH)
        rows, torn = [], 0
        for number, (line, ended) in enumerate(_lines(file), start=1):
            if ended:
                rows.append(_row(number, line))
            else:
                torn = len(line)
        return rows, torn, _kept(path)


def _kept(path: Path) -> KnownHead | Fault | None:
    try:
        head = read_head(path)
    except SafetyError as error:
        return Fault("altered", error.what)
    return None if head is None else KnownHead(head.hash, head_path(path).name, head.sequence)


def _lines(file: IO[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Lines, and whether they end; of one longer than any entry only the beginning is kept."""
    while line := file.readline(MAX_LINE):
        end = line
        while not end.endswith(b"\n") and (more := file.readline(MAX_LINE)):
            end = more
        yield line, end.endswith(b"\n")


def _row(number: int, line: bytes) -> _Row:
    try:
        entry = LogEntry.parse(line)
    except SafetyError as error:
        said = stated(line) or {}
        claimed, digest = said.get("sequence"), said.get("hash")
        return _Row(
            line=number,
            number=claimed if type(claimed) is int and claimed >= 0 else None,
            digest=digest if isinstance(digest, str) else None,
            entry=None,
            fault=error.what,
        )
    return _Row(number, entry.sequence, entry.hash, entry)


def _numbered(rows: list[_Row]) -> list[_Row]:
    """Gives an altered line the number it must have had, so that it is not counted as missing too."""
    taken = {row.number for row in rows if row.entry is not None}
    found, before = [], -1
    for row, coming in zip(rows, _coming(rows), strict=True):
        if row.entry is None:
            # What it says counts where that fits between its neighbours.
            fits = row.number is not None and before < row.number and (coming is None or row.number < coming)
            number = row.number if fits else before + 1
            row = replace(row, number=None if number in taken else number)
        before = before if row.number is None else row.number
        found.append(row)
    return found


def _coming(rows: list[_Row]) -> list[int | None]:
    """For every line the number of the next whole one."""
    found: list[int | None] = []
    coming: int | None = None
    for row in reversed(rows):
        found.append(coming)
        coming = row.number if row.entry is not None else coming
    return found[::-1]


def _genuine(good: list[_Whole], kept: set[str]) -> dict[int, _Whole]:
    """One whole line for each number: the one that its neighbours are linked to or a head names, else the first."""
    named = {(row.number - 1, row.entry.previous) for row in good}
    hashes = {(row.number, row.entry.hash) for row in good} | {(-1, FIRST)}

    def links(row: _Whole) -> int:
        after = (row.number, row.entry.hash) in named or row.entry.hash in kept
        return after + ((row.number - 1, row.entry.previous) in hashes)

    best: dict[int, _Whole] = {}
    for row in good:
        if row.number not in best or links(row) > links(best[row.number]):
            best[row.number] = row
    return best


def _inserted(good: list[_Whole], genuine: dict[int, _Whole]) -> list[Fault]:
    faults = []
    for row in good:
        true = genuine[row.number]
        if true is not row:
            what = "is a copy of" if row.entry.hash == true.entry.hash else "has the number of"
            detail = f"line {row.line} was put in: it {what} line {true.line} (number {row.number})"
            faults.append(Fault("inserted", detail, (row.line,), (row.number, row.number)))
    return faults


def _moved(genuine: dict[int, _Whole]) -> list[Fault]:
    """The fewest lines that would have to be moved for the numbers to rise."""
    rows = sorted(genuine.values(), key=lambda row: row.line)
    rising = _longest_rising([row.number for row in rows])
    return [
        Fault("moved", f"line {row.line} (number {row.number}) is out of order", (row.line,), (row.number, row.number))
        for row in rows
        if row.number not in rising
    ]


def _longest_rising(numbers: list[int]) -> set[int]:
    """A longest rising subsequence of distinct numbers."""
    ends: list[int] = []
    before: dict[int, int | None] = {}
    for number in numbers:
        length = bisect_left(ends, number)
        before[number] = ends[length - 1] if length else None
        ends[length : length + 1] = [number]
    found: set[int] = set()
    last = ends[-1] if ends else None
    while last is not None:
        found.add(last)
        last = before[last]
    return found


def _missing(rows: list[_Row]) -> list[Fault]:
    present = sorted({row.number for row in rows if row.number is not None})
    return [
        Fault("missing", f"{_numbers(low + 1, high - 1)} missing before number {high}", (), (low + 1, high - 1))
        for low, high in zip([-1, *present], present, strict=False)
        if high - low > 1
    ]


def _rewritten(genuine: dict[int, _Whole]) -> list[Fault]:
    faults = []
    for number, row in sorted(genuine.items()):
        if number == 0 and row.entry.previous != FIRST:
            faults.append(Fault("rewritten", f"line {row.line} (number 0) begins no chain", (row.line,), (0, 0)))
        before = genuine.get(number - 1)
        if before is not None and row.entry.previous != before.entry.hash:
            detail = f"line {before.line} (number {number - 1}) was rewritten: line {row.line} follows another entry"
            faults.append(Fault("rewritten", detail, (before.line,), (number - 1, number - 1)))
    return faults


def _lacking(rows: list[_Row], heads: Iterable[KnownHead]) -> list[Fault]:
    hashes = {row.digest for row in rows} | {FIRST}
    newest = max((row.number for row in rows if row.number is not None), default=-1)
    altered = {row.number for row in rows if row.entry is None}
    faults = []
    for head in heads:
        if head.hash in hashes or (head.sequence is not None and head.sequence in altered):
            continue
        number = head.sequence
        if number is None:
            detail = (
                f"no entry has the hash {head.hash} ({head.whence}): the end was cut off, or entries were rewritten"
            )
            faults.append(Fault("cut", detail))
        elif number > newest:
            detail = f"{_numbers(newest + 1, number)} missing from the end, by {head.whence}"
            faults.append(Fault("cut", detail, (), (newest + 1, number)))
        else:
            detail = f"number {number} is not the entry that {head.whence} names: removed or rewritten since"
            faults.append(Fault("rewritten", detail, (), (number, number)))
    return faults


def _numbers(first: int, last: int) -> str:
    return f"number {first} is" if first == last else f"numbers {first} to {last} are"


def _report(path: Path, entries: list[LogEntry], faults: list[Fault], notes: list[str]) -> LogReport:
    stages = Counter(entry.decision.stage for entry in entries)
    rules = Counter(entry.decision.rule or "none" for entry in entries)
    times = [entry.time for entry in entries]
    return LogReport(
        path=str(path),
        entries=len(entries),
        head=entries[-1].hash if entries else FIRST,
        first=min(times, default=None),
        last=max(times, default=None),
        stages={stage: stages[stage] for stage in STAGES if stage in stages},
        rules=dict(sorted(rules.items(), key=lambda pair: (-pair[1], pair[0]))),
        faults=tuple(faults),
        notes=tuple(notes),
    )
