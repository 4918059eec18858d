"""Sealed files: AES-256-GCM in chunks, so that a file of any size is sealed and opened in bounded memory.

::

    "prov sealed v1\\r\\n"   16 bytes
    salt                   32 bytes, random
    key id                 32 bytes, HKDF of the content key: names the key without telling it
    plaintext              32 bytes, SHA-256 of the plaintext
    maker                  20 bytes, the account that sealed it
    length                  8 bytes, big-endian: bytes of the plaintext
    chunks                 1 MiB of plaintext each (the last: what is left), every one followed by its 16-byte tag

The file's key is HKDF-SHA256 (RFC 5869) of the content key with the salt. A chunk's nonce is its number in 11 bytes and
one byte that is 1 for the last chunk alone (the STREAM construction, Hoang et al. 2015); its additional data is the
whole header. So chunks cannot be changed, dropped, repeated, put in another order or moved to another file, and a
file cut short does not open.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from provenance.errors import SealRefused

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC = b"prov sealed v1\r\n"
HEADER_BYTES = 140
CHUNK_BYTES = 1 << 20
TAG_BYTES = 16
KEY_BYTES = 32
MAX_BYTES = 4 * 1024**3
"""The longest plaintext: what a release's weights may have."""


@dataclass(frozen=True)
class SealedHeader:
    """What a sealed file says of itself; nothing of it is known to be true before a chunk opens."""

    salt: bytes
    key_id: str
    plaintext: str
    maker: str
    length: int

    @property
    def sealed_bytes(self) -> int:
        """The length of the whole sealed file."""
        return HEADER_BYTES + self.length + TAG_BYTES * self.chunks

    @property
    def chunks(self) -> int:
        """How many chunks there are; an empty file has one, of its tag alone."""
        return max(1, -(-self.length // CHUNK_BYTES))

    def to_bytes(self) -> bytes:
        """The 140 bytes a sealed file begins with."""
        fields = bytes.fromhex(self.key_id), bytes.fromhex(self.plaintext), bytes.fromhex(self.maker[2:])
        return MAGIC + self.salt + b"".join(fields) + self.length.to_bytes(8, "big")

    @classmethod
    def parse(cls, data: bytes) -> SealedHeader:
        """Reads the first 140 bytes of a file; raises SealRefused."""
        if len(data) < HEADER_BYTES or not data.startswith(MAGIC):
            raise SealRefused(
                "this is not a sealed file",
                expected=f"{HEADER_BYTES} bytes that begin with {MAGIC!r}",
                found=f"{len(data)} bytes, {data[: len(MAGIC)]!r}",
            )
        length = int.from_bytes(data[132:140], "big")
        if length > MAX_BYTES:
            raise SealRefused("a sealed file is too large", expected=f"at most {MAX_BYTES} bytes", found=f"{length}")
        return cls(data[16:48], data[48:80].hex(), data[80:112].hex(), "0x" + data[112:132].hex(), length)


def new_content_key() -> bytes:
    """A fresh content key: 32 random bytes."""
    return secrets.token_bytes(KEY_BYTES)


def content_key_id(content_key: bytes) -> str:
    """The digest that names a content key in headers and wrapped keys, 64 hexadecimal digits."""
    return _derive(content_key, b"", b"prov content key id v1").hex()


def seal(source: BinaryIO, length: int, content_key: bytes, *, plaintext: str, maker: str) -> Iterator[bytes]:
    """Gives a sealed file piece by piece, in the memory of one chunk.

    ``plaintext`` is the SHA-256 that the source must have, ``maker`` the sealing account's lower-case address. Raises
    SealRefused at the end when the source has other bytes or another length: what was given so far is then worthless.
    """
    header = SealedHeader(secrets.token_bytes(32), content_key_id(content_key), plaintext, maker, length)
    if length > MAX_BYTES:
        raise SealRefused("a file is too large to seal", expected=f"at most {MAX_BYTES} bytes", found=f"{length}")
    cipher, associated, digest = _cipher(content_key, header), header.to_bytes(), hashlib.sha256()
    yield associated
    left = length
    for number in range(header.chunks):
        chunk = _read_exactly(source, min(CHUNK_BYTES, left))
        left -= len(chunk)
        digest.update(chunk)
        yield cipher.encrypt(_nonce(number, header), chunk, associated)
    if left or source.read(1) or digest.hexdigest() != plaintext:
        raise SealRefused("a file changed while it was sealed", expected=f"{length} bytes, SHA-256 {plaintext}")


def unseal(pieces: Iterable[bytes], content_key: bytes, *, plaintext: str, maker: str) -> Iterator[bytes]:
    """Gives the plaintext chunk by chunk, each authenticated; only after the last one is the whole known to be right.

    ``pieces`` are the sealed file's bytes, cut anywhere. Raises SealRefused when the file is not the one that
    ``maker`` sealed of this plaintext under this key, or was changed anywhere.
    """
    reader = _Pieces(pieces)
    associated = reader.take(HEADER_BYTES)
    header = SealedHeader.parse(associated)
    for name, expected, found in (
        ("plaintext", plaintext, header.plaintext),
        ("maker", maker, header.maker),
        ("content key", content_key_id(content_key), header.key_id),
    ):
        if not hmac.compare_digest(expected, found):
            raise SealRefused(f"the sealed file is of another {name}", expected=expected, found=found)
    cipher, digest, left = _cipher(content_key, header), hashlib.sha256(), header.length
    for number in range(header.chunks):
        size = min(CHUNK_BYTES, left)
        chunk = _open_chunk(cipher, number, reader.take(size + TAG_BYTES), associated, header)
        left -= size
        digest.update(chunk)
        yield chunk
    if reader.take(1):
        raise SealRefused("the sealed file has bytes after its end", expected=f"{header.sealed_bytes} bytes")
    if digest.hexdigest() != plaintext:
        raise SealRefused(
            "the sealed file holds something else than it says",
            expected=f"SHA-256 {plaintext}",
            found=digest.hexdigest(),
        )


def unseal_bytes(pieces: Iterable[bytes], content_key: bytes, *, plaintext: str, maker: str) -> bytes:
    """The whole plaintext in memory, after its digest was found right; raises SealRefused."""
    return b"".join(unseal(pieces, content_key, plaintext=plaintext, maker=maker))


class _Pieces:
    """Takes exact amounts out of pieces that were cut anywhere; holds no more than one piece and one chunk."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._held = b""
        self._position = 0

    def take(self, size: int) -> bytes:
        """``size`` bytes, or fewer at the end."""
        parts: list[bytes] = []
        missing = size
        while missing:
            if self._position == len(self._held):
                self._held, self._position = next((piece for piece in self._pieces if piece), b""), 0
                if not self._held:
                    break
            part = self._held[self._position : self._position + missing]
            self._position += len(part)
            missing -= len(part)
            parts.append(part)
        return b"".join(parts)


def _open_chunk(cipher: AESGCM, number: int, chunk: bytes, associated: bytes, header: SealedHeader) -> bytes:
    from cryptography.exceptions import InvalidTag

    try:
        return cipher.decrypt(_nonce(number, header), chunk, associated)
    except (InvalidTag, ValueError) as error:
        raise SealRefused(
            f"the sealed file was changed or cut short in chunk {number + 1} of {header.chunks}",
            expected=f"{header.sealed_bytes} bytes as they were sealed",
            fix="get the release again; if it stays so, ask its maker",
        ) from error


def _cipher(content_key: bytes, header: SealedHeader) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(_derive(content_key, header.salt, b"prov sealed file key v1"))


def _nonce(number: int, header: SealedHeader) -> bytes:
    return number.to_bytes(11, "big") + bytes([number == header.chunks - 1])


def _derive(content_key: bytes, salt: bytes, info: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    if len(content_key) != KEY_BYTES:
        raise SealRefused("a content key has the wrong length", expected=f"{KEY_BYTES} bytes")
    return HKDF(SHA256(), KEY_BYTES, salt, info).derive(content_key)


def _read_exactly(source: BinaryIO, size: int) -> bytes:
    parts = []
    while size and (part := source.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
