from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provenance.canonical import canonical_json
from provenance.dataset import sign_dataset, verify_dataset
from provenance.errors import DatasetError, FormatError, SignatureError
from provenance.home import Home
from provenance.identity import Issuer, create_issuer
from provenance.manifest import DatasetManifest, verify_dataset_files
from provenance.records import Record
from provenance.screening.parsing import parse_screening
from provenance.screening.report import NamedDigest, Screening, rounded_down
from provenance.trust import TrustStore

Change = Callable[[dict[str, Any]], Any]


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return create_issuer(Home.create(tmp_path / "home"), "Ada Example")


@pytest.fixture
def trust(issuer: Issuer) -> TrustStore:
    return TrustStore(frozenset({issuer.root_digest}))


def sign(folder: Path, release: Path, issuer: Issuer, report: Screening | None) -> DatasetManifest:
    return sign_dataset(folder, release, issuer=issuer, licence="CC0-1.0", holder="Ada", screening=report)


def test_a_report_is_signed_with_its_dataset_and_read_back(
    harmless: Path, report: Screening, issuer: Issuer, trust: TrustStore, tmp_path: Path
) -> None:
    signed = sign(harmless, tmp_path / "release", issuer, report)
    assert signed.screening == report
    found = verify_dataset(tmp_path / "release", trust)
    assert found == signed
    assert "dataset/screening.json" in found.part_names
    read = (tmp_path / "release").joinpath
    without_pictures = verify_dataset_files(lambda name: read(name).read_bytes(), trust, with_data=False)
    assert without_pictures.screening == report


def test_a_release_without_a_report_stays_valid(
    harmless: Path, issuer: Issuer, trust: TrustStore, tmp_path: Path
) -> None:
    sign(harmless, tmp_path / "release", issuer, None)
    found = verify_dataset(tmp_path / "release", trust)
    assert found.screening is None
    assert "dataset/screening.json" not in found.part_names


def copy_item(folder: Path, source: str, target: str) -> None:
    for suffix in (".png", ".txt"):
        (folder / f"{target}{suffix}").write_bytes((folder / f"{source}{suffix}").read_bytes())


def delete_item(folder: Path) -> None:
    for suffix in (".png", ".txt"):
        (folder / f"p0{suffix}").unlink()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda folder: (folder / "p0.txt").write_text("other"), "p0.png: has another caption"),
        (lambda folder: copy_item(folder, "p1", "p0"), "p0.png: is another picture"),
        (delete_item, "p0.png: was screened and is not"),
        (lambda folder: copy_item(folder, "p0", "new"), "new.png: was not screened"),
    ],
)
def test_a_report_about_other_files_is_not_signed(
    change: Callable[[Path], Any], told: str, harmless: Path, report: Screening, issuer: Issuer, tmp_path: Path
) -> None:
    change(harmless)
    with pytest.raises(DatasetError, match="not about this dataset") as refusal:
        sign(harmless, tmp_path / "release", issuer, report)
    assert told in str(refusal.value)
    assert not (tmp_path / "release").exists()


def test_a_changed_or_removed_report_no_longer_verifies(
    harmless: Path, report: Screening, issuer: Issuer, trust: TrustStore, tmp_path: Path
) -> None:
    sign(harmless, tmp_path / "release", issuer, report)
    file = tmp_path / "release" / "dataset" / "screening.json"
    file.write_bytes(file.read_bytes().replace(b'"blocked":0', b'"blocked":1'))
    with pytest.raises(DatasetError, match=r"screening\.json is not what was signed"):
        verify_dataset(tmp_path / "release", trust)
    file.unlink()
    with pytest.raises(DatasetError, match="not what was signed"):
        verify_dataset(tmp_path / "release", trust)


def test_a_report_put_into_a_signed_release_is_refused(
    harmless: Path, report: Screening, issuer: Issuer, trust: TrustStore, tmp_path: Path
) -> None:
    sign(harmless, tmp_path / "release", issuer, None)
    (tmp_path / "release" / "dataset" / "screening.json").write_bytes(report.to_bytes())
    with pytest.raises((DatasetError, SignatureError)):
        verify_dataset(tmp_path / "release", trust)


