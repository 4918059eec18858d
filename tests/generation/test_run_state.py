"""A run over many prompts that was stopped goes on where it stopped; nothing that is on record is drawn twice."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import generation.finishing
import generation.order
import provenance.issuing
from cli.main import app
from generation.errors import GenerationError, GenerationInterrupted
from generation.order import Issue, generate
from generation.request import GenerationRequest
from provenance.errors import FormatError, UsageError
from provenance.home import Home
from provenance.journal import Journal
from provenance.record import ImageRecord
from provenance.setup import set_up
from safety.content import open_content_filter
from safety.decision import Decision
from safety.policy import open_policy

PROMPTS = tuple(f"a {colour} fish" for colour in ("red", "blue", "green", "yellow", "white", "black"))
REQUEST = GenerationRequest(PROMPTS, seed=5, steps=1)


@pytest.fixture(scope="module")
def _home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return set_up(tmp_path_factory.mktemp("home") / "home", name="Test Studio").home


@pytest.fixture
def home(_home: Home, tmp_path: Path) -> Home:
    shutil.copytree(_home.path, tmp_path / "home")
    return Home.open(tmp_path / "home")


@pytest.fixture(scope="module", autouse=True)
def _loaded_once() -> Iterator[None]:
    """The real pipeline and the real content filter, loaded once for all runs of this file."""
    pipeline = cache(generation.order.load_pipeline)
    filters = cache(lambda digest, base: open_content_filter(open_policy(None, base), base))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation.order, "load_pipeline", pipeline)
        patch.setattr(generation.order, "open_content_filter", lambda policy, base, _: filters(policy.digest, base))
        yield


def run(home: Home, out: Path, request: GenerationRequest = REQUEST, *, resume: bool = False) -> Issue:
    return generate(request, home=home, out=out, resumable=True, resume=resume)


def records(home: Home) -> list[ImageRecord]:
    with Journal.of_home(home) as journal:
        found = [journal.record(stream, n) for stream in journal.streams() for n in range(journal.next_serial(stream))]
    return [record for record in found if isinstance(record, ImageRecord)]


def state_of(out: Path) -> Path:
    (path,) = out.glob(".prov-run-*.jsonl")
    return path


def stopping_after(count: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, until it is called once too often."""
    calls = iter(range(count))

    def stop(*given: Any, **named: Any) -> Any:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return function(*given, **named)

    return stop


def stop_after(count: int, home: Home, out: Path, request: GenerationRequest = REQUEST) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation.finishing, "deliver_image", stopping_after(count, generation.finishing.deliver_image))
        with pytest.raises(GenerationInterrupted) as stopped:
            run(home, out, request)
    return str(stopped.value)


