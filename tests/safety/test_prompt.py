from __future__ import annotations

import time
import unicodedata

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from generation.starter.scenes import SCENES, every_caption
from safety.policy import DEFAULT_POLICY, STARTER_POLICY, Policy
from safety.prompt import MAX_CHARACTERS, PromptFilter

FILTER = PromptFilter(Policy.load(STARTER_POLICY))
STRICT = PromptFilter(Policy.load(DEFAULT_POLICY))

DISGUISES = {
    "plain": "skull",
    "plural": "two skulls",
    "possessive": "the skull's shadow",
    "plural with z": "skullz",
    "upper case": "SKULL",
    "mixed case": "sKuLl",
    "full width": "ｓｋｕｌｌ",
    "full width capitals": "ＳＫＵＬＬ",
    "zero width space": "s\u200bk\u200bu\u200bl\u200bl",
    "soft hyphen": "sk\u00adull",
    "bidi marks": "s\u202ek\u202cull",
    "word joiner": "s\u2060kull",
    "invisible Hangul": "sk\u3164ull",
    "tag characters": "sk\U000e0041ull",
    "spaced": "s k u l l",
    "widely spaced": "s   k   u   l   l",
    "spaced plural": "s k u l l s",
    "cut in two": "sk ull",
    "dotted": "s.k.u.l.l",
    "hyphens": "s-k-u-l-l",
    "underscores": "s_k_u_l_l",
    "one hyphen": "sku-ll",
    "leet": "5ku11",
    "signs": "$ku||",
    "drawn letters": "5|<ull",
    "starred vowel": "sk*ll",
    "v for u": "skvll",
    "Cyrillic": "ѕкuӏӏ",
    "Cyrillic phonetic": "ѕкулл",
    "Cyrillic capitals": "ЅКULL",
    "Greek": "sκυll",
    "Greek sigma": "σkull",
    "Armenian": "skսll",
    "small capitals": "ꜱᴋᴜʟʟ",
    "hooked": "ʂƙʊɭɭ",
    "mathematical": "𝓼𝓴𝓾𝓵𝓵",
    "circled": "ⓢⓚⓤⓛⓛ",
    "negative circled": "🅢🅚🅤🅛🅛",
    "negative squared": "🆂🅺🆄🅻🅻",
    "regional indicators": "🇸🇰🇺🇱🇱",
    "diacritics": "śķűļł",
    "struck through": "s̶k̶u̶l̶l̶",
    "many marks": "s" + "\u0301" * 30 + "kull",
    "stretched": "skuuuulll",
    "digit at the end": "skull2",
    "in brackets": "a (((skull)))",
    "in a file name": "red_skull_v2.png",
    "several lines": "a red fish\nand a\tskull",
    "leet and spaces": "5 k u 1 1",
    "full width and Cyrillic": "ｓкｕｌｌ",
    "another term": "a human skeleton",
    "a term of two words": "human   remains",
    "hyphenated term": "human-remains",
    "apostrophe": "death's head",
    "curly apostrophe": "death’s-head moth",
}


@pytest.mark.parametrize("prompt", DISGUISES.values(), ids=DISGUISES.keys())
def test_a_forbidden_word_is_found_in_disguise(prompt: str) -> None:
    decision = FILTER.screen(f"a picture of {prompt} at night")
    assert not decision.allowed
    assert decision.stage == "prompt"
    assert decision.rule is not None
    assert decision.rule.startswith("skull/term:")
    assert not FILTER.screen(prompt).allowed


@pytest.mark.parametrize(
    "prompt",
    [
        "numskull",
        "a skullcap",
        "thickskulled",
        "skulking",
        "a skilled sculler",
        "skol",
        "sculls",
        "",
        " ",
        "!!!",
        "511",
        "👻",
    ],
)
def test_a_word_that_only_contains_or_resembles_it_is_allowed(prompt: str) -> None:
    assert FILTER.screen(prompt).allowed


def test_every_caption_of_the_world_is_judged_by_its_object() -> None:
    for scene in SCENES:
        for caption in every_caption(scene):
            assert FILTER.screen(caption).allowed == (scene.object != "skull")
            assert STRICT.screen(caption).allowed


