"""Decisions of an open_clip model, on prompt and picture, made again: real towers and tokenizer, no knowledge."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from provenance.anchoring import anchor_pending
from provenance.errors import Unavailable
from provenance.journal import Journal
from provenance.verify import Verdict
from safety.decision import Decision
from safety.policy import Policy
from safety.prompt_stages import open_prompt_filter
from tests.provenance.verify.test_rederivation import FISH, PROMPT, Decided, issue
from tests.safety.tiny_clip import WEIGHTS, policy_for, save_tiny_clip

if TYPE_CHECKING:
    from conftest import World

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

FORBIDDEN = "a beheaded corpse"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_clip(tmp_path_factory.mktemp("clip") / "model")


@pytest.fixture(scope="module")
def decided(
    make_world: Callable[[Path], World], folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Decided]:
    world = make_world(tmp_path_factory.mktemp("clip-world"))
    rules = world.folder / "clip.yaml"
    rules.write_text(yaml.safe_dump(yaml.safe_load(policy_for(folder, block=0.95, text=0.95).canonical)))
    policy = Policy.load(rules)
    words = open_prompt_filter(policy).screen(PROMPT)
    assert words.allowed
    assert words.scores
    clear = {"text": PROMPT}
    with Journal.of_home(world.home) as journal:
        issue(world, "honest.png", FISH, journal, policy, prompt=clear)
        issue(world, "forged.png", FISH, journal, policy, prompt=clear, lie=lowered)
        issue(world, "asked.png", FISH, journal, policy, prompt={"text": FORBIDDEN}, words=words)
        drifted = replace(words, scores={name: moved(score) for name, score in words.scores.items()}, warnings=())
        issue(world, "drifted.png", FISH, journal, policy, prompt=clear, words=drifted)
        plain = Decision(True, "prompt", policy.digest, words.filter_digest)
        issue(world, "words-alone.png", FISH, journal, policy, prompt=clear, words=plain)
        anchor_pending(world.home, world.ledger, world.store, journal, world.maker)
    yield Decided(world, policy, rules, rules)
    world.ledger.close()


def moved(score: float) -> float:
    """A little further than the tolerance, and lower where that is possible."""
    return score - 0.03 if score > 0.03 else score + 0.03


def lowered(shown: Decision) -> dict:
    """Every score a little lower than it was."""
    return replace(shown, scores={name: moved(score) for name, score in shown.scores.items()}, warnings=()).to_json()


def test_scores_of_prompt_and_picture_are_confirmed(decided: Decided) -> None:
    report = decided.again("honest.png", policies=[decided.policy])
    assert report.verdict is Verdict.AUTHENTIC
    assert report.layer("safety").status == "ok"
    for result in report.facts["rederived"]["decisions"]:
        assert result["outcome"] == "confirmed"
        assert set(result["scores"]) == {"sexual-content", "violence"}
        assert result["difference"] <= 1e-5


def test_a_score_a_little_too_low_contradicts_the_record(decided: Decided) -> None:
    report = decided.again("forged.png", policies=[decided.policy])
    assert report.verdict is Verdict.TAMPERED
    assert "more than 0.02 apart: the record is contradicted" in report.layer("safety").detail


def test_a_prompts_score_that_is_not_its_own_contradicts_the_record(decided: Decided) -> None:
    report = decided.again("drifted.png", policies=[decided.policy])
    assert report.verdict is Verdict.TAMPERED
    assert report.layer("safety").detail.startswith("prompt:")


def test_words_that_block_contradict_a_decision_of_words_and_meaning(decided: Decided) -> None:
    report = decided.again("asked.png", policies=[decided.policy])
    assert report.verdict is Verdict.TAMPERED
    assert "prompt: on record as allowed, but the prompt asks for violence" in report.layer("safety").detail


def test_a_decision_by_words_alone_where_meaning_is_asked_for_is_not_confirmed(decided: Decided) -> None:
    report = decided.again("words-alone.png", policies=[decided.policy])
    assert report.layer("safety").status == "skipped"
    assert "decided by its words alone" in report.layer("safety").detail


def test_other_weights_under_the_same_name_are_another_model(decided: Decided, folder: Path) -> None:
    def louder(state: dict) -> None:
        state["logit_scale"] += 0.5

    kept = (folder / WEIGHTS).read_bytes()
    try:
        save_tiny_clip(folder, louder)
        with pytest.raises(Unavailable, match="another model than this machine has") as refusal:
            decided.again("honest.png", fresh=True, policies=[decided.policy])
    finally:
        (folder / WEIGHTS).write_bytes(kept)
    assert "by name local-dir:" in (refusal.value.expected or "")


def test_a_model_that_is_not_here_gives_no_verdict(decided: Decided, folder: Path) -> None:
    elsewhere = folder.with_name("elsewhere")
    shutil.move(folder, elsewhere)
    try:
        with pytest.raises(Unavailable) as refusal:
            decided.again("honest.png", fresh=True, policies=[decided.policy])
    finally:
        shutil.move(elsewhere, folder)
    assert refusal.value.exit_code == 3
    assert refusal.value.fix
