from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from generation.audit.drawing import require_guidance
from generation.audit.model import AuditedModel
from generation.audit.score_norm import recorded_norms
from generation.errors import SamplingFailed
from generation.loading import load_pipeline
from generation.sampling import Sampling, sample


@pytest.fixture
def pipeline(starter: AuditedModel) -> Any:
    return load_pipeline(starter.base, None)


def norms_of(pipeline: Any, prompts: list[str]) -> np.ndarray:
    with recorded_norms(pipeline) as norms:
        sample(pipeline, prompts, list(range(len(prompts))), Sampling(3, 3.0), 1)
    return np.stack(norms, axis=1)


def test_every_step_has_a_pull_for_every_prompt_and_no_words_pull_nowhere(pipeline: Any) -> None:
    norms = norms_of(pipeline, ["a red fish in the desert", ""])
    assert norms.shape == (2, 3)
    assert norms[0, 1:].min() > 1e-3
    assert norms[1] == pytest.approx(0, abs=1e-5)


def test_the_pull_is_that_of_the_two_predictions_as_noise(pipeline: Any) -> None:
    seen: list[tuple[Any, int]] = []
    hook = pipeline.unet.register_forward_hook(lambda _, given, out: seen.append((out[0].clone(), int(given[1]))))
    norms = norms_of(pipeline, ["a blue house at night"])
    hook.remove()
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    for step, (predicted, time) in enumerate(seen):
        kept = float(pipeline.scheduler.alphas_cumprod[time])
        # noise = sqrt(kept) · velocity + sqrt(1 - kept) · noisy picture, and the latter is the same in both.
        difference = kept**0.5 * (predicted[1] - predicted[0]).numpy()
        assert norms[0, step] == pytest.approx(np.sqrt(np.square(difference).mean()), rel=1e-4)


def test_nothing_listens_any_more_afterwards(pipeline: Any) -> None:
    with recorded_norms(pipeline) as norms:
        pass
    sample(pipeline, ["a red fish"], [0], Sampling(1, 3.0), 1)
    assert norms == []


def test_without_guidance_there_is_nothing_to_compare() -> None:
    with pytest.raises(SamplingFailed, match="guidance"):
        require_guidance(Sampling(3, 1.0))
