"""Sealed files open whole and unchanged for the right key, or not at all."""

from __future__ import annotations

import hashlib
import io
import time
import tracemalloc
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.errors import SealRefused
from provenance.sealing import cipher
from provenance.sealing.cipher import (
    CHUNK_BYTES,
    HEADER_BYTES,
    TAG_BYTES,
    SealedHeader,
    content_key_id,
    new_content_key,
    seal,
    unseal,
    unseal_bytes,
)

KEY = bytes(range(32))
MAKER, OTHER = "0x" + "ab" * 20, "0x" + "cd" * 20
SIZES = (0, 1, 15, 16, 17, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES + 5)


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def pattern(size: int) -> bytes:
    return (bytes(range(256)) * (size // 256 + 1))[:size]


def sealed(data: bytes, key: bytes = KEY, maker: str = MAKER) -> bytes:
    return b"".join(seal(io.BytesIO(data), len(data), key, plaintext=digest_of(data), maker=maker))


def opened(data: bytes, plain: bytes, key: bytes = KEY, maker: str = MAKER) -> bytes:
    return unseal_bytes([data], key, plaintext=digest_of(plain), maker=maker)


def chunks(data: bytes) -> tuple[bytes, list[bytes]]:
    body, step = data[HEADER_BYTES:], CHUNK_BYTES + TAG_BYTES
    return data[:HEADER_BYTES], [body[start : start + step] for start in range(0, len(body), step)]


THREE = pattern(3 * CHUNK_BYTES)
SMALL = pattern(300)


@pytest.mark.parametrize("size", SIZES)
def test_a_sealed_file_opens_to_the_same_bytes(size: int) -> None:
    plain = pattern(size)
    data = sealed(plain)
    assert opened(data, plain) == plain
    header = SealedHeader.parse(data[:HEADER_BYTES])
    assert header.sealed_bytes == len(data)
    assert (header.plaintext, header.maker, header.length) == (digest_of(plain), MAKER, size)
    assert header.to_bytes() == data[:HEADER_BYTES]


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=5000), st.binary(min_size=32, max_size=32), st.integers(1, 700))
def test_any_bytes_open_again_however_the_file_is_cut_into_pieces(plain: bytes, key: bytes, step: int) -> None:
    data = sealed(plain, key)
    pieces = [data[start : start + step] for start in range(0, len(data), step)]
    assert unseal_bytes([b"", *pieces, b""], key, plaintext=digest_of(plain), maker=MAKER) == plain


def test_the_format_is_what_the_documentation_says() -> None:
    """Written a second time from docs/formats.md, without the module's own functions."""
    data = sealed(THREE)
    salt, key_id, digest, maker, length = data[16:48], data[48:80], data[80:112], data[112:132], data[132:140]
    assert data[:16] == b"prov sealed v1\r\n"
    assert key_id == HKDF(SHA256(), 32, b"", b"prov content key id v1").derive(KEY)
    assert (digest, maker.hex()) == (hashlib.sha256(THREE).digest(), "ab" * 20)
    assert int.from_bytes(length, "big") == len(THREE)
    aes = AESGCM(HKDF(SHA256(), 32, salt, b"prov sealed file key v1").derive(KEY))
    plain = b""
    for number in range(3):
        start = 140 + number * (2**20 + 16)
        nonce = number.to_bytes(11, "big") + (b"\1" if number == 2 else b"\0")
        plain += aes.decrypt(nonce, data[start : start + 2**20 + 16], data[:140])
    assert plain == THREE


def test_no_two_sealings_share_a_byte_of_key_stream() -> None:
    first, second = sealed(SMALL), sealed(SMALL)
    assert first[16:48] != second[16:48]
    assert first[HEADER_BYTES:] != second[HEADER_BYTES:]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_flipped_bit_anywhere_is_refused(data: st.DataObject) -> None:
    whole = bytearray(sealed(SMALL))
    place = data.draw(st.integers(0, len(whole) * 8 - 1))
    whole[place // 8] ^= 1 << place % 8
    with pytest.raises(SealRefused):
        opened(bytes(whole), SMALL)


def test_every_byte_of_the_header_is_bound() -> None:
    whole = sealed(SMALL)
    for place in range(HEADER_BYTES):
        changed = bytearray(whole)
        changed[place] ^= 0x80
        with pytest.raises(SealRefused):
            opened(bytes(changed), SMALL)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 455))
def test_a_file_cut_short_anywhere_is_refused(length: int) -> None:
    whole = sealed(SMALL)
    assert len(whole) == 456
    with pytest.raises(SealRefused):
        opened(whole[:length], SMALL)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=600))
def test_arbitrary_bytes_are_refused_and_nothing_else_is_raised(data: bytes) -> None:
    for candidate in (data, cipher.MAGIC + data):
        with pytest.raises(SealRefused):
            opened(candidate, SMALL)


