"""What a training step changes: the adapter's weights and the optimiser's moments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.errors import CheckpointError
from training.replay_digests import moments_digest, tensors_digest

if TYPE_CHECKING:
    import torch

MOMENTS = ("exp_avg", "exp_avg_sq", "step")
_ADAPTER = "adapter/"


@dataclass(frozen=True)
class State:
    """Adapter weights by name, and AdamW's moments by name; before the first step there are no moments.

    The tensors are those of the training itself where it was taken from one: they change with the next step.
    """

    weights: Mapping[str, torch.Tensor]
    moments: Mapping[str, Mapping[str, torch.Tensor]]

    @classmethod
    def of(cls, parameters: Mapping[str, torch.Tensor], optimiser: torch.optim.Optimizer) -> State:
        """The state of a training; ``parameters`` is in the order of the optimiser's one group."""
        state = optimiser.state_dict()["state"]
        moments = {name: {kind: state[i][kind] for kind in MOMENTS} for i, name in enumerate(parameters) if i in state}
        return cls(parameters, moments)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> State:
        """The state in a file's tensors; raises KeyError when a parameter lacks a moment."""
        weights = {name.removeprefix(_ADAPTER): t for name, t in tensors.items() if name.startswith(_ADAPTER)}
        return cls(weights, {name: {kind: tensors[f"{kind}/{name}"] for kind in MOMENTS} for name in weights})

    def to_tensors(self) -> dict[str, torch.Tensor]:
        """The tensors as files keep them: ``adapter/NAME``, ``exp_avg/NAME``, ``exp_avg_sq/NAME``, ``step/NAME``."""
        tensors = {f"{_ADAPTER}{name}": tensor for name, tensor in self.weights.items()}
        tensors |= {f"{kind}/{name}": kinds[kind] for name, kinds in self.moments.items() for kind in MOMENTS}
        return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}

    def digests(self) -> tuple[str, str]:
        """The digests of adapter and optimiser, as a link of the replay chain names them."""
        return tensors_digest(self.weights), moments_digest(self.moments)

    def restore(self, parameters: Mapping[str, torch.Tensor], optimiser: torch.optim.Optimizer) -> None:
        """Copies this state into a model and a new optimiser over it; raises CheckpointError when it does not fit."""
        import torch

        shapes = {name: tuple(p.shape) for name, p in parameters.items()}
        if shapes != {name: tuple(t.shape) for name, t in self.weights.items()}:
            raise CheckpointError("the checkpoint's layers are not those of this base and configuration")
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(self.weights[name])
        groups = optimiser.state_dict()["param_groups"]
        moments = {i: dict(self.moments[name]) for i, name in enumerate(parameters)}
        optimiser.load_state_dict({"state": moments, "param_groups": groups})
