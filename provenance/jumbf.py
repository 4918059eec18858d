"""The boxes of a C2PA manifest store (JUMBF, ISO 19566-5): which manifests it holds, and what they are called.

Only the outer boxes are read; what the manifests say, and whether it is signed, is for the C2PA library.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from provenance.errors import FormatError

MAX_MANIFESTS = 1024
_SUPERBOX, _DESCRIPTION = b"jumb", b"jumd"
_STORE_UUID = bytes.fromhex("6332706100110010800000aa00389b71")
_HAS_LABEL = 0x02


@dataclass(frozen=True)
class ManifestStore:
    """A manifest store taken apart: its description box, and each manifest's label and whole box, in order."""

    description: bytes
    manifests: tuple[tuple[str, bytes], ...]

    @property
    def active(self) -> str:
        """The label of the active manifest, which is the last one (C2PA 2.2, 15.5)."""
        return self.manifests[-1][0]

    def only_active(self) -> bytes:
        """A store with the active manifest alone."""
        body = self.description + self.manifests[-1][1]
        return (len(body) + 8).to_bytes(4, "big") + _SUPERBOX + body


def parse_manifest_store(data: bytes) -> ManifestStore:
    """Takes a manifest store apart; raises FormatError when its outer boxes are not whole."""
    boxes = list(_boxes(data))
    if len(boxes) != 1 or boxes[0][0] != _SUPERBOX:
        raise _malformed(f"{len(boxes)} outer boxes")
    parts = list(_boxes(boxes[0][1]))
    if len(parts) < 2 or parts[0][0] != _DESCRIPTION or parts[0][1][:16] != _STORE_UUID:
        raise _malformed("a box that does not describe a manifest store with a manifest")
    if any(kind != _SUPERBOX for kind, _, _ in parts[1:]) or len(parts) > MAX_MANIFESTS:
        raise _malformed("something besides manifests")
    return ManifestStore(parts[0][2], tuple((_label(body), whole) for _, body, whole in parts[1:]))


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Each box as (type, content, all of it); the 64-bit lengths of ISO 19566-5 are not needed below 4 GiB."""
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if length < 8 or at + length > len(data):
            raise _malformed(f"a box of {length} bytes at byte {at} of {len(data)}")
        whole = data[at : at + length]
        yield whole[4:8], whole[8:], whole
        at += length


def _label(manifest: bytes) -> str:
    kind, description, _ = next(_boxes(manifest), (b"", b"", b""))
    if kind != _DESCRIPTION or len(description) < 17 or not description[16] & _HAS_LABEL:
        raise _malformed("a manifest without a label")
    text, end, _ = description[17:].partition(b"\0")
    if not end or not text.isascii():
        raise _malformed("a manifest whose label is not ASCII text")
    return text.decode("ascii")


def _malformed(found: str) -> FormatError:
    return FormatError("this is not a C2PA manifest store", expected="whole JUMBF boxes", found=found)
