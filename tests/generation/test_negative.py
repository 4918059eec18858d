"""Negative prompts are texts that somebody wrote: screened, named by keyed digest, refused where they do nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from generation.errors import PromptBlocked, SamplingFailed
from generation.loading import load_pipeline
from generation.order import generate
from generation.request import GenerationRequest
from generation.sampling import Sampling, sample
from generation.screening import PromptKey
from generation.wanted import Wanted, batches
from provenance.base import resolve_base
from provenance.errors import UsageError
from provenance.files import read_file
from provenance.home import Home
from provenance.setup import set_up
from safety.decision import Decision
from tests.training.conftest import save_tiny_pipeline

PROMPT, NEGATIVE = "a red fish in the desert", "a blue house"
REQUEST = GenerationRequest((PROMPT,), seed=5, steps=2, negative=NEGATIVE)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return set_up(tmp_path_factory.mktemp("home") / "home", name="Test Studio").home


@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_a_negative_prompt_changes_the_picture_and_only_its_own(tmp_path: Path, kind: str) -> None:
    pipeline = load_pipeline(resolve_base(str(save_tiny_pipeline(tmp_path / kind, kind))), None)
    how = Sampling(steps=3, guidance=7.0)
    plain = sample(pipeline, ["a dot", "a dot"], [1, 2], how, 1)
    first, second = sample(pipeline, ["a dot", "a dot"], [1, 2], how, 1, None, ["a square", "a ring"])
    (alone,) = sample(pipeline, ["a dot"], [2], how, 1, None, ["a ring"])
    assert not np.array_equal(plain[0], first)
    assert np.abs(second.astype(int) - alone).max() <= 1


def test_it_is_recorded_as_a_keyed_digest_with_its_decision(home: Home, tmp_path: Path) -> None:
    (image,) = generate(REQUEST, home=home, out=tmp_path / "a").images
    negative = image.record.parameters["negative"]
    assert negative["hmac"] == PromptKey.of_home(home).name(NEGATIVE)
    assert Decision.from_json(negative["decision"]).stage == "prompt"
    assert NEGATIVE.encode() not in read_file(image.path) + image.record.to_bytes()
    assert [decision["stage"] for decision in image.record.safety] == ["prompt", "output"]
    (clear,) = generate(replace(REQUEST, clear_prompt=True), home=home, out=tmp_path / "b").images
    assert clear.record.parameters["negative"]["text"] == NEGATIVE
    assert (
        "negative" not in generate(replace(REQUEST, negative=None), home=home, out=tmp_path).images[0].record.parameters
    )


@pytest.mark.parametrize("negative", ["a purple skull", "five s.k.u.l.l.s"])
def test_a_forbidden_negative_prompt_blocks_without_its_words(home: Home, tmp_path: Path, negative: str) -> None:
    out, log = tmp_path / "out", home.path / "safety.log"
    before = len(log.read_text().splitlines()) if log.exists() else 0
    with pytest.raises(PromptBlocked, match="blocks this negative prompt"):
        generate(replace(REQUEST, negative=negative), home=home, out=out)
    assert not out.exists()
    lines = log.read_text().splitlines()
    assert len(lines) == before + 1
    assert negative not in lines[-1]


@pytest.mark.parametrize("guidance", [0.0, 1.0])
def test_without_guidance_a_negative_prompt_is_refused(home: Home, tmp_path: Path, guidance: float) -> None:
    with pytest.raises(UsageError, match="no effect without guidance"):
        generate(replace(REQUEST, guidance=guidance), home=home, out=tmp_path)


def test_a_base_distilled_from_guidance_takes_none(tmp_path: Path) -> None:
    pipeline = load_pipeline(resolve_base(str(save_tiny_pipeline(tmp_path / "sd1", "sd1"))), None)
    pipeline.unet.register_to_config(time_cond_proj_dim=16)
    with pytest.raises(SamplingFailed, match="without a second prompt"):
        sample(pipeline, ["a dot"], [1], Sampling(2, 7.0), 1, None, ["a ring"])


def test_a_prompts_own_settings_come_before_the_requests() -> None:
    own = Wanted(PROMPT, negative="a tree", seed=99, steps=9, guidance=2.0)
    asks = list(GenerationRequest((PROMPT, own, PROMPT), steps=4, negative=NEGATIVE).asks(3.0, 10))
    assert [(a.index, a.negative, a.seed, a.steps, a.guidance) for a in asks] == [
        (0, NEGATIVE, 10, 4, 3.0),
        (1, "a tree", 99, 9, 2.0),
        (2, NEGATIVE, 12, 4, 3.0),
    ]


def test_only_pictures_drawn_in_one_manner_share_a_batch() -> None:
    prompts = ("a", "b", "c", "d", "e", Wanted("f", steps=9), Wanted("g", negative="x"), Wanted("h", negative="y"))
    asks = list(GenerationRequest(prompts).asks(3.0, 0))
    assert ["".join(ask.prompt for ask in batch) for batch in batches(asks, 4)] == ["abcd", "e", "f", "gh"]


def test_faults_of_negatives_and_of_single_prompts_are_told_together() -> None:
    with pytest.raises(UsageError) as refusal:
        GenerationRequest((PROMPT, Wanted("b", negative=" ", steps=0)), negative="x" * 5000)
    for fault in ("the negative of prompt 2 is empty", "prompt 2: 0 steps", "the negative prompt has 5000"):
        assert fault in str(refusal.value)
