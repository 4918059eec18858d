"""Credentials put back: from the watermark to the signed manifest it belongs to, and to the picture again.

A recovered manifest counts only when its signature and its root hold, when it names the watermark that was read, and
when the picture looks like the one it was issued for: a watermark alone can be copied (C2PA Soft Binding API 2.2,
1.2.2.3).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from provenance.canonical import sha256_hex
from provenance.credentials import UNTRUSTED, Credentials, ProvAssertion, named_bindings, read_credentials
from provenance.errors import FormatError, RecordError, SignatureError, Unavailable
from provenance.jumbf import parse_manifest_store
from provenance.likeness import Issued, Kind, likeness
from provenance.record import ImageRecord
from provenance.resolution.binding import SoftBinding, read_binding
from provenance.resolution.client import ResolutionClient
from provenance.resolution.embedding import embed_manifest
from provenance.resolution.repository import ManifestRepository
from provenance.trust import TrustStore
from provenance.verify.trace import Picture

if TYPE_CHECKING:
    from safety.watermark import Placement

_UNLIKE = {
    Kind.OTHER: "the watermark belongs to another picture than the one it is in",
    Kind.EXTENDED: "the picture shows more than the one that the manifest was issued for",
    Kind.UNCLEAR: "too little can be seen to tell whether the watermark belongs to this picture",
}


@dataclass(frozen=True)
class Candidate:
    """A manifest that someone gives for a soft binding; ``record`` when it was found on record here.

    ``roots_pem`` are roots that the holder of the record's stream vouched for on the ledger.
    """

    name: str
    manifest: bytes
    record: ImageRecord | None = None
    roots_pem: bytes = b""


class ManifestSource(Protocol):
    """Whoever can be asked which manifest belongs to a watermark."""

    def describe(self) -> str:
        """Who it is, for messages."""

    def candidates(self, binding: SoftBinding) -> Iterator[Candidate]:
        """Manifests with a soft binding, as this source says; raises Unavailable."""


@dataclass(frozen=True)
class RepositorySource:
    """The records of a home."""

    repository: ManifestRepository
    trust: TrustStore

    def describe(self) -> str:
        return f"the records of {self.repository.home.path}"

    def candidates(self, binding: SoftBinding) -> Iterator[Candidate]:
        found = self.repository.by_binding(binding)
        if found is not None:
            roots = self.repository.vouched_roots(found, self.trust)
            yield Candidate(found.name, found.manifest, found.record, roots)


@dataclass(frozen=True)
class ServiceSource:
    """A resolution service."""

    client: ResolutionClient

    def describe(self) -> str:
        return self.client.url

    def candidates(self, binding: SoftBinding) -> Iterator[Candidate]:
        for name in self.client.by_binding(binding):
            manifest = self.client.manifest(name)
            if manifest is not None:
                yield Candidate(name, manifest)


@dataclass(frozen=True)
class Recovered:
    """A manifest store that belongs to a picture; ``distance`` is between fingerprints, 0 the same to 1.

    ``embedded`` is the picture with its credentials in it, or None when that would not be the file that was signed.
    """

    binding: SoftBinding
    name: str
    manifest: bytes
    credentials: Credentials
    assertion: ProvAssertion
    distance: float
    embedded: bytes | None


def recover_credentials(picture: Picture, source: ManifestSource, trust: TrustStore) -> Recovered:
    """Finds and checks the manifest that a picture was issued with.

    Raises RecordError when there is none, or it belongs to another picture, SignatureError when it is not by a trusted
    root, WatermarkError when the picture cannot carry a watermark, and Unavailable when the source cannot answer.
    """
    binding = read_binding(picture.pixels)
    if binding is None:
        raise RecordError(
            "the picture carries no watermark that can be read",
            expected="a picture made by `prov generate`, not changed beyond what its watermark survives",
        )
    faults: list[RecordError | SignatureError] = []
    for candidate in source.candidates(binding):
        try:
            return check_candidate(picture, binding, candidate, trust)
        except (RecordError, SignatureError) as error:
            faults.append(error)
    if faults:
        raise faults[0]
    raise RecordError(
        f"{source.describe()} knows no manifest for watermark {binding.value} ({binding.algorithm})",
        fix="ask whoever made the picture for the address of its resolution service: prov recover IMAGE --url …",
    )


def check_candidate(picture: Picture, binding: SoftBinding, candidate: Candidate, trust: TrustStore) -> Recovered:
    """Whether a manifest is signed, trusted, about the watermark and about this picture; raises what is wrong."""
    record, manifest = candidate.record, candidate.manifest
    _check_name(candidate)
    said = read_credentials(picture.data, picture.media_type, manifest=manifest)
    # Among the roots that are believed, only the one that the assertion names may have signed it.
    anchors = _named_root(trust.anchors_pem + candidate.roots_pem, said.assertion)
    credentials = read_credentials(picture.data, picture.media_type, anchors, manifest=manifest)
    assertion = _check_signature(credentials, record)
    if assertion.payload != binding.value or (binding.algorithm, binding.value) not in named_bindings(manifest):
        raise RecordError(
            "the manifest belongs to another watermark",
            expected=f"{binding.value} ({binding.algorithm})",
            found=assertion.payload,
        )
    return Recovered(
        binding=binding,
        name=candidate.name,
        manifest=manifest,
        credentials=credentials,
        assertion=assertion,
        distance=_checked_distance(picture, binding.placement, assertion, record),
        embedded=_embedded(picture, manifest, record, anchors, credentials.state),
    )


def _check_name(candidate: Candidate) -> None:
    record, name = candidate.record, candidate.name
    if record is not None and record.manifest != sha256_hex(candidate.manifest):
        raise RecordError("the manifest is not the record's", expected=record.manifest)
    try:
        label = parse_manifest_store(candidate.manifest).active
    except FormatError as error:
        raise RecordError(error.what, expected=error.expected, found=error.found) from error
    if name.lower().startswith("urn:c2pa:") and name.lower() != label.lower():
        raise RecordError("another manifest was given than the one asked for", expected=name, found=label)


def _named_root(anchors_pem: bytes, assertion: ProvAssertion | None) -> bytes:
    from provenance.certificates import certificate_digest, parse_certificates, to_pem

    if assertion is None or not anchors_pem:
        return b""
    return to_pem(*(c for c in parse_certificates(anchors_pem) if certificate_digest(c) == assertion.issuer))


def _check_signature(credentials: Credentials, record: ImageRecord | None) -> ProvAssertion:
    # After its end a certificate proves nothing by itself, but a record dates what was signed with it.
    expired = credentials.state == "expired" and UNTRUSTED not in credentials.failures
    if credentials.state == "invalid":
        raise RecordError("the manifest does not validate", found=", ".join(credentials.failures))
    if credentials.assertion is None:
        raise RecordError("the manifest says nothing of a record", found=credentials.fault)
    if credentials.state == "trusted" or (expired and record is not None):
        return credentials.assertion
    if expired:
        raise SignatureError(
            "the manifest's certificate has expired, and no record here says that it was signed before",
            fix="recover it on a home of the picture's ledger, without --url",
        )
    raise SignatureError(
        "the manifest is signed by an issuer that is not trusted here",
        expected="a root in the trust store",
        found=f'"{credentials.issuer_name}", root {credentials.assertion.issuer}',
        fix="if you know the issuer's root certificate, believe it: --trust ROOT.pem",
    )


def _checked_distance(
    picture: Picture, placement: Placement | None, assertion: ProvAssertion, record: ImageRecord | None
) -> float:
    issued = Issued.of_record(record) if record is not None else Issued.of_assertion(assertion)
    if issued is None:
        raise Unavailable(
            "the manifest does not say what its picture looks like, and its record is not here",
            expected="a manifest with a fingerprint, or the record on this home's ledger",
            fix="recover it on a home of the picture's ledger, without --url",
        )
    try:
        found = likeness(picture.pixels, placement, issued)
    except FormatError as error:
        raise RecordError("the manifest's fingerprint cannot be compared", found=error.what) from error
    if found.kind is not Kind.SAME:
        raise RecordError(
            _UNLIKE[found.kind],
            expected=f"a fingerprint within {found.limit:.3f} of the recorded one, over enough of the picture",
            found=found.detail,
            fix="it was copied, or the picture was changed beyond recognition; see `prov verify`",
        )
    return found.distance


def _embedded(
    picture: Picture, manifest: bytes, record: ImageRecord | None, anchors: bytes, state: str
) -> bytes | None:
    whole = embed_manifest(picture.data, picture.media_type, manifest)
    if record is not None and sha256_hex(whole) != record.image.sha256:
        return None
    # Without the mismatch being forgiven: the data hash holds only over the very bytes that were signed.
    return whole if read_credentials(whole, picture.media_type, anchors).state == state else None
