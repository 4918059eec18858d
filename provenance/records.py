"""records.jsonl: one line of canonical JSON for each picture of a dataset, with the rights it comes with."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from provenance.canonical import Json, canonical_json, parse_json, sha256_hex
from provenance.errors import DatasetError, FormatError, ProvenanceError
from provenance.faults import Faults
from provenance.images import MEDIA_TYPES
from provenance.names import BIDI_CONTROLS, check_name, collisions
from provenance.spdx import licence_expression
from provenance.statement import is_digest

CID_PROFILES = ("unixfs-v1-2025", "unixfs-v0-2015")
CONSENT_BASES = ("own-work", "licence", "contract", "consent", "public-domain")
TRAINING_MINING = ("allowed", "notAllowed", "constrained")
MAX_CAPTION = 8192
MAX_TEXT = 2048
MAX_LINE_BYTES = 1 << 16
MAX_FILE_BYTES = 1 << 30
FOLDER = "data/"


@dataclass(frozen=True)
class Consent:
    """Why the picture may be used, and where that is written down."""

    basis: str
    uri: str | None = None


@dataclass(frozen=True)
class Captioner:
    """The model that wrote a caption: a name that others can find it by, and the SHA-256 over its files."""

    model: str
    sha256: str


@dataclass(frozen=True)
class Record:
    """One picture: its bytes (path below ``dataset/``, size in bytes, SHA-256, CID), its caption and its rights.

    ``caption_by`` is the model that wrote the caption, or None where a person did or nobody said.
    """

    path: str
    size: int
    media_type: str
    sha256: str
    cid: str
    cid_profile: str
    caption: str
    licence: str
    rights_holder: str
    source: str | None = None
    consent: Consent | None = None
    training_mining: str = "allowed"
    preprocessing: tuple[Json, ...] = ()
    caption_by: Captioner | None = None

    def to_bytes(self) -> bytes:
        """The record as canonical JSON, without a line end; ``caption_by`` is left out where there is none."""
        consent = None if self.consent is None else {"basis": self.consent.basis, "uri": self.consent.uri}
        marks = {} if self.caption_by is None else {"caption_by": asdict(self.caption_by)}
        return canonical_json(
            {
                **marks,
                "caption": self.caption,
                "cid": self.cid,
                "cid_profile": self.cid_profile,
                "consent": consent,
                "licence": self.licence,
                "media_type": self.media_type,
                "path": self.path,
                "preprocessing": list(self.preprocessing),
                "rights_holder": self.rights_holder,
                "sha256": self.sha256,
                "size": self.size,
                "source": self.source,
                "training_mining": self.training_mining,
            }
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the record's bytes in hexadecimal: what a consent revocation on the ledger names."""
        return sha256_hex(self.to_bytes())

    @classmethod
    def parse(cls, line: bytes, what: str = "the record") -> Record:
        """Reads one line strictly: it must be the canonical bytes of a valid record; raises FormatError."""
        value = parse_json(line, what, limit=MAX_LINE_BYTES)
        keys = set(cls.__dataclass_fields__)
        if not isinstance(value, dict) or set(value) | {"caption_by"} != keys:
            raise FormatError(
                f"{what} is malformed",
                expected=f"the keys {', '.join(sorted(keys))}; caption_by where a model wrote it",
            )
        try:
            record = cls._of(value)
        except DatasetError as error:
            raise FormatError(f"{what}: {error.what}", expected=error.expected, found=error.found) from error
        if record.to_bytes() != line:
            raise FormatError(f"{what} is not canonical", expected="canonical JSON, NFC text, canonical licence")
        return record

    @classmethod
    def _of(cls, value: Json) -> Record:
        path = _text(value["path"], "path", MAX_TEXT)
        check_path(path)
        size = value["size"]
        if type(size) is not int or size <= 0:
            raise DatasetError("size is not a number of bytes", found=repr(size)[:80])
        if not is_digest(value["sha256"]):
            raise DatasetError("sha256 is not a digest", expected="64 lower-case hexadecimal digits")
        return cls(
            path=path,
            size=size,
            media_type=_choice(value["media_type"], "media_type", tuple(MEDIA_TYPES.values())),
            sha256=value["sha256"],
            cid=_text(value["cid"], "cid", 128),
            cid_profile=_choice(value["cid_profile"], "cid_profile", CID_PROFILES),
            caption=caption_text(value["caption"]),
            licence=licence_expression(_text(value["licence"], "licence", MAX_TEXT)),
            rights_holder=holder_text(value["rights_holder"]),
            source=source_text(value["source"]),
            consent=consent_of(value["consent"]),
            training_mining=training_choice(value["training_mining"]),
            preprocessing=preprocessing_of(value["preprocessing"]),
            caption_by=captioner_of(value.get("caption_by")),
        )


