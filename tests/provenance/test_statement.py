from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.canonical import canonical_json
from provenance.errors import FormatError
from provenance.statement import Statement, is_digest

ASSETS = Path(__file__).parents[1] / "assets" / "dataset"

names = st.from_regex(r"[a-z]{1,8}\.png", fullmatch=True)
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)


@given(st.dictionaries(names, digests, min_size=1), st.dictionaries(st.text(), st.integers()))
def test_statement_survives_a_round_trip(subjects: dict[str, str], predicate: dict[str, int]) -> None:
    statement = Statement(subjects, "urn:x", predicate)
    assert Statement.parse(statement.to_bytes()) == statement


def test_order_of_subjects_does_not_change_the_bytes() -> None:
    one, other = {"a": "0" * 64, "b": "1" * 64}, {"b": "1" * 64, "a": "0" * 64}
    assert Statement(one, "urn:x", {}).to_bytes() == Statement(other, "urn:x", {}).to_bytes()


@pytest.mark.parametrize(
    ("asset", "reason"),
    [
        ("escaping", "leaves its folder"),
        ("absolute", "absolute path"),
        ("drive", "absolute path"),
        ("backslash", "backslash"),
        ("dotted", "leaves its folder"),
        ("hidden", "hidden"),
        ("bidi", "bidirectional control"),
        ("control", "invisible character"),
        ("decomposed", "NFC"),
        ("repeated", "twice"),
        ("case-fold", "take for one"),
        ("sharp-s", "take for one"),
        ("file-and-folder", "take for one"),
        ("empty", "no subjects"),
        ("upper-case-digest", "malformed digest"),
        ("not-a-statement", "not an in-toto statement"),
    ],
)
def test_unsafe_statement_is_refused(asset: str, reason: str) -> None:
    with pytest.raises(FormatError) as refusal:
        Statement.parse((ASSETS / f"{asset}.statement.json").read_bytes(), asset)
    assert reason in str(refusal.value)
    assert asset in str(refusal.value)


@pytest.mark.parametrize(
    "change",
    [
        {"_type": "https://in-toto.io/Statement/v0.1"},
        {"predicateType": 1},
        {"predicate": []},
        {"subject": [{"name": "a"}]},
        {"subject": [{"name": "a", "digest": {"sha512": "0" * 64}}]},
        {"subject": [{"name": "a", "digest": {"sha256": "0" * 64, "md5": "0"}}]},
        {"extra": 1},
    ],
)
def test_malformed_statement_is_refused(change: dict[str, object]) -> None:
    good = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "a", "digest": {"sha256": "0" * 64}}],
        "predicateType": "urn:x",
        "predicate": {},
    }
    assert Statement.parse(canonical_json(good)).subjects == {"a": "0" * 64}
    with pytest.raises(FormatError):
        Statement.parse(canonical_json({**good, **change}))


def test_another_kind_of_claim_is_refused() -> None:
    with pytest.raises(FormatError, match="another kind of claim"):
        Statement.parse(Statement({"a": "0" * 64}, "urn:x", {}).to_bytes(), predicate_type="urn:y")


def test_only_lower_case_hexadecimal_is_a_digest() -> None:
    assert is_digest("0f" * 32)
    assert not any(map(is_digest, ["0F" * 32, "0f" * 31, "0f" * 33, 1, None, "0f" * 32 + "\n"]))
