"""Parties to a federated training: each has a home, an issuer and, but for the server, a signed dataset of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from provenance.dataset import sign_dataset, verify_dataset
from provenance.home import Home
from provenance.identity import Issuer, create_issuer
from provenance.manifest import DatasetManifest
from provenance.trust import TrustStore
from training.config import TrainConfig

# Two rounds of two steps.
QUICK = TrainConfig(
    steps=4,
    warmup_steps=1,
    batch_size=2,
    rank=2,
    alpha=3.0,
    targets=("to_q", "to_v"),
    learning_rate=0.02,
    sample_count=0,
    kohya=False,
    threads=1,
    device="cpu",
)
ROUNDS = 2
# Of different sizes, so that a mean that is not weighted is another.
SIZES = {"Ada": 2, "Bea": 3, "Cid": 5}


@dataclass(frozen=True)
class Party:
    """One party: its name, its home, its issuer and, but for the server, its dataset."""

    name: str
    home: Home
    issuer: Issuer
    dataset: Path | None

    def manifest(self) -> DatasetManifest:
        assert self.dataset is not None
        return verify_dataset(self.dataset, TrustStore(frozenset({self.issuer.root_digest})))


def make_party(folder: Path, name: str, pictures: int = 0) -> Party:
    home = Home.create(folder / "home")
    issuer = create_issuer(home, name)
    if not pictures:
        return Party(name, home, issuer, None)
    source = folder / "pictures"
    source.mkdir()
    draw = np.random.default_rng(sum(name.encode()))
    for index in range(pictures):
        Image.fromarray(draw.integers(0, 255, (40, 40, 3), np.uint8)).save(source / f"{index}.png")
        (source / f"{index}.txt").write_text(f"picture {index} of {name}")
    release = folder / "dataset"
    sign_dataset(source, release, issuer=issuer, licence="CC0-1.0", holder=name, name=f"{name}'s pictures")
    return Party(name, home, issuer, release)
