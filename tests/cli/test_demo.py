"""The demo's story ends as it promises, twice in the same folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from cli.story import tell
from provenance.errors import UsageError

EXPECTED = {
    "verify-1": "authentic",
    "verify-2": "authentic",
    "verify-3": "authentic",
    "verify-4": "authentic",
    "bundle": "authentic",
    "stripped": "recovered",
    "cropped": "recovered",
    "edited": "tampered",
    "copied": "copied",
    "blocked": "refused",
    "unlicensed": "refused",
    "key": "done",
    "licensed": "authentic",
}


def test_the_story_has_its_verdicts_and_a_contact_sheet_and_can_be_told_again(tmp_path: Path) -> None:
    for _ in range(2):
        story = tell(tmp_path / "demo", quick=True)
        assert {name: story.verdicts[name] for name in EXPECTED} == EXPECTED
        with Image.open(story.sheet) as sheet:
            assert sheet.width > 1000


def test_the_demo_never_empties_a_folder_that_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="holds other files"):
        tell(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
