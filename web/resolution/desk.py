"""The desk of the resolution service: which manifest belongs to a soft binding, whatever carries the question."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from provenance.canonical import Json
from provenance.errors import FormatError, ImageRefused, ProvenanceError, Unavailable
from provenance.images import decode_image
from provenance.jumbf import parse_manifest_store
from provenance.keyservice.limits import RateLimit, peer_name
from provenance.likeness import Issued, likeness
from provenance.resolution.binding import SoftBinding, read_binding, watermark_algorithms
from provenance.resolution.names import is_name
from provenance.resolution.repository import ManifestRepository, RecordedManifest
from safety.errors import WatermarkError
from web.resolution.problem import Problem

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger(__name__)


@dataclass
class ResolutionDesk:
    """Answers from one repository; safe between threads. Every method raises Problem.

    Both limits are token buckets for each peer: ``peers`` counts every request, ``uploads`` those that have a picture
    read, which cost most and could serve whoever tries how far a watermark can be worn down.
    """

    repository: ManifestRepository
    peers: RateLimit = field(default_factory=lambda: RateLimit(burst=60, per_minute=120))
    uploads: RateLimit = field(default_factory=lambda: RateLimit(burst=10, per_minute=20))

    def admit(self, peer: str, *, upload: bool = False) -> None:
        """Counts a request; refuses it when the peer asks too often."""
        for limit in (self.peers, self.uploads) if upload else (self.peers,):
            taken = limit.take(peer_name(peer))
            if taken.wait:
                raise Problem("rate-limited", "too many requests", fix=f"wait {taken.wait:.0f} s", wait=taken.wait)

    def algorithms(self) -> Json:
        """What ``/services/supportedAlgorithms`` answers: ``softBindingAlgList`` (Soft Binding API 2.2, 1.4)."""
        return {"watermarks": [{"alg": name} for name in watermark_algorithms()], "fingerprints": []}

    def by_binding(self, algorithm: str, value: str, limit: int) -> Json:
        """The manifests with a soft binding: ``softBindingQueryResult``, empty when there is none."""
        try:
            binding = SoftBinding.parse(algorithm, value)
        except FormatError as error:
            raise Problem.of("malformed-request", error) from error
        found = None if binding is None else self._resolved(binding)
        return _result([] if found is None else [{"manifestId": found.name}], limit)

    def by_content(self, data: bytes, algorithm: str | None, limit: int) -> Json:
        """The manifests of the watermark in an uploaded picture; ``similarityScore`` compares fingerprints.

        What is visible of the recorded picture counts, however it was cropped, turned or scaled: 100 is the same, 50
        the limit up to which the watermark counts as this picture's own, and below it the watermark was copied, the
        picture changed beyond recognition, or too little of it is visible to tell.
        """
        if algorithm is not None and algorithm not in watermark_algorithms():
            return _result([], limit)
        try:
            pixels = _pixels(data)
            binding = read_binding(pixels, algorithm)
        except (ImageRefused, WatermarkError) as error:
            raise Problem.of("image-refused", error) from error
        found = None if binding is None else self._resolved(binding)
        if binding is None or found is None:
            return _result([], limit)
        score = likeness(pixels, binding.placement, Issued.of_record(found.record)).score
        return _result([{"manifestId": found.name, "similarityScore": score}], limit)

    def manifest(self, name: str, *, only_active: bool) -> bytes:
        """A manifest store as it was issued, or one with its active manifest alone."""
        if not is_name(name):
            raise Problem(
                "malformed-request",
                "this is not the name of a C2PA manifest",
                expected="like urn:c2pa:UUID:prov-0123456789abcdef",
            )
        with _sound():
            found = self.repository.by_name(name)
            if found is not None:
                return parse_manifest_store(found.manifest).only_active() if only_active else found.manifest
        raise Problem("manifest-unknown", "there is no such manifest here")

    def _resolved(self, binding: SoftBinding) -> RecordedManifest | None:
        with _sound():
            return self.repository.by_binding(binding)


@contextmanager
def _sound() -> Iterator[None]:
    """Hands out nothing that is not what its record says; what is wrong is the operator's to read, not the peer's."""
    try:
        yield
    except Unavailable as error:
        log.warning("the records cannot be asked: %s", error)
        raise Problem("records-unavailable", "the records cannot be asked now", wait=30) from error
    except ProvenanceError as error:
        log.warning("a record is damaged: %s", error)
        raise Problem(
            "record-damaged", "what is kept for this manifest is not what was recorded; it is not handed out"
        ) from error


def _pixels(data: bytes) -> NDArray[np.uint8]:
    import numpy as np

    return np.asarray(decode_image(data, "the upload"))


def _result(matches: list[Json], limit: int) -> Json:
    return {"matches": matches[:limit]}
