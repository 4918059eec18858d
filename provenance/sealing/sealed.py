"""What a published release says of its sealed files, and whether a file is one of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from provenance.canonical import Json, sha256_hex
from provenance.errors import FormatError, SealRefused
from provenance.sealing.cipher import HEADER_BYTES, SealedHeader

SUFFIX = ".sealed"
"""What a sealed file's name gets."""
IN_CLEAR = frozenset({".jpeg", ".jpg", ".json", ".md", ".png", ".txt", ".webp"})
"""Files of an adapter that are published as they are; all others may hold weights, in whatever layout."""
MAX_FILES = 1000

_ADDRESS = re.compile(r"0x[0-9a-f]{40}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def is_to_be_sealed(name: str) -> bool:
    """Whether a file below ``adapter/`` must not be published in clear when an adapter is sealed."""
    return PurePosixPath(name).suffix.lower() not in IN_CLEAR


@dataclass(frozen=True)
class SealedFile:
    """The SHA-256 and the bytes of a sealed file, as it lies in the store."""

    sha256: str
    size: int


@dataclass(frozen=True)
class SealedFiles:
    """The sealed files of a release by their plain names below ``adapter/``; one content key, one maker's account."""

    key_id: str
    maker: str
    files: Mapping[str, SealedFile]

    def to_json(self) -> Json:
        """The object in ``release.json``."""
        files = {name: {"sha256": file.sha256, "size": file.size} for name, file in self.files.items()}
        return {"key": self.key_id, "maker": self.maker, "files": files}

    @classmethod
    def of_value(cls, value: Any, what: str) -> SealedFiles:
        """Reads an untrusted JSON value; raises FormatError."""
        match value:
            case {"key": str(key_id), "maker": str(maker), "files": {**files}} if (
                len(value) == 3
                and 0 < len(files) <= MAX_FILES
                and _DIGEST.fullmatch(key_id)
                and _ADDRESS.fullmatch(maker)
            ):
                return cls(key_id, maker, {str(name): _file(file, what) for name, file in files.items()})
            case _:
                raise FormatError(f"{what} does not describe its sealed files", expected="key, maker and files")

    def check(self, name: str, data: bytes, plaintext: str) -> None:
        """Raises SealRefused unless the bytes are the sealed file and say that they hold what has this SHA-256.

        Whether they do can only be found out by whoever has the key: opening the file proves it.
        """
        header, file = SealedHeader.parse(data[:HEADER_BYTES]), self.files[name]
        for noun, expected, found in (
            ("SHA-256", file.sha256, sha256_hex(data)),
            ("plaintext", plaintext, header.plaintext),
            ("key", self.key_id, header.key_id),
            ("maker", self.maker, header.maker),
            ("size", str(file.size), str(header.sealed_bytes)),
        ):
            if found != expected:
                raise SealRefused(f"{name}{SUFFIX} has another {noun}", expected=expected, found=found)


def _file(value: Any, what: str) -> SealedFile:
    match value:
        case {"sha256": str(sha256), "size": int(size)} if (
            len(value) == 2 and type(size) is int and size > HEADER_BYTES and _DIGEST.fullmatch(sha256)
        ):
            return SealedFile(sha256, size)
        case _:
            raise FormatError(f"{what} does not describe its sealed files", expected="sha256 and size of each")
