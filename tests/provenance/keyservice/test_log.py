"""The log of releases and refusals says where it was changed."""

from __future__ import annotations

import json
import multiprocessing
import stat
from pathlib import Path

import pytest

from provenance.errors import RecordError
from provenance.keyservice.log import KeyEvent, ReleaseLog

EVENTS = [
    KeyEvent(None, "127.0.0.1", "0x" + "ab" * 20, 1, "0x" + "cd" * 32, "ef" * 32, 7),
    KeyEvent("no-licence", "127.0.0.1", "0x" + "ac" * 20, 1, "0x" + "ce" * 32),
    KeyEvent("malformed-request", "::1"),
    KeyEvent("rate-limited", "::1"),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    log = ReleaseLog(tmp_path / "keys.log")
    for event in EVENTS:
        log.append(event)
    return tmp_path / "keys.log"


def test_entries_read_back_in_order(path: Path) -> None:
    entries = list(ReleaseLog(path).entries())
    assert [entry["reason"] for entry in entries] == [None, "no-licence", "malformed-request", "rate-limited"]
    assert [entry["event"] for entry in entries] == ["released", "refused", "refused", "refused"]
    assert [entry["sequence"] for entry in entries] == [0, 1, 2, 3]
    assert entries[0] | EVENTS[0].to_json() == entries[0]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_empty_or_missing_log_is_whole(tmp_path: Path) -> None:
    assert list(ReleaseLog(tmp_path / "none.log").entries()) == []


@pytest.mark.parametrize("line", range(1, 4))
@pytest.mark.parametrize("how", ["value", "removed", "doubled", "byte", "hash", "garbage", "key"])
def test_a_changed_line_is_named(path: Path, line: int, how: str) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    own = lines[line - 1]
    entry = json.loads(own)
    named = line
    if how == "value":
        lines[line - 1] = own.replace(b'"peer":"', b'"peer":"9')
    elif how == "removed":
        del lines[line - 1]
    elif how == "doubled":
        lines.insert(line, own)
        named = line + 1
    elif how == "byte":
        lines[line - 1] = own[:20] + bytes([own[20] ^ 1]) + own[21:]
    elif how == "hash":
        lines[line - 1] = own.replace(entry["hash"].encode(), b"00" * 32)
    elif how == "garbage":
        lines[line - 1] = b"x" * 10_000 + b"\n"
    else:
        lines[line - 1] = own.replace(b'{"account"', b'{"aaa":1,"account"')
    path.write_bytes(b"".join(lines))
    with pytest.raises(RecordError) as refusal:
        list(ReleaseLog(path).entries())
    assert refusal.value.what.endswith(f"broken at line {named}")


def test_a_cut_end_is_noticed_only_by_whoever_kept_the_head(path: Path) -> None:
    whole = list(ReleaseLog(path).entries())
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    assert list(ReleaseLog(path).entries()) == whole[:-1]


def test_a_line_rewritten_with_its_own_new_hash_is_named_by_the_next(path: Path) -> None:
    from provenance.canonical import canonical_json, sha256_hex

    lines = path.read_bytes().splitlines(keepends=True)
    entry = json.loads(lines[1])
    del entry["hash"]
    entry["reason"] = "rate-limited"
    lines[1] = canonical_json({**entry, "hash": sha256_hex(canonical_json(entry))}) + b"\n"
    path.write_bytes(b"".join(lines))
    with pytest.raises(RecordError, match="broken at line 3"):
        list(ReleaseLog(path).entries())


def test_a_line_torn_by_a_crash_is_taken_off(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b'{"account":null,"blo')
    ReleaseLog(path).append(EVENTS[0])
    assert len(list(ReleaseLog(path).entries())) == 5


def test_nothing_is_added_after_a_broken_line(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"{}\n")
    with pytest.raises(RecordError, match="last line"):
        ReleaseLog(path).append(EVENTS[0])


def _append(path: Path, count: int) -> None:
    for _ in range(count):
        ReleaseLog(path).append(EVENTS[2])


def test_several_processes_append_one_chain(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_append, args=(tmp_path / "keys.log", 10)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(list(ReleaseLog(tmp_path / "keys.log").entries())) == 30
