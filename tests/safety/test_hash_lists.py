from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from safety.errors import FilterError
from safety.hash_lists import HashList
from safety.pdq import pdq_bits, pdq_hash

Picture = np.ndarray
ONE, TWO = "01" * 32, "ab" * 32


def listed(*lines: str) -> HashList:
    return HashList.parse("\n".join(lines).encode(), "known.txt")


def test_lines_comments_and_capitals_are_read() -> None:
    found = listed("# who keeps this", "", f"sha256:{ONE}", f"  SHA256:{ONE}"[2:].lower(), f"pdq:{TWO.upper()}")
    assert (found.entries, found.sha256, found.name) == (2, {ONE}, "known.txt")
    assert found.digest == hashlib.sha256(
        "\n".join(["# who keeps this", "", f"sha256:{ONE}", f"sha256:{ONE}", f"pdq:{TWO.upper()}"]).encode()
    ).hexdigest()  # fmt: skip


def test_the_same_bytes_match() -> None:
    match = listed(f"sha256:{ONE}").match(ONE, None)
    assert match is not None
    assert (match.list_name, match.kind, match.distance) == ("known.txt", "sha256", 0)
    assert listed(f"sha256:{ONE}").match(TWO, None) is None


def test_a_recoded_and_a_turned_copy_match_and_another_picture_does_not(
    texture_of: Callable[..., Picture], saved: Callable[..., Picture]
) -> None:
    picture, other = texture_of(1, 256), texture_of(2, 256)
    known = listed(f"pdq:{pdq_hash(picture).hex}", f"pdq:{pdq_hash(texture_of(3, 256)).hex}")
    for copy in (
        picture,
        saved(picture, "JPEG", quality=30),
        np.ascontiguousarray(np.rot90(picture)),
        np.ascontiguousarray(picture[:, ::-1]),
        (picture * 0.8).astype(np.uint8),
    ):
        match = known.match(TWO, pdq_hash(copy))
        assert match is not None
        assert match.kind == "pdq"
    assert known.match(TWO, pdq_hash(other)) is None


@pytest.mark.parametrize(("apart", "matches"), [(31, True), (32, False)])
def test_the_limit_is_31_bits(apart: int, matches: bool, texture_of: Callable[..., Picture]) -> None:
    found = pdq_hash(texture_of(1, 128))
    bits = found.bits.copy()
    bits[:apart] ^= True
    digits = np.packbits(bits[::-1]).tobytes().hex()
    assert (pdq_bits(digits) ^ found.bits).sum() == apart
    match = listed(f"pdq:{digits}").match(TWO, found)
    assert (match.distance if match else None) == (apart if matches else None)


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(FilterError, match=r"known\.txt cannot be used") as refusal:
        listed(f"sha256:{ONE}", ONE, "sha256:12", "md5:" + "0" * 32, f"pdq: {TWO}", f"pdq:{TWO} x")
    assert refusal.value.found is not None
    for line in (2, 3, 4, 5, 6):
        assert f"line {line} " in refusal.value.found
    assert "line 1 " not in refusal.value.found
    assert "5 faults" in refusal.value.found
    assert "may be a SHA-256 or a PDQ hash" in refusal.value.found


def test_many_faults_are_counted() -> None:
    with pytest.raises(FilterError) as refusal:
        listed(*["x"] * 50)
    assert "and 30 more" in str(refusal.value)


@pytest.mark.parametrize("data", [b"", b"# nothing\n", b"\xff\xfe", "sha256:é".encode()])
def test_an_empty_or_foreign_file_is_refused(data: bytes) -> None:
    with pytest.raises(FilterError):
        HashList.parse(data, "known.txt")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FilterError, match="nothing passes without it"):
        HashList.load(tmp_path / "none.txt")
    (tmp_path / "some.txt").write_text(f"sha256:{ONE}\n")
    assert HashList.load(tmp_path / "some.txt").entries == 1
