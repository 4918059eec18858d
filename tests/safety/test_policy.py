from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from safety.errors import PolicyError
from safety.policy import DEFAULT_POLICY, STARTER_POLICY, Policy, open_policy


def starter() -> dict[str, Any]:
    value = yaml.safe_load(STARTER_POLICY.read_bytes())
    assert isinstance(value, dict)
    return value


def parse(value: Any) -> Policy:
    return Policy.parse(yaml.safe_dump(value).encode())


@pytest.mark.parametrize("path", [STARTER_POLICY, DEFAULT_POLICY])
def test_the_policies_that_ship_are_valid(path: Path) -> None:
    policy = Policy.load(path)
    assert policy.concepts
    assert len(policy.digest) == 64


def test_the_starter_base_has_its_own_policy_and_others_the_default() -> None:
    assert open_policy(None, "starter").name == "starter"
    assert open_policy(None, "owner/model").name == "default"
    assert open_policy(DEFAULT_POLICY, "starter").name == "default"


def test_the_digest_is_that_of_the_canonical_json_whatever_the_yaml_looks_like() -> None:
    policy = Policy.load(STARTER_POLICY)
    assert policy.digest == hashlib.sha256(policy.canonical).hexdigest()
    assert json.loads(policy.canonical) == starter()
    reordered = json.dumps(dict(reversed(list(starter().items()))), indent=3).encode()
    assert Policy.parse(reordered).digest == policy.digest


def test_any_change_of_meaning_changes_the_digest() -> None:
    changed = starter()
    changed["concepts"]["skull"]["thresholds"]["open_clip"] = 0.26
    assert parse(changed).digest != Policy.load(STARTER_POLICY).digest


def test_all_faults_are_reported_together() -> None:
    value = starter()
    value["surprise"] = 1
    value["on_error"] = "allow"
    value["version"] = 0
    concept = value["concepts"]["skull"]
    concept["threshold"] = concept.pop("thresholds")
    concept["stages"] = ["prompt", "later"]
    concept["labels"] = ["skull"]
    with pytest.raises(PolicyError) as refusal:
        parse(value)
    message = str(refusal.value)
    for part in ("'surprise'", "on_error", "version", "'threshold'", "thresholds is missing", "stages", "'labels'"):
        assert part in message


def broken(**changes: Any) -> dict[str, Any]:
    value = starter()
    value["concepts"]["skull"].update(changes)
    return value


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (broken(thresholds={"open_clip": 0}), "above 0"),
        (broken(thresholds={"open_clip": 1.5}), "above 0"),
        (broken(thresholds={"open_clip": float("nan")}), "above 0"),
        (broken(thresholds={"open_clip": True}), "above 0"),
        (broken(thresholds={"open_clip_text": 0.5}), "has none for open_clip"),
        (broken(thresholds={"other": 0.5, "open_clip": 0.5}), "unknown filter 'other'"),
        (broken(terms=[]), "terms is empty"),
        (broken(terms=["skull", "skull"]), "twice"),
        (broken(terms=["666"]), "no letter"),
        (broken(terms=[1]), "list of"),
        (broken(terms=["a\nb"]), "list of"),
        (broken(prompts=[]), "prompts is empty"),
        (broken(stages=[]), "stages"),
        (broken(stages=["prompt", "prompt"]), "twice"),
        ({**starter(), "concepts": {}}, "concepts"),
        ({**starter(), "concepts": {"A B": {}}}, "word of a-z"),
        ({**starter(), "concepts": {"skull": None}}, "not a mapping"),
        ({**starter(), "type": "urn:prov:policy:v2"}, "urn:prov:policy:v3"),
        ({**starter(), "filter": {"kind": "none"}}, "filter.kind"),
        ({**starter(), "filter": {"kind": "open_clip"}}, "filter.model"),
        ({**starter(), "filter": {"kind": "starter", "model": "x", "labels": []}}, "unknown key 'labels'"),
        ({**starter(), "filter": None}, "filter is not"),
        ([], "not a mapping"),
        (None, "not a mapping"),
    ],
)
def test_a_wrong_value_is_refused_by_name(value: Any, fault: str) -> None:
    with pytest.raises(PolicyError) as refusal:
        parse(value)
    assert fault in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"a: 1\na: 2", "twice"),
        (b"a: &x [1]\nb: *x", "alias"),
        (b"a: !!python/object/apply:os.getcwd []", "YAML"),
        (b"? [1, 2]\n: 3", "key"),
        (b"a: [", "YAML"),
        (b"\xff\xfe", "YAML"),
        (b"a: 1\n---\nb: 2", "YAML"),
        (b"[" * 1_000_000, "nested"),
    ],
)
def test_yaml_with_surprises_is_refused(text: bytes, fault: str) -> None:
    with pytest.raises(PolicyError, match=fault):
        Policy.parse(text)


def test_a_missing_or_huge_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="cannot be read"):
        Policy.load(tmp_path / "none.yaml")
    (tmp_path / "huge.yaml").write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(PolicyError, match="too large"):
        Policy.load(tmp_path / "huge.yaml")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@settings(max_examples=150, deadline=None)
def test_no_bytes_are_a_policy_or_a_crash(data: bytes) -> None:
    with pytest.raises(PolicyError):
        Policy.parse(data)


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = st.recursive(LEAVES, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=5), v, max_size=3))