def changed(report: Screening, change: Change) -> bytes:
    value = json.loads(report.to_bytes())
    change(value)
    return canonical_json(value)


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.update(type="urn:prov:screening:v2"),
        lambda v: v.update(stage="output"),
        lambda v: v.update(extra=1),
        lambda v: v.pop("likeness"),
        lambda v: v["policy"].update(digest="0"),
        lambda v: v["policy"].update(more=1),
        lambda v: v["filters"].pop("model"),
        lambda v: v["thresholds"].update(output={}),
        lambda v: v["thresholds"]["picture"].update(skull=2),
        lambda v: v["counts"].update(items=4),
        lambda v: v["counts"].update(blocked=1),
        lambda v: v.update(items=[]),
        lambda v: v["items"].reverse(),
        lambda v: v["items"].append(v["items"][-1]),
        lambda v: v["items"][0].update(path="data/../x.png"),
        lambda v: v["items"][0].update(path="x.png"),
        lambda v: v["items"][0].update(sha256="A" * 64),
        lambda v: v["items"][0].update(sha256=None),
        lambda v: v["items"][0].update(caption_sha256=None),
        lambda v: v["items"][0].update(blocked=[{"part": "sound", "rule": "x", "reason": "y"}]),
        lambda v: v["items"][0].update(blocked=[{"part": "picture", "rule": "x"}]),
        lambda v: v["items"][0]["scores"]["picture"].update(skull=0.25),
        lambda v: v["items"][0]["scores"]["picture"].update(skull=-0.1),
        lambda v: v["items"][0]["scores"]["picture"].update(skull=True),
        lambda v: v["items"][0]["scores"]["picture"].update(flower=0.1),
        lambda v: v["items"][0]["scores"]["picture"].clear(),
        lambda v: v["items"][0]["warnings"]["picture"].append("flower"),
        lambda v: v["duplicates"].append({"measure": "taste", "limit": 1, "groups": []}),
        lambda v: v["duplicates"][0]["groups"].append({"paths": ["data/p0.png"], "furthest": 0}),
        lambda v: v["duplicates"][0]["groups"].append({"paths": ["data/p0.png", "data/none.png"], "furthest": 0}),
        lambda v: v["hash_lists"].append({"name": "x"}),
        lambda v: v["hash_lists"].append({"name": "x\n", "digest": "0" * 64}),
    ],
)
def test_a_malformed_or_contradictory_report_is_refused(change: Change, report: Screening) -> None:
    with pytest.raises(FormatError):
        parse_screening(changed(report, change))


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b'{"type":1,"type":2}'])
def test_what_is_no_report_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_screening(data)


def test_a_report_with_spaces_is_refused(report: Screening) -> None:
    with pytest.raises(FormatError, match="not canonical"):
        parse_screening(report.to_bytes() + b"\n")


def test_all_items_at_fault_are_named(report: Screening) -> None:
    def break_two(value: dict[str, Any]) -> None:
        for index in (0, 2):
            value["items"][index]["scores"]["picture"]["skull"] = 0.9

    with pytest.raises(FormatError) as refusal:
        parse_screening(changed(report, break_two))
    assert "data/p0.png" in str(refusal.value)
    assert "data/p2.png" in str(refusal.value)
    assert "data/p1.png" not in str(refusal.value)


def test_rules_say_what_a_report_lacks(report: Screening) -> None:
    rules = report.rules
    assert rules.missing_from(rules) == []
    listed = replace(rules, hash_lists=(NamedDigest("known.txt", "0a" * 32),), likeness=(NamedDigest("r", "0b" * 32),))
    assert listed.missing_from(rules) == ["hash list known.txt", "likeness check r"]
    assert rules.missing_from(listed) == []
    others = {
        "policy": "policy", "picture_filter": "picture filter", "model": "model", "caption_filter": "caption filter"
    }  # fmt: skip
    for name, told in others.items():
        assert rules.missing_from(replace(rules, **{name: "0c" * 32})) == [told]
    softer = replace(rules, thresholds={**rules.thresholds, "picture": {"skull": 1.0}})
    assert rules.missing_from(softer) == ["thresholds"]


def test_a_report_holds_no_caption_and_no_path_of_the_machine(report: Screening, harmless: Path) -> None:
    text = report.to_bytes().decode()
    assert str(harmless) not in text
    assert "a red fish" not in text


def test_rounding_never_lifts_a_score_to_its_threshold() -> None:
    assert rounded_down({"a": 0.2499999999}) == {"a": 0.249999}
    assert rounded_down({"b": 1.0, "a": 0.0}) == {"a": 0.0, "b": 1.0}


def test_records_are_compared_by_path_bytes_and_caption(
    report: Screening, harmless: Path, issuer: Issuer, tmp_path: Path
) -> None:
    records: tuple[Record, ...] = sign(harmless, tmp_path / "release", issuer, None).records
    report.require_covers(records)
    with pytest.raises(DatasetError):
        report.require_covers(records[:-1])
