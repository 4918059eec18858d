from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from safety.decision import Decision
from safety.errors import SafetyError
from safety.log import FIRST, BlockedLog

BLOCKED = Decision(False, "prompt", "a" * 64, "b" * 64, rule="skull/term:skull", reason="the prompt asks for skull")
HMAC = "c" * 64


def filled(path: Path, count: int = 4) -> BlockedLog:
    log = BlockedLog(path)
    for _ in range(count):
        log.append(BLOCKED, hmac=HMAC)
    return log


def test_an_empty_log_is_whole(tmp_path: Path) -> None:
    assert BlockedLog(tmp_path / "log").check() == (0, FIRST)


def test_entries_are_chained_and_the_head_is_returned(tmp_path: Path) -> None:
    log = BlockedLog(tmp_path / "log")
    heads = [log.append(BLOCKED, hmac=HMAC) for _ in range(3)]
    assert log.check() == (3, heads[-1])
    entries = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [entry["previous"] for entry in entries] == [FIRST, *heads[:2]]
    assert [entry["sequence"] for entry in entries] == [0, 1, 2]
    assert Decision.from_json(entries[0]["decision"]) == BLOCKED


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    filled(tmp_path / "log")
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("line", [0, 1, 2])
def test_a_changed_line_breaks_the_chain(line: int, tmp_path: Path) -> None:
    log = filled(tmp_path / "log")
    lines = (tmp_path / "log").read_bytes().splitlines(keepends=True)
    lines[line] = lines[line].replace(b'"prompt"', b'"output"')
    (tmp_path / "log").write_bytes(b"".join(lines))
    with pytest.raises(SafetyError, match=f"line {line + 1}"):
        log.check()


@pytest.mark.parametrize("line", [0, 1, 2])
def test_a_removed_or_repeated_line_breaks_the_chain(line: int, tmp_path: Path) -> None:
    log = filled(tmp_path / "log")
    lines = (tmp_path / "log").read_bytes().splitlines(keepends=True)
    for changed in (lines[:line] + lines[line + 1 :], lines[: line + 1] + lines[line:]):
        (tmp_path / "log").write_bytes(b"".join(changed))
        with pytest.raises(SafetyError, match="broken"):
            log.check()


@pytest.mark.parametrize("junk", [b"\n", b"{}\n", b"[]\n", b"\xff\n", b'{"a":' * 2000 + b"\n"])
def test_junk_is_a_broken_line_and_nothing_is_appended_after_it(junk: bytes, tmp_path: Path) -> None:
    log = filled(tmp_path / "log", 1)
    with (tmp_path / "log").open("ab") as file:
        file.write(junk)
    with pytest.raises(SafetyError, match="broken"):
        log.check()
    with pytest.raises(SafetyError, match="broken"):
        log.append(BLOCKED, hmac=HMAC)


def test_a_line_torn_by_a_crash_is_taken_off(tmp_path: Path) -> None:
    log = filled(tmp_path / "log")
    with (tmp_path / "log").open("ab") as file:
        file.write(b'{"decision":{"allow')
    log.append(BLOCKED, hmac=HMAC)
    assert log.check()[0] == 5


def test_a_torn_first_line_is_taken_off(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b'{"decision"')
    log = filled(tmp_path / "log", 1)
    assert log.check()[0] == 1


def test_entries_longer_than_a_read_are_found(tmp_path: Path) -> None:
    log = BlockedLog(tmp_path / "log")
    long = Decision(False, "output", "a" * 64, "b" * 64, reason="x" * 10_000)
    for _ in range(3):
        log.append(long, hmac=HMAC)
    assert log.check()[0] == 3


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
        worker.join()
        assert worker.exitcode == 0
    assert BlockedLog(tmp_path / "log").check()[0] == 60
