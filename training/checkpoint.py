"""Where a training can go on from: one safetensors file with adapter, optimiser state and losses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provenance.canonical import canonical_json, parse_json
from provenance.files import read_file, write_file
from training.errors import CheckpointError

if TYPE_CHECKING:
    import torch

TYPE = "urn:prov:checkpoint:v1"
KEPT = 2
_NAME = re.compile(r"step-(\d{8})\.safetensors")
_LOSSES = "losses"
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


@dataclass(frozen=True)
class Binding:
    """The training a checkpoint belongs to, by the digests of what determines it."""

    base: str
    config: str
    dataset: str


@dataclass(frozen=True)
class Checkpoint:
    """A training after ``step`` steps: adapter weights by name, AdamW's moments by name, one loss for each step."""

    binding: Binding
    step: int
    weights: Mapping[str, torch.Tensor]
    moments: Mapping[str, Mapping[str, torch.Tensor]]
    losses: tuple[float, ...]
    started: str
    resumed_at: tuple[int, ...]

    def save(self, folder: Path) -> Path:
        """Writes ``step-NNNNNNNN.safetensors``, whole or not at all, and lets go of all but the newest two."""
        import torch
        from safetensors.torch import save

        tensors = {f"adapter/{name}": tensor.detach().cpu().contiguous() for name, tensor in self.weights.items()}
        for name, moments in self.moments.items():
            tensors |= {f"{kind}/{name}": moments[kind].detach().cpu().contiguous() for kind in _MOMENTS}
        tensors[_LOSSES] = torch.tensor(self.losses, dtype=torch.float64)
        state = {
            "type": TYPE,
            "binding": asdict(self.binding),
            "resumed_at": list(self.resumed_at),
            "started": self.started,
            "step": self.step,
        }
        path = folder / f"step-{self.step:08}.safetensors"
        write_file(path, save(tensors, {"prov.checkpoint": canonical_json(state).decode()}))
        for old in _checkpoints(folder)[:-KEPT]:
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
        weights = {name.removeprefix("adapter/"): t for name, t in tensors.items() if name.startswith("adapter/")}
        moments = {name: {kind: tensors[f"{kind}/{name}"] for kind in _MOMENTS} for name in weights}
        losses = tuple(tensors[_LOSSES].tolist())
        return cls(found, state["step"], weights, moments, losses, state["started"], tuple(state["resumed_at"]))


def moments_of(optimiser: torch.optim.Optimizer, names: list[str]) -> dict[str, dict[str, torch.Tensor]]:
    """AdamW's state by parameter name; ``names`` is in the order of its one parameter group."""
    state = optimiser.state_dict()["state"]
    return {name: {kind: state[i][kind] for kind in _MOMENTS} for i, name in enumerate(names)}


def restore_moments(
    optimiser: torch.optim.Optimizer, names: list[str], moments: Mapping[str, Mapping[str, torch.Tensor]]
) -> None:
    """Puts saved moments back into a new optimiser over the same parameters."""
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": {i: dict(moments[n]) for i, n in enumerate(names)}, "param_groups": groups})


def restore_weights(parameters: Mapping[str, torch.Tensor], checkpoint: Checkpoint) -> None:
    """Copies saved adapter weights into the model's parameters; raises CheckpointError when they do not fit."""
    import torch

    shapes = {name: tuple(p.shape) for name, p in parameters.items()}
    if shapes != {name: tuple(t.shape) for name, t in checkpoint.weights.items()}:
        raise CheckpointError("the checkpoint's layers are not those of this base and configuration")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(checkpoint.weights[name])


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
        whole = (
            state["type"] == TYPE
            and set(state) == {"type", "binding", "resumed_at", "started", "step"}
            and set(state["binding"]) == {"base", "config", "dataset"}
            and tensors[_LOSSES].shape == (state["step"],)
            and all(f"{k}/{n[8:]}" in tensors for n in tensors if n.startswith("adapter/") for k in _MOMENTS)
        )
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise _damaged(path) from error
    if not whole:
        raise _damaged(path)
    return state, tensors


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path} is damaged", fix="delete it and run again with --resume: the checkpoint before it is used"
    )
