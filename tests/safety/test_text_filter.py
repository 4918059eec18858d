"""CLIP on prompts, with a tiny random model saved on the spot and open_clip's own tokenizer."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safety.clip_model import open_clip_model
from safety.errors import FilterError
from safety.policy import STARTER_POLICY, Policy
from safety.prompt import MAX_CHARACTERS, PromptFilter
from safety.prompt_stages import open_prompt_filter
from safety.text_filter import ClipTextFilter
from safety.windows import text_tokens, token_windows
from tests.safety.tiny_clip import policy_for as tiny_policy
from tests.safety.tiny_clip import save_tiny_clip

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

FILLER = "a calm lake below snowy mountains, "


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_clip(tmp_path_factory.mktemp("clip") / "model")


def policy_for(folder: Path, block: float) -> Policy:
    return tiny_policy(folder, text=block)


@pytest.fixture(scope="module")
def lax(folder: Path) -> ClipTextFilter:
    return filter_of(policy_for(folder, 1.0))


def filter_of(policy: Policy) -> ClipTextFilter:
    return ClipTextFilter(policy, open_clip_model(policy.filter.model or ""))


@given(st.lists(st.integers(0, 49405), max_size=400), st.integers(2, 75))
@settings(max_examples=100, deadline=None)
def test_every_token_is_in_a_window_beside_its_neighbours(tokens: list[int], room: int) -> None:
    windows = token_windows(tokens, room)
    assert all(len(window) <= room for window in windows)
    pairs = {pair for window in windows for pair in pairwise(window)}
    assert pairs == set(pairwise(tokens))
    assert {token for window in windows for token in window} == set(tokens)


def test_the_tokenizers_own_ids_stand_in_windows_of_the_models_length() -> None:
    from open_clip.tokenizer import SimpleTokenizer

    tokenizer = SimpleTokenizer()
    short = text_tokens(tokenizer, "a red fish", 77)
    assert (short == tokenizer(["a red fish"])).all()
    long = text_tokens(tokenizer, FILLER * 40 + "skull", 77)
    assert long.shape[1] == 77
    assert bool((long == tokenizer.encode("skull")[0]).any())
    assert not bool((tokenizer([FILLER * 40 + "skull"]) == tokenizer.encode("skull")[0]).any())


def test_what_stands_after_token_77_counts(lax: ClipTextFilter) -> None:
    plain = lax.scores(FILLER * 20)
    endings = [text for concept in lax.policy.concepts for text in concept.prompts]
    hidden = [lax.scores(FILLER * 20 + f"{ending} " * 8) for ending in endings]
    assert any(scores[name] > plain[name] for scores in hidden for name in plain)
    assert all(score >= plain[name] - 1e-6 for name, score in lax.scores(FILLER * 20 + "a castle").items())


def test_the_closest_window_decides(folder: Path, lax: ClipTextFilter) -> None:
    prompt = FILLER * 20 + "a gruesome photo of gore"
    scores = lax.scores(prompt)
    worst = max(scores, key=lambda name: scores[name])
    decision = filter_of(policy_for(folder, scores[worst] * 0.999)).screen(prompt)
    assert not decision.allowed
    assert decision.rule is not None
    assert decision.rule.endswith("/score")
    assert "gruesome" not in decision.reason
    assert lax.screen(prompt).allowed


def test_a_score_between_warning_and_threshold_is_told(folder: Path, lax: ClipTextFilter) -> None:
    scores = lax.screen("a red fish").scores
    worst = max(scores, key=lambda name: scores[name])
    policy = policy_for(folder, min(1.0, scores[worst] * 1.5))
    decision = filter_of(policy).screen("a red fish")
    assert decision.allowed
    assert worst in decision.warnings
    assert decision.margins[worst] > 0
    assert decision.model_digest == lax.model_digest
    assert lax.policy.warned("prompt", "open_clip_text", dict.fromkeys(scores, 0.01)) == ()


def test_words_are_asked_before_meaning_and_both_are_named(lax: ClipTextFilter) -> None:
    policy = lax.policy
    both = open_prompt_filter(policy)
    named = both.screen("a n.u.d.e person")
    assert named.rule == "sexual-content/term:nude"
    allowed = both.screen("a red fish")
    assert allowed.allowed
    assert set(allowed.scores) == {concept.name for concept in policy.at("prompt")}
    assert named.filter_digest == PromptFilter(policy).digest
    assert allowed.filter_digest == both.digest
    assert both.digest not in (PromptFilter(policy).digest, lax.digest)


def test_a_policy_without_thresholds_for_text_needs_no_model() -> None:
    assert isinstance(open_prompt_filter(Policy.load(STARTER_POLICY)), PromptFilter)


def test_missing_weights_block_every_prompt(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_bytes((folder / "open_clip_config.json").read_bytes())
    with pytest.raises(FilterError, match="nothing is generated"):
        open_prompt_filter(policy_for(tmp_path, 1.0)).screen("a red fish")


def test_a_forbidden_word_blocks_without_a_model(tmp_path: Path) -> None:
    assert open_prompt_filter(policy_for(tmp_path, 1.0)).screen("a nude person").rule == "sexual-content/term:nude"


def test_a_token_without_numbers_blocks(tmp_path: Path) -> None:
    # The embedding of one token: concepts load, a prompt with the token gives no number.
    def broken(state: dict[str, Any]) -> None:
        state["token_embedding.weight"][text_token("zebra")] = float("nan")

    text_filter = filter_of(policy_for(save_tiny_clip(tmp_path / "model", broken), 1.0))
    assert text_filter.screen("a red fish").allowed
    decision = text_filter.screen(FILLER * 20 + "a zebra")
    assert (decision.allowed, decision.rule) == (False, "error")
    assert "gives no direction" in decision.reason


def test_a_prompt_without_an_answer_in_time_is_blocked(lax: ClipTextFilter, monkeypatch: pytest.MonkeyPatch) -> None:
    never = Event()
    monkeypatch.setattr(ClipTextFilter, "scores", lambda *_: never.wait())
    decision = ClipTextFilter(lax.policy, open_clip_model(lax.policy.filter.model or ""), seconds=0.01).screen("a fish")
    never.set()
    assert (decision.allowed, decision.rule) == (False, "error")
    assert "no answer within 0.01 seconds" in decision.reason


@pytest.mark.parametrize("prompt", [None, b"fish", "x" * (MAX_CHARACTERS + 1)])
def test_what_is_no_text_is_blocked(lax: ClipTextFilter, prompt: Any) -> None:
    assert lax.screen(prompt).rule == "error"


def text_token(word: str) -> int:
    from open_clip.tokenizer import SimpleTokenizer

    (token,) = SimpleTokenizer().encode(word)
    return int(token)
