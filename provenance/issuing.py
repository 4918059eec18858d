"""A marked picture becomes a file with a history: encode, sign, record, and only then write."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provenance.a1111 import text_chunks
from provenance.canonical import Json
from provenance.credentials import CredentialSigner, ProvAssertion, SignedImage, sign_image, soft_binding_algorithm
from provenance.decisions import read_decisions, require_allowed
from provenance.errors import UsageError
from provenance.files import write_file
from provenance.images import SUFFIXES, decode_image
from provenance.ingredient import Ingredient
from provenance.journal import Journal
from provenance.moments import format_moment, utc_now
from provenance.record import ImageRecord, Origin, build_record, pixels_digest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

JPEG_QUALITY = 95


@dataclass(frozen=True)
class Making:
    """How one picture was made, as its record tells it.

    ``safety`` holds decision records that allowed it (``Decision.to_json``), ``watermark`` is ``watermark_entry``,
    ``ingredient`` is the picture that it was made from. ``told`` is what a PNG says of all this to other tools, in the
    text chunk ``parameters`` (``provenance.a1111``).
    """

    generator: str
    prompt: Mapping[str, str]
    parameters: Mapping[str, Any]
    safety: tuple[Json, ...]
    watermark: Json
    ingredient: Ingredient | None = None
    told: str | None = None


@dataclass(frozen=True)
class FinishedImage:
    """A signed file that is neither on record nor written yet, and the record that it will have."""

    path: Path
    signed: SignedImage
    record: ImageRecord


def issue_image(
    picture: NDArray[np.uint8],
    path: Path,
    *,
    origin: Origin,
    serial: int,
    making: Making,
    issuer: CredentialSigner,
    journal: Journal,
) -> ImageRecord:
    """Writes a watermarked (H, W, 3) picture with its credentials, after its record is durable in the journal.

    The suffix of ``path`` chooses PNG, JPEG or WebP. A crash leaves a record without a picture, never the reverse.
    Raises UsageError, CredentialsError, or RecordError for a picture that a filter blocked, before it is recorded.
    """
    finished = finish_image(picture, path, origin=origin, serial=serial, making=making, issuer=issuer)
    deliver_image(finished, journal)
    return finished.record


def deliver_image(finished: FinishedImage, journal: Journal) -> None:
    """Makes the record of a file durable, and only then writes the file."""
    journal.store(finished.record, finished.signed.manifest)
    write_file(finished.path, finished.signed.data)


def finish_image(
    picture: NDArray[np.uint8], path: Path, *, origin: Origin, serial: int, making: Making, issuer: CredentialSigner
) -> FinishedImage:
    """Encodes and signs a picture in memory, for ``deliver_image``; raises what ``issue_image`` raises."""
    import numpy as np

    from provenance.fingerprint import fingerprint

    media_type = SUFFIXES.get(path.suffix.lower())
    if media_type is None:
        raise UsageError(f"pictures cannot be written as {path.suffix or path.name}", expected=", ".join(SUFFIXES))
    decisions = read_decisions(making.safety)
    require_allowed(decisions)
    encoded = encode_image(picture, media_type, making.told)
    delivered = np.asarray(decode_image(encoded, path.name))
    signed = sign_image(
        encoded,
        media_type,
        issuer=issuer,
        assertion=ProvAssertion.of(
            origin,
            serial,
            pixels_digest(delivered),
            fingerprint(delivered),
            size={"width": delivered.shape[1], "height": delivered.shape[0]},
            placement=making.watermark.get("placement"),
        ),
        soft_binding=soft_binding_algorithm(str(making.watermark["backend"])),
        latent_binding="latent" in making.watermark,
        title=path.name,
        decisions=decisions,
        ingredient=making.ingredient,
    )
    record = build_record(
        signed.data,
        origin=origin,
        serial=serial,
        manifest=signed.manifest,
        created=format_moment(utc_now()),
        generator=making.generator,
        prompt=making.prompt,
        parameters=making.parameters,
        safety=making.safety,
        watermark=making.watermark,
    )
    return FinishedImage(path, signed, record)


def encode_image(picture: NDArray[np.uint8], media_type: str, told: str | None = None) -> bytes:
    """An (H, W, 3) uint8 picture as PNG, JPEG (quality 95, no chroma subsampling) or lossless WebP.

    ``told`` becomes the text chunk ``parameters`` of a PNG; the other formats say nothing of it.
    """
    from PIL import Image

    options: dict[str, dict[str, Any]] = {
        # A third of the time of the usual level 6, for files that are 0 to 4 % larger.
        "image/png": {"format": "PNG", "compress_level": 4, "pnginfo": text_chunks(told)},
        "image/jpeg": {"format": "JPEG", "quality": JPEG_QUALITY, "subsampling": 0},
        "image/webp": {"format": "WEBP", "lossless": True},
    }
    output = io.BytesIO()
    Image.fromarray(picture).save(output, **options[media_type])
    return output.getvalue()
