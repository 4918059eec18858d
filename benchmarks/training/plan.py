"""What both trainers are asked to do."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from provenance.canonical import Json


@dataclass(frozen=True)
class Plan:
    """One training in the words of both: LoRA on the attention's four projections, alpha = rank, AdamW, cosine."""

    base: Path
    pictures: Path
    side: int
    steps: int
    batch_size: int = 4
    rank: int = 16
    learning_rate: float = 1e-4
    warmup_steps: int = 5
    precision: str = "fp32"
    threads: int = 1
    seed: int = 0
    # Ours alone: what the other has no word for.
    optimiser: str = "adamw-fused"
    compiled: bool = False

    def to_json(self) -> Json:
        return {**asdict(self), "base": str(self.base), "pictures": str(self.pictures)}

    @classmethod
    def from_text(cls, text: str) -> Plan:
        raw = json.loads(text)
        return cls(**{**raw, "base": Path(raw["base"]), "pictures": Path(raw["pictures"])})


@dataclass(frozen=True)
class Asked:
    """What a comparison is asked for, whatever the base."""

    steps: int
    rounds: int
    batch_size: int
    threads: int
    device: str
    compiled: bool


@dataclass(frozen=True)
class Timing:
    """How one training went: seconds at which its first and its last counted step ended, and its peak memory."""

    images_per_second: float
    seconds: float
    peak_bytes: int
    device_peak_bytes: int | None
    adapter: Path
