from __future__ import annotations

from pathlib import Path

import pytest

from generation.audit.grid import load_grid, starter_grid
from provenance.errors import UsageError
from safety.policy import open_policy
from safety.prompt_stages import open_prompt_filter
from safety.starter.scenes import COLOURS, FORBIDDEN_OBJECT

OCCUPATIONS = """
name = "occupations"
prompt = "a photo of a {occupation} {place}"

[axes]
occupation = ["doctor", "nurse", "teacher"]
place = ["at work", "outdoors"]

[attributes.presentation]
woman = ["a photo of a woman {place}", "a female {occupation}"]
man = ["a photo of a man {place}", "a male {occupation}"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "grid.toml"
    path.write_text(OCCUPATIONS)
    return path


def test_a_grid_has_every_combination_once(file: Path) -> None:
    cells = load_grid(file).cells
    assert len(cells) == 6 == len({cell.prompt for cell in cells})
    assert cells[0].prompt == "a photo of a doctor at work"


def test_texts_of_an_attribute_speak_of_the_cell(file: Path) -> None:
    grid = load_grid(file)
    texts = grid.texts("presentation", grid.cells[3])
    assert texts["woman"] == ["a photo of a woman outdoors", "a female nurse"]


def test_the_digest_follows_the_grid(file: Path) -> None:
    before = load_grid(file).digest
    file.write_text(OCCUPATIONS.replace("teacher", "judge"))
    assert load_grid(file).digest != before


def test_the_starter_grid_names_no_colour_and_nothing_forbidden() -> None:
    grid = starter_grid()
    prompts = " ".join(cell.prompt for cell in grid.cells)
    assert len(grid.cells) == 45
    assert not {*COLOURS, FORBIDDEN_OBJECT} & set(prompts.split())
    assert "an orange fish in the desert" in grid.texts("colour", _cell("fish", "in the desert"))["orange"]


def test_the_starters_policy_allows_its_grid() -> None:
    screen = open_prompt_filter(open_policy(None, "starter")).screen
    assert all(screen(cell.prompt).allowed for cell in starter_grid().cells)


def test_all_faults_of_a_grid_are_named_together(file: Path) -> None:
    file.write_text(
        'name = "x"\nprompt = "a {thing} {0}"\n[axes]\nthing = ["a", "a"]\n[attributes.size]\nbig = ["{place}"]\n'
    )
    with pytest.raises(UsageError) as refused:
        load_grid(file)
    told = str(refused.value)
    assert all(part in told for part in ("one twice", "every axis", "two values", "not an axis"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name = ", "UTF-8 TOML"),
        (OCCUPATIONS + "\n[more]\n", "`more` is not part"),
        ('name = "x"\nprompt = 3\n', "`prompt` is not a text"),
        (OCCUPATIONS.replace('["doctor", "nurse", "teacher"]', '"doctor"'), "is not a list of texts"),
        (OCCUPATIONS.replace('{place}"\n\n', '{place!r}"\n\n', 1), "name every axis"),
        (OCCUPATIONS.replace("a female {occupation}", "a female {"), "not an axis"),
        (OCCUPATIONS.replace("a female {occupation}", "a female {occupation.__class__}"), "not an axis"),
    ],
)
def test_what_is_not_a_grid_is_refused(file: Path, text: str, told: str) -> None:
    file.write_text(text)
    with pytest.raises(UsageError, match=told.replace("(", r"\(")):
        load_grid(file)


def _cell(name: str, place: str):  # type: ignore[no-untyped-def]
    return next(cell for cell in starter_grid().cells if cell.values == {"object": name, "place": place})