@given(st.sampled_from(sorted(starter())), VALUES)
@settings(max_examples=150, deadline=None)
def test_any_value_in_any_place_is_valid_or_refused(key: str, value: Any) -> None:
    try:
        parse({**starter(), key: value})
    except PolicyError:
        pass
    else:
        assert key in {"name", "version"} or value == starter()[key]


@given(st.sampled_from(sorted(starter()["concepts"]["skull"])), VALUES)
@settings(max_examples=150, deadline=None)
def test_any_value_in_any_place_of_a_concept_is_valid_or_refused(key: str, value: Any) -> None:
    with contextlib.suppress(PolicyError):
        parse(broken(**{key: value}))


CALIBRATION = {
    "set": "ab" * 32,
    "n": 299,
    "fpr": 0.0,
    "interval": [0.0, 0.01],
    "confidence": 0.95,
    "model": "cd" * 32,
    "precision": "fp32",
}


def calibrated(**changes: Any) -> dict[str, Any]:
    return broken(calibration={"open_clip": CALIBRATION | changes})


def test_a_threshold_carries_its_calibration() -> None:
    (concept,) = parse(calibrated()).concepts
    calibration = concept.calibration["open_clip"]
    assert (calibration.negatives, calibration.fpr, calibration.interval) == (299, 0.0, (0.0, 0.01))
    assert calibration.set_digest == "ab" * 32
    assert (calibration.model_digest, calibration.precision) == ("cd" * 32, "fp32")


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (calibrated(n=298), "298 negatives cannot show less than 0.01"),
        (calibrated(n=0), "whole number"),
        (calibrated(fpr=0.001, interval=[0.0, 0.02]), "not a share of 299"),
        (calibrated(fpr=0.5, interval=[0.0, 0.02]), "does not hold fpr"),
        (calibrated(set="AB" * 32), "SHA-256"),
        (calibrated(model="cd" * 31), "model is not a SHA-256"),
        (calibrated(model=None, precision="bf16"), "precision is 'bf16', not fp32"),
        (calibrated(interval=[0.0]), "not two numbers"),
        (calibrated(confidence=1), "from 0 to 1"),
        (calibrated(fpr=float("nan")), "from 0 to 1"),
        (calibrated(recall=1.0), "unknown key 'recall'"),
        (broken(calibration={"open_clip": {}}), "fpr is missing"),
        (broken(calibration={"open_clip_text": CALIBRATION}), "of no threshold"),
        (broken(calibration=None), "not a mapping"),
        (broken(thresholds={"open_clip": {"warn": 0.3, "block": 0.2}}), "warn is not below block"),
        (broken(thresholds={"open_clip": {"block": 0.2}}), "warn is None"),
        (broken(thresholds={"open_clip": {"warn": 0.1, "block": 0.2, "stop": 1}}), "unknown key 'stop'"),
        (broken(stages=["output"], thresholds={"open_clip": 0.5, "open_clip_text": 0.5}), "needs the stage prompt"),
        (broken(languages={"de": {"terms": ["Schädel"]}}), "allow is missing"),
        (broken(languages={"de": {"terms": ["7"], "allow": []}}), "no letter"),
        (broken(languages={"German": {"terms": [], "allow": []}}), "language tag"),
        (broken(languages=[]), "not a mapping"),
    ],
)
def test_a_wrong_threshold_calibration_or_language_is_refused_by_name(value: Any, fault: str) -> None:
    with pytest.raises(PolicyError) as refusal:
        parse(value)
    assert fault in str(refusal.value)


def test_faults_of_a_calibration_are_reported_together() -> None:
    with pytest.raises(PolicyError) as refusal:
        parse(calibrated(set="x", model="y", precision="z", n=298))
    for fault in ("open_clip.set", "open_clip.model", "open_clip.precision", "298 negatives"):
        assert fault in str(refusal.value)


def test_a_calibration_counts_for_its_own_model_alone() -> None:
    policy = parse(calibrated())
    assert policy.calibrated_elsewhere("open_clip", "cd" * 32) == ()
    assert policy.calibrated_elsewhere("open_clip", "ef" * 32) == ("skull",)
    assert policy.calibrated_elsewhere("open_clip_text", "ef" * 32) == ()


def test_terms_of_all_languages_come_together() -> None:
    value = broken(languages={"de": {"terms": ["Schädel", "skull"], "allow": ["Schädelbasis"]}})
    (concept,) = parse(value).concepts
    assert concept.every_term.terms == (*concept.terms, "Schädel")
    assert concept.every_term.allow == ("Schädelbasis",)


def test_the_default_policy_has_the_eight_concepts_at_every_stage_and_claims_no_calibration() -> None:
    policy = Policy.load(DEFAULT_POLICY)
    assert [concept.name for concept in policy.concepts] == [
        "sexual-content",
        "minors",
        "violence",
        "hate-symbols",
        "self-harm",
        "weapons-instructions",
        "personal-likeness",
        "deceptive-documents",
    ]
    for concept in policy.concepts:
        assert set(concept.stages) == {"prompt", "train", "output"}
        assert set(concept.thresholds) == set(concept.warnings) == {"open_clip", "open_clip_text"}
        assert not concept.calibration
