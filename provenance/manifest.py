"""Dataset releases: pictures with recorded rights, signed so that strangers' tools can check them.

::

    RELEASE/dataset/data/…          the pictures, and nothing else
    RELEASE/dataset/records.jsonl   one record for each
    RELEASE/dataset/croissant.json  the description
    RELEASE/dataset/screening.json  what a safety policy found in them, where the maker signed that too
    RELEASE/dataset.dsse.json       in-toto statement over every file above
    RELEASE/dataset.sig             model signing bundle over the folder
    RELEASE/issuer.pem              the signer's certificate and root;  issuer.pub.pem  its public key

A dataset is named by its digest: SHA-256 of the statement's bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provenance.canonical import Json, sha256_hex
from provenance.cid import file_cid
from provenance.dsse import IN_TOTO, Envelope
from provenance.errors import DatasetError, FileRefused, FormatError, ProvenanceError
from provenance.faults import Faults, printable
from provenance.files import read_file
from provenance.folders import compare_listing, list_files
from provenance.images import inspect_image
from provenance.moments import parse_moment
from provenance.oms import verify_bundle
from provenance.parallel import in_order
from provenance.records import Record, name_text, parse_records
from provenance.screening.parsing import parse_screening
from provenance.screening.report import SCREENING, Screening
from provenance.statement import Statement
from provenance.trust import TrustStore, VerifiedIssuer, verify_chain

PREDICATE_TYPE = "urn:prov:dataset:v1"
TREE = "dataset/"
STATEMENT, BUNDLE, CHAIN = "dataset.dsse.json", "dataset.sig", "issuer.pem"
RECORDS, DESCRIPTION = "records.jsonl", "croissant.json"
DESCRIBING = (RECORDS, DESCRIPTION, SCREENING)
CID_PROFILE = "unixfs-v1-2025"
STATEMENT_LIMIT = 256 * 1024**2
RECORDS_LIMIT = 1 << 30
CHANGED = "get the release again from whoever signed it, or sign the changed files anew"

Read = Callable[[str], bytes]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class DatasetManifest:
    """A verified dataset: who signed it, under which digest, and the record of each picture.

    ``root`` is the release folder, or None when it was read from a block store. ``screening`` is the report that the
    maker signed with the pictures: it says what they found, and is about exactly these records.
    """

    name: str
    created: str
    digest: str
    issuer: VerifiedIssuer
    records: tuple[Record, ...]
    root: Path | None
    _read: Read = field(repr=False, compare=False)
    screening: Screening | None = None

    @property
    def part_names(self) -> tuple[str, ...]:
        """The files that a release without its pictures consists of, certificates aside."""
        parts = (STATEMENT, BUNDLE, TREE + RECORDS, TREE + DESCRIPTION)
        return parts if self.screening is None else (*parts, TREE + SCREENING)

    @property
    def licences(self) -> tuple[str, ...]:
        """The licences in the dataset, each once."""
        return tuple(sorted({record.licence for record in self.records}))

    def read(self, record: Record) -> bytes:
        """A picture's bytes, opened once and equal to what was signed; raises DatasetError when they are not."""
        data = self._read(TREE + record.path)
        _check_digest(record, data)
        return data

    def read_part(self, name: str) -> bytes:
        """A file of the release other than a picture, such as ``dataset.dsse.json``, not verified again."""
        return self._read(name)


def verify_dataset(
    release: Path, trust: TrustStore, *, require_trusted: bool = True, progress: Progress | None = None
) -> DatasetManifest:
    """Verifies a release folder: signatures, every file's bytes, and that nothing was added or taken away.

    Raises a ProvenanceError that names the files; an untrusted issuer is refused unless ``require_trusted`` is off.
    """
    if not (release / STATEMENT).exists():
        inside = (release.parent / STATEMENT).exists() and release.name == TREE.rstrip("/")
        raise DatasetError(
            f"{release} is not a signed dataset",
            expected=f"{STATEMENT} beside a folder dataset/",
            fix=f"give {release.parent}" if inside else "sign the pictures with `prov dataset sign`",
        )
    faults = Faults()
    present = frozenset(list_files(release / TREE, faults)) if (release / TREE).is_dir() else frozenset()
    faults.refuse(DatasetError, f"{release} has files that are not safe to read", fix=CHANGED)

    def read(name: str) -> bytes:
        return read_file(release / name)

    return _verify(read, trust, release, present, with_data=True, require_trusted=require_trusted, progress=progress)


def verify_dataset_files(
    read: Read, trust: TrustStore, *, with_data: bool, require_trusted: bool = True, progress: Progress | None = None
) -> DatasetManifest:
    """Verifies a release through ``read(name)``, names as in a release folder; without data, all but the pictures.

    Raises a ProvenanceError, or whatever ``read`` raises for a file it cannot get.
    """
    return _verify(read, trust, None, None, with_data=with_data, require_trusted=require_trusted, progress=progress)


