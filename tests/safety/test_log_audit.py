"""Whatever is done to the log of what was blocked, the audit names it; an honest log has no faults."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safety.decision import Decision
from safety.errors import SafetyError
from safety.log import BlockedLog
from safety.log_audit import KnownHead, audit_log
from safety.log_entry import FIRST, entry_hash, entry_line
from safety.log_head import head_path, read_head

COUNT = 9
PROMPT = Decision(False, "prompt", "a" * 64, "b" * 64, rule="skull/term:skull", reason="the prompt asks for skull")
OUTPUT = Decision(
    False, "output", "a" * 64, "b" * 64, {"skull": 0.9}, {"skull": 0.25}, "skull/score", "the picture shows skull"
)
HMAC = "c" * 64
places = st.integers(0, COUNT - 1)
varied = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """An honest log."""
    path = tmp_path_factory.mktemp("honest") / "log"
    for number in range(COUNT):
        BlockedLog(path).append(OUTPUT if number % 3 == 2 else PROMPT, hmac=HMAC)
    return path.read_bytes().splitlines(keepends=True)


@pytest.fixture
def faults(lines: list[bytes], tmp_path: Path) -> Callable[[list[bytes]], list[tuple]]:
    """What is found wrong with a changed log beside which the honest head is kept: kind, lines, numbers."""
    for number in range(COUNT):
        BlockedLog(tmp_path / "log").append(OUTPUT if number % 3 == 2 else PROMPT, hmac=HMAC)
    (tmp_path / "log").write_bytes(b"".join(lines))
    last = json.loads(lines[-1])
    head = {"hash": last["hash"], "sequence": last["sequence"], "type": "urn:prov:blocked-head:v1"}
    head_path(tmp_path / "log").write_bytes(json.dumps(head, separators=(",", ":")).encode() + b"\n")

    def found(changed: list[bytes]) -> list[tuple]:
        (tmp_path / "log").write_bytes(b"".join(changed))
        return [(fault.kind, fault.lines, fault.numbers) for fault in audit_log(tmp_path / "log").faults]

    assert found(lines) == []
    return found


def resealed(line: bytes, **changes: object) -> bytes:
    """A line with other content and the hash that belongs to it."""
    entry = json.loads(line) | changes
    del entry["hash"]
    digest = entry_hash(entry)
    return json.dumps({**entry, "hash": digest}, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def test_a_log_that_does_not_exist_is_empty_and_whole(tmp_path: Path) -> None:
    report = audit_log(tmp_path / "log")
    assert (report.entries, report.head, report.faults, report.notes) == (0, FIRST, (), ())


def test_a_log_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SafetyError, match="cannot be read"):
        audit_log(tmp_path)


def test_the_report_counts_by_stage_and_rule(lines: list[bytes], tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"".join(lines))
    report = audit_log(tmp_path / "log")
    assert report.entries == COUNT
    assert report.stages == {"prompt": 6, "output": 3}
    assert report.rules == {"skull/term:skull": 6, "skull/score": 3}
    assert report.head == json.loads(lines[-1])["hash"]
    assert (report.first, report.last) == (json.loads(lines[0])["time"], json.loads(lines[-1])["time"])
    assert report.notes == ("no log.head is kept beside it: lines cut off the end would not be noticed",)
    assert json.loads(json.dumps(report.to_json()))["whole"] is True


def test_an_emptied_log_without_its_head_says_what_cannot_be_noticed(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    report = audit_log(tmp_path / "log")
    assert (report.entries, report.faults) == (0, ())
    assert report.notes == ("no log.head is kept beside it: lines cut off the end would not be noticed",)


@varied
@given(place=places, data=st.data())
def test_any_changed_byte_is_named_by_its_line(faults, lines: list[bytes], place: int, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(lines[place]) - 2))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value not in (lines[place][at], 10)))
    changed = lines[place][:at] + bytes([byte]) + lines[place][at + 1 :]
    # It counts as the line it was: nothing is said to be missing.
    assert faults([*lines[:place], changed, *lines[place + 1 :]]) == [("altered", (place + 1,), None)]


@varied
@given(first=places, count=st.integers(1, 4))
def test_removed_lines_are_named_by_their_numbers(faults, lines: list[bytes], first: int, count: int) -> None:
    last = min(first + count, COUNT) - 1
    found = faults(lines[:first] + lines[last + 1 :])
    assert found == [("cut" if last == COUNT - 1 else "missing", (), (first, last))]


@varied
@given(place=places, to=places)
def test_a_repeated_line_is_named(faults, lines: list[bytes], place: int, to: int) -> None:
    found = faults([*lines[:to], lines[place], *lines[to:]])
    (fault,) = [fault for fault in found if fault[0] == "inserted"]
    # Which of two equal lines is the copy cannot be told; where it stands out of order shows.
    assert fault[1][0] in (to + 1, place + 1 if place < to else place + 2)
    assert fault[2] == (place, place)


@varied
@given(place=places, to=places)
def test_a_moved_line_is_named(faults, lines: list[bytes], place: int, to: int) -> None:
    rest = lines[:place] + lines[place + 1 :]
    found = faults([*rest[:to], lines[place], *rest[to:]])
    if place == to:
        assert found == []
    elif abs(place - to) == 1:
        # Two lines that changed places: either may be called the one that moved.
        assert [kind for kind, *_ in found] == ["moved"]
    else:
        assert found == [("moved", (to + 1,), (place, place))]


@varied
@given(place=places)
def test_a_line_rewritten_with_its_own_hash_is_named(faults, lines: list[bytes], place: int) -> None:
    changed = resealed(lines[place], hmac="d" * 64)
    found = faults([*lines[:place], changed, *lines[place + 1 :]])
    lines_named = () if place == COUNT - 1 else (place + 1,)
    assert found == [("rewritten", lines_named, (place, place))]


@varied
@given(place=places)
def test_an_entry_made_up_for_a_number_is_named(faults, lines: list[bytes], place: int) -> None:
    true = json.loads(lines[place])
    forged = entry_line(place, true["time"], "d" * 64, PROMPT, true["previous"])[0]
    assert faults([*lines[:place], forged, *lines[place:]]) == [("inserted", (place + 1,), (place, place))]


@pytest.mark.parametrize(
    "junk", [b"\n", b"{}\n", b"[]\n", b"\xff\n", b'{"a":' * 2000 + b"\n", b"x" * (3 << 20) + b"\n"]
)
@pytest.mark.parametrize("place", [0, 4, COUNT])
def test_junk_is_a_line_that_was_altered(faults, lines: list[bytes], junk: bytes, place: int) -> None:
    assert faults([*lines[:place], junk, *lines[place:]]) == [("altered", (place + 1,), None)]


@pytest.mark.parametrize(
    "change", [{"sequence": True}, {"time": "today"}, {"type": "x"}, {"hmac": 7}, {"decision": {}}]
)
def test_a_whole_line_that_is_no_entry_is_altered(faults, lines: list[bytes], change: dict) -> None:
    assert ("altered", (4,), None) in faults([*lines[:3], resealed(lines[3], **change), *lines[4:]])


def test_nesting_ends_no_process_however_high_the_recursion_limit(tmp_path: Path) -> None:
    """Libraries for Ethereum raise the limit to 100,000, and the stack may end before that."""
    (tmp_path / "log").write_bytes(b'{"decision":' + b"[" * 90_000 + b"]" * 90_000 + b"}\n")
    script = (
        "import sys; sys.setrecursionlimit(100_000)\n"
        "from pathlib import Path; from safety.log_audit import audit_log\n"
        "print(audit_log(Path(sys.argv[1])).faults[0].detail)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "log")], capture_output=True, text=True, check=False
    )
    assert done.stdout == "line 1 was altered: it is no entry of this log\n", done.stderr


def test_a_log_of_what_was_allowed_is_altered(faults, lines: list[bytes]) -> None:
    allowed = json.loads(lines[3])["decision"] | {"allowed": True}
    assert ("altered", (4,), None) in faults([*lines[:3], resealed(lines[3], decision=allowed), *lines[4:]])


def test_every_fault_is_named_at_once(faults, lines: list[bytes]) -> None:
    altered = lines[1].replace(b"skull", b"skill", 1)
    found = faults([lines[0], altered, lines[4], lines[3], lines[6], lines[6]])
    assert [kind for kind, *_ in found] == ["altered", "inserted", "moved", "missing", "missing", "cut"]
    assert ("altered", (2,), None) in found
    assert ("missing", (), (2, 2)) in found
    assert ("missing", (), (5, 5)) in found
    assert ("cut", (), (7, 8)) in found


def test_a_torn_tail_is_noted_and_what_it_lacks_is_a_fault(faults, lines: list[bytes], tmp_path: Path) -> None:
    assert faults([*lines, b'{"decision":{"al']) == []
    assert "the last line is incomplete (16 bytes)" in audit_log(tmp_path / "log").notes[0]
    assert faults([*lines[:-1], lines[-1][:-1]]) == [("cut", (), (COUNT - 1, COUNT - 1))]


def test_a_log_that_is_gone_is_missed_by_its_head(faults, tmp_path: Path) -> None:
    (tmp_path / "log").unlink()
    (fault,) = audit_log(tmp_path / "log").faults
    assert fault.detail == f"numbers 0 to {COUNT - 1} are missing from the end, by log.head"


@varied
@given(left=st.integers(0, COUNT), noted=places)
def test_lines_cut_off_are_noticed_against_an_earlier_head(
    faults, lines: list[bytes], tmp_path: Path, left: int, noted: int
) -> None:
    """Also when the head beside the log was changed with it: then by the head that somebody noted."""
    (tmp_path / "cut").write_bytes(b"".join(lines[:left]))
    head = KnownHead(json.loads(lines[noted])["hash"], "--head")
    found = audit_log(tmp_path / "cut", [head]).faults
    assert [fault.kind for fault in found] == ([] if noted < left else ["cut"])


def test_a_chain_written_anew_is_whole_but_for_the_head_that_was_noted(lines: list[bytes], tmp_path: Path) -> None:
    for _ in range(COUNT + 2):
        BlockedLog(tmp_path / "log").append(PROMPT, hmac="d" * 64)
    assert audit_log(tmp_path / "log").faults == ()
    noted = KnownHead(json.loads(lines[4])["hash"], "a letter", 4)
    (fault,) = audit_log(tmp_path / "log", [noted]).faults
    assert (fault.kind, fault.numbers) == ("rewritten", (4, 4))
    assert "a letter" in fault.detail
    kept = read_head(tmp_path / "log")
    assert kept is not None
    assert kept.sequence == COUNT + 1
