"""Faults while a filter runs: what its model answers, what it raises, what it decides, and when it never does."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from threading import Event
from typing import Any

from safety.clip_filter import OpenClipContentFilter
from safety.decision import Decision
from tests.generation.faults.site import Site, fault, raising

FAILED = ("the content filter failed", "nothing passes unscreened", "prov policy check")


def tower_gives(site: Site, tower: str, change: Callable[[Any], Any]) -> None:
    """What a tower of every CLIP model gives is changed on its way out."""
    import open_clip

    real = getattr(open_clip.CLIP, tower)
    site.patch.setattr(open_clip.CLIP, tower, lambda *given, **named: change(real(*given, **named)))


def tower_raises(site: Site, tower: str, error: BaseException) -> None:
    import open_clip

    site.patch.setattr(open_clip.CLIP, tower, raising(error))


def filter_decides(site: Site, change: Callable[[list[Decision]], Any]) -> None:
    """What the content filter decides is changed on its way out."""
    real = OpenClipContentFilter.screen_batch
    site.patch.setattr(OpenClipContentFilter, "screen_batch", lambda *given, **named: change(real(*given, **named)))


def every_decision(change: Callable[[Decision], Any]) -> Callable[[list[Decision]], list[Any]]:
    return lambda decisions: [change(decision) for decision in decisions]


@fault(*FAILED, "gives no direction", logged=1)
def embeddings_are_not_numbers(site: Site) -> None:
    tower_gives(site, "encode_image", lambda seen: seen * float("nan"))


@fault(*FAILED, "gives no direction", logged=1)
def one_number_of_an_embedding_is_infinite(site: Site) -> None:
    def one(seen: Any) -> Any:
        seen[0, 3] = float("inf")
        return seen

    tower_gives(site, "encode_image", one)


@fault(*FAILED, "gives no direction", logged=1)
def embeddings_are_all_zero(site: Site) -> None:
    tower_gives(site, "encode_image", lambda seen: seen * 0)


@fault(*FAILED, "wrong shape", logged=1)
def an_embedding_is_missing(site: Site) -> None:
    tower_gives(site, "encode_image", lambda seen: seen[1:])


@fault(*FAILED, "wrong shape", logged=1)
def an_embedding_is_a_single_number(site: Site) -> None:
    tower_gives(site, "encode_image", lambda seen: seen[:, 0])


@fault(*FAILED, logged=1)
def embeddings_have_too_few_dimensions(site: Site) -> None:
    tower_gives(site, "encode_image", lambda seen: seen[:, :7])


@fault(*FAILED, logged=1)
def the_image_tower_gives_nothing(site: Site) -> None:
    tower_gives(site, "encode_image", lambda seen: None)


@fault(*FAILED, "MemoryError", logged=1)
def memory_runs_out_while_a_picture_is_screened(site: Site) -> None:
    tower_raises(site, "encode_image", MemoryError())


@fault(*FAILED, "OutOfMemoryError", logged=1)
def the_devices_memory_runs_out_while_a_picture_is_screened(site: Site) -> None:
    import torch

    tower_raises(site, "encode_image", torch.OutOfMemoryError("tried to allocate 20 GiB"))


@fault(*FAILED, "RuntimeError", logged=1)
def the_image_tower_fails(site: Site) -> None:
    tower_raises(site, "encode_image", RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


@fault(*FAILED, "RecursionError", logged=1)
def the_image_tower_calls_itself_without_end(site: Site) -> None:
    tower_raises(site, "encode_image", RecursionError())


@fault(*FAILED, "stopped with KeyboardInterrupt", logged=1)
def the_filter_is_interrupted(site: Site) -> None:
    tower_raises(site, "encode_image", KeyboardInterrupt())


@fault(*FAILED, "stopped with SystemExit", logged=1)
def the_filter_ends_the_program(site: Site) -> None:
    tower_raises(site, "encode_image", SystemExit(0))


@fault(*FAILED, "no answer within", logged=1)
def the_filter_never_answers(site: Site) -> None:
    import safety.content

    never = Event()
    site.patch.setattr(OpenClipContentFilter, "screen_batch", lambda *_: never.wait(30))
    site.patch.setattr(safety.content.screen_all_or_refuse, "__defaults__", ("output", 0.05))


@fault(*FAILED, "did not decide on every picture", logged=1)
def a_decision_is_missing(site: Site) -> None:
    filter_decides(site, lambda decisions: decisions[1:])


@fault(*FAILED, "did not decide on every picture", logged=1)
def a_decision_is_one_too_many(site: Site) -> None:
    filter_decides(site, lambda decisions: decisions * 2)


@fault(*FAILED, "did not decide on every picture", logged=1)
def the_filter_decides_nothing(site: Site) -> None:
    filter_decides(site, lambda decisions: None)


@fault(*FAILED, "did not decide", logged=1)
def the_filter_just_says_yes(site: Site) -> None:
    filter_decides(site, every_decision(lambda decision: True))


@fault(*FAILED, "did not decide", logged=1)
def the_decision_is_for_another_stage(site: Site) -> None:
    filter_decides(site, every_decision(lambda decision: replace(decision, stage="train")))


@fault(*FAILED, "by another policy", logged=1)
def the_decision_is_by_another_policy(site: Site) -> None:
    filter_decides(site, every_decision(lambda decision: replace(decision, policy_digest="0" * 64)))


@fault(*FAILED, "under another name", logged=1)
def the_decision_is_by_another_filter(site: Site) -> None:
    filter_decides(site, every_decision(lambda decision: replace(decision, filter_digest="0" * 64)))


@fault(*FAILED, "against the policy", logged=1)
def a_score_above_its_threshold_is_allowed(site: Site) -> None:
    filter_decides(site, every_decision(lambda d: replace(d, scores=dict.fromkeys(d.scores, 1.0))))


@fault(*FAILED, "is no record", logged=1)
def a_score_that_is_not_a_number_is_allowed(site: Site) -> None:
    filter_decides(site, every_decision(lambda d: replace(d, scores=dict.fromkeys(d.scores, math.nan))))


@fault(*FAILED, "is no record", logged=1)
def a_score_below_zero_is_allowed(site: Site) -> None:
    filter_decides(site, every_decision(lambda d: replace(d, scores=dict.fromkeys(d.scores, -1.0))))


@fault(*FAILED, "against the policy", logged=1)
def a_concept_of_the_policy_has_no_score(site: Site) -> None:
    filter_decides(site, every_decision(lambda decision: replace(decision, scores={})))


@fault(*FAILED, "another threshold", logged=1)
def the_decision_names_a_threshold_that_is_not_the_policys(site: Site) -> None:
    filter_decides(site, every_decision(lambda d: replace(d, thresholds=dict.fromkeys(d.thresholds, 0.999))))


@fault(*FAILED, "is no record", logged=1)
def the_decision_names_no_threshold(site: Site) -> None:
    filter_decides(site, every_decision(lambda decision: replace(decision, thresholds={})))


@fault(*FAILED, "is no record", logged=1)
def what_is_blocked_has_scores_that_are_not_numbers(site: Site) -> None:
    filter_decides(
        site,
        every_decision(lambda d: replace(d, allowed=False, rule="x", scores=dict.fromkeys(d.scores, math.nan))),
    )


@fault(*FAILED, "is no record", logged=1)
def the_decision_allows_with_a_word_instead_of_a_truth(site: Site) -> None:
    filter_decides(site, every_decision(lambda decision: replace(decision, allowed="yes")))


@fault("the model failed", "MemoryError", "do next")
def memory_runs_out_while_concepts_are_read(site: Site) -> None:
    tower_raises(site, "encode_text", MemoryError())


@fault("wrong shape", "do next")
def the_text_tower_gives_too_few_embeddings(site: Site) -> None:
    tower_gives(site, "encode_text", lambda seen: seen[1:])


@fault("the text filter failed", "gives no direction", logged=1)
def a_word_of_the_prompt_gives_no_numbers(site: Site) -> None:
    from safety.text_filter import ClipTextFilter

    real = ClipTextFilter.scores

    def scores(self: ClipTextFilter, text: str) -> dict[str, float]:
        with site.patch.context() as patch:
            import open_clip

            tower = open_clip.CLIP.encode_text
            patch.setattr(open_clip.CLIP, "encode_text", lambda *given: tower(*given) * float("nan"))
            return real(self, text)

    site.patch.setattr(ClipTextFilter, "scores", scores)


@fault("the prompt filter failed", "is no record", logged=1)
def a_prompts_score_is_not_a_number(site: Site) -> None:
    from safety.text_filter import ClipTextFilter

    site.patch.setattr(ClipTextFilter, "scores", lambda self, text: {"violence": math.nan})


@fault("the text filter failed", "no answer within", logged=1)
def the_text_filter_never_answers(site: Site) -> None:
    from safety.text_filter import ClipTextFilter

    never = Event()
    site.patch.setattr(ClipTextFilter, "scores", lambda *_: never.wait(30))
    site.patch.setattr(ClipTextFilter.__init__, "__defaults__", ("prompt", 0.05))


@fault("holds half a character", "correct every line above")
def the_prompt_is_no_text(site: Site) -> None:
    site.request["prompts"] = ("a red \udcff fish",)


@fault("the prompt filter failed", "MemoryError", logged=1)
def memory_runs_out_while_words_are_read(site: Site) -> None:
    import safety.prompt

    site.patch.setattr(safety.prompt, "readings", raising(MemoryError()))


@fault("the prompt filter failed", "FileNotFoundError", logged=1)
def a_source_of_the_prompt_filter_is_gone(site: Site) -> None:
    import safety.prompt

    site.patch.setattr(safety.prompt, "_SOURCES", ("nowhere.py",))


@fault("the prompt filter failed", "did not decide", logged=1)
def the_prompt_filter_just_says_yes(site: Site) -> None:
    from safety.prompt_stages import LayeredPromptFilter

    site.patch.setattr(LayeredPromptFilter, "screen", lambda self, prompt: True)