def _verify(
    read: Read,
    trust: TrustStore,
    root: Path | None,
    present: frozenset[str] | None,
    *,
    with_data: bool,
    require_trusted: bool,
    progress: Progress | None,
) -> DatasetManifest:
    envelope, statement, issuer = read_statement(read, STATEMENT, PREDICATE_TYPE, trust)
    if require_trusted:
        issuer.require_trusted(STATEMENT)
    name, created = _claims(statement.predicate)
    issuer.require_valid_at(parse_moment(created, STATEMENT), STATEMENT)
    verify_bundle(read(BUNDLE), issuer.public_key, statement.subjects, BUNDLE)
    faults = Faults()
    if present is not None:
        compare_listing(statement.subjects, present, faults)
        faults.refuse(DatasetError, "the dataset is not what was signed", fix=CHANGED)
    written = (RECORDS, DESCRIPTION, *((SCREENING,) if SCREENING in statement.subjects else ()))
    data = {file: read(TREE + file) for file in written}
    for file, content in data.items():
        if statement.subjects.get(file) != sha256_hex(content):
            raise DatasetError(f"{file} is not what was signed", expected=statement.subjects.get(file), fix=CHANGED)
    records = parse_records(data[RECORDS])
    _check_claims(statement, records)
    screening = parse_screening(data[SCREENING]) if SCREENING in data else None
    if screening is not None:
        screening.require_covers(records)
    if with_data:
        _check_pictures(read, records, faults, progress)
        faults.refuse(DatasetError, "pictures are not what was signed", fix=CHANGED)
    return DatasetManifest(name, created, envelope.digest, issuer, records, root, read, screening)


def read_statement(
    read: Read, file: str, predicate_type: str, trust: TrustStore
) -> tuple[Envelope, Statement, VerifiedIssuer]:
    """Reads a release's envelope, checks its signature against ``issuer.pem``, and only then parses the statement."""
    envelope = Envelope.parse(read(file), file)
    if envelope.payload_type != IN_TOTO:
        raise FormatError(f"{file} does not hold a statement", expected=IN_TOTO, found=envelope.payload_type[:100])
    issuer = verify_chain(read(CHAIN), trust, key_id=envelope.signatures[0].key_id, what=CHAIN)
    payload = envelope.verify(issuer.public_key, file)
    return envelope, Statement.parse(payload, file, predicate_type=predicate_type), issuer


def _claims(predicate: Json) -> tuple[str, str]:
    match predicate:
        case {"name": str(name), "created": str(created), "records": {}, "licences": [*_]} if len(predicate) == 4:
            if name_text(name) == name:
                return name, created
    raise FormatError(f"{STATEMENT} has a malformed claim", expected="name, created, records and licences")


def dataset_claim(name: str, created: str, records: tuple[Record, ...]) -> Json:
    """The predicate of a dataset statement."""
    licences: list[Any] = sorted({record.licence for record in records})
    return {"name": name, "created": created, "records": {"file": RECORDS, "count": len(records)}, "licences": licences}


def _check_claims(statement: Statement, records: tuple[Record, ...]) -> None:
    name, created = _claims(statement.predicate)
    if statement.predicate != dataset_claim(name, created, records):
        raise DatasetError(f"{STATEMENT} claims other licences or another number of pictures than its records")
    expected = {record.path: record.sha256 for record in records}
    signed = {file: digest for file, digest in statement.subjects.items() if file not in DESCRIBING}
    differing = sorted(file for file in expected.keys() | signed.keys() if expected.get(file) != signed.get(file))
    if differing:
        raise DatasetError(
            f"{RECORDS} and {STATEMENT} speak of different pictures",
            expected="one record for each signed picture",
            found=", ".join(printable(file) for file in differing[:20]),
        )


def _check_pictures(read: Read, records: tuple[Record, ...], faults: Faults, progress: Progress | None) -> None:
    def opened() -> Iterator[tuple[Record, bytes | FileRefused]]:
        for record in records:
            try:
                yield record, read(TREE + record.path)
            except FileRefused as error:
                yield record, error

    for done, (record, error) in enumerate(in_order(_fault, opened()), start=1):
        if error is not None:
            faults.add(record.path, error)
        if progress is not None:
            progress(done, len(records))


def _fault(opened: tuple[Record, bytes | FileRefused]) -> tuple[Record, ProvenanceError | None]:
    record, data = opened
    if isinstance(data, FileRefused):
        return record, data
    try:
        _check_digest(record, data)
        found = inspect_image(data, record.path).media_type
        if found != record.media_type:
            raise DatasetError("is another kind of picture", expected=record.media_type, found=found)
        cid = file_cid(data, profile=record.cid_profile)
        if cid != record.cid:
            raise DatasetError("has a record with another file's CID", expected=cid, found=record.cid)
    except ProvenanceError as error:
        return record, error
    return record, None


def _check_digest(record: Record, data: bytes) -> None:
    found = sha256_hex(data)
    if len(data) != record.size or found != record.sha256:
        raise DatasetError(
            f"{record.path} was changed after signing", expected=f"SHA-256 {record.sha256}", found=found, fix=CHANGED
        )
