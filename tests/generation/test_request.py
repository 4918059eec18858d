"""Requests are checked as a whole before anything heavy is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from generation.request import GenerationRequest, read_prompts
from provenance.errors import FileRefused, UsageError


def test_every_fault_is_reported_together() -> None:
    with pytest.raises(UsageError) as refusal:
        GenerationRequest(("", "x" * 5000, "half \ud83d a fish"), seed=-1, steps=0, guidance=float("nan"))
    for fault in (
        "prompt 1 is empty",
        "5000 characters",
        "prompt 3 holds half a character",
        "seed -1",
        "0 steps",
        "guidance nan",
    ):
        assert fault in str(refusal.value)


def test_a_request_needs_a_prompt() -> None:
    with pytest.raises(UsageError, match="between 1 and"):
        GenerationRequest(())


def test_prompts_are_read_one_a_line(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("a red fish\n\n  a blue tree at night  \n", "utf-8")
    assert read_prompts(file) == ["a red fish", "a blue tree at night"]


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe\x00"])
def test_a_file_without_prompts_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "prompts.txt"
    file.write_bytes(content)
    with pytest.raises(UsageError):
        read_prompts(file)


def test_a_link_is_not_read_as_prompts(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("a red fish\n")
    (tmp_path / "prompts.txt").symlink_to(tmp_path / "target")
    with pytest.raises(FileRefused):
        read_prompts(tmp_path / "prompts.txt")


def test_the_weight_of_an_adapter_is_bounded_and_needs_an_adapter() -> None:
    GenerationRequest(("a dot",), model="3", adapter_scale=-0.5)
    for scale in (0.0, 0.001, 5.0, float("nan")):
        with pytest.raises(UsageError, match="adapter scale"):
            GenerationRequest(("a dot",), model="3", adapter_scale=scale)
    with pytest.raises(UsageError, match="without an adapter"):
        GenerationRequest(("a dot",), adapter_scale=0.5)
