"""The finished adapter as a signed release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from provenance.adapter import WEIGHTS, AdapterManifest, sign_adapter, verify_adapter
from provenance.base import BaseModel
from provenance.canonical import canonical_json
from provenance.identity import Issuer
from provenance.manifest import DatasetManifest
from provenance.screening.report import SCREENING
from provenance.signing import staged
from provenance.trust import TrustStore
from training.attestation import Run, attest
from training.config import TrainConfig
from training.screening import TRAINER, Screened
from training.weights import adapter_bytes, adapter_metadata, kohya_bytes

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

KOHYA_NAME = "kohya.safetensors"
CONFIG_NAME = "config.json"
SAMPLES = "samples"


def write_release(
    release: Path,
    weights: Mapping[str, torch.Tensor],
    samples: Sequence[tuple[str, Image]],
    manifest: DatasetManifest,
    base: BaseModel,
    config: TrainConfig,
    run: Run,
    screened: Screened,
    issuer: Issuer,
) -> AdapterManifest:
    """Writes weights, settings and sample pictures (with their prompts), signs them and moves them into place.

    A screening report of the trainer's own goes with them; one of the maker's is signed with the dataset.
    """
    with staged(release) as staging:
        folder = staging / "adapter"
        folder.mkdir()
        metadata = adapter_metadata(manifest, base, config, run)
        (folder / WEIGHTS).write_bytes(adapter_bytes(weights, config, metadata))
        if config.kohya:
            (folder / KOHYA_NAME).write_bytes(kohya_bytes(weights, config, metadata))
        # These bytes are the ones whose SHA-256 is the configuration's digest.
        (folder / CONFIG_NAME).write_bytes(canonical_json(config.to_dict()))
        if screened.by == TRAINER:
            (folder / SCREENING).write_bytes(screened.report.to_bytes())
        if samples:
            (folder / SAMPLES).mkdir()
            (folder / SAMPLES / "prompts.json").write_bytes(canonical_json([prompt for prompt, _ in samples]))
        for index, (_, picture) in enumerate(samples):
            picture.save(folder / SAMPLES / f"{index:02}.png")
        predicate = attest(manifest, base, config, run, screened)
        sign_adapter(staging, issuer=issuer, predicate=predicate, dataset=manifest)
    return verify_adapter(release, TrustStore(frozenset({issuer.root_digest})))
