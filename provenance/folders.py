"""What a folder holds, without following a single link."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from provenance.errors import ProvenanceError
from provenance.faults import Faults
from provenance.names import check_name, collisions

MAX_DEPTH = 32


def list_files(folder: Path, faults: Faults, *, hidden: bool = True) -> list[str]:
    """Relative names of all regular files below a folder, in order; unsafe names, links and devices become faults.

    With ``hidden=False``, names with a leading dot are passed over, whatever they are.
    """
    names: list[str] = []
    _walk(folder, "", names, faults, hidden, 0)
    names.sort()
    for first, second in collisions(names):
        faults.add(second, f"has the same name as {first} on systems that ignore case or Unicode form")
    return names


def compare_listing(signed: Iterable[str], present: Iterable[str], faults: Faults) -> None:
    """Notes every file that is signed but missing, or there but not signed."""
    for name in sorted(set(signed) - set(present)):
        faults.add(name, "is signed but missing")
    for name in sorted(set(present) - set(signed)):
        faults.add(name, "is there but not signed")


def _walk(folder: Path, prefix: str, names: list[str], faults: Faults, hidden: bool, depth: int) -> None:
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        faults.add(prefix or str(folder), f"cannot be listed: {error.strerror}")
        return
    for entry in found:
        if not hidden and entry.name.startswith("."):
            continue
        name = prefix + entry.name
        if entry.is_symlink():
            faults.add(name, "is a symbolic link, which can point anywhere; put the file itself here")
        elif entry.is_dir(follow_symlinks=False):
            if depth == MAX_DEPTH:
                faults.add(name, f"lies deeper than {MAX_DEPTH} folders")
                continue
            _walk(folder / entry.name, name + "/", names, faults, hidden, depth + 1)
        elif not entry.is_file(follow_symlinks=False):
            faults.add(name, "is not a regular file")
        else:
            _note(name, names, faults)


def _note(name: str, names: list[str], faults: Faults) -> None:
    try:
        names.append(check_name(name))
    except ProvenanceError as error:
        faults.add(name, error.what.partition(" ")[2] if error.what.startswith(name) else error.what)