def serialise_records(records: Iterable[Record]) -> bytes:
    """records.jsonl: the records in order of path, each followed by a line feed."""
    return b"".join(record.to_bytes() + b"\n" for record in sorted(records, key=lambda record: record.path))


def parse_records(data: bytes, what: str = "records.jsonl") -> tuple[Record, ...]:
    """Reads records.jsonl strictly, reporting all faults together; raises FormatError."""
    if len(data) > MAX_FILE_BYTES or not data.endswith(b"\n"):
        raise FormatError(f"{what} is malformed", expected="lines of JSON, each ended by a line feed")
    faults, records = Faults(), []
    for number, line in enumerate(data[:-1].split(b"\n"), start=1):
        try:
            records.append(Record.parse(line, "the record"))
        except ProvenanceError as error:
            faults.add(f"{what}:{number}", error)
    paths = [record.path for record in records]
    for first, second in collisions(paths):
        faults.add(second, f"has the same name as {first} on some systems")
    if paths != sorted(paths):
        faults.add(what, "is not in order of path")
    faults.refuse(FormatError, f"{what} has malformed records")
    return tuple(records)


def check_path(path: str) -> None:
    """Raises DatasetError unless a path is a safe name below ``data/``."""
    try:
        check_name(path)
    except ProvenanceError as error:
        raise DatasetError(error.what) from error
    if not path.startswith(FOLDER):
        raise DatasetError("path leaves the data folder", expected=f"{FOLDER}…", found=path)


def caption_text(value: Any) -> str:
    """A caption in NFC without surrounding space; raises DatasetError when missing or with hidden controls."""
    return _text(value, "caption", MAX_CAPTION, lines=True)


def holder_text(value: Any) -> str:
    """A rights holder's name; raises DatasetError."""
    return _text(value, "rights holder", MAX_TEXT)


def name_text(value: Any) -> str:
    """The name of a dataset; raises DatasetError."""
    return _text(value, "name", MAX_TEXT)


def source_text(value: Any) -> str | None:
    """Where the picture came from, or None when nobody said; raises DatasetError."""
    return None if value is None else _text(value, "source", MAX_TEXT)


def training_choice(value: Any) -> str:
    """The rights holder's choice about training, in the words of `cawg.training-mining`; raises DatasetError."""
    return _choice(value, "training_mining", TRAINING_MINING)


def consent_of(value: Any) -> Consent | None:
    """``{"basis": …, "uri": …}``, or None when nobody said; raises DatasetError."""
    if value is None:
        return None
    if not isinstance(value, dict) or not {"basis"} <= set(value) <= {"basis", "uri"}:
        raise DatasetError("consent is malformed", expected='{"basis": …, "uri": …}')
    uri = value.get("uri")
    basis = _choice(value["basis"], "consent basis", CONSENT_BASES)
    return Consent(basis, None if uri is None else _text(uri, "consent uri", MAX_TEXT))


def captioner_of(value: Any) -> Captioner | None:
    """``{"model": …, "sha256": …}``, or None when no model wrote the caption; raises DatasetError."""
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) != {"model", "sha256"} or not is_digest(value["sha256"]):
        raise DatasetError("caption_by is malformed", expected='{"model": …, "sha256": 64 hexadecimal digits}')
    return Captioner(_text(value["model"], "caption_by model", MAX_TEXT), value["sha256"])


def preprocessing_of(value: Any) -> tuple[Json, ...]:
    """The steps that made the picture what it is: objects with an ``op`` and plain parameters; raises DatasetError."""
    if not isinstance(value, list | tuple) or len(value) > 64 or not all(_is_step(step) for step in value):
        raise DatasetError("preprocessing is malformed", expected='a list of {"op": "resize", …} with plain values')
    return tuple(value)


def _is_step(step: Any) -> bool:
    return (
        isinstance(step, Mapping)
        and isinstance(step.get("op"), str)
        and all(isinstance(v, str | int | bool) and _is_clean(str(v)) for v in step.values())
        and all(_is_clean(key) for key in step)
    )


def _text(value: Any, what: str, limit: int, *, lines: bool = False) -> str:
    if not isinstance(value, str) or not value.strip():
        raise DatasetError(f"{what} is missing", expected="text")
    text = unicodedata.normalize("NFC", value.strip())
    if len(text) > limit:
        raise DatasetError(f"{what} is too long", expected=f"at most {limit} characters", found=f"{len(text)}")
    if not _is_clean(text.replace("\n", " ").replace("\t", " ") if lines else text):
        raise DatasetError(f"{what} has control characters", expected="text that reads as it is stored")
    return text


def _is_clean(text: str) -> bool:
    # Every hidden control is unprintable, so most text needs no second look.
    return text.isprintable() or not any(
        c in BIDI_CONTROLS or unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in text
    )


def _choice(value: Any, what: str, allowed: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in allowed:
        raise DatasetError(f"{what} is not known", expected=" | ".join(allowed), found=repr(value)[:80])
    return value
