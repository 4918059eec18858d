"""machine-captions.jsonl: which captions of a folder a model wrote, beside the pictures until the folder is signed.

A mark is about one text: a caption that a person has rewritten since is no longer the model's.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from provenance.canonical import Json, canonical_json, parse_json, sha256_hex
from provenance.errors import DatasetError, ProvenanceError
from provenance.files import read_file
from provenance.records import MAX_LINE_BYTES, Captioner, captioner_of
from provenance.statement import is_digest

MARKS = "machine-captions.jsonl"
MARKS_LIMIT = 1 << 30


@dataclass(frozen=True)
class Mark:
    """That a model wrote the caption with this SHA-256 (of its UTF-8) for a picture, named below the folder."""

    file_name: str
    text_sha256: str
    captioner: Captioner

    @classmethod
    def about(cls, file_name: str, caption: str, captioner: Captioner) -> Mark:
        """The mark of a caption as `records.caption_text` gives it."""
        return cls(file_name, sha256_hex(caption.encode()), captioner)

    def is_of(self, caption: str) -> bool:
        """Whether it is about this caption, letter for letter."""
        return self.text_sha256 == sha256_hex(caption.encode())

    def to_bytes(self) -> bytes:
        """One line of canonical JSON, with its line feed."""
        by = {"model": self.captioner.model, "sha256": self.captioner.sha256}
        return canonical_json({"file_name": self.file_name, "text_sha256": self.text_sha256, "caption_by": by}) + b"\n"


def read_marks(folder: Path) -> dict[str, Mark]:
    """The newest mark of each picture; raises DatasetError when a line is malformed."""
    path = folder / MARKS
    if not path.exists():
        return {}
    marks: dict[str, Mark] = {}
    for number, line in enumerate(read_file(path, limit=MARKS_LIMIT).split(b"\n"), start=1):
        if line.strip():
            mark = _parse(line, number)
            marks[mark.file_name] = mark
    return marks


def append_marks(folder: Path, marks: list[Mark]) -> None:
    """Adds marks at the end of the file and flushes them to disk, which a captioner does before it writes captions."""
    descriptor = os.open(folder / MARKS, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "ab") as file:
        file.write(b"".join(mark.to_bytes() for mark in marks))
        file.flush()
        os.fsync(file.fileno())


def drop_torn_mark(folder: Path) -> None:
    """Cuts off a last line that a crash left unfinished: no caption was written under it."""
    path = folder / MARKS
    if path.exists():
        data = read_file(path, limit=MARKS_LIMIT)
        if not data.endswith(b"\n"):
            os.truncate(path, data.rfind(b"\n") + 1)


def _parse(line: bytes, number: int) -> Mark:
    try:
        value: Json = parse_json(line, "the line", limit=MAX_LINE_BYTES)
        captioner = captioner_of(value.get("caption_by")) if isinstance(value, dict) else None
    except ProvenanceError as error:
        raise DatasetError(f"line {number}: {error.what}", expected=error.expected) from error
    if (
        captioner is None
        or set(value) != {"file_name", "text_sha256", "caption_by"}
        or not isinstance(value["file_name"], str)
        or not is_digest(value["text_sha256"])
    ):
        raise DatasetError(f"line {number} is malformed", expected='"file_name", "text_sha256" and "caption_by"')
    return Mark(value["file_name"], value["text_sha256"], captioner)