def test_a_stopped_run_goes_on_where_it_stopped(home: Home, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert (
        stop_after(3, home, out)
        == "stopped; 3 of 6 pictures are on record and kept; to go on: add --resume to the same command"
    )
    before = {path: path.read_bytes() for path in out.glob("*.png")}
    assert len(before) == 3
    issue = run(home, out, resume=True)
    assert (issue.left, issue.recorded) == (3, 3)
    assert [image.record.parameters["seed"] for image in issue.images] == [5, 6, 7, 8, 9, 10]
    assert all(image.path.is_file() for image in issue.images)
    assert {path: path.read_bytes() for path in before} == before
    assert len(records(home)) == len(PROMPTS)


def test_a_seed_that_nobody_chose_is_kept(home: Home, tmp_path: Path) -> None:
    request = replace(REQUEST, seed=None)
    stop_after(2, home, tmp_path / "out", request)
    seeds = [i.record.parameters["seed"] for i in run(home, tmp_path / "out", request, resume=True).images]
    assert seeds == list(range(seeds[0], seeds[0] + len(PROMPTS)))


def test_what_was_recorded_and_never_written_is_told_and_not_drawn_again(home: Home, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(provenance.issuing, "write_file", stopping_after(1, provenance.issuing.write_file))
        with pytest.raises(GenerationInterrupted):
            run(home, out)
    assert len(records(home)) == 2
    issue = run(home, out, resume=True)
    assert len(issue.images) == len(PROMPTS) - 1
    assert [path.name for path in issue.missing] == ["prov-1-1.png"]
    assert [record.parameters["seed"] for record in records(home)] == [5, 6, 7, 8, 9, 10]


def test_a_stopped_run_is_not_begun_anew_unasked(home: Home, tmp_path: Path) -> None:
    out = tmp_path / "out"
    stop_after(2, home, out)
    with pytest.raises(UsageError, match="stopped here after 2 of 6") as refusal:
        run(home, out)
    assert "--resume" in str(refusal.value)
    assert len(records(home)) == 2
    state_of(out).unlink()
    assert len(run(home, out).images) == len(PROMPTS)


def test_another_request_has_nothing_to_go_on_with(home: Home, tmp_path: Path) -> None:
    out = tmp_path / "out"
    stop_after(1, home, out)
    changes: list[dict[str, Any]] = [
        {"prompts": PROMPTS[::-1]},
        {"steps": 2},
        {"seed": 6},
        {"negative": "a tree"},
        {"scheduler": "ddim"},
        {"clear_prompt": True},
    ]
    for change in changes:
        with pytest.raises(UsageError, match="no run of this request stopped here"):
            run(home, out, replace(REQUEST, **change), resume=True)


def test_a_finished_run_resumed_draws_nothing(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    first = run(home, out)
    with monkeypatch.context() as patch:
        patch.delattr(generation.order, "load_pipeline")
        finished = run(home, out, resume=True)
    assert finished == first
    assert (first.left, finished.left, finished.recorded) == (len(PROMPTS), 0, 0)
    again = run(home, out)
    assert {i.record.serial for i in again.images}.isdisjoint(i.record.serial for i in first.images)


def test_what_was_blocked_stays_blocked(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, real = tmp_path / "out", generation.finishing.screen_all_or_refuse

    def block_the_first(*given: Any) -> list[Decision]:
        first, *others = real(*given)
        return [replace(first, allowed=False, rule="test", reason="violence"), *others]

    with monkeypatch.context() as patch:
        patch.setattr(generation.finishing, "screen_all_or_refuse", block_the_first)
        stop_after(2, home, out)
    issue = run(home, out, resume=True)
    assert [(blocked.index, blocked.reason) for blocked in issue.blocked] == [(0, "violence")]
    assert len(issue.images) == len(records(home)) == len(PROMPTS) - 1


def test_the_state_names_no_prompt_and_is_for_nobody_else(home: Home, tmp_path: Path) -> None:
    out = tmp_path / "out"
    stop_after(1, home, out)
    state = state_of(out)
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    assert not any(prompt in state.read_text() for prompt in PROMPTS)


def test_a_line_that_was_being_written_is_dropped_and_a_strange_one_refused(home: Home, tmp_path: Path) -> None:
    out = tmp_path / "out"
    stop_after(1, home, out)
    state = state_of(out)
    whole = state.read_bytes()
    state.write_bytes(whole + b"[3,1")
    assert len(run(home, out, resume=True).images) == len(PROMPTS)
    for strange in (b"[99,1,1]\n", b"[true,1,1]\n", b'["0",1,1]\n', b"{}\n", b"[[[[\n", whole):
        state.write_bytes(whole + strange)
        with pytest.raises(FormatError):
            run(home, out, resume=True)


def test_two_runs_of_one_request_do_not_draw_at_once(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    real = generation.finishing.screen_all_or_refuse

    def meanwhile(*given: Any) -> list[Decision]:
        with pytest.raises(GenerationError, match="being drawn already"):
            run(home, out)
        return real(*given)

    monkeypatch.setattr(generation.finishing, "screen_all_or_refuse", meanwhile)
    assert len(run(home, out).images) == len(PROMPTS)


def test_a_killed_run_over_a_file_goes_on_from_the_command_line(home: Home, tmp_path: Path) -> None:
    out, file = tmp_path / "out", tmp_path / "prompts.csv"
    file.write_text("prompt,n,steps\na red fish,6,1\na blue house,6,2\n")
    command = [sys.executable, "-m", "cli.main", "generate", "--prompts", str(file), "--out", str(out)]
    environment = {**os.environ, "PROV_HOME": str(home.path)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 300
        while len(list(out.glob("*.png"))) < 2 and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    done = len(records(home))
    assert 2 <= done < 12
    again = subprocess.run([*command, "--resume"], env=environment, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    made = records(home)
    assert len(made) == 12
    first = min(record.parameters["seed"] for record in made)
    assert sorted(record.parameters["seed"] - first for record in made) == list(range(12))


def test_ctrl_c_before_and_while_drawing_says_how_to_go_on(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, file = tmp_path / "out", tmp_path / "prompts.txt"
    file.write_text("\n".join(PROMPTS[:2]))
    monkeypatch.setenv("PROV_HOME", str(home.path))

    def told(*more: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, ["generate", "--prompts", str(file), "--out", str(out), "--steps", "1", *more])
        assert done.exit_code == code, done.stderr
        return done.stderr

    with monkeypatch.context() as patch:
        patch.setattr(generation.order, "open_reader", stopping_after(0, generation.order.open_reader))
        assert told(code=130) == "error: stopped before anything was drawn; give the same command again\n"
    with monkeypatch.context() as patch:
        patch.setattr(generation.finishing, "deliver_image", stopping_after(1, generation.finishing.deliver_image))
        (line,) = [line for line in told(code=130).splitlines() if "stopped" in line]
    assert line.endswith("1 of 2 pictures are on record and kept; to go on: add --resume to the same command")
    assert "\n1 picture recorded; next: prov anchor" in told("--resume")
    assert told("--resume").endswith("nothing was left to draw\n")


def test_ctrl_c_without_a_file_has_nothing_to_resume(home: Home, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation.finishing, "deliver_image", stopping_after(2, generation.finishing.deliver_image))
        with pytest.raises(GenerationInterrupted, match=r"2 of 6 pictures are on record and kept; .* ask anew"):
            generate(REQUEST, home=home, out=tmp_path / "out")
    assert len(records(home)) == 2


def test_only_runs_over_a_file_are_resumed(home: Home) -> None:
    command = [sys.executable, "-m", "cli.main", "generate", "a red fish", "--resume"]
    environment = {**os.environ, "PROV_HOME": str(home.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--prompts FILE" in done.stderr
