"""What safety costs: milliseconds for a prompt and for a picture, and as a share of drawing one."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from generation.loading import load_pipeline
from generation.sampling import Sampling, sample, usual_guidance
from provenance.base import resolve_base
from safety.content import open_content_filter, screen_all_or_refuse
from safety.policy import STARTER_BASE, Policy, open_policy
from safety.prompt import PromptFilter
from safety.prompt_stages import open_prompt_filter

STEPS = 20
PROMPTS = ("a red fish in the desert", "at night, an orange cup", "a picture-book drawing of a blue house by the sea")
BATCHES = (1, 4)


def measure(repeats: int) -> dict[str, Any]:
    """Medians over ``repeats`` on this machine, in milliseconds; the first of everything is not counted."""
    policy, base = open_policy(None, STARTER_BASE), resolve_base(STARTER_BASE)
    words, pictures = PromptFilter(policy), open_content_filter(policy, base.id)
    prompts = open_prompt_filter(comparing_prompts(policy))
    pipeline, how = load_pipeline(base, None), Sampling(STEPS, usual_guidance(base))

    def draw(count: int) -> list[Any]:
        asked = [PROMPTS[at % len(PROMPTS)] for at in range(count)]
        return sample(pipeline, asked, list(range(count)), how, base.output_scale)

    found: dict[str, Any] = {
        "prompt, words": _median(lambda: words.screen(PROMPTS[2]), 20 * repeats),
        "prompt, words and meaning": _median(lambda: prompts.screen(PROMPTS[2]), repeats),
    }
    for count in BATCHES:
        screen, again = partial(screen_all_or_refuse, pictures, draw(count)), partial(draw, count)
        found[f"picture, {count} at once"] = _median(screen, repeats) / count
        found[f"drawing, {count} at once"] = _median(again, max(3, repeats // 10)) / count
    screening = found["prompt, words and meaning"] + found["picture, 4 at once"]
    found["share of drawing"] = screening / found["drawing, 4 at once"]
    return {"steps": STEPS, "side": 128 * base.output_scale, "repeats": repeats, "ms": found}


def comparing_prompts(policy: Policy) -> Policy:
    """The policy with every concept's prompts compared by CLIP too, as one for a real model does."""
    value = json.loads(policy.canonical)
    for concept in value["concepts"].values():
        concept["thresholds"]["open_clip_text"] = 0.99
    return Policy.parse(json.dumps(value).encode())


def _median(task: Callable[[], object], repeats: int) -> float:
    task()
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        task()
        taken.append(1000 * (time.perf_counter() - started))
    return statistics.median(taken)
