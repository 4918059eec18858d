from __future__ import annotations

import pytest

from provenance.errors import DatasetError
from provenance.spdx import licence_expression, licence_uri


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("cc-by-4.0", "CC-BY-4.0"),
        ("MIT", "MIT"),
        ("mit and (apache-2.0 or cc0-1.0)", "MIT AND (Apache-2.0 OR CC0-1.0)"),
        ("LicenseRef-My-Terms", "LicenseRef-My-Terms"),
    ],
)
def test_known_licence_gets_its_canonical_form(text: str, canonical: str) -> None:
    assert licence_expression(text) == canonical


@pytest.mark.parametrize("text", ["", "Free", "CC BY 4.0", "MIT AND", "LicenseRef-", "МІТ", "MIT\u202e", "M" * 300])
def test_unknown_licence_is_refused(text: str) -> None:
    with pytest.raises(DatasetError, match="SPDX"):
        licence_expression(text)


def test_single_licence_has_its_page() -> None:
    assert licence_uri("CC-BY-4.0") == "https://spdx.org/licenses/CC-BY-4.0"
    assert licence_uri("LicenseRef-My-Terms") == "LicenseRef-My-Terms"
    assert licence_uri("MIT OR CC0-1.0") == "MIT OR CC0-1.0"
