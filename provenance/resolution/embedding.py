"""A manifest store put back into the file it was taken from, where C2PA readers look for it.

C2PA 2.2, appendix A: PNG keeps it in a ``caBX`` chunk, JPEG in APP11 segments (ISO 19566-5), WebP in a ``C2PA`` chunk.
Only the place is restored here, the one that c2pa-rs chooses; whether the file is then the signed one is for its
data hash to say.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

from provenance.errors import FormatError

_PNG_HEAD = 33
_JPEG_PART = 64_000


def embed_manifest(image: bytes, media_type: str, manifest: bytes) -> bytes:
    """The file with a manifest store in it; raises FormatError for a file that is not of its media type."""
    return _EMBED[media_type](image, manifest)


def _in_png(image: bytes, manifest: bytes) -> bytes:
    if image[:8] != b"\x89PNG\r\n\x1a\n" or image[12:16] != b"IHDR":
        raise FormatError("this is not a PNG file")
    named = b"caBX" + manifest
    chunk = len(manifest).to_bytes(4, "big") + named + zlib.crc32(named).to_bytes(4, "big")
    return image[:_PNG_HEAD] + chunk + image[_PNG_HEAD:]


def _in_jpeg(image: bytes, manifest: bytes) -> bytes:
    if image[:2] != b"\xff\xd8":
        raise FormatError("this is not a JPEG file")
    at = 2
    if image[2:4] == b"\xff\xe0":
        at += 2 + int.from_bytes(image[4:6], "big")
    parts = [manifest[start : start + _JPEG_PART] for start in range(0, len(manifest), _JPEG_PART)]
    # Every segment but the first repeats the box's length and type before its part of the content.
    segments = b"".join(
        _segment(number, (manifest[:8] if number > 1 else b"") + part) for number, part in enumerate(parts, 1)
    )
    return image[:at] + segments + image[at:]


def _segment(number: int, content: bytes) -> bytes:
    said = b"JP" + (0x0211).to_bytes(2, "big") + number.to_bytes(4, "big") + content
    return b"\xff\xeb" + (len(said) + 2).to_bytes(2, "big") + said


def _in_webp(image: bytes, manifest: bytes) -> bytes:
    if image[:4] != b"RIFF" or image[8:12] != b"WEBP":
        raise FormatError("this is not a WebP file")
    chunk = b"C2PA" + len(manifest).to_bytes(4, "little") + manifest + bytes(len(manifest) % 2)
    whole = image + chunk
    return whole[:4] + (len(whole) - 8).to_bytes(4, "little") + whole[8:]


_EMBED: dict[str, Callable[[bytes, bytes], bytes]] = {
    "image/png": _in_png,
    "image/jpeg": _in_jpeg,
    "image/webp": _in_webp,
}
