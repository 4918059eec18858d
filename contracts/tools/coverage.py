"""Reads the lcov report of `forge coverage` and refuses any line or branch of `contracts/src` that no test reached.

Run as ``python -m contracts.tools.coverage LCOV``; exits 1 with the places that were missed, 0 at 100 %.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from contracts.artifact import FOLDER

SOURCES = FOLDER / "src"


class CoverageError(Exception):
    """The report is not one that can be judged."""


@dataclass
class FileCoverage:
    """Hits of one source file: by line number, and by (line, block, branch)."""

    lines: dict[int, int] = field(default_factory=dict)
    branches: dict[tuple[int, str, str], int] = field(default_factory=dict)

    def missed(self) -> list[str]:
        """The places no test reached, in the order of the source."""
        lines = [(line, "line") for line, hits in self.lines.items() if hits == 0]
        branches = [(key[0], f"branch {key[1]}.{key[2]}") for key, hits in self.branches.items() if hits == 0]
        return [f"{line}: {what}" for line, what in sorted(lines + branches)]


def read_lcov(text: str) -> dict[str, FileCoverage]:
    """Parses an lcov report (https://manpages.debian.org/geninfo) by file; raises CoverageError."""
    files: dict[str, FileCoverage] = {}
    current: FileCoverage | None = None
    for row in text.splitlines():
        kind, _, value = row.partition(":")
        if kind == "SF":
            current = files.setdefault(value, FileCoverage())
        elif kind == "DA" and current is not None:
            line, hits = value.split(",")
            current.lines[int(line)] = max(int(hits), current.lines.get(int(line), 0))
        elif kind == "BRDA" and current is not None:
            number, block, branch, taken = value.split(",")
            key = (int(number), block, branch)
            current.branches[key] = max(0 if taken == "-" else int(taken), current.branches.get(key, 0))
        elif kind in ("DA", "BRDA"):
            raise CoverageError(f"a figure before any file: {row}")
    return files


def judge(files: dict[str, FileCoverage], sources: Iterable[str]) -> tuple[list[str], str]:
    """The places missed, and one line of figures; raises CoverageError if a source is not in the report."""
    own = {name: files[name] for name in sorted(files) if name.startswith("src/")}
    if absent := sorted(set(sources) - set(own)):
        raise CoverageError(f"not in the report: {', '.join(absent)}")
    missed = [f"contracts/{name}:{place}" for name, each in own.items() for place in each.missed()]
    lines = [hits for each in own.values() for hits in each.lines.values()]
    branches = [hits for each in own.values() for hits in each.branches.values()]
    if not lines or not branches:
        raise CoverageError("the report has no lines or no branches of contracts/src")
    return missed, f"contracts/src: {_share(lines)} of lines, {_share(branches)} of branches"


def _share(hits: list[int]) -> str:
    reached = sum(1 for each in hits if each)
    return f"{reached}/{len(hits)} ({100 * reached / len(hits):.2f} %)"


def measured_sources(folder: Path = SOURCES) -> list[str]:
    """The sources that have code to run: those in which some function has a body."""
    return [f"src/{path.relative_to(folder)}" for path in sorted(folder.rglob("*.sol")) if _has_code(path)]


def _has_code(path: Path) -> bool:
    text = path.read_text(encoding="utf-8")
    statements = (part.split("function ", 1)[1] for part in text.split("{") if "function " in part)
    return any(";" not in each for each in statements)


def main(arguments: list[str]) -> int:
    """Judges the report named by the only argument."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        missed, figures = judge(read_lcov(Path(arguments[0]).read_text(encoding="utf-8")), measured_sources())
    except (CoverageError, OSError, ValueError) as error:
        print(f"the coverage report cannot be judged: {error}", file=sys.stderr)
        return 3
    for each in missed:
        print(f"not covered: {each}")
    print(figures)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
