"""The log of what was blocked: what is appended, in which order, and what a crash leaves."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest

from safety.decision import Decision
from safety.errors import SafetyError
from safety.log import BlockedLog
from safety.log_audit import audit_log
from safety.log_entry import FIRST
from safety.log_head import Head, head_path, keep_head, read_head

BLOCKED = Decision(False, "prompt", "a" * 64, "b" * 64, rule="skull/term:skull", reason="the prompt asks for skull")
HMAC = "c" * 64


def filled(path: Path, count: int = 4) -> list[str]:
    log = BlockedLog(path)
    return [log.append(BLOCKED, hmac=HMAC) for _ in range(count)]


def test_entries_are_chained_and_the_head_is_returned_and_kept(tmp_path: Path) -> None:
    heads = filled(tmp_path / "log", 3)
    entries = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [entry["previous"] for entry in entries] == [FIRST, *heads[:2]]
    assert [entry["sequence"] for entry in entries] == [0, 1, 2]
    assert Decision.from_json(entries[0]["decision"]) == BLOCKED
    assert read_head(tmp_path / "log") == Head(2, heads[-1])


def test_only_the_owner_may_read_log_and_head(tmp_path: Path) -> None:
    filled(tmp_path / "log")
    for path in (tmp_path / "log", head_path(tmp_path / "log")):
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("junk", [b"\n", b"{}\n", b"[]\n", b"\xff\n", b'{"a":' * 2000 + b"\n"])
def test_nothing_is_appended_after_junk(junk: bytes, tmp_path: Path) -> None:
    filled(tmp_path / "log", 1)
    with (tmp_path / "log").open("ab") as file:
        file.write(junk)
    before = (tmp_path / "log").read_bytes()
    with pytest.raises(SafetyError, match="the last line"):
        filled(tmp_path / "log", 1)
    assert (tmp_path / "log").read_bytes() == before


def test_a_line_torn_by_a_crash_is_taken_off(tmp_path: Path) -> None:
    filled(tmp_path / "log")
    with (tmp_path / "log").open("ab") as file:
        file.write(b'{"decision":{"allow')
    filled(tmp_path / "log", 1)
    report = audit_log(tmp_path / "log")
    assert (report.entries, report.faults, report.notes) == (5, (), ())


def test_a_torn_first_line_is_taken_off(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b'{"decision"')
    filled(tmp_path / "log", 1)
    assert audit_log(tmp_path / "log").entries == 1


@pytest.mark.parametrize("behind", [1, 2, 4])
def test_a_head_that_lags_behind_is_no_tampering_and_catches_up(behind: int, tmp_path: Path) -> None:
    # What a crash between the line and its head leaves, and a disk that lost the last renames.
    heads = filled(tmp_path / "log", 6)
    keep_head(tmp_path / "log", Head(5 - behind, heads[5 - behind]))
    assert audit_log(tmp_path / "log").faults == ()
    filled(tmp_path / "log", 1)
    report = audit_log(tmp_path / "log")
    assert (report.entries, report.faults) == (7, ())
    assert read_head(tmp_path / "log") == Head(6, report.head)


def test_a_log_without_a_head_gets_one_with_its_next_entry(tmp_path: Path) -> None:
    filled(tmp_path / "log", 2)
    head_path(tmp_path / "log").unlink()
    filled(tmp_path / "log", 1)
    assert audit_log(tmp_path / "log").faults == ()
    assert read_head(tmp_path / "log") is not None


@pytest.mark.parametrize("left", [0, 1, 3])
def test_nothing_is_appended_to_a_log_whose_end_was_cut_off(left: int, tmp_path: Path) -> None:
    filled(tmp_path / "log")
    lines = (tmp_path / "log").read_bytes().splitlines(keepends=True)
    (tmp_path / "log").write_bytes(b"".join(lines[:left]) + b'{"torn')
    with pytest.raises(SafetyError, match="was cut or changed") as refusal:
        filled(tmp_path / "log", 1)
    assert "prov audit verify" in str(refusal.value)
    # The traces stay, even the torn line.
    assert (tmp_path / "log").read_bytes().endswith(b'{"torn')
    assert audit_log(tmp_path / "log").faults


def test_nothing_is_appended_to_a_log_that_was_written_anew(tmp_path: Path) -> None:
    filled(tmp_path / "log", 3)
    kept = head_path(tmp_path / "log").read_bytes()
    for name in ("log", "log.head"):
        (tmp_path / name).unlink()
    BlockedLog(tmp_path / "log").append(BLOCKED, hmac="d" * 64)
    filled(tmp_path / "log", 5)
    head_path(tmp_path / "log").write_bytes(kept)
    with pytest.raises(SafetyError, match="was cut or changed"):
        filled(tmp_path / "log", 1)


@pytest.mark.parametrize("junk", [b"", b"{}", b"null", b"\xff", b'{"hash":"x","sequence":0,"type":"t"}\n', b"9" * 4000])
def test_a_damaged_head_is_a_fault_and_stops_the_log(junk: bytes, tmp_path: Path) -> None:
    filled(tmp_path / "log")
    head_path(tmp_path / "log").write_bytes(junk)
    (fault,) = audit_log(tmp_path / "log").faults
    assert "log.head is not the head of a log" in fault.detail
    with pytest.raises(SafetyError, match="is not the head of a log"):
        filled(tmp_path / "log", 1)


def test_a_head_or_log_behind_a_link_is_not_followed(tmp_path: Path) -> None:
    filled(tmp_path / "log", 1)
    head_path(tmp_path / "log").rename(tmp_path / "elsewhere")
    head_path(tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SafetyError, match="cannot be read"):
        filled(tmp_path / "log", 1)
    (tmp_path / "link").symlink_to(tmp_path / "log")
    with pytest.raises(SafetyError, match="cannot be written") as refusal:
        filled(tmp_path / "link", 1)
    assert "symbolic links" in str(refusal.value)


def test_when_the_head_cannot_be_kept_the_entry_stands_and_the_caller_is_told(tmp_path: Path) -> None:
    filled(tmp_path / "log", 2)
    in_the_way = tmp_path / "log.head.new"
    in_the_way.mkdir()
    with pytest.raises(SafetyError, match="cannot be written") as refusal:
        filled(tmp_path / "log", 1)
    assert "log.head.new" in str(refusal.value)
    in_the_way.rmdir()
    assert audit_log(tmp_path / "log").faults == ()
    filled(tmp_path / "log", 1)
    assert audit_log(tmp_path / "log").entries == 4


@pytest.mark.parametrize(
    "damage", [Path.mkdir, lambda path: path.symlink_to(path), lambda path: path.write_bytes(b"{}\n")]
)
def test_a_log_that_cannot_take_an_entry_says_so_before_there_is_one(
    damage: Callable[[Path], object], tmp_path: Path
) -> None:
    BlockedLog(tmp_path / "whole").require_writable()
    filled(tmp_path / "whole", 1)
    BlockedLog(tmp_path / "whole").require_writable()
    assert audit_log(tmp_path / "whole").entries == 1
    damage(tmp_path / "log")
    with pytest.raises(SafetyError) as refusal:
        BlockedLog(tmp_path / "log").require_writable()
    assert "do next" in str(refusal.value)


def test_entries_longer_than_a_read_are_found(tmp_path: Path) -> None:
    log = BlockedLog(tmp_path / "log")
    long = Decision(False, "output", "a" * 64, "b" * 64, reason="x" * 10_000)
    for _ in range(3):
        log.append(long, hmac=HMAC)
    assert audit_log(tmp_path / "log").entries == 3


def test_what_was_allowed_or_has_no_keyed_digest_is_not_logged(tmp_path: Path) -> None:
    log = BlockedLog(tmp_path / "log")
    with pytest.raises(SafetyError):
        log.append(Decision(True, "prompt", "a", "b"), hmac=HMAC)
    with pytest.raises(SafetyError):
        log.append(BLOCKED, hmac="a red skull")
    assert not (tmp_path / "log").exists()


def _append_many(path: Path) -> None:
    filled(path, 20)


def test_processes_that_append_at_once_keep_one_chain(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_append_many, args=(tmp_path / "log",)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        # Whoever looks meanwhile sees a whole chain too.
        assert audit_log(tmp_path / "log").faults == ()
        worker.join()
        assert worker.exitcode == 0
    report = audit_log(tmp_path / "log")
    assert (report.entries, report.faults, report.notes) == (60, (), ())


def test_a_process_killed_while_it_appends_leaves_a_log_that_is_whole(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    for _ in range(3):
        worker = context.Process(target=_append_for_ever, args=(tmp_path / "log",))
        worker.start()
        size = (tmp_path / "log").stat().st_size if (tmp_path / "log").exists() else 0
        while not (tmp_path / "log").exists() or (tmp_path / "log").stat().st_size <= size + 5000:
            assert worker.is_alive()
        worker.kill()
        worker.join()
        assert audit_log(tmp_path / "log").faults == ()
    filled(tmp_path / "log", 1)
    report = audit_log(tmp_path / "log")
    assert report.faults == report.notes == ()
    assert report.entries > 12


def _append_for_ever(path: Path) -> None:
    while True:
        filled(path, 1)
