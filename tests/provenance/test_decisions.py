"""Decisions of the safety filters in a manifest: small, strict, and the same as in the record."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import c2pa
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provenance.canonical import canonical_json
from provenance.credentials import ProvAssertion, read_credentials, sign_image, soft_binding_algorithm
from provenance.decisions import SAFETY_LABEL, claim_of, read_claim, read_decisions, require_allowed
from provenance.errors import CredentialsError, RecordError
from provenance.issuing import encode_image
from provenance.record import Origin, pixels_digest
from safety.decision import Decision
from safety.policy import DEFAULT_POLICY, Policy

ORIGIN = Origin(7, "0x" + "ab" * 20, 0x87, 3, 1, "11" * 32, "22" * 32, "33" * 32, "44" * 32)
PICTURE = np.random.default_rng(1).integers(0, 255, (64, 48, 3), dtype=np.uint8)
WORDS = Decision(True, "prompt", "5a" * 32, "f1" * 32)
SHOWN = Decision(
    True,
    "output",
    "5a" * 32,
    "f2" * 32,
    {"gore": 0.0000012345, "skull": 0.2},
    {"gore": 1, "skull": 0.25},
    model_digest="5e" * 32,
    warnings=("skull",),
)


def on_record(*decisions: Decision) -> tuple[Decision, ...]:
    """As they read back from a record, where scores are rounded."""
    return read_decisions([json.loads(canonical_json(decision.to_json())) for decision in decisions])


def signed(issuer: Any, decisions: tuple[Decision, ...], media_type: str = "image/png") -> bytes:
    return sign_image(
        encode_image(PICTURE, media_type),
        media_type,
        issuer=issuer,
        assertion=ProvAssertion.of(ORIGIN, 5, pixels_digest(PICTURE)),
        soft_binding=soft_binding_algorithm("pixel"),
        title="picture",
        decisions=decisions,
    ).data


@pytest.mark.parametrize("media_type", ["image/png", "image/jpeg", "image/webp"])
def test_decisions_read_back_from_the_manifest_as_they_are_on_record(issuer, media_type: str) -> None:
    read = read_credentials(signed(issuer, (WORDS, SHOWN), media_type), media_type, issuer.root_pem)
    assert read.state == "trusted"
    assert read.fault is None
    assert read.decisions == on_record(WORDS, SHOWN)


def test_a_manifest_without_decisions_has_no_such_assertion(issuer) -> None:
    data = signed(issuer, ())
    assert read_credentials(data, "image/png").decisions is None
    assert SAFETY_LABEL.encode() not in data


def test_a_foreign_reader_finds_policy_scores_and_margins(issuer) -> None:
    data = signed(issuer, (WORDS, SHOWN))
    with c2pa.Context() as context, c2pa.Reader("image/png", io.BytesIO(data), context=context) as reader:
        manifest = reader.get_active_manifest()
    (claim,) = [entry["data"] for entry in manifest["assertions"] if entry["label"] == SAFETY_LABEL]
    assert claim["decisions"][1]["concepts"]["skull"] == {"score": 0.2, "threshold": 0.25, "margin": 0.05}
    assert claim["decisions"][1]["warnings"] == ["skull"]
    assert {each["policy"] for each in claim["decisions"]} == {"5a" * 32}


shares = st.floats(0, 1).map(lambda share: round(share, 6))


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scores=st.dictionaries(st.from_regex(r"[a-z][a-z0-9_-]{0,30}", fullmatch=True), shares, max_size=6))
def test_any_scores_survive_the_manifest_to_the_last_bit(issuer, scores: dict[str, float]) -> None:
    decision = Decision(True, "output", "5a" * 32, "f2" * 32, scores, dict.fromkeys(scores, 0.1 + 0.2))
    assert read_credentials(signed(issuer, (decision,)), "image/png").decisions == on_record(decision)


def test_two_decisions_of_the_default_policy_need_less_than_two_kilobytes() -> None:
    policy = Policy.load(DEFAULT_POLICY)
    decisions = []
    for stage, scorer in (("prompt", "open_clip_text"), ("output", "open_clip")):
        concepts = policy.at(stage)
        decisions.append(
            Decision(
                True,
                stage,
                policy.digest,
                "f2" * 32,
                {concept.name: 0.123456 for concept in concepts},
                {concept.name: concept.thresholds[scorer] for concept in concepts},
                model_digest="5e" * 32,
            )
        )
    size = len(canonical_json(claim_of(decisions)))
    print(f"{len(policy.concepts)} concepts, two decisions: {size} bytes of JSON")
    assert size <= 2048


CHANGES: dict[str, Callable[[dict], object]] = {
    "no list": lambda claim: claim["decisions"],
    "none": lambda claim: {"decisions": []},
    "too many": lambda claim: {"decisions": claim["decisions"] * 9},
    "more": lambda claim: claim | {"more": 1},
    "another stage": lambda claim: changed(claim, stage="thought"),
    "more in a decision": lambda claim: changed(claim, more=1),
    "less in a decision": lambda claim: {"decisions": [{"stage": "output"}]},
    "no object": lambda claim: {"decisions": ["allowed"]},
    "concepts as a list": lambda claim: changed(claim, concepts=["skull"]),
    "a score of text": lambda claim: scored(claim, score="0.2"),
    "a score above 1": lambda claim: scored(claim, score=1.5),
    "a score without its threshold": lambda claim: changed(claim, concepts={"skull": {"score": 0.2, "margin": 0.05}}),
    "more of a concept": lambda claim: scored(claim, more=1),
    "a margin of its own": lambda claim: scored(claim, margin=0.24),
    "a score moved in the seventh decimal": lambda claim: scored(claim, score=0.2000001),
    "a warning of nothing": lambda claim: changed(claim, warnings=["knives"]),
    "a model that is a number": lambda claim: changed(claim, model=7),
}


def changed(claim: dict, **values: object) -> dict:
    return {"decisions": [claim["decisions"][0], claim["decisions"][1] | values]}


def scored(claim: dict, **values: object) -> dict:
    concepts = claim["decisions"][1]["concepts"]
    return changed(claim, concepts=concepts | {"skull": concepts["skull"] | values})


def test_the_claim_that_is_changed_below_is_read() -> None:
    assert read_claim(claim_of((WORDS, SHOWN))) == on_record(WORDS, SHOWN)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_malformed_claim_is_refused(change: Callable[[dict], object]) -> None:
    with pytest.raises(CredentialsError):
        read_claim(change(claim_of((WORDS, SHOWN))))


@pytest.mark.parametrize("value", [None, 7, "allowed", [], {}, {"decisions": None}])
def test_what_is_no_claim_at_all_is_refused(value: object) -> None:
    with pytest.raises(CredentialsError):
        read_claim(value)


def test_a_malformed_assertion_in_a_manifest_is_a_fault_of_the_credentials(issuer, monkeypatch) -> None:
    import provenance.credentials

    monkeypatch.setattr(provenance.credentials, "claim_of", lambda decisions: {"decisions": [{"stage": "output"}]})
    read = read_credentials(signed(issuer, (SHOWN,)), "image/png", issuer.root_pem)
    assert read.state == "trusted"
    assert read.fault == f"the {SAFETY_LABEL} assertion holds something that is no decision"


def test_blocked_decisions_and_scores_at_their_threshold_are_no_permission() -> None:
    require_allowed((WORDS, SHOWN))
    with pytest.raises(RecordError, match="blocked this picture at stage output"):
        require_allowed((WORDS, replace(SHOWN, allowed=False)))
    with pytest.raises(RecordError, match="allows skull against its own threshold"):
        require_allowed((replace(SHOWN, scores={"skull": 0.25, "gore": 0}),))


@pytest.mark.parametrize("value", [{}, {"allowed": True}, SHOWN.to_json() | {"margins": {"skull": 0.9, "gore": 1}}])
def test_what_is_no_decision_record_cannot_be_read(value: dict) -> None:
    with pytest.raises(RecordError, match="decisions cannot be read"):
        read_decisions([value])
