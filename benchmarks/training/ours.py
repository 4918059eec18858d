"""One training by `training.lora.train` in a process of its own: `python -m benchmarks.training.ours PLAN OUT`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from benchmarks.lenient_policy import lenient_policy
from benchmarks.training.plan import Plan


def main(plan: Plan, out: Path) -> None:
    """Signs the pictures, trains, and writes ``timing.json``: the moment each step was done, by one clock."""
    from provenance.base import resolve_base
    from provenance.dataset import sign_dataset, verify_dataset
    from provenance.home import Home
    from provenance.identity import create_issuer
    from provenance.screening.screens import ScreeningChoice
    from provenance.trust import TrustStore
    from safety.policy import Policy
    from training.config import TrainConfig
    from training.lora import Progress, train

    issuer = create_issuer(Home.create(out / "home"), "Benchmark")
    sign_dataset(plan.pictures, out / "dataset", issuer=issuer, licence="CC0-1.0", holder="Benchmark")
    manifest = verify_dataset(out / "dataset", TrustStore(frozenset({issuer.root_digest})))
    config = TrainConfig(
        steps=plan.steps,
        batch_size=plan.batch_size,
        seed=plan.seed,
        rank=plan.rank,
        alpha=float(plan.rank),
        learning_rate=plan.learning_rate,
        warmup_steps=plan.warmup_steps,
        optimiser=plan.optimiser,
        caption_dropout=0.0,
        precision=plan.precision,
        threads=plan.threads,
        compile=plan.compiled,
        checkpoint_every=plan.steps,
        sample_count=0,
    )
    moments: list[float] = []

    def note(progress: Progress) -> None:
        if progress.stage == "training":
            moments.append(time.monotonic())

    train(
        manifest,
        resolve_base(str(plan.base)),
        config,
        out / "release",
        issuer=issuer,
        name="ours",
        screening=ScreeningChoice(Policy.parse(lenient_policy())),
        progress=note,
    )
    (out / "timing.json").write_text(json.dumps({"moments": moments, "device_peak": _device_peak()}))


def _device_peak() -> int | None:
    import torch

    return torch.cuda.max_memory_reserved() if torch.cuda.is_available() else None


if __name__ == "__main__":
    main(Plan.from_text(sys.argv[1]), Path(sys.argv[2]))
