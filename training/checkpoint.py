"""Where a training can go on from: one safetensors file with adapter, optimiser state, losses and replay chain."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provenance.canonical import canonical_json, parse_json
from provenance.errors import FormatError
from provenance.files import read_file, write_file
from training.errors import CheckpointError
from training.replay.chain import Binding, Trail
from training.state import State
from training.watch import Watch

if TYPE_CHECKING:
    import torch

TYPE = "urn:prov:checkpoint:v3"
KEPT = 2
_NAME = re.compile(r"step-(\d{8})\.safetensors")
_LOSSES = "losses"


@dataclass(frozen=True)
class Checkpoint:
    """A training after ``step`` steps: all that a step changes, the replay chain so far, and one loss for each step."""

    binding: Binding
    step: int
    state: State
    trail: Trail
    losses: tuple[float, ...]
    started: str
    resumed_at: tuple[int, ...]
    watch: Watch

    def save(self, folder: Path, keep: int | None = KEPT) -> Path:
        """Writes ``step-NNNNNNNN.safetensors``, whole or not at all, and lets go of all but the newest ``keep``."""
        import torch
        from safetensors.torch import save

        tensors = self.state.to_tensors() | {_LOSSES: torch.tensor(self.losses, dtype=torch.float64)}
        state = {
            "type": TYPE,
            "binding": asdict(self.binding),
            "resumed_at": list(self.resumed_at),
            "started": self.started,
            "step": self.step,
            "trail": self.trail.to_json(),
            "validations": self.watch.to_json(),
        }
        path = folder / f"step-{self.step:08}.safetensors"
        write_file(path, save(tensors, {"prov.checkpoint": canonical_json(state).decode()}))
        for old in _checkpoints(folder)[:-keep] if keep else ():
            old.unlink()
        return path

    @classmethod
    def latest(cls, folder: Path, binding: Binding) -> Checkpoint | None:
        """The newest checkpoint of a folder, or None; raises CheckpointError when it is another training's."""
        paths = _checkpoints(folder)
        if not paths:
            return None
        state, tensors = _parse(paths[-1])
        found = Binding(**state["binding"])
        differing = [name for name, digest in asdict(binding).items() if getattr(found, name) != digest]
        if differing:
            raise CheckpointError(
                f"{paths[-1]} belongs to another training",
                expected=f"the same {' and '.join(differing)}",
                fix="repeat the command that was interrupted, with --resume; or train into another folder with --out",
            )
        try:
            held = State.from_tensors({name: tensor for name, tensor in tensors.items() if name != _LOSSES})
            trail = Trail.from_json(state["trail"], found, state["step"], f"the replay chain in {paths[-1].name}")
            watch = Watch.from_json(state["validations"], paths[-1].name)
        except (CheckpointError, FormatError) as error:
            raise _damaged(paths[-1]) from error
        losses = tuple(tensors[_LOSSES].tolist())
        return cls(found, state["step"], held, trail, losses, state["started"], tuple(state["resumed_at"]), watch)


def forget_older(folder: Path, kept: Path) -> None:
    """Deletes the states of ``folder`` that a training which goes on from any checkpoint in ``kept`` cannot need.

    That is all that are older than the newest one at or before the oldest of those checkpoints.
    """
    first = min((_step_of(path) for path in _checkpoints(kept)), default=0)
    for path in [path for path in _checkpoints(folder) if _step_of(path) <= first][:-1]:
        path.unlink()


def _step_of(path: Path) -> int:
    return int(path.stem.removeprefix("step-"))


def forget_after(folder: Path, step: int) -> None:
    """Deletes the checkpoints of later steps: a training that goes on from ``step`` repeats them."""
    for path in _checkpoints(folder):
        if _step_of(path) > step:
            path.unlink()


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*.safetensors") if _NAME.fullmatch(path.name))


def _parse(path: Path) -> tuple[Any, dict[str, torch.Tensor]]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    data = read_file(path)
    try:
        tensors = load(data)
        header = parse_json(data[8 : 8 + int.from_bytes(data[:8], "little")], str(path))
        state = parse_json(header["__metadata__"]["prov.checkpoint"].encode(), str(path))
        if state["type"] != TYPE:
            raise _foreign(path, str(state["type"])[:80])
        whole = (
            set(state) == {"type", "binding", "resumed_at", "started", "step", "trail", "validations"}
            and set(state["binding"]) == {"base", "config", "dataset"}
            and tensors[_LOSSES].shape == (state["step"],)
        )
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise _damaged(path) from error
    if not whole:
        raise _damaged(path)
    return state, tensors


def _foreign(path: Path, found: str) -> CheckpointError:
    return CheckpointError(
        f"{path} was written by another version of prov",
        expected=TYPE,
        found=found,
        fix="go on with that version, or delete the folder to begin anew",
    )


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path} is damaged", fix="delete it and run again with --resume: the checkpoint before it is used"
    )
