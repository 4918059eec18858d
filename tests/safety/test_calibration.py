"""Thresholds from scores: what can be claimed, what is refused, and the policy that comes of it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from safety.calibration import allowed_hits, auroc, fit_threshold, negatives_needed, roc, together
from safety.calibration_report import calibrate_policy
from safety.calibration_scores import Sample, SampleScorer, ScoredSet, set_digest
from safety.clip_model import open_clip_model
from safety.content import open_content_filter, screen_all_or_refuse
from safety.errors import FilterError, PolicyError
from safety.policy import Policy
from safety.text_filter import ClipTextFilter
from tests.safety.tiny_clip import policy_for, save_tiny_clip

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

SHARES = st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.999999]) | st.floats(0, 0.99), min_size=11, max_size=60)


@pytest.mark.parametrize(("target", "confidence", "needed"), [(0.01, 0.95, 299), (0.001, 0.95, 2995), (0.2, 0.9, 11)])
def test_a_claim_needs_so_many_negatives(target: float, confidence: float, needed: int) -> None:
    assert negatives_needed(target, confidence) == needed
    assert allowed_hits(needed, target, confidence) == 0
    with pytest.raises(PolicyError) as refusal:
        allowed_hits(needed - 1, target, confidence)
    assert f"at least {needed} different ones" in str(refusal.value)
    assert "add 1 more" in str(refusal.value)


@pytest.mark.parametrize(
    ("target", "confidence"), [(0, 0.95), (1, 0.95), (0.01, 0), (0.01, 1), (-1, 0.5), (math.nan, 0.9)]
)
def test_a_claim_that_makes_no_sense_is_refused(target: float, confidence: float) -> None:
    with pytest.raises(PolicyError, match="between 0 and 1"):
        negatives_needed(target, confidence)


@pytest.mark.parametrize("n", [299, 472, 473, 1000, 3000, 20_000])
def test_as_many_hits_are_allowed_as_the_exact_bound_supports(n: int) -> None:
    from scipy.stats import beta

    hits = allowed_hits(n, 0.01, 0.95)
    assert beta.ppf(0.95, hits + 1, n - hits) <= 0.01
    assert beta.ppf(0.95, hits + 2, n - hits - 1) > 0.01


@given(SHARES, SHARES)
@settings(max_examples=100, deadline=None)
def test_the_threshold_is_the_lowest_that_blocks_no_more_than_allowed(low: list[float], high: list[float]) -> None:
    negatives, positives = np.array(low), np.array(high)
    fit = fit_threshold(negatives, positives, 0.2, 0.9)
    allowed = allowed_hits(len(negatives), 0.2, 0.9)
    assert (negatives >= fit.block).sum() == fit.false_positives.hits <= allowed
    assert (negatives >= fit.block - 2e-6).sum() > allowed or fit.block <= 2e-6
    assert fit.false_positives.interval.high <= 0.2
    assert fit.warn is None or 0 < fit.warn < fit.block
    assert fit.recall.hits == (positives >= fit.block).sum()
    assert fit.recall.interval.low <= fit.recall.share <= fit.recall.interval.high


def test_the_claim_holds_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    # Scores are uniform, so a threshold t really blocks 1 - t of all negatives.
    fits = [fit_threshold(draw, draw, 0.02, 0.9) for draw in rng.random((400, 114))]
    broken = np.mean([1 - fit.block > 0.02 for fit in fits])
    assert 0.05 < broken < 0.13
    assert np.mean([fit.false_positives.share for fit in fits]) < 0.02


def test_recall_at_one_percent_is_that_of_the_empirical_quantile() -> None:
    negatives, positives = np.linspace(0, 0.999, 1000), np.linspace(0.5, 0.999, 500)
    fit = fit_threshold(negatives, positives, 0.01, 0.95)
    assert (negatives >= fit.block).sum() == 4
    assert fit.recall_compared.hits == 10
    assert fit.recall.hits == 4


def test_negatives_that_score_1_leave_no_threshold() -> None:
    negatives = np.concatenate([np.zeros(10), np.ones(5)])
    with pytest.raises(PolicyError, match="no threshold keeps the rate"):
        fit_threshold(negatives, np.ones(3), 0.2, 0.9)


@given(SHARES, SHARES)
@settings(max_examples=60, deadline=None)
def test_auroc_is_the_share_of_pairs_in_order_and_the_curves_area(low: list[float], high: list[float]) -> None:
    negatives, positives = np.array(low), np.array(high)
    pairs = np.sign(positives[:, None] - negatives[None])
    assert auroc(negatives, positives) == pytest.approx(float((pairs + 1).mean() / 2))
    false, found = roc(negatives, positives)
    assert (false[0], found[0], false[-1], found[-1]) == (0, 0, 1, 1)
    assert false == sorted(false)
    assert found == sorted(found)
    assert float(np.trapezoid(found, false)) == pytest.approx(auroc(negatives, positives))


def test_concepts_together_block_what_any_of_them_does() -> None:
    first, second = np.zeros(100, bool), np.zeros(100, bool)
    first[:3] = second[2:4] = True
    rate = together([first, second], 0.95)
    assert (rate.hits, rate.n) == (4, 100)
    assert rate.interval.low == 0


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return policy_for(save_tiny_clip(tmp_path_factory.mktemp("clip") / "model"), text=0.9)


@pytest.fixture(scope="module")
def scorer(policy: Policy) -> SampleScorer:
    return SampleScorer(policy, open_clip_model(policy.filter.model or ""), "output")


def picture(seed: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    return (rng.integers(0, 2, (4, 4, 3), dtype=np.uint8) * 200 + 20).repeat(16, axis=0).repeat(16, axis=1)


def samples(seeds: range) -> list[Sample]:
    return [Sample(f"{seed}.png", picture(seed)) for seed in seeds]


@pytest.fixture(scope="module")
def negatives(scorer: SampleScorer) -> ScoredSet:
    return scorer.score(samples(range(50)))


def test_scores_are_those_that_the_filter_decides_by(
    policy: Policy, scorer: SampleScorer, negatives: ScoredSet
) -> None:
    content_filter = open_content_filter(policy, "x/y")
    decisions = screen_all_or_refuse(content_filter, [picture(seed) for seed in range(50)])
    for name in scorer.concepts:
        decided = np.array([decision.scores[name] for decision in decisions])
        assert negatives.scores[name] == pytest.approx(decided, abs=1e-6)


def test_scores_of_prompts_are_those_that_the_filter_decides_by(policy: Policy) -> None:
    clip = open_clip_model(policy.filter.model or "")
    texts = ["a red fish", "a nude person", "a calm lake, " * 40]
    scored = SampleScorer(policy, clip, "prompt").score([Sample(text, text) for text in texts])
    text_filter = ClipTextFilter(policy, clip)
    for name, values in scored.scores.items():
        assert values == pytest.approx(np.array([text_filter.scores(text)[name] for text in texts]), abs=1e-6)


def test_the_same_input_counts_once(scorer: SampleScorer) -> None:
    scored = scorer.score([*samples(range(40)), *samples(range(5))])
    assert (len(scored), scored.repeated) == (40, 5)
    assert all(len(values) == 40 for values in scored.scores.values())


def test_a_picture_that_cannot_be_scored_is_named(scorer: SampleScorer) -> None:
    with pytest.raises(FilterError, match=r"night\.png: the picture is black"):
        scorer.score([*samples(range(2)), Sample("night.png", np.zeros((8, 8, 3), np.uint8))])


def test_the_set_has_a_digest_of_its_content_alone(scorer: SampleScorer, negatives: ScoredSet) -> None:
    positives = {"violence": scorer.score(samples(range(100, 104)))}
    shuffled = scorer.score([Sample(f"other-{s.name}", s.content) for s in reversed(samples(range(50)))])
    assert set_digest(negatives, positives) == set_digest(shuffled, positives)
    assert set_digest(negatives, positives) != set_digest(negatives, {"sexual-content": positives["violence"]})
    assert set_digest(negatives, positives) != set_digest(positives["violence"], {"violence": negatives})


def test_the_calibrated_policy_blocks_what_it_says(policy: Policy, scorer: SampleScorer, negatives: ScoredSet) -> None:
    positives = {"violence": scorer.score(samples(range(100, 120)))}
    outcome = calibrate_policy(policy, scorer, negatives, positives, target=0.2, confidence=0.9)
    fresh = Policy.parse(outcome.policy_yaml)
    assert fresh.digest == outcome.policy.digest == outcome.report["policy"]["digest"] != policy.digest
    assert fresh.version == policy.version + 1
    concepts = {concept.name: concept for concept in fresh.concepts}
    assert concepts["sexual-content"] == policy.concepts[0]
    entry = concepts["violence"].calibration["open_clip"]
    assert (entry.model_digest, entry.precision, entry.negatives) == (scorer.model_digest, "fp32", 50)
    assert entry.set_digest == set_digest(negatives, positives)
    decisions = screen_all_or_refuse(open_content_filter(fresh, "x/y"), [picture(seed) for seed in range(50)])
    blocked = sum(decision.scores["violence"] >= decision.thresholds["violence"] for decision in decisions)
    assert blocked == round(entry.fpr * 50) == allowed_hits(50, 0.2, 0.9)
    assert fresh.calibrated_elsewhere("open_clip", scorer.model_digest) == ()
    assert fresh.calibrated_elsewhere("open_clip", "0" * 64) == ("violence",)


def test_the_report_holds_what_it_takes_to_check_it(policy: Policy, scorer: SampleScorer, negatives: ScoredSet) -> None:
    positives = {name: scorer.score(samples(range(100, 120))) for name in scorer.concepts}
    outcome = calibrate_policy(policy, scorer, negatives, positives, target=0.2, confidence=0.9)
    report = json.loads(json.dumps(outcome.report))
    assert report["together"]["concepts"] == 2
    assert report["together"]["fpr_at_most"] == 0.4
    assert report["not_calibrated"] == []
    for of in report["concepts"].values():
        scores = {side: np.array(of["scores"][side]) for side in ("negatives", "positives")}
        again = fit_threshold(scores["negatives"], scores["positives"], 0.2, 0.9)
        assert again.block == pytest.approx(of["block"], abs=2e-6)
        assert again.auroc == pytest.approx(of["auroc"], abs=1e-3)
        assert of["highest_negatives"][0]["score"] == scores["negatives"].max()


def test_too_few_negatives_are_refused(policy: Policy, scorer: SampleScorer, negatives: ScoredSet) -> None:
    positives = {"violence": scorer.score(samples(range(100, 102)))}
    with pytest.raises(PolicyError, match="50 harmless inputs cannot show") as refusal:
        calibrate_policy(policy, scorer, negatives, positives, target=0.01, confidence=0.95)
    assert "add 249 more" in str(refusal.value)


def test_an_input_on_both_sides_is_refused(policy: Policy, scorer: SampleScorer, negatives: ScoredSet) -> None:
    positives = {"violence": scorer.score([Sample("gore/1.png", picture(7))])}
    with pytest.raises(PolicyError) as refusal:
        calibrate_policy(policy, scorer, negatives, positives, target=0.2, confidence=0.9)
    assert "7.png among the negatives and gore/1.png among the positives of violence" in str(refusal.value)
