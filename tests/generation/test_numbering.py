"""Blocked prompts are named by where they stand, all together and without their words."""

from __future__ import annotations

from pathlib import Path

import pytest

from generation.errors import PromptBlocked
from generation.order import generate
from generation.prompt_file import read_wanted
from generation.request import GenerationRequest
from provenance.home import Home
from provenance.setup import set_up


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return set_up(tmp_path_factory.mktemp("home") / "home", name="Test Studio").home


def refused(request: GenerationRequest, home: Home, out: Path) -> str:
    log = home.path / "safety.log"
    before = log.read_text().count("\n") if log.exists() else 0
    with pytest.raises(PromptBlocked) as refusal:
        generate(request, home=home, out=out)
    assert not out.exists()
    logged = log.read_text().count("\n") - before
    said = str(refusal.value)
    assert "purple" not in said + log.read_text()
    assert logged == said.count("\n  line ") + said.count("\n  prompt ") + said.count("\n  the negative ")
    return said


def test_every_blocked_prompt_of_a_file_is_named_by_its_line(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "prompts.csv"
    rows = [
        "prompt,negative,n",
        "a purple skull,,2",
        "a red fish,,1",
        "a tree,two purple skulls,1",
        "a purple skull,,1",
    ]
    file.write_text("\n".join([*rows, "a purple house,,1", "three purple skulls,,1"]) + "\n")
    said = refused(GenerationRequest(read_wanted(file), steps=1), home, tmp_path / "out")
    assert "blocks 3 of the prompts" in said
    for place in ("\n  line 2, line 5: ", "\n  the negative of line 4: ", "\n  line 7: "):
        assert place in said
    assert "line 3" not in said
    assert "line 6" not in said


def test_blocked_prompts_of_a_request_are_named_by_their_number(home: Home, tmp_path: Path) -> None:
    prompts = ("a red fish", "a purple skull", "a tree")
    said = refused(GenerationRequest(prompts, steps=1, negative="purple skulls"), home, tmp_path / "out")
    assert "\n  prompt 2: " in said
    assert "\n  the negative prompt of the request: " in said
