"""What differential privacy leaves of a training: rockets taught to the starter model, with and without a budget.

Run by ``python -m benchmarks.private_utility``; prints the table of docs/private-training.md. The loss is that of
rockets which no training saw, under the same noise and at the same times, so rows can be compared.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from generation.starter.demo_dataset import write_demo_dataset
from provenance.base import BaseModel, resolve_base
from provenance.dataset import sign_dataset, verify_dataset
from provenance.home import Home
from provenance.identity import Issuer, create_issuer
from provenance.manifest import DatasetManifest
from provenance.trust import TrustStore
from training.batch import make_batch, sample_losses
from training.config import TrainConfig
from training.dataset.cache import Cache, build_cache
from training.loop import apply_gradients, compute_gradients
from training.presets import starter_config
from training.private.accounting import plan_privacy
from training.private.gradients import private_gradients
from training.private.warning import Outlook, count_trained
from training.setup import Setup, set_up, torch_settings

UNSEEN, DRAWS = 12, 4


@dataclass(frozen=True)
class Case:
    """One training: how many pictures, in batches of how many, and with what budget (0: without privacy)."""

    pictures: int
    batch: int
    steps: int
    epsilon: float
    clip: float


CASES = (
    Case(24, 8, 60, 0, 0.1),
    Case(24, 8, 60, 1000, 0.1),
    Case(24, 8, 60, 100, 0.1),
    Case(24, 8, 60, 8, 0.1),
    Case(480, 24, 30, 0, 0.1),
    Case(480, 24, 30, 8, 0.1),
    Case(480, 24, 30, 8, 1.0),
)


def main() -> None:
    warnings.simplefilter("ignore")
    base = resolve_base("starter")
    print("| pictures | batch | steps | epsilon | clip | sigma | signal to noise, at best | loss | gain kept |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        issuer = create_issuer(Home.create(work / "home"), "Benchmark")
        unseen = _rockets(work, issuer, UNSEEN, seed=1234)
        gains: dict[int, float] = {}
        for case in CASES:
            manifest = _rockets(work, issuer, case.pictures, seed=11)
            before, after = _trained(case, base, manifest, unseen, work)
            gains.setdefault(case.pictures, before - after)
            print(_row(case, base, before, after, gains[case.pictures]), flush=True)


def _row(case: Case, base: BaseModel, before: float, after: float, gain: float) -> str:
    sigma = ratio = "–"
    if case.epsilon:
        config = _config(case, base)
        plan = plan_privacy(config, case.pictures)
        sigma, ratio = f"{plan.sigma:.2f}", f"{Outlook(plan, count_trained(base, config)).ratio:.3f}"
    epsilon = f"{case.epsilon:g}" if case.epsilon else "none"
    clip = f"{case.clip:g}" if case.epsilon else "–"
    kept = (before - after) / gain
    return (
        f"| {case.pictures} | {case.batch} | {case.steps} | {epsilon} | {clip} | {sigma} | {ratio} "
        f"| {before:.4f} → {after:.4f} | {kept:.0%} |"
    )


def _config(case: Case, base: BaseModel) -> TrainConfig:
    return replace(
        starter_config(base),
        steps=case.steps,
        batch_size=8,
        accumulate=case.batch // 8,
        warmup_steps=5,
        rank=4,
        alpha=4.0,
        dp_epsilon=float(case.epsilon),
        dp_delta=1e-5,
        dp_clip=case.clip,
    )


def _rockets(work: Path, issuer: Issuer, count: int, seed: int) -> DatasetManifest:
    release = work / f"rockets-{count}"
    if not release.exists():
        write_demo_dataset(work / f"pictures-{count}", count, seed)
        sign_dataset(work / f"pictures-{count}", release, issuer=issuer, licence="CC0-1.0", holder="prov")
    return verify_dataset(release, TrustStore(frozenset({issuer.root_digest})))


def _trained(
    case: Case, base: BaseModel, manifest: DatasetManifest, unseen: DatasetManifest, work: Path
) -> tuple[float, float]:
    """The loss on unseen rockets before and after a training."""
    config = _config(case, base)
    with torch_settings(config, "cpu"):
        setup = set_up(manifest, base, config, "cpu", work, lambda *_: None)
        others = build_cache(setup.family, unseen, config, work, lambda *_: None)
        before = _loss(setup, others)
        take: Callable[[int], Any] = private_gradients(setup) if case.epsilon else partial(compute_gradients, setup)
        for step in range(config.steps):
            take(step)
            apply_gradients(setup, step)
        return before, _loss(setup, others)


def _loss(setup: Setup, others: Cache) -> float:
    import torch

    losses = []
    with torch.no_grad():
        for draw in range(DRAWS):
            slots = [others.slot(draw, item, item) for item in range(UNSEEN)]
            batch = make_batch(setup.family, others, setup.config, draw, slots)
            losses.append(float(sample_losses(setup.family, batch, setup.config).mean()))
    return sum(losses) / len(losses)


if __name__ == "__main__":
    main()
