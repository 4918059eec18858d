"""How far off the denoiser is on pictures that it is not trained on, always under the same noise and at the same times.

The loss of training jumps with every draw; this one falls while something is learned, and rises once pictures are
learned by heart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from training.compiled import uncompiled
from training.draws import generator
from training.errors import TrainingError

if TYPE_CHECKING:
    from provenance.manifest import DatasetManifest
    from provenance.records import Record
    from training.config import TrainConfig
    from training.families.protocol import Family
    from training.setup import Setup

TIMES = 4
"""Draws of noise and time for each picture."""
MAX_PICTURES = 64
"""So many of the pictures held out are looked at: a larger number makes the loss no steadier than the noise of it."""


def choose_held_out(records: Sequence[Record], config: TrainConfig) -> tuple[int, ...]:
    """The items that ``validation_share`` holds out, rising; the seed chooses. Raises TrainingError if none is left.

    Pictures with the same bytes are held out together: none is validated on that was trained on.
    """
    import torch

    if not config.validation_share:
        return ()
    distinct = sorted({record.sha256 for record in records})
    if len(distinct) < 2:
        raise TrainingError(
            "no picture can be held out for validation",
            expected="at least two different pictures",
            found=str(len(distinct)),
            fix="set `validation_share = 0`",
        )
    count = min(max(1, round(config.validation_share * len(distinct))), len(distinct) - 1)
    order = torch.randperm(len(distinct), generator=generator(config.seed, 0, 0, "held out")).tolist()
    chosen = {distinct[place] for place in order[:count]}
    return tuple(item for item, record in enumerate(records) if record.sha256 in chosen)


def held_out_paths(manifest: DatasetManifest, config: TrainConfig) -> tuple[str, ...]:
    """The paths of the pictures that no batch shows, for the attestation."""
    return tuple(manifest.records[item].path for item in choose_held_out(manifest.records, config))


def validation_loss(setup: Setup) -> float:
    """The mean loss over the pictures held out; the same number for the same weights, and no trace of it is left.

    Every picture is shown under its caption with ``TIMES`` draws of noise and time, without whatever makes training
    harder (dropout, offset noise, perturbation) and without min-SNR weights. Raises TrainingError when nothing is held
    out.
    """
    import torch

    from training.batch import make_batch, sample_losses

    cache, family = setup.cache, setup.family
    if not cache.held_out:
        raise TrainingError("no pictures are held out", fix="set a `validation_share` above 0")
    config = replace(setup.config, noise_offset=0.0, input_perturbation=0.0, adversarial_noise=0.0, min_snr_gamma=0.0)
    losses = []
    with _evaluating(family), uncompiled(setup.config), torch.no_grad():
        for draw in range(TIMES):
            for slots in cache.held_out_slots(MAX_PICTURES):
                # Steps of a training are never negative, so no step shares these draws.
                batch = make_batch(family, cache, config, -1 - draw, slots)
                losses.append(sample_losses(family, batch, config).double().cpu())
    return float(torch.cat(losses).mean())


@contextmanager
def _evaluating(family: Family) -> Iterator[None]:
    """Without dropout; the random state and every part's mode are as before afterwards."""
    import torch

    parts = [module for part in (family.denoiser, *family.text_encoders.values()) for module in part.modules()]
    modes = [part.training for part in parts]
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if family.device == "cuda" else []):
        try:
            for part in parts:
                part.training = False
            yield
        finally:
            for part, mode in zip(parts, modes, strict=True):
                part.training = mode
