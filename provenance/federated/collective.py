"""The dataset that contributors' datasets add up to, signed by who brought them together.

It is a dataset release like any other, but for its pictures, which nobody but their contributors has: one record for
each picture that was trained on, with everything its contributor signed about it. Only the path is another: below
``data/<first 16 digits of the contributor's statement>/``. So anybody can work out from the contributors' own
statements that nothing was left out, added or changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from provenance.canonical import sha256_hex
from provenance.croissant import describe
from provenance.dsse import IN_TOTO, Envelope
from provenance.errors import AdapterError
from provenance.identity import Issuer
from provenance.manifest import (
    BUNDLE,
    CHAIN,
    DESCRIPTION,
    PREDICATE_TYPE,
    RECORDS,
    STATEMENT,
    TREE,
    DatasetManifest,
    dataset_claim,
    verify_dataset_files,
)
from provenance.oms import sign_digests
from provenance.records import FOLDER, Record, serialise_records
from provenance.statement import Statement
from provenance.trust import TrustStore


def collect(name: str, created: str, contributors: Sequence[DatasetManifest], issuer: Issuer) -> DatasetManifest:
    """Signs the dataset that verified datasets add up to; raises DatasetError when a path becomes too long."""
    records = _union(contributors)
    listing = serialise_records(records)
    written = {RECORDS: listing, DESCRIPTION: describe(name, records, listing, created)}
    subjects = {record.path: record.sha256 for record in records}
    subjects |= {file: sha256_hex(content) for file, content in written.items()}
    statement = Statement(subjects, PREDICATE_TYPE, dataset_claim(name, created, records))
    files: Mapping[str, bytes] = {
        STATEMENT: Envelope.sign(statement.to_bytes(), IN_TOTO, issuer).to_json(),
        BUNDLE: sign_digests(TREE.rstrip("/"), subjects, issuer),
        CHAIN: issuer.certificates_pem,
        **{TREE + file: content for file, content in written.items()},
    }
    trust = TrustStore(frozenset({issuer.root_digest}))
    return verify_dataset_files(files.__getitem__, trust, with_data=False)


def require_union(dataset: DatasetManifest, contributors: Sequence[DatasetManifest]) -> None:
    """Raises AdapterError unless a dataset is exactly what its contributors' datasets add up to."""
    if dataset.records != _union(contributors):
        raise AdapterError(
            "the collective dataset is not what its contributors' datasets add up to",
            expected="a record for each picture of each contributor, changed in nothing but its path",
            fix="get the release again from whoever signed it, or ask them what they left out",
        )


def _union(contributors: Sequence[DatasetManifest]) -> tuple[Record, ...]:
    records = [
        replace(record, path=f"{FOLDER}{manifest.digest[:16]}/{record.path.removeprefix(FOLDER)}")
        for manifest in contributors
        for record in manifest.records
    ]
    return tuple(sorted(records, key=lambda record: record.path))
