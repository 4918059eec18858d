"""Signing a folder of captioned pictures into a dataset release, and (from `provenance.manifest`) verifying one."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from provenance.canonical import sha256_hex
from provenance.cid import file_cid
from provenance.croissant import describe
from provenance.errors import DatasetError, ProvenanceError, UsageError
from provenance.faults import Faults
from provenance.files import read_file
from provenance.identity import Issuer
from provenance.images import MAX_BYTES, SUFFIXES, inspect_image
from provenance.manifest import (
    BUNDLE,
    CID_PROFILE,
    DESCRIPTION,
    PREDICATE_TYPE,
    RECORDS,
    STATEMENT,
    TREE,
    DatasetManifest,
    Progress,
    dataset_claim,
    verify_dataset,
    verify_dataset_files,
)
from provenance.moments import format_moment, utc_now
from provenance.parallel import in_order
from provenance.records import FOLDER, Consent, Record, holder_text, name_text, serialise_records
from provenance.screening.report import SCREENING, Screening
from provenance.signing import sign_tree, staged
from provenance.sources import Item, Rights, read_source
from provenance.spdx import licence_expression
from provenance.statement import Statement
from provenance.trust import TrustStore, verify_chain

__all__ = ["DatasetManifest", "sign_dataset", "verify_dataset", "verify_dataset_files"]


def sign_dataset(
    source: Path,
    release: Path,
    *,
    issuer: Issuer,
    licence: str | None = None,
    holder: str | None = None,
    name: str | None = None,
    consent: Consent | None = None,
    training_mining: str = "allowed",
    screening: Screening | None = None,
    progress: Progress | None = None,
) -> DatasetManifest:
    """Copies a folder of captioned pictures into a signed release; raises DatasetError naming every file at fault.

    ``licence`` (an SPDX expression), ``holder``, ``consent`` and ``training_mining`` hold for the pictures that
    ``metadata.jsonl`` gives none of their own. A ``screening`` is signed with them; it must be about exactly these
    pictures and captions.
    """
    if not source.is_dir():
        raise UsageError(f"{source} is not a folder", expected="a folder of pictures with captions")
    if release.resolve() == source.resolve() or source.resolve() in release.resolve().parents:
        raise UsageError("the release cannot lie inside the folder it is made from", found=str(release))
    title = name_text(name if name is not None else source.resolve().name)
    rights = Rights(
        None if licence is None else licence_expression(licence),
        None if holder is None else holder_text(holder),
        consent,
        training_mining,
    )
    faults = Faults()
    items = read_source(source, rights, faults)
    with staged(release) as staging:
        records = _copy_pictures(source, items, staging / TREE, faults, progress)
        faults.refuse(DatasetError, f"{source} cannot be signed", fix="mend these files and sign again")
        created = format_moment(utc_now())
        listing = serialise_records(records)
        records = tuple(sorted(records, key=lambda record: record.path))
        written = {RECORDS: listing, DESCRIPTION: describe(title, records, listing, created)}
        if screening is not None:
            screening.require_covers(records)
            written[SCREENING] = screening.to_bytes()
        for file, content in written.items():
            (staging / TREE / file).write_bytes(content)
        subjects = {record.path: record.sha256 for record in records}
        subjects |= {file: sha256_hex(content) for file, content in written.items()}
        statement = Statement(subjects, PREDICATE_TYPE, dataset_claim(title, created, records))
        envelope = sign_tree(staging, TREE, STATEMENT, BUNDLE, statement, issuer)
    signer = verify_chain(issuer.certificates_pem, TrustStore(frozenset({issuer.root_digest})))

    def read(file: str) -> bytes:
        return read_file(release / file)

    return DatasetManifest(title, created, envelope.digest, signer, records, release, read, screening)


def _copy_pictures(
    source: Path, items: list[Item], tree: Path, faults: Faults, progress: Progress | None
) -> tuple[Record, ...]:
    def signed(item: Item) -> tuple[Item, Record | ProvenanceError]:
        try:
            return item, _copy(source, item, tree)
        except ProvenanceError as error:
            return item, error

    tree.mkdir()
    records = []
    for done, (item, result) in enumerate(in_order(signed, items), start=1):
        if isinstance(result, Record):
            records.append(result)
        else:
            faults.add(item.name, result)
        if progress is not None:
            progress(done, len(items))
    return tuple(records)


def _copy(source: Path, item: Item, tree: Path) -> Record:
    data = read_file(source / item.name, limit=MAX_BYTES)
    media_type = inspect_image(data, item.name).media_type
    suffix = PurePosixPath(item.name).suffix.lower()
    if SUFFIXES[suffix] != media_type:
        raise DatasetError("is not what its name says", expected=SUFFIXES[suffix], found=media_type)
    target = tree / FOLDER / item.name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    return Record(
        path=FOLDER + item.name,
        size=len(data),
        media_type=media_type,
        sha256=sha256_hex(data),
        cid=file_cid(data, profile=CID_PROFILE),
        cid_profile=CID_PROFILE,
        caption=item.caption,
        licence=item.licence,
        rights_holder=item.rights_holder,
        source=item.source,
        consent=item.consent,
        training_mining=item.training_mining,
        preprocessing=item.preprocessing,
        caption_by=item.caption_by,
    )
