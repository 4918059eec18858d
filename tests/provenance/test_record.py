"""Records: one spelling, known fields, values in range."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.canonical import canonical_json, parse_json
from provenance.errors import RecordError
from provenance.record import ImageFile, ImageRecord, Origin, VoidRecord, parse_record, pixels_digest
from safety.watermark import Placement

ORIGIN = Origin(
    chain_id=7,
    contract="0x" + "ab" * 20,
    namespace=0x87,
    stream=3,
    token=1,
    weights="11" * 32,
    dataset="22" * 32,
    base="33" * 32,
    issuer="44" * 32,
)


def record(**changes: Any) -> ImageRecord:
    values: dict[str, Any] = {
        **{field.name: getattr(ORIGIN, field.name) for field in fields(Origin)},
        "payload": f"{ORIGIN.payload(5):016x}",
        "serial": 5,
        "created": "2026-11-22T18:37:11Z",
        "generator": "prov 1",
        "prompt": {"hmac": "55" * 32},
        "parameters": {"seed": 7, "guidance": 7.5},
        "safety": ({"allowed": True},),
        "watermark": {"backend": "dwtDctSvd", "p_value": 1e-200},
        "fingerprint": "66" * 32,
        "pixels": "77" * 32,
        "image": ImageFile("88" * 32, "image/png", 100, 16, 16),
        "manifest": "99" * 32,
    }
    return ImageRecord(**{**values, **changes})


def test_a_record_reads_back_as_it_was_written() -> None:
    assert parse_record(record().to_bytes()) == record()
    plain = record(token=0, weights=None, dataset=None, prompt={"text": "a red fish — 魚"})
    assert parse_record(plain.to_bytes()) == plain


PLACEMENT = {"a": 0.5, "b": 0.0, "c": -0.001, "d": 0.5, "left": 100.25, "top": 0, "period": 512}


def test_a_record_says_where_its_picture_lies_and_an_earlier_one_does_not() -> None:
    assert record().placement is None
    placed = record(watermark={"backend": "pixel", "p_value": 0.0, "placement": PLACEMENT})
    assert parse_record(placed.to_bytes()) == placed
    assert placed.placement == Placement(0.5, 0.0, -0.001, 0.5, 100.25, 0, 512)


def test_a_void_record_reads_back_as_it_was_written() -> None:
    void = VoidRecord(7, "0x" + "ab" * 20, 0x87, 3, 5)
    assert parse_record(void.to_bytes()) == void


def test_a_records_name_is_its_place() -> None:
    assert record().id == f"urn:prov:image:7:0x{'ab' * 20}:3:5"
    assert record().origin == ORIGIN


@given(
    parameters=st.dictionaries(
        st.text(max_size=20),
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    ),
    prompt=st.text(min_size=1, max_size=200),
)
def test_whatever_a_record_holds_reads_back(parameters: dict[str, Any], prompt: str) -> None:
    try:
        written = record(parameters=parameters, prompt={"text": prompt}).to_bytes()
    except ValueError:
        return  # infinities and lone surrogates cannot be written
    assert parse_record(written).to_bytes() == written


WRONG = {
    "payload": ["", "8700000030000006", 7],
    "chain_id": [-1, "7", True, 2**63],
    "contract": ["0x" + "AB" * 20, "0xab", None],
    "namespace": [256, -1],
    "stream": [2**28, -1, 4],
    "serial": [2**28, 6],
    "token": [-1, 0],
    "weights": [None, "11"],
    "dataset": [None, 5],
    "base": [None, "zz" * 32],
    "issuer": [None, ""],
    "created": ["2026-11-22", "2026-13-22T18:37:11Z", 5],
    "generator": ["", "x" * 300, None],
    "prompt": [{}, {"hmac": "x"}, {"text": ""}, {"text": "a", "hmac": "55" * 32}, {"text": 5}],
    "parameters": [{str(number): 0 for number in range(101)}],
    "watermark": [
        {},
        {"backend": "x", "p_value": 2},
        {"backend": "x", "p_value": True},
        {"backend": 1, "p_value": 0},
        {"backend": "x", "p_value": 0, "placement": None},
        {"backend": "x", "p_value": 0, "placement": {}},
        {
            "backend": "x",
            "p_value": 0,
            "placement": {"a": 1, "b": 0, "c": 0, "d": 1, "left": -1, "top": 0, "period": 8},
        },
        {"backend": "x", "p_value": 0, "more": 1},
    ],
    "fingerprint": ["", "xyz"],
    "pixels": ["", None],
    "manifest": ["", None],
    "image": [{"sha256": "88" * 32, "media_type": [], "bytes": 1, "width": 1, "height": 1}],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_value_is_refused(name: str, value: Any) -> None:
    raw = parse_json(record().to_bytes(), "record")
    with pytest.raises(RecordError):
        parse_record(canonical_json(raw | {name: value}))


@pytest.mark.parametrize("name", [field.name for field in fields(ImageRecord)])
def test_a_missing_field_is_refused(name: str) -> None:
    raw = parse_json(record().to_bytes(), "record")
    del raw[name]
    with pytest.raises(RecordError, match="missing or unknown fields"):
        parse_record(canonical_json(raw))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'"\\ud800"',
        b'{"type":"\\ud800"}',
        b'{"type":1e999}',
        b'{"a":[1e999]}',
        b"[" * 100_000,
        b'{"a":1,"a":1}',
        b"\xff",
        b"1" * 70_000,
        record().to_bytes() + b"\n",
        record().to_bytes().replace(b'"serial":5', b'"serial": 5'),
        record().to_bytes().replace(b"7.5", b"7.50"),
    ],
)
def test_hostile_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(RecordError):
        parse_record(data)


@given(data=st.binary(max_size=300), place=st.integers(0, 5000))
def test_no_changed_byte_is_another_crash(data: bytes, place: int) -> None:
    whole = bytearray(record().to_bytes())
    whole[place % len(whole)] ^= 1 + place % 255
    for hostile in (data, bytes(whole)):
        try:
            parse_record(hostile)
        except RecordError:
            continue


def test_numbers_that_do_not_fit_a_watermark_are_refused() -> None:
    with pytest.raises(RecordError, match="do not fit a watermark"):
        ORIGIN.payload(2**28)
    with pytest.raises(RecordError, match="do not fit a watermark"):
        replace(ORIGIN, stream=2**28).payload(0)


def test_pixels_of_another_shape_have_another_digest() -> None:
    wide, tall = np.zeros((2, 8, 3), np.uint8), np.zeros((8, 2, 3), np.uint8)
    assert pixels_digest(wide) != pixels_digest(tall)
    assert pixels_digest(wide[:, ::2]) == pixels_digest(np.zeros((2, 4, 3), np.uint8))
