"""Image records: what was made, by what, from what. One canonical JSON object for each serial of a stream.

A record is written before its picture is, and is what a batch anchors. A serial that was reserved and never became
a picture is anchored as a void record, so that ranges stay consecutive.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from provenance.canonical import Json, canonical_json, parse_json, sha256_hex
from provenance.errors import FormatError, RecordError
from provenance.latent_entry import is_latent_entry
from provenance.placement import is_placement, read_placement

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from safety.watermark import Placement

RECORD_TYPE = "urn:prov:image-record:v1"
VOID_TYPE = "urn:prov:void-record:v1"
MAX_RECORD_BYTES = 64 * 1024
PART_LIMIT = 2**28

_HEX64 = re.compile(r"[0-9a-f]{64}")
_ADDRESS = re.compile(r"0x[0-9a-f]{40}")
_PAYLOAD = re.compile(r"[0-9a-f]{16}")
_TIME = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3])(:[0-5]\d){2}Z")
MEDIA_TYPES = ("image/png", "image/jpeg", "image/webp")


@dataclass(frozen=True)
class Origin:
    """Where images come from, the same for all of one run: ledger, stream, adapter, dataset, base and issuer.

    ``token`` is 0, and ``weights`` and ``dataset`` are None, for images made without an adapter. Digests are
    lower-case hexadecimal; ``issuer`` is the digest of the root certificate.
    """

    chain_id: int
    contract: str
    namespace: int
    stream: int
    token: int
    weights: str | None
    dataset: str | None
    base: str
    issuer: str

    def payload(self, serial: int) -> int:
        """The 64 bits of the watermark: namespace 8, stream 28, serial 28."""
        if not (0 <= self.namespace < 256 and 0 <= self.stream < PART_LIMIT and 0 <= serial < PART_LIMIT):
            raise RecordError(
                "these numbers do not fit a watermark",
                expected="namespace below 2^8, stream and serial below 2^28",
                found=f"{self.namespace}, {self.stream}, {serial}",
                fix="open a new stream",
            )
        return self.namespace << 56 | self.stream << 28 | serial

    def record_id(self, serial: int) -> str:
        """The name of a record, fixed before the picture exists."""
        return f"urn:prov:image:{self.chain_id}:{self.contract}:{self.stream}:{serial}"


@dataclass(frozen=True)
class ImageFile:
    """The delivered file: digest of all its bytes, media type, and sizes in bytes and pixels."""

    sha256: str
    media_type: str
    bytes: int
    width: int
    height: int


@dataclass(frozen=True)
class VoidRecord:
    """A serial that never became a picture."""

    chain_id: int
    contract: str
    namespace: int
    stream: int
    serial: int

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        return canonical_json({"type": VOID_TYPE, **asdict(self)})


@dataclass(frozen=True)
class ImageRecord:
    """Everything on record about one picture; raises RecordError when a value is not what its name says.

    ``prompt`` is ``{"hmac": hex}``, or ``{"text": …}`` when the maker asks; ``manifest`` is the SHA-256 of the C2PA
    manifest store; ``pixels`` is ``pixels_digest`` of the delivered picture; ``safety`` holds filter decisions;
    ``watermark`` is ``placement.watermark_entry``, in earlier records without the placement, and ``latent_entry`` under
    ``latent`` when the initial noise is marked.
    """

    payload: str
    chain_id: int
    contract: str
    namespace: int
    stream: int
    serial: int
    token: int
    weights: str | None
    dataset: str | None
    base: str
    issuer: str
    created: str
    generator: str
    prompt: Mapping[str, str]
    parameters: Mapping[str, Any]
    safety: tuple[Mapping[str, Any], ...]
    watermark: Mapping[str, Any]
    fingerprint: str
    pixels: str
    image: ImageFile
    manifest: str

    def __post_init__(self) -> None:
        value = self.to_json()
        for name, check in _CHECKS.items():
            if not check(value[name]):
                raise RecordError(f"the image record's {name} is wrong", found=repr(value[name])[:100])
        if int(self.payload, 16) != self.origin.payload(self.serial):
            raise RecordError("the image record's payload is not its namespace, stream and serial", found=self.payload)
        made_with = (self.token > 0, self.weights is not None, self.dataset is not None)
        if len(set(made_with)) != 1:
            raise RecordError("the image record names half an adapter", expected="token, weights and dataset, or none")

    @property
    def origin(self) -> Origin:
        """The part it shares with the other images of its run."""
        return Origin(**{field.name: getattr(self, field.name) for field in fields(Origin)})

    @property
    def id(self) -> str:
        """The record's name."""
        return self.origin.record_id(self.serial)

    @property
    def placement(self) -> Placement | None:
        """Where the delivered picture lies on its watermark's plane; None in earlier records."""
        return read_placement(self.watermark.get("placement"))

    def to_json(self) -> Json:
        """The record as a JSON object."""
        value = {field.name: getattr(self, field.name) for field in fields(self)}
        lists = {"safety": [dict(decision) for decision in self.safety], "image": asdict(self.image)}
        plain = {name: dict(value[name]) for name in ("prompt", "parameters", "watermark")}
        return {"type": RECORD_TYPE, **value, **lists, **plain}

    def to_bytes(self) -> bytes:
        """Canonical JSON: the bytes that are hashed into the Merkle tree."""
        return canonical_json(self.to_json())


