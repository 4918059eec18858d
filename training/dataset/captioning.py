"""Captions for a folder of pictures that has none yet, each marked as a model's.

What a person wrote is never touched. Every caption is written whole or not at all, and its mark before it: a run that
was stopped goes on where it was, and no caption of a model is ever without a mark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol

from provenance.errors import DatasetError, ProvenanceError, UsageError
from provenance.faults import Faults
from provenance.files import read_file, write_file
from provenance.images import MAX_BYTES, decode_image
from provenance.machine_captions import Mark, append_marks, drop_torn_mark
from provenance.records import Captioner, caption_text
from provenance.sources import Found, find_pictures
from training.errors import TrainingInterrupted
from training.interruption import interruption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image

BATCH = 8


class Describes(Protocol):
    """Whatever writes captions."""

    def describe(self, pictures: Sequence[Image]) -> list[str]:
        """One caption for each RGB picture."""


@dataclass(frozen=True)
class Captioned:
    """What a run did: pictures whose caption was written, and pictures that had one already."""

    written: tuple[str, ...]
    kept: tuple[str, ...]


def caption_folder(
    folder: Path,
    describes: Describes,
    identity: Captioner,
    *,
    prefix: str = "",
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Captioned:
    """Writes ``NAME.txt`` beside every picture without a caption, and with ``overwrite`` where a model wrote it before.

    Raises DatasetError naming every picture that cannot be read or gets no usable caption, once all others have theirs;
    UsageError when there is no such folder; TrainingInterrupted.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", expected="a folder of pictures")
    drop_torn_mark(folder)
    faults = Faults()
    pictures = find_pictures(folder, faults)
    faults.refuse(DatasetError, f"{folder} cannot be captioned", fix="mend these files first")
    due = [found for found in pictures if _is_due(found, overwrite)]
    written: list[str] = []
    with interruption() as interrupted:
        for batch in _batches(folder, due, faults):
            texts = describes.describe([picture for _, picture in batch])
            for (name, _), text in zip(batch, texts, strict=True):
                try:
                    _write(folder, name, f"{prefix}{text}" if text else "", identity)
                    written.append(name)
                except ProvenanceError as error:
                    faults.add(name, error)
            if progress is not None:
                progress(len(written) + len(faults), len(due))
            if interrupted.is_set():
                raise TrainingInterrupted(
                    f"stopped after {len(written)} of {len(due)} captions", fix="run the same command to go on"
                )
    faults.refuse(DatasetError, f"{len(faults)} of {len(due)} captions are missing", fix="write these by hand")
    names = {found.name for found in due}
    return Captioned(tuple(written), tuple(found.name for found in pictures if found.name not in names))


def _is_due(found: Found, overwrite: bool) -> bool:
    if found.sidecar is None:
        return "text" not in found.entry
    if not found.sidecar.strip():
        return True
    return overwrite and found.mark is not None and found.mark.is_of(caption_text(found.sidecar))


def _batches(folder: Path, due: list[Found], faults: Faults) -> Iterator[list[tuple[str, Image]]]:
    batch: list[tuple[str, Image]] = []
    for found in due:
        try:
            batch.append((found.name, decode_image(read_file(folder / found.name, limit=MAX_BYTES), found.name)))
        except ProvenanceError as error:
            faults.add(found.name, error)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _write(folder: Path, name: str, text: str, identity: Captioner) -> None:
    caption = caption_text(text)
    append_marks(folder, [Mark.about(name, caption, identity)])
    write_file(folder / PurePosixPath(name).with_suffix(".txt"), caption.encode() + b"\n")
