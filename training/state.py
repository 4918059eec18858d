"""What a training step changes: the adapter and its average, what the optimiser keeps, and the loss scale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from training.ema import Average
from training.errors import CheckpointError, TrainingError
from training.optimisers import Held, layout_of
from training.replay.digests import tensors_digest

if TYPE_CHECKING:
    import torch

ADAPTER, AVERAGE, NUMBER = "adapter/", "average/", "number/"


@dataclass(frozen=True)
class State:
    """Adapter weights by name; what the optimiser keeps of each; their moving average; and numbers as scalar tensors.

    Before its first step an optimiser keeps nothing; ``average`` is empty where none is made. ``numbers`` are those of
    the optimiser's groups (``group/0/d``) and of the loss scale (``scaler/scale``): float64 or int64. The tensors are
    those of the training itself where the state was taken from one: they change with the next step.
    """

    weights: Mapping[str, torch.Tensor]
    moments: Mapping[str, Mapping[str, torch.Tensor]]
    average: Mapping[str, torch.Tensor] = field(default_factory=dict)
    numbers: Mapping[str, torch.Tensor] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        parameters: Mapping[str, torch.Tensor],
        optimiser: torch.optim.Optimizer,
        average: Average | None = None,
        scaler: Any = None,
    ) -> State:
        """The state of a training as it is now."""
        numbers = _group_numbers(optimiser) | ({} if scaler is None else _scaler_numbers(scaler))
        return cls(
            weights=parameters,
            moments={name: _kept(optimiser, p) for name, p in parameters.items() if optimiser.state.get(p)},
            average={} if average is None else average.tensors,
            numbers={name: _scalar(number) for name, number in numbers.items()},
        )

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> State:
        """The state in a file's tensors; raises CheckpointError when one belongs to no weight."""
        weights = _under(ADAPTER, tensors)
        average, numbers = _under(AVERAGE, tensors), _under(NUMBER, tensors)
        moments: dict[str, dict[str, torch.Tensor]] = {}
        for key, tensor in tensors.items():
            if not key.startswith((ADAPTER, AVERAGE, NUMBER)):
                kind, _, name = key.partition("/")
                moments.setdefault(name, {})[kind] = tensor
        if not weights or moments.keys() - weights.keys() or (average and average.keys() != weights.keys()):
            raise CheckpointError("the state holds tensors that belong to no weight of it")
        return cls(weights, moments, average, numbers)

    def to_tensors(self) -> dict[str, torch.Tensor]:
        """The tensors as files keep them: ``adapter/NAME``, ``average/NAME``, ``KIND/NAME`` and ``number/NAME``."""
        tensors = {f"{ADAPTER}{name}": tensor for name, tensor in self.weights.items()}
        tensors |= {f"{AVERAGE}{name}": tensor for name, tensor in self.average.items()}
        tensors |= self._of_optimiser()
        tensors |= {f"{NUMBER}{name}": number for name, number in self.numbers.items()}
        # Copies, because a file cannot hold tensors that share memory, as the 8-bit optimiser's tables do.
        return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}

    @property
    def released(self) -> Mapping[str, torch.Tensor]:
        """The weights that are released and drawn with: the average where there is one."""
        return self.average or self.weights

    def digests(self) -> tuple[str, str]:
        """The digests of adapter (with its average) and optimiser (with all numbers), as a link of the chain names."""
        averages = {f"{AVERAGE}{name}": tensor for name, tensor in self.average.items()}
        numbers = {f"{NUMBER}{name}": number for name, number in self.numbers.items()}
        return tensors_digest({**self.weights, **averages}), tensors_digest({**self._of_optimiser(), **numbers})

    def restore(
        self,
        parameters: Mapping[str, torch.Tensor],
        optimiser: torch.optim.Optimizer,
        average: Average | None = None,
        scaler: Any = None,
    ) -> None:
        """Copies this state into a model and a new optimiser over it; raises CheckpointError when it does not fit."""
        import torch

        misfits = [*self._misfits(parameters, optimiser, average, scaler)]
        if misfits:
            raise CheckpointError(
                "the checkpoint's layers are not those of this base and configuration", found="; ".join(misfits[:5])
            )
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(self.weights[name])
            for name, tensor in ({} if average is None else average.tensors).items():
                tensor.copy_(self.average[name])
        _load(optimiser, {parameters[name]: kinds for name, kinds in self.moments.items()}, self.numbers)
        if scaler is not None:
            scale, tracker = (self.numbers[f"scaler/{key}"].item() for key in ("scale", "growth_tracker"))
            scaler.load_state_dict({**scaler.state_dict(), "scale": scale, "_growth_tracker": tracker})

    def _of_optimiser(self) -> dict[str, torch.Tensor]:
        return {f"{kind}/{name}": t for name, kinds in self.moments.items() for kind, t in kinds.items()}

    def _misfits(
        self,
        parameters: Mapping[str, torch.Tensor],
        optimiser: torch.optim.Optimizer,
        average: Average | None,
        scaler: Any,
    ) -> Iterator[str]:
        expected = {name: (tuple(p.shape), _dtype(p)) for name, p in parameters.items()}
        if _held(self.weights) != expected:
            yield "other weights"
            return
        if _held(self.average) != ({} if average is None else expected):
            yield "another moving average"
        layout = layout_of(optimiser)
        for name, kinds in self.moments.items():
            if _held(kinds) not in layout.alternatives(expected[name][0]):
                yield f"{type(optimiser).__name__} keeps something else of {name}"
        numbers = _group_numbers(optimiser) | ({} if scaler is None else _scaler_numbers(scaler))
        if _held(self.numbers) != {name: ((), _dtype(_scalar(number))) for name, number in numbers.items()}:
            yield "other numbers of the optimiser or of the loss scale"


