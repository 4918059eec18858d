"""The folder a maker signs: pictures with their captions, and the rights of each or of all.

Captions are in ``NAME.txt`` beside each picture, or in ``metadata.jsonl`` (``{"file_name": …, "text": …}`` as
Hugging Face's imagefolder has it, with rights beside them). Which of them a model wrote is in
``machine-captions.jsonl``, or in ``metadata.jsonl`` as ``caption_by``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from provenance.canonical import Json, parse_json
from provenance.errors import DatasetError, ProvenanceError
from provenance.faults import Faults
from provenance.files import read_file
from provenance.folders import list_files
from provenance.images import SUFFIXES
from provenance.machine_captions import MARKS, Mark, read_marks
from provenance.records import (
    MAX_LINE_BYTES,
    Captioner,
    Consent,
    caption_text,
    captioner_of,
    consent_of,
    holder_text,
    preprocessing_of,
    source_text,
    training_choice,
)
from provenance.spdx import licence_expression

METADATA = "metadata.jsonl"
METADATA_LIMIT = 1 << 30
CAPTION_LIMIT = 1 << 16
KEYS = frozenset(
    {
        "file_name",
        "text",
        "caption_by",
        "licence",
        "license",
        "rights_holder",
        "source",
        "consent",
        "training_mining",
        "preprocessing",
    }
)


@dataclass(frozen=True)
class Rights:
    """The terms that hold for every picture that has none of its own."""

    licence: str | None = None
    holder: str | None = None
    consent: Consent | None = None
    training_mining: str = "allowed"


@dataclass(frozen=True)
class Item:
    """One picture to sign: its name below the source folder, its caption and its rights."""

    name: str
    caption: str
    licence: str
    rights_holder: str
    source: str | None
    consent: Consent | None
    training_mining: str
    preprocessing: tuple[Json, ...]
    caption_by: Captioner | None


@dataclass(frozen=True)
class Found:
    """One picture of a folder, and what is written beside it: a caption file's text, an entry of metadata.jsonl.

    ``mark`` is the newest one that a captioning model left about the picture, whatever its caption says by now.
    """

    name: str
    sidecar: str | None
    entry: Mapping[str, Any]
    mark: Mark | None = None

    @property
    def caption(self) -> str:
        """The one caption of the picture; raises DatasetError when it has none, or two."""
        text = self.entry.get("text")
        if text is not None and self.sidecar is not None:
            raise DatasetError(f"has two captions, one in {METADATA} and one in a .txt file")
        if text is None and self.sidecar is None:
            raise DatasetError("has no caption", expected=f'a .txt file of the same name, or "text" in {METADATA}')
        return caption_text(self.sidecar if text is None else text)

    @property
    def caption_by(self) -> Captioner | None:
        """The model that wrote this very caption, by a mark or by metadata.jsonl; raises DatasetError."""
        if self.mark is not None and self.mark.is_of(self.caption):
            return self.mark.captioner
        return captioner_of(self.entry.get("caption_by"))


def read_source(folder: Path, rights: Rights, faults: Faults) -> list[Item]:
    """Finds every picture with its caption and rights; whatever is wrong becomes a fault naming its file."""
    items = []
    for found in find_pictures(folder, faults):
        try:
            items.append(_item(found, rights))
        except ProvenanceError as error:
            faults.add(found.name, error)
    return items


def find_pictures(folder: Path, faults: Faults) -> list[Found]:
    """Finds every picture with what is written beside it; whatever is wrong becomes a fault naming its file."""
    names = list_files(folder, faults, hidden=False)
    pictures = [name for name in names if PurePosixPath(name).suffix.lower() in SUFFIXES]
    captions = {name for name in names if PurePosixPath(name).suffix.lower() == ".txt"}
    for name in sorted({*names} - {METADATA, MARKS, *pictures, *captions}):
        faults.add(name, "is neither a picture (PNG, JPEG, WebP), a caption (.txt) nor metadata.jsonl")
    entries = _read_metadata(folder, faults) if METADATA in names else {}
    for name in sorted(entries.keys() - set(pictures)):
        faults.add(METADATA, f"describes {name!r}, which is not there")
    marks = _read_marks(folder, faults) if MARKS in names else {}
    owners: dict[str, str] = {}
    found = []
    for name in pictures:
        sidecar = str(PurePosixPath(name).with_suffix(".txt"))
        if sidecar in owners:
            faults.add(name, f"shares its caption {sidecar} with {owners[sidecar]}; give them different names")
            continue
        if sidecar in captions:
            owners[sidecar] = name
        try:
            sidecar_text = _read_caption(folder / sidecar) if sidecar in captions else None
            found.append(Found(name, sidecar_text, entries.get(name, {}), marks.get(name)))
        except ProvenanceError as error:
            faults.add(name, error)
    for name in sorted(captions - owners.keys()):
        faults.add(name, "is a caption without a picture")
    if not pictures:
        faults.add(str(folder), "holds no pictures (PNG, JPEG, WebP)")
    return found


def _read_marks(folder: Path, faults: Faults) -> dict[str, Mark]:
    try:
        return read_marks(folder)
    except ProvenanceError as error:
        faults.add(MARKS, error)
        return {}


def _read_metadata(folder: Path, faults: Faults) -> dict[str, Json]:
    entries: dict[str, Json] = {}
    try:
        lines = read_file(folder / METADATA, limit=METADATA_LIMIT).split(b"\n")
    except ProvenanceError as error:
        faults.add(METADATA, error)
        return entries
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{METADATA}:{number}"
        try:
            value = parse_json(line, "the line", limit=MAX_LINE_BYTES)
        except ProvenanceError as error:
            faults.add(where, error)
            continue
        if not isinstance(value, dict) or not isinstance(value.get("file_name"), str):
            faults.add(where, 'has no "file_name"')
        elif not set(value) <= KEYS:
            faults.add(where, f"has unknown keys {sorted(set(value) - KEYS)}; known are {sorted(KEYS)}")
        elif value["file_name"] in entries:
            faults.add(where, f"describes {value['file_name']!r} a second time")
        else:
            entries[value["file_name"]] = value
    return entries


def _read_caption(path: Path) -> str:
    try:
        return read_file(path, limit=CAPTION_LIMIT).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"its caption {path.name} is not UTF-8") from error


def _item(found: Found, rights: Rights) -> Item:
    entry, caption = found.entry, found.caption
    licence = entry.get("licence", entry.get("license", rights.licence))
    holder = entry.get("rights_holder", rights.holder)
    if licence is None:
        raise DatasetError("has no licence", expected=f'--license SPDX-ID for all, or "licence" in {METADATA}')
    if holder is None:
        raise DatasetError("has no rights holder", expected=f'--holder NAME for all, or "rights_holder" in {METADATA}')
    if not isinstance(licence, str):
        raise DatasetError("has a licence that is not text")
    return Item(
        name=found.name,
        caption=caption,
        licence=licence_expression(licence),
        rights_holder=holder_text(holder),
        source=source_text(entry.get("source")),
        consent=consent_of(entry["consent"]) if "consent" in entry else rights.consent,
        training_mining=training_choice(entry.get("training_mining", rights.training_mining)),
        preprocessing=preprocessing_of(entry.get("preprocessing", ())),
        caption_by=found.caption_by,
    )