@pytest.mark.parametrize(
    "order",
    [(1, 0, 2), (0, 2, 1), (0, 0, 1, 2), (0, 1, 1, 2), (0, 1, 2, 2), (0, 2), (1, 2), (0, 1), (2,), (), (2, 1, 0)],
    ids=str,
)
def test_chunks_reordered_repeated_or_dropped_are_refused(order: tuple[int, ...]) -> None:
    header, parts = chunks(sealed(THREE))
    with pytest.raises(SealRefused):
        opened(header + b"".join(parts[number] for number in order), THREE)


def test_a_shorter_length_in_the_header_does_not_cut_the_file() -> None:
    header, parts = chunks(sealed(THREE))
    shorter = header[:132] + (2 * CHUNK_BYTES).to_bytes(8, "big")
    with pytest.raises(SealRefused):
        opened(shorter + b"".join(parts[:2]), THREE)


def test_a_chunk_of_another_sealing_is_refused() -> None:
    header, parts = chunks(sealed(THREE))
    _, others = chunks(sealed(THREE))
    with pytest.raises(SealRefused, match="chunk 2 of 3"):
        opened(header + parts[0] + others[1] + parts[2], THREE)


def test_bytes_after_the_end_are_refused() -> None:
    with pytest.raises(SealRefused, match="after its end"):
        opened(sealed(SMALL) + b"\0", SMALL)


def test_the_sealed_file_of_another_adapter_is_refused() -> None:
    with pytest.raises(SealRefused, match="another plaintext"):
        opened(sealed(THREE), SMALL)


def test_another_maker_is_refused() -> None:
    with pytest.raises(SealRefused, match="another maker"):
        opened(sealed(SMALL), SMALL, maker=OTHER)


def test_another_key_is_refused() -> None:
    with pytest.raises(SealRefused, match="another content key"):
        opened(sealed(SMALL), SMALL, key=new_content_key())


def test_a_header_rewritten_for_another_adapter_is_refused() -> None:
    data = sealed(SMALL)
    forged = data[:80] + bytes.fromhex(digest_of(THREE)) + data[112:]
    with pytest.raises(SealRefused, match="chunk 1"):
        opened(forged, THREE)


def test_a_key_holder_who_seals_other_weights_under_a_false_digest_is_refused() -> None:
    header = SealedHeader(bytes(32), content_key_id(KEY), digest_of(SMALL), MAKER, 5)
    aes = AESGCM(HKDF(SHA256(), 32, bytes(32), b"prov sealed file key v1").derive(KEY))
    forged = header.to_bytes() + aes.encrypt(bytes(11) + b"\1", b"other", header.to_bytes())
    with pytest.raises(SealRefused, match="something else than it says"):
        opened(forged, SMALL)


def test_a_file_that_changes_while_it_is_sealed_is_refused() -> None:
    for data in (SMALL[:-1], SMALL + b"!", SMALL[:-1] + b"!"):
        with pytest.raises(SealRefused, match="changed while"):
            list(seal(io.BytesIO(data), len(SMALL), KEY, plaintext=digest_of(SMALL), maker=MAKER))


@pytest.mark.parametrize("key", [b"", KEY[:16], KEY + b"\0"])
def test_a_content_key_of_another_length_is_refused(key: bytes) -> None:
    with pytest.raises(SealRefused, match="length"):
        sealed(SMALL, key)


def test_an_enormous_length_is_refused_before_anything_is_read() -> None:
    header = sealed(SMALL)[:132] + (2**63).to_bytes(8, "big")
    with pytest.raises(SealRefused, match="too large"):
        opened(header + bytes(1000), SMALL)


def test_a_large_file_is_sealed_and_opened_in_bounded_memory() -> None:
    size, block = 256 * CHUNK_BYTES, bytes(CHUNK_BYTES)
    digest = hashlib.sha256()
    for _ in range(256):
        digest.update(block)

    class Zeros(io.RawIOBase):
        left = size

        def read(self, amount: int = -1) -> bytes:
            taken = min(self.left, len(block) if amount < 0 else amount)
            self.left -= taken
            return block[:taken]

    def pieces() -> Iterator[bytes]:
        yield from seal(Zeros(), size, KEY, plaintext=digest.hexdigest(), maker=MAKER)  # type: ignore[arg-type]

    tracemalloc.start()
    started = time.perf_counter()
    total = sum(len(chunk) for chunk in unseal(pieces(), KEY, plaintext=digest.hexdigest(), maker=MAKER))
    seconds = time.perf_counter() - started
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == size
    assert peak < 16 * CHUNK_BYTES
    print(f"sealed and opened {size / 1e6 / seconds:.0f} MB/s, peak {peak / 1e6:.1f} MB")
