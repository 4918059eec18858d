"""From a record to what made the picture: the adapter, its training, its dataset, and whether all may still be used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from provenance.adapter import verify_adapter_files
from provenance.canonical import sha256_hex
from provenance.errors import AdapterError, DatasetError
from provenance.federated.collective import require_union
from provenance.ledger.licences import NEVER
from provenance.ledger.protocol import Stream, Token
from provenance.manifest import DatasetManifest, verify_dataset_files
from provenance.merged.parents import Parent
from provenance.moments import format_moment
from provenance.record import ImageRecord
from provenance.release import TERMS, Release, open_release
from provenance.trust import TrustStore
from provenance.verify.evidence import Evidence
from provenance.verify.findings import Findings
from provenance.verify.report import Verdict

MAX_DATA_BYTES = 256 * 1024**2


def check_lineage(
    record: ImageRecord, stream: Stream, evidence: Evidence, trust: TrustStore, findings: Findings
) -> None:
    """Verifies adapter, training statement and dataset as they were minted, and looks for revocations."""
    if record.token == 0:
        findings.ok("adapter", f"made with base {record.base} alone, without an adapter")
        findings.skipped("dataset", "no adapter, so no dataset of its own")
        findings.ok("rights", "no adapter, so no licence is needed")
        return
    dataset: DatasetManifest | None = None
    token: Token | None = None
    contributors: tuple[DatasetManifest, ...] = ()
    with findings.tampered_if_refused("adapter"):
        token = evidence.reader.token(record.token)
        findings.facts["adapter"] = {"token": token.token, "weights": token.weights, "release": token.cid}
        findings.facts |= {"maker": token.maker, "owner": token.owner}
        release = _open(record, token, evidence)
        vouched = trust.with_roots(evidence.reader.issuers(token.maker, token.minted_at))
        with findings.tampered_if_refused("dataset"):
            dataset = _check_dataset(release, token, evidence, vouched, findings)
        contributors = _check_adapter(release, token, dataset, vouched, findings)
    if token is not None:
        with findings.tampered_if_refused("rights"):
            datasets = contributors if dataset is None else (dataset, *contributors)
            _check_rights(token, stream, datasets, evidence, findings)


def _open(record: ImageRecord, token: Token, evidence: Evidence) -> Release:
    for name in ("weights", "dataset", "base"):
        if getattr(record, name) != getattr(token, name):
            raise AdapterError(
                f"the record names other {name} than token {token.token}",
                expected=getattr(token, name),
                found=getattr(record, name),
            )
    release = open_release(evidence.store, token.cid)
    published = {"weights": release.weights, "dataset": release.dataset, "base": release.base}
    published["terms"] = sha256_hex(release.read(TERMS))
    for name, digest in published.items():
        if digest != getattr(token, name):
            raise AdapterError(
                f"the published release has other {name} than token {token.token}",
                expected=getattr(token, name),
                found=digest,
            )
    if release.sealed is not None and release.sealed.maker != token.maker:
        raise AdapterError(
            f"the release was sealed by another account than the maker of token {token.token}",
            expected=token.maker,
            found=release.sealed.maker,
        )
    return release


def _check_adapter(
    release: Release, token: Token, dataset: DatasetManifest | None, vouched: TrustStore, findings: Findings
) -> tuple[DatasetManifest, ...]:
    adapter = verify_adapter_files(release.read, vouched, sealed=release.sealed, require_trusted=False)
    found = {"weights": adapter.weights_digest, "dataset": adapter.dataset_digest, "base": adapter.base_digest}
    for name, digest in found.items():
        if digest != getattr(token, name):
            raise AdapterError(
                f"the training statement names other {name} than token {token.token}",
                expected=getattr(token, name),
                found=digest,
            )
    if dataset is not None and adapter.contributors:
        require_union(dataset, adapter.contributors)
    if not adapter.issuer.trusted:
        findings.fails(
            "adapter",
            Verdict.UNKNOWN,
            f'signed by "{adapter.issuer.name}", root {adapter.issuer.root_digest}, which its maker never registered',
        )
        return adapter.contributors
    findings.ok(
        "adapter",
        f"token {token.token}, made from base {adapter.base_id}, signed by {adapter.issuer.name}",
        f"weights sha256 {adapter.weights_digest}, as minted"
        + ("; published sealed, so only who holds their key can hash them" if adapter.sealed else ""),
        "training statement and model signature are valid and name the dataset and base as minted",
        *(
            f"{contributor.issuer.name} contributed {len(contributor.records)} pictures, statement sha256 "
            f"{contributor.digest}"
            for contributor in adapter.contributors
        ),
        *(line for parent in adapter.parents for line in _told_of(parent)),
    )
    findings.facts["adapter"] |= {
        "base": adapter.base_id,
        "issuer": adapter.issuer.name,
        "sealed": adapter.sealed is not None,
    }
    if adapter.parents:
        findings.facts["adapter"]["parents"] = [
            {"name": each.name, "statement": each.digest, "weight": each.weight, "weights": each.weights}
            for each in adapter.parents
        ]
    return adapter.contributors


def _told_of(parent: Parent, depth: int = 0) -> Iterator[str]:
    """One line for a parent of a merge, and one for each of its own."""
    yield (
        f"{'its parent' if depth else 'merged from'} {parent.name} with weight {parent.weight:g}, weights sha256 "
        f"{parent.weights}, statement sha256 {parent.digest}, signed by {parent.issuer.name}"
    )
    for each in parent.parents:
        yield from _told_of(each, depth + 1)


def _check_dataset(
    release: Release, token: Token, evidence: Evidence, vouched: TrustStore, findings: Findings
) -> DatasetManifest:
    dataset = verify_dataset_files(release.read, vouched, with_data=False, require_trusted=False)
    if dataset.digest != token.dataset:
        raise DatasetError(
            f"the dataset statement is not the one of token {token.token}", expected=token.dataset, found=dataset.digest
        )
    size = sum(record.size for record in dataset.records)
    if not release.data_included:
        pictures = "pictures not published; their digests are signed"
    elif not evidence.carries_data:
        pictures = "pictures not in the bundle; their digests are signed"
    elif size > MAX_DATA_BYTES:
        pictures = f"pictures not read ({size} bytes); their digests are signed"
    else:
        verify_dataset_files(release.read, vouched, with_data=True, require_trusted=False)
        pictures = f"every byte of {len(dataset.records)} pictures is as signed"
    findings.ok(
        "dataset",
        f"{dataset.name}: {len(dataset.records)} pictures, {', '.join(dataset.licences)}",
        f"statement sha256 {dataset.digest}, as minted; signed by {dataset.issuer.name}"
        + ("" if dataset.issuer.trusted else " (not among the trusted roots)"),
        pictures,
    )
    findings.facts["dataset"] = {
        "name": dataset.name,
        "digest": dataset.digest,
        "pictures": len(dataset.records),
        "holders": sorted({record.rights_holder for record in dataset.records})[:20],
    }
    findings.facts["licences"] = list(dataset.licences)
    return dataset


def _check_rights(
    token: Token, stream: Stream, datasets: Sequence[DatasetManifest], evidence: Evidence, findings: Findings
) -> None:
    withdrawn = []
    if token.taken_down_at is not None:
        withdrawn.append(f"adapter {token.token} is taken down (reason sha256 {token.takedown_reason})")
    if token.revoked_at is not None:
        withdrawn.append(f"adapter {token.token} was withdrawn: {token.reason}")
    right = "the holder owns the adapter"
    if stream.holder != token.owner:
        licence = evidence.reader.licence(token.token, stream.holder)
        if licence is None:
            right = "the holder owned the adapter when the stream was opened"
        elif licence.revoked_at is not None:
            withdrawn.append(f"the licence of {stream.holder} was revoked: {licence.reason}")
        elif licence.ended_at is not None:
            right = "the holder had a licence, and gave it up since"
        else:
            right = "the holder has a licence" + ("" if licence.expires == NEVER else " with an end")
            findings.facts["licence"] = {
                "licensee": licence.licensee,
                "expires": _expiry(licence.expires),
                "commercial": licence.commercial,
            }
    # A contributor knows its pictures by its own records, the maker by those of the dataset they add up to.
    paths = {record.digest: record.path for dataset in datasets for record in dataset.records}
    for consent in evidence.reader.consent_revocations(token.token, paths):
        picture = paths.get(consent.record, f"record {consent.record}")
        withdrawn.append(f"consent to {picture} was withdrawn: {consent.reason}")
    if withdrawn:
        findings.fails("rights", Verdict.REVOKED, "; ".join(withdrawn))
    else:
        findings.ok("rights", right, "adapter, licence and consents are not revoked")


def _expiry(expires: int) -> str:
    return "never" if expires == NEVER else format_moment(datetime.fromtimestamp(expires, UTC))
