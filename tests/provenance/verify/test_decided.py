"""What `prov verify` says of the decisions on record, before anything is scored again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from provenance.anchoring import anchor_pending
from provenance.credentials import ProvAssertion, sign_image, soft_binding_algorithm
from provenance.decisions import read_decisions
from provenance.errors import RecordError
from provenance.files import write_file
from provenance.fingerprint import fingerprint
from provenance.issuing import encode_image
from provenance.journal import Journal
from provenance.placement import watermark_entry
from provenance.record import build_record, pixels_digest
from provenance.verify import Verdict
from safety.decision import Decision
from safety.watermark import embed_verified

if TYPE_CHECKING:
    from conftest import World

WORDS = Decision(True, "prompt", "5a" * 32, "f1" * 32).to_json()


def shown(score: float, *, allowed: bool = True) -> dict:
    decision = Decision(
        allowed, "output", "5a" * 32, "f2" * 32, {"skull": score}, {"skull": 0.25}, model_digest="5e" * 32
    )
    return decision.to_json()


ESCAPING = Decision(True, "output", "\x1b[8m", "f2" * 32, {"sk\x1b[2Jull\n": 0.1}, {"sk\x1b[2Jull\n": 0.2}).to_json()
CASES: dict[str, tuple[tuple[dict, ...], tuple[dict, ...]]] = {
    # What the record says, and what the manifest says.
    "agreed": ((WORDS, shown(0.1)), (WORDS, shown(0.1))),
    "manifest-earlier": ((WORDS, shown(0.1)), ()),
    "none": ((), ()),
    "unreadable": (({"stage": "prompt", "allowed": True},), ()),
    "other-score": ((WORDS, shown(0.1)), (WORDS, shown(0.0999))),
    "one-less": ((WORDS, shown(0.1)), (WORDS,)),
    "record-empty": ((), (WORDS, shown(0.1))),
    "record-unreadable": (({"allowed": True},), (WORDS,)),
    "blocked": ((WORDS, shown(0.3, allowed=False)), ()),
    "escaping": ((ESCAPING,), (ESCAPING,)),
    "over": ((WORDS, shown(0.25)), (WORDS, shown(0.25))),
}


def issue_as_a_dishonest_issuer(world: World, name: str, number: int, journal: Journal) -> None:
    """Signs and records whatever is asked, without the checks of ``issue_image``."""
    recorded, claimed = CASES[name]
    origin = world.origin(world.maker, world.tokens[0], journal)
    serial = journal.reserve(origin.stream)
    marked, detection = embed_verified(world.picture(number), origin.payload(serial))
    watermark = watermark_entry(detection)
    signed = sign_image(
        encode_image(marked, "image/png"),
        "image/png",
        issuer=world.issuer,
        assertion=ProvAssertion.of(
            origin,
            serial,
            pixels_digest(marked),
            fingerprint(marked),
            size={"width": marked.shape[1], "height": marked.shape[0]},
            placement=watermark["placement"],
        ),
        soft_binding=soft_binding_algorithm(str(watermark["backend"])),
        title=name,
        decisions=read_decisions(claimed),
    )
    record = build_record(
        signed.data,
        origin=origin,
        serial=serial,
        manifest=signed.manifest,
        created="2026-11-22T18:37:11Z",
        generator="prov test",
        prompt={"hmac": "aa" * 32},
        parameters={"seed": number},
        safety=recorded,
        watermark=watermark,
    )
    journal.store(record, signed.manifest)
    world.images[name] = world.folder / f"{name}.png"
    write_file(world.images[name], signed.data)


@pytest.fixture(scope="module")
def decided(make_world: Callable[[Path], World], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = make_world(tmp_path_factory.mktemp("decided"))
    with Journal.of_home(world.home) as journal:
        for number, name in enumerate(CASES, start=130):
            issue_as_a_dishonest_issuer(world, name, number, journal)
        anchor_pending(world.home, world.ledger, world.store, journal, world.maker)
    yield world
    world.ledger.close()


def test_the_layer_says_what_was_decided_by_which_policy_and_by_what_margin(decided: World) -> None:
    report = decided.verify("agreed")
    assert report.verdict is Verdict.AUTHENTIC
    layer = report.layer("safety")
    assert layer.status == "ok"
    assert layer.detail == (
        "prompt and picture allowed under policy 5a5a5a5a5a5a5a5a…; closest: skull, 0.150 below its threshold"
    )
    assert f"policy {'5a' * 32}, filter {'f2' * 32}, model {'5e' * 32}; skull 0.100 of 0.25" in layer.checked[1]
    assert layer.checked[-1] == "by the record; not scored again"
    assert report.facts["safety"] == {
        "policies": ["5a" * 32],
        "models": ["5e" * 32],
        "margins": {"output": {"skull": 0.15}},
        "warnings": [],
    }


@pytest.mark.parametrize(
    ("name", "status", "detail"),
    [
        ("manifest-earlier", "ok", "prompt and picture allowed"),
        ("none", "absent", "holds no decision"),
        ("unreadable", "skipped", "decisions cannot be read"),
    ],
)
def test_records_and_manifests_of_earlier_versions_stay_authentic(
    decided: World, name: str, status: str, detail: str
) -> None:
    report = decided.verify(name)
    assert report.verdict is Verdict.AUTHENTIC
    assert report.layer("safety").status == status
    assert detail in report.layer("safety").detail


@pytest.mark.parametrize("stripped", [False, True])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("other-score", "another decision of the safety filters"),
        ("one-less", "another decision of the safety filters"),
        ("record-empty", "another decision of the safety filters"),
        ("record-unreadable", "the record's decisions cannot be read"),
    ],
)
def test_a_manifest_that_contradicts_its_record_is_tampering(
    decided: World, tmp_path: Path, name: str, message: str, stripped: bool
) -> None:
    path = decided.stripped(name, tmp_path / "plain.png") if stripped else decided.images[name]
    report = decided.verify(path)
    assert report.verdict is Verdict.TAMPERED
    assert message in report.layer("binding").detail


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("blocked", "the filter blocked this picture at stage output"),
        ("over", "a decision allows skull against its own threshold"),
    ],
)
def test_a_record_whose_decision_allows_nothing_is_tampering(decided: World, name: str, message: str) -> None:
    report = decided.verify(name)
    assert report.verdict is Verdict.TAMPERED
    assert report.layer("safety").status == "failed"
    assert message in report.layer("safety").detail


def test_nothing_in_a_strangers_words_moves_the_cursor(decided: World) -> None:
    text = decided.verify("escaping").to_text()
    assert "\x1b" not in text
    assert "closest: sk?[2Jull?" in text
    assert "by the record; not scored again" in text


@pytest.mark.parametrize("name", ["blocked", "over", "unreadable"])
def test_no_picture_is_issued_that_its_decisions_do_not_allow(decided: World, tmp_path: Path, name: str) -> None:
    from dataclasses import replace

    from provenance.issuing import issue_image
    from tests.provenance.verify.conftest import making

    with Journal.of_home(decided.home) as journal:
        origin = decided.origin(decided.maker, decided.tokens[0], journal)
        serial = journal.reserve(origin.stream)
        marked, detection = embed_verified(decided.picture(150), origin.payload(serial))
        how = replace(making(watermark_entry(detection)), safety=CASES[name][0])
        with pytest.raises(RecordError):
            issue_image(
                np.asarray(marked),
                tmp_path / "out.png",
                origin=origin,
                serial=serial,
                making=how,
                issuer=decided.issuer,
                journal=journal,
            )
        assert not (tmp_path / "out.png").exists()
        assert journal.record(origin.stream, serial) is None
