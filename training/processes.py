"""Several processes train one adapter: each takes parts of every step, and all take the same step.

Part p of a step goes to the process whose rank is p modulo their number. Gradients are not averaged as a ring would:
every process gets those of all parts and adds them up in the order of the parts, as one process alone does. So any
number of processes gives the same bits, and a replay needs only one. Rank 0 leads: it alone screens, writes and signs,
and tells the others what to do; they know nothing of why. Collectives are Accelerate's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from training.errors import TrainingError

if TYPE_CHECKING:
    import torch

COMPUTE, APPLY, RESTORE, END = "compute", "apply", "restore", "end"


@dataclass(frozen=True)
class Ranks:
    """The processes of a training, ``count`` of them, of which this is ``rank``; one alone exchanges nothing.

    ``lost`` says what a process that ended has said, where that can be known.
    """

    count: int = 1
    rank: int = 0
    lost: Callable[[], str | None] = lambda: None

    def lead(self, order: str, argument: Any = None) -> None:
        """Tells the others what this process is about to do; on them, and where there are none, nothing."""
        if self.count > 1 and self.rank == 0:
            self._broadcast((order, argument))

    def hear(self) -> tuple[str, Any]:
        """Waits for what rank 0 does next."""
        order: tuple[str, Any] = self._broadcast(None)
        return order

    def gathered(self, value: Any) -> list[Any]:
        """The values of all processes, by rank."""
        if self.count == 1:
            return [value]
        from accelerate.utils import gather_object

        with self._connected():
            return list(gather_object([value]))

    def add_in_order(
        self, parameters: Mapping[str, torch.nn.Parameter], sums: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """``sums`` and the gradients that each process holds now, added in the order of ranks; these are taken away.

        A gradient that a process does not have is left out, not added as zero.
        """
        import torch
        from accelerate.utils import gather

        own = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters.values()]
        there = self.gathered([parameter.grad is not None for parameter in parameters.values()])
        with self._connected():
            flat = gather(torch.cat([gradient.reshape(-1) for gradient in own])[None])
        added = dict(sums)
        for row, present in zip(flat, there, strict=True):
            pieces = row.split([gradient.numel() for gradient in own])
            for (name, parameter), piece, is_there in zip(parameters.items(), pieces, present, strict=True):
                if is_there:
                    gradient = piece.view_as(parameter)
                    added[name] = added[name] + gradient if name in added else gradient.clone()
        for parameter in parameters.values():
            parameter.grad = None
        return added

    def require_same(self, facts: Mapping[str, str]) -> None:
        """Raises TrainingError on every process when one of them differs in a fact from rank 0."""
        for rank, other in enumerate(self.gathered(facts)):
            differing = [name for name, value in facts.items() if other.get(name) != value]
            if differing:
                raise TrainingError(
                    f"process {rank} of this training has another {' and '.join(differing)} than process {self.rank}",
                    expected=", ".join(f"{name} {facts[name]}" for name in differing),
                    found=", ".join(f"{name} {other.get(name)}" for name in differing),
                    fix="start all processes with the same arguments, files and version of prov",
                )

    def _broadcast(self, value: Any) -> Any:
        from accelerate.utils import broadcast_object_list

        box = [value]
        with self._connected():
            broadcast_object_list(box, from_process=0)
        return box[0]

    @contextmanager
    def _connected(self) -> Iterator[None]:
        try:
            yield
        # What the process group raises when a connection closes; it has no class of its own for all backends.
        except RuntimeError as error:
            raise TrainingError(
                "a process of this training no longer answers",
                found=self.lost() or str(error).partition("\n")[0][:300],
                fix="mend what it says, and run the same command with --resume to go on from the last checkpoint",
            ) from error


ALONE = Ranks()