def _kept(optimiser: torch.optim.Optimizer, parameter: torch.Tensor) -> dict[str, torch.Tensor]:
    state = optimiser.state[parameter]
    known = {kind for each in layout_of(optimiser).alternatives(tuple(parameter.shape)) for kind in each}
    if state.keys() - known:
        raise TrainingError(
            f"{type(optimiser).__name__} keeps something that is not known here",
            expected=", ".join(sorted(known)),
            found=", ".join(sorted(state.keys() - known)),
            fix="install the version of its package that constraints.txt names",
        )
    return {kind: _scalar(value) if isinstance(value, int) else value for kind, value in state.items()}


def _load(
    optimiser: torch.optim.Optimizer,
    moments: Mapping[torch.Tensor, Mapping[str, torch.Tensor]],
    numbers: Mapping[str, torch.Tensor],
) -> None:
    import torch

    groups = optimiser.state_dict()["param_groups"]
    for index, group in enumerate(groups):
        group |= {key: numbers[f"group/{index}/{key}"].item() for key in layout_of(optimiser).numbers}
    order = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    # Copies: the optimiser changes its tensors in place, and this state stays what it is.
    state = {
        index: {kind: t.item() if t.dtype == torch.int64 else t.clone() for kind, t in moments[parameter].items()}
        for index, parameter in enumerate(order)
        if parameter in moments
    }
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def _group_numbers(optimiser: torch.optim.Optimizer) -> dict[str, float]:
    kinds = layout_of(optimiser).numbers
    return {
        f"group/{index}/{key}": kind(group[key])
        for index, group in enumerate(optimiser.param_groups)
        for key, kind in kinds.items()
    }


def _scaler_numbers(scaler: Any) -> dict[str, float]:
    state = scaler.state_dict()
    return {"scaler/scale": float(state["scale"]), "scaler/growth_tracker": int(state["_growth_tracker"])}


def _scalar(number: float) -> torch.Tensor:
    import torch

    return torch.tensor(number, dtype=torch.int64 if isinstance(number, int) else torch.float64)


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}


def _held(tensors: Mapping[str, torch.Tensor]) -> dict[str, Held]:
    return {name: (tuple(tensor.shape), _dtype(tensor)) for name, tensor in tensors.items()}


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
