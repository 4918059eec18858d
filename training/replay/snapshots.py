"""Snapshots of a training's state beside its release, so that a replay can begin at any segment.

They are not signed and not shipped: the replay chain names the digest of each, and none is used before it is checked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from provenance.canonical import canonical_json
from provenance.errors import FormatError
from provenance.files import read_file, write_file
from provenance.tensors import read_header
from training.errors import CheckpointError, ReplayRefused
from training.replay.chain import Chain
from training.state import State

if TYPE_CHECKING:
    import torch

SNAPSHOTS = "replay"
TYPE = "urn:prov:replay-snapshot:v1"
_NAME = re.compile(r"step-(\d{8})\.safetensors")
# Prodigy keeps four of its own beside the weight and its average; no optimiser here keeps more.
_TENSORS_OF_A_PARAMETER = 6
_MARGIN_BYTES = 16 << 20


def save_snapshot(folder: Path, step: int, state: State) -> None:
    """Writes ``step-NNNNNNNN.safetensors`` whole or not at all."""
    from safetensors.torch import save

    path = folder / f"step-{step:08}.safetensors"
    metadata = canonical_json({"type": TYPE, "step": step}).decode()
    write_file(path, save(state.to_tensors(), {"prov.snapshot": metadata}))


def find_snapshots(folder: Path | None, chain: Chain) -> dict[int, Path]:
    """The files that claim to be states of the chain, by the index of the link they must agree with.

    Link 0 needs none: its state is drawn anew from the seed.
    """
    if folder is None or not folder.is_dir():
        return {}
    links = {link.step: index for index, link in enumerate(chain.links) if index > 0}
    named = {int(match.group(1)): path for path in sorted(folder.iterdir()) if (match := _NAME.fullmatch(path.name))}
    return {links[step]: path for step, path in named.items() if step in links}


def load_snapshot(path: Path, parameters: Mapping[str, torch.Tensor], chain: Chain, index: int) -> State:
    """Reads a state that has the digests of a link, which cover every tensor of it; raises ReplayRefused."""
    from safetensors.torch import load

    size = 4 * sum(p.numel() for p in parameters.values()) * _TENSORS_OF_A_PARAMETER
    data = read_file(path, limit=size + _MARGIN_BYTES)
    try:
        read_header(data, path.name)
        state = State.from_tensors(load(data))
    except (CheckpointError, FormatError) as error:
        raise _wrong(path, "a whole safetensors file of an adapter and its optimiser", error.what) from error
    link = chain.links[index]
    for part, digest in zip(("adapter", "optimiser"), state.digests(), strict=True):
        if digest != getattr(link.parts, part):
            raise _wrong(path, f"the {part} of the chain's link after step {link.step}", digest)
    return state


def _wrong(path: Path, expected: str, found: str) -> ReplayRefused:
    return ReplayRefused(
        f"{path} is not the state that the training signed",
        expected=expected,
        found=found,
        fix="get this snapshot again, or replay without it: that takes longer and needs none",
    )
