"""The finished adapter as a signed release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from provenance.a1111 import text_chunks
from provenance.adapter import WEIGHTS, AdapterManifest, sign_adapter, verify_adapter
from provenance.base import BaseModel
from provenance.canonical import canonical_json, sha256_hex
from provenance.identity import Issuer
from provenance.manifest import DatasetManifest
from provenance.screening.report import SCREENING
from provenance.signing import staged
from provenance.trigger import EMBEDDINGS, is_learned
from provenance.trust import TrustStore
from training.attestation import Run, attest
from training.config import TrainConfig
from training.kohya import kohya_bytes
from training.metadata import adapter_metadata, embedding_metadata
from training.replay.chain import Trail, tensors_body
from training.samples import sample_parameters
from training.screening import TRAINER, Screened
from training.weights import adapter_bytes, embedding_bytes

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

KOHYA_NAME = "kohya.safetensors"
CONFIG_NAME = "config.json"
SAMPLES = "samples"


def adapter_files(
    weights: Mapping[str, torch.Tensor], config: TrainConfig, metadata: Mapping[str, str]
) -> dict[str, bytes]:
    """The weights in every layout that is released, and the vectors of a learned trigger, by file name."""
    files = {WEIGHTS: adapter_bytes(weights, config, metadata)}
    if config.kohya:
        files[KOHYA_NAME] = kohya_bytes(weights, config, metadata)
    if is_learned(config.trigger):
        files[EMBEDDINGS] = embedding_bytes(weights, config, embedding_metadata(metadata))
    return files


def write_release(
    release: Path,
    weights: Mapping[str, torch.Tensor],
    samples: Sequence[tuple[str, Image]],
    manifest: DatasetManifest,
    base: BaseModel,
    config: TrainConfig,
    run: Run,
    screened: Screened,
    trail: Trail,
    issuer: Issuer,
) -> AdapterManifest:
    """Writes weights, settings and sample pictures (with their prompts), signs them and moves them into place.

    A screening report of the trainer's own goes with them; one of the maker's is signed with the dataset. The replay
    chain of the training is closed over the tensors of the files.
    """
    with staged(release) as staging:
        folder = staging / "adapter"
        folder.mkdir()
        files = adapter_files(weights, config, adapter_metadata(manifest, base, config, run))
        for name, data in files.items():
            (folder / name).write_bytes(data)
        # These bytes are the ones whose SHA-256 is the configuration's digest.
        (folder / CONFIG_NAME).write_bytes(canonical_json(config.to_dict()))
        if screened.by == TRAINER:
            (folder / SCREENING).write_bytes(screened.report.to_bytes())
        if samples:
            (folder / SAMPLES).mkdir()
            (folder / SAMPLES / "prompts.json").write_bytes(canonical_json([prompt for prompt, _ in samples]))
        for index, (prompt, picture) in enumerate(samples):
            told = sample_parameters(prompt, picture.size, base.id, run.name, sha256_hex(files[WEIGHTS]), config)
            picture.save(folder / SAMPLES / f"{index:02}.png", pnginfo=text_chunks(told))
        chain = trail.closed({name: sha256_hex(tensors_body(data)) for name, data in files.items()})
        predicate = attest(manifest, base, config, run, screened, chain)
        sign_adapter(staging, issuer=issuer, predicate=predicate, dataset=manifest)
    return verify_adapter(release, TrustStore(frozenset({issuer.root_digest})))
