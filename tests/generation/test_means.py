"""By what means pictures are drawn changes nothing about them but the last bits: precision, batches, compiling."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import numpy as np
import pytest

from generation.easel import Easel, Plan
from generation.loading import load_pipeline, require_compiler
from generation.means import Means
from generation.sampling import Sampling, sample
from generation.wanted import Ask
from provenance.base import BaseModel, resolve_base
from provenance.errors import UsageError
from tests.training.conftest import save_tiny_pipeline

TWO_STEPS = Sampling(steps=2, guidance=3.0)


def can_compile() -> bool:
    try:
        require_compiler()
    except UsageError:
        return False
    return True


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    return resolve_base(str(save_tiny_pipeline(tmp_path_factory.mktemp("base") / "sd1", "sd1")))


def plan_of(*seeds: int) -> Plan:
    asks = tuple(Ask(index, "a dot", None, seed, 2, 3.0) for index, seed in enumerate(seeds))
    return Plan(asks, tuple(range(len(seeds))), tuple(range(len(seeds))))


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_draws_nearly_the_same(base: BaseModel, precision: str) -> None:
    (full,) = sample(load_pipeline(base, None), ["a dot"], [1], TWO_STEPS, 1)
    pipeline = load_pipeline(base, None, means=Means(precision=precision))
    (half,) = sample(pipeline, ["a dot"], [1], TWO_STEPS, 1)
    assert pipeline.unet.dtype.itemsize == 2
    assert np.abs(full.astype(int) - half).mean() < 8


def test_many_at_once_are_decoded_one_by_one_and_are_the_same(base: BaseModel) -> None:
    pipeline = load_pipeline(base, None, means=Means(batch_size=8))
    assert pipeline.vae.use_slicing
    six = sample(pipeline, ["a dot"] * 6, list(range(6)), TWO_STEPS, 1)
    (last,) = sample(pipeline, ["a dot"], [5], TWO_STEPS, 1)
    assert np.abs(six[5].astype(int) - last).max() <= 1


def test_a_short_batch_is_filled_up_for_what_was_compiled_and_gives_no_more_than_was_asked(base: BaseModel) -> None:
    pipeline, sizes = load_pipeline(base, None), []

    def counting(pipeline: object, prompts: list[str], *given: object, **named: object) -> list[np.ndarray]:
        sizes.append(len(prompts))
        return sample(pipeline, prompts, *given, **named)  # type: ignore[arg-type]

    short = Easel(pipeline, counting, 1, always=4).draw(plan_of(1, 2, 3), Event())
    exact = Easel(pipeline, counting, 1).draw(plan_of(1, 2, 3), Event())
    assert sizes == [4, 3]
    assert len(short.pictures) == 3
    for one, other in zip(short.pictures, exact.pictures, strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1


@pytest.mark.skipif(not can_compile(), reason="no C++ compiler here")
def test_the_denoiser_is_compiled_after_everything_else(base: BaseModel) -> None:
    assert load_pipeline(base, None).unet._compiled_call_impl is None
    assert load_pipeline(base, None, means=Means(compiled=True)).unet._compiled_call_impl is not None


def test_without_a_compiler_compiling_is_refused(
    base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", str(tmp_path / "no-compiler"))
    with pytest.raises(UsageError, match="cannot be compiled here") as refusal:
        load_pipeline(base, None, means=Means(compiled=True))
    assert "--compile" in str(refusal.value)


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"batch_size": 257}, {"precision": "fp8"}])
def test_impossible_means_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Means(**wrong)  # type: ignore[arg-type]
