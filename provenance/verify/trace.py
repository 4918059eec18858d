"""What a picture itself says: its pixels, its watermark and its Content Credentials, before anybody else is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from provenance.canonical import sha256_hex
from provenance.credentials import SOURCE_TYPES, Credentials, ProvAssertion, read_credentials, soft_binding_algorithm
from provenance.files import read_file
from provenance.images import MAX_BYTES, decode_image, inspect_image
from provenance.ledger.view import namespace_of
from provenance.record import pixels_digest
from provenance.trust import TrustStore
from provenance.verify.findings import Findings
from provenance.verify.report import Verdict
from safety.errors import WatermarkError
from safety.watermark import Payload, detect
from safety.watermark.backend import BACKENDS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from safety.watermark import Detection, Placement

INTACT = ("trusted", "untrusted", "expired")

DeepReader = Callable[["NDArray[np.uint8]"], "Detection"]
"""Reads a payload out of (H, W, 3) pixels at any cost; what needs a model is handed in by whoever has one."""


@dataclass(frozen=True)
class Picture:
    """One file, read once: its bytes, and its pixels as (H, W, 3) uint8 RGB."""

    name: str
    data: bytes
    media_type: str
    pixels: NDArray[np.uint8]


@dataclass(frozen=True)
class Trace:
    """What was read of a watermark, None for a picture that can carry none, and the credentials."""

    detection: Detection | None
    credentials: Credentials

    @property
    def payload(self) -> Payload | None:
        """The watermark's payload, if there is one."""
        read = None if self.detection is None else self.detection.payload
        return None if read is None else Payload.unpack(read)

    def placement(self, backend: str) -> Placement | None:
        """Where the picture lies on the plane of a backend's watermark, if it was read by that backend."""
        return self.detection.placement if self.detection is not None and self.detection.backend == backend else None

    @property
    def claim(self) -> ProvAssertion | None:
        """Our own assertion, when the credentials that carry it are intact; whoever signed them."""
        return self.credentials.assertion if self.credentials.state in INTACT else None

    @property
    def followed(self) -> Payload | None:
        """The payload that leads to a record: the watermark's, else the one the credentials name."""
        if self.payload is not None:
            return self.payload
        return None if self.claim is None else Payload.unpack(int(self.claim.payload, 16))


def open_picture(path: Path) -> Picture:
    """Reads and decodes a file once; raises FileRefused or ImageRefused."""
    import numpy as np

    data = read_file(path, limit=MAX_BYTES)
    info = inspect_image(data, path.name)
    return Picture(path.name, data, info.media_type, np.asarray(decode_image(data, path.name)))


def read_trace(picture: Picture, trust: TrustStore, findings: Findings, deep: DeepReader | None = None) -> Trace:
    """Reads watermark and credentials, and finds what contradicts itself without a ledger.

    ``deep`` is asked only when the pixels themselves carry no payload.
    """
    height, width = picture.pixels.shape[:2]
    findings.ok(
        "file",
        f"{picture.media_type}, {width} × {height} px, {len(picture.data)} bytes",
        f"sha256 {sha256_hex(picture.data)}",
    )
    trace = Trace(
        _read_watermark(picture, findings, deep), read_credentials(picture.data, picture.media_type, trust.anchors_pem)
    )
    credentials = trace.credentials
    if credentials.state == "absent":
        findings.absent("credentials", "no Content Credentials" + "".join(f" ({f})" for f in credentials.failures))
    elif credentials.state == "invalid":
        findings.fails(
            "credentials", Verdict.TAMPERED, f"Content Credentials do not validate: {', '.join(credentials.failures)}"
        )
    elif credentials.fault is not None:
        findings.fails("credentials", Verdict.TAMPERED, credentials.fault)
    elif credentials.assertion is None:
        findings.absent(
            "credentials",
            f'Content Credentials by "{credentials.issuer_name}" ({credentials.state}), which say nothing of a ledger',
        )
    else:
        signer = f'signed by "{credentials.issuer_name}", {credentials.generator}'
        if credentials.state == "trusted":
            findings.ok("credentials", signer, "C2PA signature, certificate chain, assertions and data hash are valid")
        else:
            findings.skipped("credentials", f"intact, {signer}; whether that issuer counts is not known yet")
        _check_claim(picture, trace, credentials.assertion, findings)
    return trace


def _read_watermark(picture: Picture, findings: Findings, deep: DeepReader | None) -> Detection | None:
    detection, looked = _first_reading(picture, (detect,) if deep is None else (detect, deep))
    if detection is None or detection.payload is None:
        findings.absent("watermark", "; ".join(looked))
        return detection
    payload = Payload.unpack(detection.payload)
    findings.ok(
        "watermark",
        f"payload {payload.hex}: stream {payload.stream}, serial {payload.serial}",
        f"read by {detection.backend} with p = {detection.p_value:.1e}",
    )
    return detection


def _first_reading(picture: Picture, readers: tuple[DeepReader, ...]) -> tuple[Detection | None, list[str]]:
    """The first reading with a payload, else the first there is, and what the readers without one said."""
    first: Detection | None = None
    looked = []
    for read in readers:
        try:
            detection = read(picture.pixels)
        except WatermarkError as error:
            looked.append(f"{error.what}: {error.found}")
            continue
        if detection.payload is not None:
            return detection, looked
        first = detection if first is None else first
        looked.append(f"no watermark (p = {detection.p_value:.1e}, {detection.backend})")
    return first, looked


def _check_claim(picture: Picture, trace: Trace, claim: ProvAssertion, findings: Findings) -> None:
    payload = Payload.unpack(int(claim.payload, 16))
    record = f"urn:prov:image:{claim.chain_id}:{claim.contract}:{payload.stream}:{payload.serial}"
    faults = []
    if claim.record != record or payload.namespace != namespace_of(claim.chain_id, claim.contract):
        faults.append("the credentials' payload, record and ledger do not belong together")
    binding = trace.credentials.soft_binding
    if binding is None or binding[1] != claim.payload:
        faults.append(f"the soft binding names {binding[1] if binding else 'nothing'}, the assertion {claim.payload}")
    elif binding[0] not in {soft_binding_algorithm(name) for name in BACKENDS}:
        faults.append(f"the soft binding names an unknown algorithm, {binding[0]}")
    latent = trace.credentials.latent_binding
    if latent is not None and latent[1] != claim.payload:
        faults.append(f"the soft binding of the initial noise names {latent[1]}, the assertion {claim.payload}")
    if trace.credentials.source_type not in SOURCE_TYPES:
        faults.append("the credentials do not say that a model made the picture")
    if trace.payload is not None and trace.payload.hex != claim.payload:
        faults.append(f"the watermark says {trace.payload.hex}, the credentials {claim.payload}")
    if trace.payload is None and trace.credentials.state == "trusted":
        faults.append(f"the credentials name watermark {claim.payload}, and the picture carries none")
    # A lossy file may decode a little differently elsewhere; its bytes are checked by C2PA and by the record.
    if picture.media_type == "image/png" and pixels_digest(picture.pixels) != claim.pixels:
        faults.append("the credentials were made for other pixels")
    for fault in faults:
        findings.fails("credentials", Verdict.TAMPERED, fault)
