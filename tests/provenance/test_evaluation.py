"""Signed figures: read strictly, about certain weights, and refused when a single figure was changed."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any

import pytest

from provenance.adapter import verify_adapter
from provenance.byproducts import add_byproduct
from provenance.canonical import canonical_json
from provenance.errors import AdapterError, FileRefused, FormatError, ProvenanceError, SignatureError
from provenance.evaluation import (
    CERTIFICATES,
    ENVELOPE,
    REPORT,
    STATEMENT_LIMIT,
    attached_evaluation,
    carried_evaluation,
    evaluation_byproduct,
    parse_report,
    sign_evaluation,
    verify_evaluation,
    verify_evaluation_folder,
)
from provenance.evaluation_claim import SHAPE, WARNINGS, Evaluation
from provenance.evaluation_warnings import due_warnings
from provenance.home import Home
from provenance.identity import Issuer, create_issuer
from provenance.release import Release
from provenance.stores import add_tree
from provenance.stores.memory import MemoryStore
from provenance.trust import TrustStore
from tests.provenance.evaluation_world import WARNED, changed, claim, report
from tests.provenance.test_byproducts import write_release

WEIGHTS = "1" * 64


@pytest.fixture
def folder(tmp_path: Path, issuer: Issuer) -> Path:
    """A folder with a report of figures, signed."""
    data = report(claim(WEIGHTS))
    place = tmp_path / "evaluated"
    place.mkdir()
    for name, content in {REPORT: data, **sign_evaluation(data, issuer)}.items():
        (place / name).write_bytes(content)
    return place


def test_signed_figures_are_read_back(folder: Path, issuer: Issuer, trust: TrustStore) -> None:
    signed = verify_evaluation_folder(folder, trust, weights=WEIGHTS)
    assert signed is not None
    assert signed.evaluation == Evaluation.of_value(claim(WEIGHTS) | {"created": signed.evaluation.value["created"]})
    assert (signed.issuer.key_id, signed.issuer.trusted) == (issuer.key_id, True)
    assert signed.evaluation.warnings == [WARNINGS[code] for code in WARNED]


def test_a_folder_without_figures_has_none(tmp_path: Path, trust: TrustStore) -> None:
    assert verify_evaluation_folder(tmp_path, trust, weights=WEIGHTS) is None
    assert carried_evaluation(tmp_path, trust, weights=WEIGHTS) == {}


def refused(kind: type[ProvenanceError], told: str, folder: Path, trust: TrustStore, weights: str = WEIGHTS) -> None:
    for attempt in (verify_evaluation_folder, carried_evaluation):
        with pytest.raises(kind) as error:
            attempt(folder, trust, weights=weights)
        assert told in str(error.value)


def test_a_changed_figure_is_refused(folder: Path, trust: TrustStore) -> None:
    envelope = json.loads((folder / ENVELOPE).read_bytes())
    payload = base64.b64decode(envelope["payload"]).replace(b'"after":0.21', b'"after":0.11')
    envelope["payload"] = base64.b64encode(payload).decode()
    (folder / ENVELOPE).write_bytes(canonical_json(envelope))
    refused(SignatureError, "no valid signature", folder, trust)


def test_a_report_with_a_changed_figure_is_refused(folder: Path, trust: TrustStore) -> None:
    data = (folder / REPORT).read_bytes().replace(b'"after":0.21', b'"after":0.11')
    (folder / REPORT).write_bytes(data)
    with pytest.raises(AdapterError, match="changed after signing"):
        verify_evaluation_folder(folder, trust, weights=WEIGHTS)


def test_figures_of_other_weights_are_refused(folder: Path, trust: TrustStore) -> None:
    refused(AdapterError, "another adapter", folder, trust, weights="2" * 64)


def test_figures_of_a_stranger_are_refused_until_the_stranger_is_trusted(tmp_path: Path, trust: TrustStore) -> None:
    eve = create_issuer(Home.create(tmp_path / "eve"), "Eve")
    data = report(claim(WEIGHTS))
    for name, content in sign_evaluation(data, eve).items():
        (tmp_path / name).write_bytes(content)
    refused(SignatureError, "not trusted", tmp_path, trust)
    signed = verify_evaluation_folder(tmp_path, trust.with_pem(eve.root_pem), weights=WEIGHTS)
    assert signed is not None
    assert signed.issuer.name == "Eve"


def test_half_an_evaluation_is_refused(folder: Path, trust: TrustStore) -> None:
    (folder / CERTIFICATES).unlink()
    with pytest.raises((FileRefused, OSError)):
        verify_evaluation_folder(folder, trust, weights=WEIGHTS)


def test_a_statement_about_other_weights_than_it_claims_is_refused(issuer: Issuer, trust: TrustStore) -> None:
    from provenance.dsse import IN_TOTO, Envelope
    from provenance.evaluation import PREDICATE_TYPE
    from provenance.statement import Statement

    of = {"evaluation": claim(WEIGHTS), "report": {"name": REPORT, "digest": {"sha256": "c" * 64}}}
    statement = Statement({"adapter.safetensors": "2" * 64}, PREDICATE_TYPE, of)
    files = {
        ENVELOPE: Envelope.sign(statement.to_bytes(), IN_TOTO, issuer).to_json(),
        CERTIFICATES: issuer.certificates_pem,
    }
    with pytest.raises(FormatError, match="other weights than it is about"):
        verify_evaluation(files.__getitem__, trust, weights="2" * 64)


def every_path(shape: Any, prefix: str = "") -> list[str]:
    found = []
    for name, inner in shape.items():
        found.append(f"{prefix}{name}")
        if not callable(inner):
            found += every_path(inner, f"{prefix}{name}.")
    return found


@pytest.mark.parametrize("path", every_path(SHAPE))
def test_every_part_of_a_claim_is_needed_and_of_one_kind(path: str) -> None:
    for value in (..., ["more"], {"and": ["more"]}, math.nan, "\u202e", 10**30):
        with pytest.raises(FormatError):
            Evaluation.of_value(changed(claim(WEIGHTS), path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("more", 1),
        ("model.base.more", 1),
        ("type", "urn:prov:evaluation:v2"),
        ("created", "yesterday"),
        ("compared", 16),
        ("compared", True),
        ("fid.after", -1),
        ("fid.after", "0.2"),
        ("kid.after.std", -0.1),
        ("kid.subset_size", 16),
        ("clip_score.before.low", 41.5),
        ("clip_score.difference.mean", 3.5),
        ("clip_score.groups", 99),
        ("cmmd.after.low", 0.1),
        ("cmmd.difference.mean", -1.0),
        ("clip_score.after.mean", 101),
        ("prompts.distinct", 99),
        ("prompts.source", "somewhere"),
        ("reference.trained_on", 1),
        ("seeds.first", "007"),
        ("memorisation", None),
        ("memorisation.spaces.latents.copied", 9),
        ("memorisation.spaces.clip", ...),
        ("warnings", WARNED[::-1]),
        ("warnings", [*WARNED, "memorisation_not_measured"]),
        ("warnings", ["all is well"]),
        ("versions", {}),
        ("device", "a\nb"),
    ],
)
def test_a_claim_that_cannot_be_true_is_refused(path: str, value: Any) -> None:
    with pytest.raises(FormatError):
        Evaluation.of_value(changed(claim(WEIGHTS), path, value))


def test_memorisation_may_be_left_out_when_that_is_said() -> None:
    left_out = changed(claim(WEIGHTS), "memorisation", None)
    said = changed(left_out, "warnings", [*WARNED, "memorisation_not_measured"])
    assert Evaluation.of_value(said).value["memorisation"] is None


@pytest.mark.parametrize("code", WARNED)
def test_figures_without_a_warning_that_their_own_numbers_call_for_are_refused(code: str, issuer: Issuer) -> None:
    silent = changed(claim(WEIGHTS), "warnings", [other for other in WARNED if other != code])
    with pytest.raises(FormatError, match="contradicts itself"):
        sign_evaluation(report(silent), issuer)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"prompts":[{', b'"prompts": [{'),
        (b'"type":"urn:prov:evaluation-report:v1"', b'"type":"urn:prov:audit:v1"'),
        (b'"prompt":"a red rocket"', b'"prompt":"a red socket"'),
        (b'"pictures":7', b'"pictures":8'),
        (b'"before":42.0', b'"before":null'),
        (b'"before":42.0', b'"before":420.0'),
        (b'"sheet.png":"cc', b'"sheet.png":"zz'),
        (b'{"evaluation"', b'{"also":1,"evaluation"'),
    ],
)
def test_a_report_is_read_strictly(before: bytes, after: bytes) -> None:
    data = report(claim(WEIGHTS))
    assert data.count(before) >= 1
    parse_report(data)
    with pytest.raises(FormatError):
        parse_report(data.replace(before, after, 1))


def test_figures_are_attached_to_an_attestation_and_read_back(tmp_path: Path, issuer: Issuer, home: Home) -> None:
    release = tmp_path / "release"
    made = write_release(release, issuer)
    assert attached_evaluation(made) is None
    data = report(claim(made.weights_digest))
    byproduct = evaluation_byproduct(parse_report(data), data)
    told = add_byproduct(release, byproduct, weights=made.weights_digest, issuer=issuer, home=home)
    attached = attached_evaluation(told)
    assert attached is not None
    assert attached.evaluation == parse_report(data)
    assert (attached.digest, attached.issuer.key_id) == (told.digest, issuer.key_id)


def test_attached_figures_of_other_weights_are_refused(tmp_path: Path, issuer: Issuer, home: Home) -> None:
    release = tmp_path / "release"
    made = write_release(release, issuer)
    data = report(claim(WEIGHTS))
    byproduct = evaluation_byproduct(parse_report(data), data)
    told = add_byproduct(release, byproduct, weights=made.weights_digest, issuer=issuer, home=home)
    with pytest.raises(AdapterError, match="another adapter"):
        attached_evaluation(told)


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("model.base.digest", "7" * 64, "another base"),
        ("reference.trained_on", False, "trained on"),
        ("reference.digest", "7" * 64, "trained on"),
    ],
)
def test_figures_that_contradict_the_adapters_own_statement_are_refused(
    tmp_path: Path, issuer: Issuer, home: Home, path: str, value: Any, told: str
) -> None:
    release = tmp_path / "release"
    made = write_release(release, issuer)
    lie = changed(claim(made.weights_digest), path, value)
    lie["warnings"] = due_warnings(lie)
    data = report(lie)
    add_byproduct(
        release, evaluation_byproduct(parse_report(data), data), weights=made.weights_digest, issuer=issuer, home=home
    )
    with pytest.raises(AdapterError, match=told):
        attached_evaluation(verify_adapter(release, TrustStore(frozenset({issuer.root_digest}))))


def published(files: dict[str, bytes | Path]) -> Release:
    store = MemoryStore()
    return Release(store, str(add_tree(store, files)), False, WEIGHTS, "d" * 64, "b" * 64, None)


def test_a_published_release_gives_its_figures(folder: Path, trust: TrustStore) -> None:
    files: dict[str, bytes | Path] = {name: folder / name for name in (ENVELOPE, CERTIFICATES)}
    found = published(files).evaluation(trust, weights=WEIGHTS)
    assert found == verify_evaluation_folder(folder, trust, weights=WEIGHTS)
    assert published({"release.json": b"{}"}).evaluation(trust, weights=WEIGHTS) is None
    with pytest.raises(AdapterError, match="another adapter"):
        published(files).evaluation(trust, weights="2" * 64)


def test_a_published_envelope_beyond_all_measure_is_not_read(folder: Path, trust: TrustStore) -> None:
    files: dict[str, bytes | Path] = {ENVELOPE: b" " * (STATEMENT_LIMIT + 1), CERTIFICATES: folder / CERTIFICATES}
    with pytest.raises(FormatError, match="too large"):
        published(files).evaluation(trust, weights=WEIGHTS)
