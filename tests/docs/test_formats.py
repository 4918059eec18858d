"""docs/formats.md says what the artefact says."""

from __future__ import annotations

import re
from pathlib import Path

from contracts.artifact import load_artifact

TEXT = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(\w+)` \| (.*) \| `([0-9a-f]{64})` \|$", re.MULTILINE)


def test_every_event_of_the_contract_is_in_the_table_of_formats() -> None:
    found = {name: (arguments, topic) for name, arguments, topic in ROW.findall(TEXT)}
    expected = {
        entry.name: (
            ", ".join(f"{each.type} {each.name}" + (" `i`" if each.indexed else "") for each in entry.inputs),
            entry.selector,
        )
        for entry in load_artifact().events.values()
    }
    assert found == expected
