"""Where a training can be watched: TensorBoard, and Weights & Biases offline where that is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.errors import TrainingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.config import TrainConfig

TENSORBOARD, WANDB = "tensorboard", "wandb"


@dataclass(frozen=True)
class Trackers:
    """Scalars and pictures by step, to every tracker there is."""

    tensorboard: Any
    wandb: Any | None

    def scalars(self, values: dict[str, float], step: int) -> None:
        """Numbers of one step, by name."""
        for name, value in values.items():
            self.tensorboard.add_scalar(name, value, step)
        if self.wandb is not None:
            self.wandb.log(values, step=step)

    def pictures(self, named: dict[str, NDArray[Any]], step: int) -> None:
        """Pictures (H, W, 3) uint8 of one step, by name."""
        for name, picture in named.items():
            self.tensorboard.add_image(name, picture, step, dataformats="HWC")
        if self.wandb is not None:
            import wandb

            self.wandb.log({name: wandb.Image(picture) for name, picture in named.items()}, step=step)


@contextmanager
def open_trackers(work: Path, config: TrainConfig, name: str, first_step: int) -> Iterator[Trackers]:
    """Opens the trackers of a training; one that goes on overwrites what its lost steps wrote."""
    from torch.utils.tensorboard import SummaryWriter

    with ExitStack() as opened:
        purge = first_step + 1 if first_step else None
        board = opened.enter_context(SummaryWriter(str(work / TENSORBOARD), purge_step=purge))
        yield Trackers(board, opened.enter_context(_wandb_run(work, config, name)) if config.wandb else None)


@contextmanager
def _wandb_run(work: Path, config: TrainConfig, name: str) -> Iterator[Any]:
    """A run that stays on this machine; ``wandb sync`` sends it where its owner wants it."""
    try:
        import wandb
    except ImportError as error:
        raise TrainingError(
            "Weights & Biases is not installed", fix="pip install 'prov[wandb]', or set `wandb = false`"
        ) from error
    folder = work / WANDB
    folder.mkdir(parents=True, exist_ok=True)
    settings = wandb.Settings(mode="offline", console="off", silent=True, x_disable_stats=True, disable_git=True)
    run = wandb.init(project="prov", name=name, dir=str(folder), config=config.to_dict(), settings=settings)
    try:
        yield run
    finally:
        run.finish()
