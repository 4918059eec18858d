"""CIDs: known ones, every one there and back, and every other spelling refused."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.cid import DAG_PB, RAW, Cid, as_cid, file_cid
from provenance.errors import BlockCorrupt, FileRefused, FormatError, UsageError

HELLO_RAW = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
HELLO_V0 = "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD"
EMPTY_RAW = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
EMPTY_V0 = "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"

digests = st.binary(min_size=32, max_size=32)
cids = st.builds(Cid, digests, st.sampled_from([RAW, DAG_PB])) | st.builds(Cid, digests, st.just(DAG_PB), st.just(0))


@given(cids)
def test_text_and_bytes_come_back(cid: Cid) -> None:
    assert Cid.parse(str(cid)) == cid
    assert as_cid(str(cid)) == as_cid(cid) == cid
    assert Cid.from_bytes(cid.to_bytes()) == cid
    assert Cid.read(b"ab" + cid.to_bytes() + b"c", 2) == (cid, 2 + len(cid.to_bytes()))


@given(st.binary(max_size=40))
def test_bytes_are_refused_or_are_canonical(data: bytes) -> None:
    try:
        cid = Cid.from_bytes(data)
    except FormatError:
        return
    assert cid.to_bytes() == data


@given(st.text(max_size=70) | st.from_regex(r"\A(b[a-z2-7]{1,60}|Qm[1-9A-Za-z]{44})\Z"))
def test_text_is_refused_or_is_canonical(text: str) -> None:
    try:
        cid = Cid.parse(text)
    except FormatError:
        return
    assert str(cid) == text


def test_known_cids() -> None:
    assert str(Cid.of_block(b"hello world")) == HELLO_RAW
    assert Cid.parse(HELLO_RAW).digest == hashlib.sha256(b"hello world").digest()
    assert Cid.parse(HELLO_V0).version == 0


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "not a CID"),
        ("hello", "not a CID"),
        (HELLO_RAW.upper(), "not a CID"),
        ("B" + HELLO_RAW[1:], "not a CID"),
        ("f01551220" + "00" * 32, "not a CID"),
        ("z" + HELLO_V0, "not a CID"),
        (HELLO_RAW + "=", "canonical"),
        (HELLO_RAW[:-1], "base32|cut off|canonical"),
        (HELLO_RAW[:-1] + "f", "canonical"),
        (HELLO_RAW[:-1] + "1", "base32"),
        ("b" + HELLO_RAW[1:].upper(), "canonical"),
        ("Qm" + "0" * 44, "base58"),
        ("Qm" + "z" * 44, "trailing|version|cut off|hash"),
        (HELLO_RAW + "a" * 100, "too long"),
        (str(Cid(bytes(32))) + "aa", "trailing|canonical|base32"),
    ],
)
def test_other_spellings_are_refused(text: str, fault: str) -> None:
    with pytest.raises(FormatError, match=fault):
        Cid.parse(text)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "cut off"),
        (b"\x12\x20" + bytes(31), "cut off"),
        (b"\x12\x20" + bytes(33), "trailing"),
        (b"\x01\x55\x12\x20" + bytes(31), "cut off"),
        (b"\x01\x55\x12\x20" + bytes(33), "trailing"),
        (b"\x00\x55\x12\x20" + bytes(32), "version"),
        (b"\x02\x55\x12\x20" + bytes(32), "version"),
        (b"\x01\x71\x12\x20" + bytes(32), "codec"),
        (b"\x01\xd5\x00\x12\x20" + bytes(32), "padded"),
        (b"\x01\x55\x00\x05hello", "hash"),
        (b"\x01\x55\x13\x40" + bytes(64), "hash"),
        (b"\x01\x55\x12\x1f" + bytes(31), "hash"),
    ],
)
def test_other_bytes_are_refused(data: bytes, fault: str) -> None:
    with pytest.raises(FormatError, match=fault):
        Cid.from_bytes(data)


@pytest.mark.parametrize(("digest", "codec", "version"), [(b"x", RAW, 1), (bytes(32), 0x71, 1), (bytes(32), RAW, 0)])
def test_impossible_cids_are_not_made(digest: bytes, codec: int, version: int) -> None:
    with pytest.raises(FormatError):
        Cid(digest, codec, version)


def test_check_gives_the_bytes_or_says_what_it_found() -> None:
    cid = Cid.of_block(b"hello world")
    assert cid.check(b"hello world") == b"hello world"
    with pytest.raises(BlockCorrupt) as caught:
        cid.check(b"hello worlD")
    assert cid.digest.hex() in str(caught.value)
    assert "do next" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "profile", "expected"),
    [
        (b"hello world", "unixfs-v1-2025", HELLO_RAW),
        (b"hello world", "unixfs-v0-2015", HELLO_V0),
        (b"", "unixfs-v1-2025", EMPTY_RAW),
        (b"", "unixfs-v0-2015", EMPTY_V0),
    ],
)
def test_file_cid_of_bytes_and_of_a_path(content: bytes, profile: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert file_cid(content, profile) == file_cid(path, profile) == expected


def test_file_cid_defaults_to_the_profile_of_2025() -> None:
    assert file_cid(b"hello world") == HELLO_RAW


def test_an_unknown_profile_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="no CID profile 'unixfs-v9'"):
        file_cid(b"", "unixfs-v9")


@pytest.mark.parametrize("kind", ["missing", "link", "folder", "pipe"])
def test_only_regular_files_are_hashed(kind: str, tmp_path: Path) -> None:
    path = tmp_path / kind
    if kind == "link":
        (tmp_path / "target").write_bytes(b"secret")
        path.symlink_to(tmp_path / "target")
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(FileRefused):
        file_cid(path)


def test_streams_that_give_a_little_at_a_time_hash_the_same() -> None:
    from provenance.unixfs import hash_content

    class Trickle(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 70_001) if size and size > 0 else size)

    content = os.urandom(2_500_000)
    assert str(hash_content(Trickle(content))) == file_cid(content)
