"""What is screened: the pictures and captions of a folder that is not signed yet, or of a verified release."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from provenance.errors import DatasetError, ProvenanceError, UsageError
from provenance.faults import Faults
from provenance.files import read_file
from provenance.images import MAX_BYTES
from provenance.records import FOLDER
from provenance.sources import find_pictures

if TYPE_CHECKING:
    from provenance.manifest import DatasetManifest


@dataclass(frozen=True)
class Subject:
    """One picture to screen: its record's path, its caption, and how to read its bytes (raises ProvenanceError)."""

    path: str
    caption: str
    read: Callable[[], bytes]


def subjects_of_folder(folder: Path) -> list[Subject]:
    """The pictures of a folder as `prov dataset sign` takes it; raises DatasetError naming every file at fault.

    Rights are not looked at. Whether a picture decodes is for the screening to find out.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", expected="a folder of pictures with captions")
    faults, subjects = Faults(), []
    for found in find_pictures(folder, faults):
        try:
            read = partial(read_file, folder / found.name, limit=MAX_BYTES)
            subjects.append(Subject(FOLDER + found.name, found.caption, read))
        except ProvenanceError as error:
            faults.add(found.name, error)
    faults.refuse(DatasetError, f"{folder} cannot be screened", fix="mend these files and screen again")
    return subjects


def subjects_of_release(manifest: DatasetManifest) -> list[Subject]:
    """The pictures of a verified release, read as they were signed."""
    return [Subject(r.path, r.caption, partial(manifest.read, r)) for r in manifest.records]