def parse_record(data: bytes) -> ImageRecord | VoidRecord:
    """Reads one record strictly: canonical bytes, known fields, values in range; raises RecordError."""
    try:
        value = parse_json(data, "the image record", limit=MAX_RECORD_BYTES)
    except FormatError as error:
        raise RecordError(error.what, expected=error.expected, found=error.found) from error
    if not isinstance(value, dict) or not _is_canonical(value, data):
        raise RecordError("the image record is not canonical JSON", expected="sorted keys, no spaces, one spelling")
    kind = value.pop("type", None)
    if kind == VOID_TYPE:
        return _parse_void(value)
    if kind != RECORD_TYPE:
        raise RecordError("this is not an image record", expected=RECORD_TYPE, found=repr(kind)[:100])
    _require_fields(value, {field.name for field in fields(ImageRecord)}, "the image record")
    image, safety = value["image"], value["safety"]
    if not isinstance(image, dict) or not isinstance(safety, list) or not all(isinstance(d, dict) for d in safety):
        raise RecordError("the image record's image or safety is wrong", expected="an object and a list of objects")
    _require_fields(image, {field.name for field in fields(ImageFile)}, "the image record's image")
    if not all(isinstance(value[name], dict) for name in ("prompt", "parameters", "watermark")):
        raise RecordError("the image record's prompt, parameters or watermark is wrong", expected="objects")
    return ImageRecord(**{**value, "image": ImageFile(**image), "safety": tuple(safety)})


def pixels_digest(picture: NDArray[np.uint8]) -> str:
    """SHA-256 of ``"<width> <height> RGB8\\n"`` and the rows of an (H, W, 3) uint8 picture."""
    height, width = picture.shape[:2]
    return sha256_hex(b"%d %d RGB8\n" % (width, height) + picture.tobytes())


def build_record(
    signed: bytes,
    *,
    origin: Origin,
    serial: int,
    manifest: bytes,
    created: str,
    generator: str,
    prompt: Mapping[str, str],
    parameters: Mapping[str, Any],
    safety: tuple[Mapping[str, Any], ...],
    watermark: Mapping[str, Any],
) -> ImageRecord:
    """The record of a finished file: digests, sizes, pixels and fingerprint are taken from the very bytes delivered."""
    import numpy as np

    from provenance.fingerprint import fingerprint
    from provenance.images import decode_image, inspect_image

    info = inspect_image(signed, "the generated picture")
    picture = np.asarray(decode_image(signed, "the generated picture"))
    return ImageRecord(
        payload=f"{origin.payload(serial):016x}",
        serial=serial,
        created=created,
        generator=generator,
        prompt=prompt,
        parameters=parameters,
        safety=safety,
        watermark=watermark,
        fingerprint=fingerprint(picture),
        pixels=pixels_digest(picture),
        image=ImageFile(sha256_hex(signed), info.media_type, len(signed), info.width, info.height),
        manifest=sha256_hex(manifest),
        **asdict(origin),
    )


def _parse_void(value: Json) -> VoidRecord:
    names = {field.name for field in fields(VoidRecord)}
    _require_fields(value, names, "the void record")
    for name in names:
        if not _CHECKS[name](value[name]):
            raise RecordError(f"the void record's {name} is wrong", found=repr(value[name])[:100])
    return VoidRecord(**value)


def _is_canonical(value: Json, data: bytes) -> bool:
    try:
        return canonical_json(value) == data
    except (ValueError, RecursionError):
        # Lone surrogates and infinities are JSON to Python's parser, but cannot be written again.
        return False


def _require_fields(value: Json, names: set[str], what: str) -> None:
    if set(value) != names:
        raise RecordError(
            f"{what} has missing or unknown fields",
            expected=", ".join(sorted(names - set(value))) or "no more than it has",
            found=", ".join(sorted(set(value) - names))[:200] or "none of these",
        )


def _text(limit: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and 0 < len(value) <= limit


def _below(limit: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and 0 <= value < limit


def _matches(pattern: re.Pattern[str], *, optional: bool = False) -> Callable[[Any], bool]:
    return lambda value: (optional and value is None) or (isinstance(value, str) and bool(pattern.fullmatch(value)))


def _is_prompt(value: Json) -> bool:
    if set(value) == {"hmac"}:
        return _matches(_HEX64)(value["hmac"])
    return set(value) == {"text"} and _text(16_000)(value["text"])


def _is_watermark(value: Json) -> bool:
    p_value = value.get("p_value")
    known = set(value) - {"placement", "latent"} == {"backend", "p_value"} and _text(64)(value["backend"])
    placed = "placement" not in value or is_placement(value["placement"])
    latent = "latent" not in value or is_latent_entry(value["latent"])
    likely = isinstance(p_value, (int, float)) and not isinstance(p_value, bool) and 0 <= p_value <= 1
    return known and placed and latent and likely


def _is_image(value: Json) -> bool:
    sizes = all(_below(2**32)(value[name]) and value[name] > 0 for name in ("bytes", "width", "height"))
    return sizes and _matches(_HEX64)(value["sha256"]) and value["media_type"] in MEDIA_TYPES


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "payload": _matches(_PAYLOAD),
    "chain_id": _below(2**63),
    "contract": _matches(_ADDRESS),
    "namespace": _below(256),
    "stream": _below(PART_LIMIT),
    "serial": _below(PART_LIMIT),
    "token": _below(2**63),
    "weights": _matches(_HEX64, optional=True),
    "dataset": _matches(_HEX64, optional=True),
    "base": _matches(_HEX64),
    "issuer": _matches(_HEX64),
    "created": _matches(_TIME),
    "generator": _text(200),
    "prompt": _is_prompt,
    "parameters": lambda value: len(value) <= 100,
    "safety": lambda value: len(value) <= 16,
    "watermark": _is_watermark,
    "fingerprint": _matches(re.compile(r"[0-9a-f]{16,2048}")),
    "pixels": _matches(_HEX64),
    "image": _is_image,
    "manifest": _matches(_HEX64),
}