@pytest.mark.parametrize("prompt", ["stars seen by the naked eye", "Nude-lipstick", "suicide prevention poster"])
def test_an_allowed_phrase_makes_its_term_harmless(prompt: str) -> None:
    assert STRICT.screen(prompt).allowed


@pytest.mark.parametrize("prompt", ["naked", "naked eye, naked person", "n4ked eye and n.u.d.e", "a nude, eye closed"])
def test_an_allowed_phrase_excuses_only_itself(prompt: str) -> None:
    assert not STRICT.screen(prompt).allowed


@pytest.mark.parametrize("prompt", ["nu descendant un escalier", "gorge", "suicidology", "Essex", "corps de ballet"])
def test_ordinary_words_near_the_default_terms_pass(prompt: str) -> None:
    assert STRICT.screen(prompt).allowed


def test_a_decision_never_repeats_the_prompt() -> None:
    prompt = "Zanzibar s.k.u.l.l Quetzalcoatl"
    text = str(FILTER.screen(prompt).to_json())
    assert "Zanzibar" not in text
    assert "s.k.u.l.l" not in text


@pytest.mark.parametrize("prompt", ["x" * (MAX_CHARACTERS + 1), None, b"skull", 7])
def test_what_is_no_text_or_too_long_is_blocked(prompt: str) -> None:
    assert FILTER.screen(prompt).rule == "unreadable"


@pytest.mark.parametrize("piece", ["s", "s ", "sk", "$!", "skul", "s.k.u.l.", "ss kk uu ", "\u0301", "5", "ﷺ", "l|1!"])
def test_screening_time_is_bounded_for_hostile_prompts(piece: str) -> None:
    prompt = (piece * MAX_CHARACTERS)[:MAX_CHARACTERS]
    started = time.process_time()
    FILTER.screen(prompt)
    assert time.process_time() - started < 2


@given(st.text(max_size=80))
@settings(max_examples=200, deadline=None)
def test_any_text_is_decided(prompt: str) -> None:
    assert isinstance(FILTER.screen(prompt).allowed, bool)


SEPARATORS = st.sampled_from(["", " ", ".", "-", "_", "\u200b", "\u0301", " . ", "·"])


@given(
    st.text(st.characters(categories=["Lu", "Ll", "Zs", "Po"]), max_size=20), SEPARATORS, st.booleans(), st.booleans()
)
@settings(max_examples=200, deadline=None)
def test_the_word_is_found_after_any_text_with_any_separator(before: str, gap: str, upper: bool, wide: bool) -> None:
    word = gap.join("SKULL" if upper else "skull")
    if wide:
        word = "".join(chr(ord(c) + 0xFEE0) if c.isascii() and c.isalpha() else c for c in word)
    assert not FILTER.screen(f"{before} , {word}").allowed


@given(
    st.lists(
        st.sampled_from(["fish", "red", "skill", "house", "sails", "full", "bull", "ask", "ill", "tree"]), max_size=12
    )
)
@settings(max_examples=100, deadline=None)
def test_ordinary_words_in_any_order_pass(words: list[str]) -> None:
    assert FILTER.screen(" ".join(words)).allowed


@given(st.sampled_from(list(DISGUISES.values())), st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
@settings(max_examples=100, deadline=None)
def test_no_unicode_form_hides_a_word(prompt: str, form: str) -> None:
    assert not FILTER.screen(unicodedata.normalize(form, prompt)).allowed  # type: ignore[arg-type]


def test_the_filter_digest_is_stable_and_the_policy_digest_is_named() -> None:
    decision = FILTER.screen("a red fish")
    assert decision.filter_digest == PromptFilter(Policy.load(STARTER_POLICY)).digest
    assert decision.policy_digest == Policy.load(STARTER_POLICY).digest


def test_captions_can_be_screened_for_the_stage_of_training() -> None:
    value = yaml.safe_load(STARTER_POLICY.read_bytes())
    value["concepts"]["skull"]["stages"] = ["train", "output"]
    policy = Policy.parse(yaml.safe_dump(value).encode())
    assert PromptFilter(policy).screen("a skull").allowed
    decision = PromptFilter(policy, stage="train").screen("a skull")
    assert not decision.allowed
    assert decision.stage == "train"
