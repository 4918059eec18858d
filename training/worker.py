"""One of the processes that follow: `python -m training.worker`, started by a training with `processes` above 1.

It verifies the dataset itself, makes the same training ready, and does what rank 0 does until that ends. It writes
nothing.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from provenance.base import BaseModel
from provenance.dataset import verify_dataset
from provenance.errors import ProvenanceError
from provenance.trust import TrustStore
from training.config import TrainConfig
from training.launching import READY, launched_rank, meeting, process_group, require_number
from training.loop import apply_gradients, compute_gradients
from training.processes import APPLY, COMPUTE, RESTORE, Ranks
from training.setup import device_of, set_up, torch_settings
from training.state import State

if TYPE_CHECKING:
    from provenance.manifest import DatasetManifest


def follow(manifest: DatasetManifest, base: BaseModel, config: TrainConfig, device: str, ranks: Ranks) -> None:
    """Makes the training ready and does as rank 0 does, until that ends."""
    from safetensors.torch import load

    with tempfile.TemporaryDirectory() as spill:
        setup = set_up(manifest, base, config, device, Path(spill), lambda *_: None, ranks)
        while True:
            match ranks.hear():
                case (str(order), int(step)) if order == COMPUTE:
                    compute_gradients(setup, step)
                case (str(order), int(step)) if order == APPLY:
                    apply_gradients(setup, step)
                case (str(order), bytes(state)) if order == RESTORE:
                    setup.restore(State.from_tensors(load(state)))
                case _:
                    return


def follow_launched(manifest: DatasetManifest, base: BaseModel, config: TrainConfig) -> None:
    """For a process that `accelerate launch` started beside the one that leads, here or on another machine."""
    rank, device = launched_rank(), device_of(config)
    assert rank is not None
    require_number(config)
    _take_gpu(device, int(os.environ.get("LOCAL_RANK", rank)))
    with torch_settings(config, device), process_group(device, {}) as count:
        follow(manifest, base, config, device, Ranks(count, rank))


def main() -> None:
    """Reads its order from standard input, which stays open as long as the process that leads it lives."""
    order = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    config = TrainConfig.from_dict(order["config"])
    base = BaseModel(**{**order["base"], "folder": Path(order["base"]["folder"])})
    device, rank, count = order["device"], order["rank"], order["count"]
    with ExitStack() as stack:
        try:
            manifest = verify_dataset(Path(order["dataset"]), TrustStore(frozenset({order["issuer"]})))
            _take_gpu(device, rank)
            stack.enter_context(torch_settings(config, device, order["threads"]))
            _say_ready()
            stack.enter_context(process_group(device, meeting(order["meeting"], rank, count)))
            follow(manifest, base, config, device, Ranks(count, rank))
        except ProvenanceError as error:
            sys.exit(f"{error.what}" + (f" ({error.found})" if error.found else ""))


def _take_gpu(device: str, number: int) -> None:
    """Before anything of the process lies on the first GPU, which is rank 0's."""
    import torch

    if device == "cuda":
        torch.cuda.set_device(number)


def _say_ready() -> None:
    os.write(1, READY)
    # Nobody reads on: what libraries print goes where errors go.
    os.dup2(2, 1)


def _end_with_parent() -> None:
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    main()
