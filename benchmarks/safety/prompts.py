"""Recall, false positives and time of the lexical prompt filter.

Time is the process's own processor time for one call of ``PromptFilter.screen``, after the first hundred captions.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from typing import Any

import yaml

from benchmarks.safety.captions import captions, vocabulary, with_plurals
from benchmarks.safety.disguises import TRANSFORMS, chains, disguised
from safety.policy import DEFAULT_POLICY, Policy
from safety.prompt import PromptFilter

MANY_TERMS = 5000
WARM_UP = 100
RUSSIAN = ("старый дом у реки зимой", "девочка с котом на крыше", "яхта в море на закате, акварель", "портрет учёного")


def recall(policy: Policy, seed: int) -> dict[str, Any]:
    """Every English term in every transform and every pair of transforms, in the middle of a prompt."""
    prompt_filter, randomness = PromptFilter(policy), random.Random(seed)
    terms = [term for concept in policy.concepts for term in concept.terms]
    missed: Counter[str] = Counter()
    examples = []
    tried = 0
    for chain in chains():
        for term in terms:
            tried += 1
            hidden = disguised(term, chain, randomness)
            if prompt_filter.screen(f"a picture of {hidden} at night").allowed:
                missed[" + ".join(transform.name for transform in chain)] += 1
                examples.append([term, hidden])
    return {
        "terms": len(terms),
        "transforms": len(TRANSFORMS),
        "scripts": len({transform.script for transform in TRANSFORMS if transform.script}),
        "chains": sum(1 for _ in chains()),
        "tried": tried,
        "missed": missed.total(),
        "recall": 1 - missed.total() / tried,
        "worst": missed.most_common(5),
        "examples": examples[:10],
    }


def false_positives(policy: Policy, count: int, seed: int) -> dict[str, Any]:
    """Harmless captions that are blocked, and single words of a vocabulary that are."""
    prompt_filter = PromptFilter(policy)
    forbidden = with_plurals(term for concept in policy.concepts for term in concept.every_term.terms)
    blocked = [
        text for text in captions(count, random.Random(seed), forbidden) if not prompt_filter.screen(text).allowed
    ]
    words = vocabulary(forbidden)
    wrong = [word for word in words if not prompt_filter.screen(word).allowed]
    return {
        "captions": count,
        "blocked": len(blocked),
        "share": len(blocked) / count,
        "examples": blocked[:10],
        "vocabulary": len(words),
        "words blocked": wrong,
    }


def many_terms(policy: Policy, seed: int) -> Policy:
    """The policy with made-up terms of one and two words, up to MANY_TERMS in all."""
    randomness = random.Random(seed)
    terms = {term for concept in policy.concepts for term in concept.every_term.terms}
    syllables = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]
    while len(terms) < MANY_TERMS:
        word = "".join(randomness.choices(syllables, k=randomness.randint(2, 4))) + randomness.choice("nrstl")
        terms.add(f"{word} {randomness.choice(syllables)}n" if randomness.random() < 0.3 else word)
    listed, most = sorted(terms), 1500
    value = yaml.safe_load(DEFAULT_POLICY.read_bytes())
    template = value["concepts"]["violence"] | {"allow": [], "languages": {}}
    value["concepts"] = {
        f"part{at}": template | {"terms": listed[at : at + most]} for at in range(0, len(listed), most)
    }
    return Policy.parse(json.dumps(value).encode())


def latency(policy: Policy, texts: list[str]) -> dict[str, Any]:
    """Milliseconds of processor time of one call."""
    prompt_filter = PromptFilter(policy)
    for text in texts[:WARM_UP]:
        prompt_filter.screen(text)
    taken = []
    for text in texts:
        started = time.process_time_ns()
        prompt_filter.screen(text)
        taken.append((time.process_time_ns() - started) / 1e6)
    taken.sort()
    names = {"median": 0.5, "p95": 0.95, "p99": 0.99}
    return {
        "terms": sum(len(concept.every_term.terms) for concept in policy.concepts),
        "prompts": len(texts),
        "characters": round(sum(map(len, texts)) / len(texts)),
        **{f"{name} ms": round(taken[int(share * (len(taken) - 1))], 4) for name, share in names.items()},
        "longest ms": round(taken[-1], 3),
    }


def prompts(count: int, seed: int) -> dict[str, list[str]]:
    """Captions as people write them, long prompts, captions in disguise and prompts in Russian."""
    randomness = random.Random(seed)
    plain = list(captions(count, randomness, frozenset()))
    every = list(chains())
    hidden = [disguised(text, randomness.choice(every), randomness) for text in plain[: count // 4]]
    return {
        "captions": plain,
        "long prompts": [", ".join(randomness.choices(plain, k=8)) for _ in range(count // 4)],
        "captions in disguise": hidden,
        "Russian": [", ".join(randomness.choices(RUSSIAN, k=3)) for _ in range(count // 4)],
    }


def measure(captions: int, seed: int) -> dict[str, Any]:
    """Every figure of the lexical filter under the default policy."""
    policy = Policy.load(DEFAULT_POLICY)
    many = many_terms(policy, seed)
    return {
        "policy": policy.digest,
        "filter": PromptFilter(policy).digest,
        "recall": recall(policy, seed),
        "false positives": false_positives(policy, captions, seed),
        "latency": {name: latency(many, texts) for name, texts in prompts(8000, seed).items()},
    }
