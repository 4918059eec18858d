from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.canonical import sha256_hex
from provenance.errors import DatasetError, FormatError
from provenance.records import (
    Captioner,
    Consent,
    Record,
    caption_text,
    consent_of,
    parse_records,
    preprocessing_of,
    serialise_records,
)

ASSETS = Path(__file__).parents[1] / "assets" / "dataset"

RECORD = Record(
    path="data/a.png",
    size=3,
    media_type="image/png",
    sha256="0" * 64,
    cid="bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
    cid_profile="unixfs-v1-2025",
    caption="a red fish\nin the sea",
    licence="CC-BY-4.0",
    rights_holder="Ada Example",
    source="https://example.org/fish",
    consent=Consent("contract", "https://example.org/contract"),
    training_mining="constrained",
    preprocessing=({"op": "resize", "side": 512},),
)


@given(st.text(), st.integers(1, 2**40))
def test_records_survive_a_round_trip(caption: str, size: int) -> None:
    try:
        record = replace(RECORD, caption=caption_text(caption), size=size)
    except DatasetError:
        return
    assert parse_records(serialise_records([record, replace(record, path="data/b.png")]))[0] == record


def test_records_are_written_in_order_of_path() -> None:
    other = replace(RECORD, path="data/Z.png")
    assert serialise_records([RECORD, other]) == serialise_records([other, RECORD])
    assert serialise_records([RECORD, other]) == other.to_bytes() + b"\n" + RECORD.to_bytes() + b"\n"


def test_who_wrote_a_caption_is_told_only_where_it_was_a_model() -> None:
    by_model = replace(RECORD, caption_by=Captioner("hf:owner/blip@abc", "ab" * 32))
    assert b"caption_by" not in RECORD.to_bytes()
    assert Record.parse(by_model.to_bytes()) == by_model
    assert Record.parse(RECORD.to_bytes()).caption_by is None
    assert by_model.digest != RECORD.digest


@pytest.mark.parametrize("mark", ["null", '{"model":"x"}', '{"model":"x","sha256":"ab"}', '"x"'])
def test_a_malformed_mark_of_a_model_is_refused(mark: str) -> None:
    line = b'{"caption_by":' + mark.encode() + b"," + RECORD.to_bytes()[1:]
    with pytest.raises(FormatError):
        Record.parse(line)


def test_digest_of_a_record_is_that_of_its_line() -> None:
    assert RECORD.digest == sha256_hex(serialise_records([RECORD])[:-1])


@pytest.mark.parametrize(
    ("asset", "reason"),
    [
        ("outside-data", "leaves the data folder"),
        ("escaping", "leaves its folder"),
        ("no-size", "size is not a number"),
        ("true-size", "size is not a number"),
        ("unknown-profile", "cid_profile is not known"),
        ("unknown-media", "media_type is not known"),
        ("second-spelling", "not canonical"),
        ("extra-key", "malformed"),
        ("not-canonical", "not canonical"),
        ("no-line-end", "line feed"),
        ("repeated", "same name"),
        ("out-of-order", "order of path"),
        ("case-fold", "same name"),
        ("lone-surrogate", "control characters"),
    ],
)
def test_bad_records_are_refused_with_their_line(asset: str, reason: str) -> None:
    with pytest.raises(FormatError) as refusal:
        parse_records((ASSETS / f"{asset}.records.jsonl").read_bytes(), asset)
    assert reason in str(refusal.value)
    assert asset in str(refusal.value)


def test_all_bad_lines_are_reported_together() -> None:
    line = (ASSETS / "no-size.records.jsonl").read_bytes()
    with pytest.raises(FormatError) as refusal:
        parse_records(line * 30)
    assert "30 faults" not in str(refusal.value).splitlines()[0]
    assert "records.jsonl:20" in str(refusal.value)
    assert "records.jsonl:21" not in str(refusal.value)
    assert "and 10 more" in str(refusal.value)


@pytest.mark.parametrize("caption", ["", "  \n", "a\u202eb", "a\0b", "a\x1b[31mb", "a" * 8193, 7, None])
def test_caption_that_is_missing_or_deceives_is_refused(caption: object) -> None:
    with pytest.raises(DatasetError, match="caption"):
        caption_text(caption)


def test_caption_is_stored_in_one_spelling() -> None:
    assert caption_text("  cafe\u0301 👩‍👧 \n") == "café 👩‍👧"


@pytest.mark.parametrize("value", ["yes", {}, {"basis": "vibes"}, {"basis": "consent", "by": "me"}, {"basis": 1}])
def test_malformed_consent_is_refused(value: object) -> None:
    with pytest.raises(DatasetError, match="consent"):
        consent_of(value)


def test_consent_may_be_unstated() -> None:
    assert consent_of(None) is None
    assert consent_of({"basis": "own-work"}) == Consent("own-work")


@pytest.mark.parametrize("value", ["resize", [{"side": 1}], [{"op": "a", "b": [1]}], [{"op": 1}], [{"op": "\u202e"}]])
def test_malformed_preprocessing_is_refused(value: object) -> None:
    with pytest.raises(DatasetError, match="preprocessing"):
        preprocessing_of(value)
