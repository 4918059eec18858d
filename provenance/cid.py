"""Content ids: CIDv0 and CIDv1 over SHA-256, the raw and dag-pb codecs, and nothing else.

Specification: https://github.com/multiformats/cid. One block has one digest; the version and codec say how to
read it. Text is base58btc for version 0 and lower-case base32 without padding for version 1.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

from provenance.errors import BlockCorrupt, FormatError
from provenance.varint import decode_varint, encode_varint

RAW = 0x55
DAG_PB = 0x70
SHA2_256 = 0x12
CODEC_NAMES = {RAW: "raw", DAG_PB: "dag-pb"}
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
DEFAULT_PROFILE = "unixfs-v1-2025"
MAX_TEXT = 128


@dataclass(frozen=True)
class Cid:
    """One content id; ``digest`` is the 32-byte SHA-256 of the block."""

    digest: bytes
    codec: int = RAW
    version: int = 1

    def __post_init__(self) -> None:
        if len(self.digest) != 32:
            raise FormatError("a CID has the wrong digest", expected="32 bytes", found=f"{len(self.digest)} bytes")
        if self.codec not in CODEC_NAMES:
            raise FormatError("a CID has a codec we do not read", expected="raw or dag-pb", found=f"{self.codec:#x}")
        if self.version not in (0, 1) or (self.version == 0 and self.codec != DAG_PB):
            raise FormatError("a CID has the wrong version", expected="1, or 0 with dag-pb", found=str(self.version))

    @classmethod
    def of_block(cls, data: bytes, codec: int = RAW, version: int = 1) -> Cid:
        """The CID of one block of bytes."""
        return cls(hashlib.sha256(data).digest(), codec, version)

    @classmethod
    def parse(cls, text: str) -> Cid:
        """Reads the text form; raises FormatError unless it is the one canonical spelling."""
        if len(text) > MAX_TEXT:
            raise FormatError("a CID is too long", expected=f"at most {MAX_TEXT} characters", found=f"{len(text)}")
        if len(text) == 46 and text.startswith("Qm"):
            cid = cls.from_bytes(_base58_bytes(text))
        elif text.startswith("b"):
            cid = cls.from_bytes(_base32_bytes(text))
        else:
            raise FormatError(
                "this is not a CID we read",
                expected="base32 beginning with 'b', or 46 characters from 'Qm'",
                found=repr(text),
            )
        if str(cid) != text:
            raise FormatError("a CID is not in its canonical spelling", expected=str(cid), found=repr(text))
        return cid

    @classmethod
    def from_bytes(cls, data: bytes) -> Cid:
        """Reads the binary form, all of it; raises FormatError."""
        cid, end = cls.read(data)
        if end != len(data):
            raise FormatError("a CID has trailing bytes", found=f"{len(data) - end} bytes too many")
        return cid

    @classmethod
    def read(cls, data: bytes, offset: int = 0) -> tuple[Cid, int]:
        """Reads one binary CID and gives it with the offset after it; raises FormatError."""
        if data[offset : offset + 2] == b"\x12\x20":
            end = offset + 34
            return cls(_digest(data, offset + 2, end), DAG_PB, 0), end
        version, offset = decode_varint(data, offset)
        if version != 1:
            raise FormatError("a CID has a version we do not read", expected="0 or 1", found=str(version))
        codec, offset = decode_varint(data, offset)
        function, offset = decode_varint(data, offset)
        length, offset = decode_varint(data, offset)
        if function != SHA2_256 or length != 32:
            raise FormatError(
                "a CID has a hash we do not read",
                expected="sha2-256 (0x12) of 32 bytes",
                found=f"{function:#x} of {length} bytes",
            )
        return cls(_digest(data, offset, offset + 32), codec, 1), offset + 32

    def to_bytes(self) -> bytes:
        """The binary form: 34 bytes for version 0, 36 for version 1."""
        multihash = b"\x12\x20" + self.digest
        return multihash if self.version == 0 else b"\x01" + encode_varint(self.codec) + multihash

    def __str__(self) -> str:
        if self.version == 0:
            return _base58_text(self.to_bytes())
        return "b" + base64.b32encode(self.to_bytes()).decode().lower().rstrip("=")

    def check(self, data: bytes) -> bytes:
        """Gives the bytes back when they hash to this CID; raises BlockCorrupt."""
        found = hashlib.sha256(data).digest()
        if found != self.digest:
            raise BlockCorrupt(
                f"block {self} is corrupt",
                expected=f"sha256 {self.digest.hex()}",
                found=f"sha256 {found.hex()} over {len(data)} bytes",
                fix="delete the block and import it again from a good copy",
            )
        return data


def as_cid(value: Cid | str) -> Cid:
    """A CID, read from its text when it is not one already; raises FormatError."""
    return value if isinstance(value, Cid) else Cid.parse(value)


def file_cid(data: bytes | Path, profile: str = DEFAULT_PROFILE) -> str:
    """The CID of a file's content under an IPIP-499 profile; a path is streamed, never through a symbolic link.

    Raises UsageError for an unknown profile and FileRefused for a path that is not a regular file.
    """
    from provenance.unixfs import hash_content

    return str(hash_content(data, profile))


def _digest(data: bytes, start: int, end: int) -> bytes:
    if end > len(data):
        raise FormatError(
            "a CID is cut off", expected="a digest of 32 bytes", found=f"{max(len(data) - start, 0)} bytes"
        )
    return bytes(data[start:end])


def _base32_bytes(text: str) -> bytes:
    body = text[1:]
    try:
        return base64.b32decode(body.upper() + "=" * (-len(body) % 8))
    except ValueError as error:
        raise FormatError("a CID is not base32", found=repr(text)) from error


def _base58_bytes(text: str) -> bytes:
    number = 0
    for character in text:
        index = BASE58.find(character)
        if index < 0:
            raise FormatError("a CID is not base58btc", found=repr(text))
        number = number * 58 + index
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _base58_text(data: bytes) -> str:
    # Only multihashes are written so, and they begin with 0x12: there are no leading zeros to keep.
    number = int.from_bytes(data, "big")
    text = ""
    while number:
        number, index = divmod(number, 58)
        text = BASE58[index] + text
    return text
