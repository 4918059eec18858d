"""The processes of a training started and joined: by this program on one machine, or by `accelerate launch` on several.

On one machine they meet over loopback, through a file, so that nothing listens to the network.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from provenance.base import BaseModel
from training.config import TrainConfig
from training.errors import TrainingError
from training.processes import ALONE, END, Ranks

if TYPE_CHECKING:
    from provenance.manifest import DatasetManifest

READY = b"ready\n"
# Samples and validation are rank 0's alone: the others wait for it. That a process died is noticed at once.
_PATIENCE = timedelta(days=1)
_FAREWELL_SECONDS = 10


@contextmanager
def joined(
    manifest: DatasetManifest, base: BaseModel, config: TrainConfig, device: str, threads: int
) -> Iterator[Ranks]:
    """Gives the processes of a training, of which this one leads; none outlives it, however it ends.

    Raises TrainingError when a process cannot start, or when `accelerate launch` started another number of them.
    """
    if config.processes == 1:
        yield ALONE
        return
    launched = launched_rank()
    if launched is not None:
        require_number(config)
        with process_group(device, {}) as count, _ending(Ranks(count, launched)) as ranks:
            yield ranks
        return
    _require_devices(config, device)
    if manifest.root is None:
        raise TrainingError("the dataset has no folder that other processes could read it from", fix="verify a release")
    with tempfile.TemporaryDirectory() as folder:
        order: dict[str, Any] = {
            "dataset": str(manifest.root),
            "issuer": manifest.issuer.root_digest,
            "base": {**asdict(base), "folder": str(base.folder)},
            "config": config.to_dict(),
            "device": device,
            "threads": threads,
            "meeting": str(Path(folder) / "meeting"),
        }
        followers = [
            _Follower.start(rank, config.processes, order, Path(folder)) for rank in range(1, config.processes)
        ]
        try:
            for follower in followers:
                follower.wait_until_ready()
            with process_group(device, meeting(order["meeting"], 0, config.processes)) as count:
                try:
                    with _ending(Ranks(count, 0, lambda: _last_words(followers))) as ranks:
                        yield ranks
                except BaseException:
                    # Before the group is taken apart, which could wait for those that wait for this process.
                    for follower in followers:
                        follower.process.kill()
                    raise
                for follower in followers:
                    follower.leave()
        finally:
            for follower in followers:
                follower.end()


def launched_rank() -> int | None:
    """The rank that `accelerate launch` or torchrun gave this process; None when it was started by itself."""
    return int(os.environ["RANK"]) if os.environ.get("WORLD_SIZE", "1") != "1" and "RANK" in os.environ else None


def meeting(path: str, rank: int, count: int) -> dict[str, str]:
    """The environment in which processes of one machine find one another through a file."""
    loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "")
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "GLOO_SOCKET_IFNAME": loopback,
        "NCCL_SOCKET_IFNAME": loopback,
        "PROV_MEETING": path,
    }


@contextmanager
def process_group(device: str, environment: Mapping[str, str]) -> Iterator[int]:
    """Joins the others in Accelerate's process group and gives how many there are; all is as before afterwards."""
    import torch
    from accelerate import PartialState

    before = dict(os.environ)
    # Accelerate would set the number of threads where it is not set.
    os.environ.update({"OMP_NUM_THREADS": str(torch.get_num_threads()), **environment})
    options: dict[str, Any] = {"timeout": _PATIENCE}
    if "PROV_MEETING" in environment:
        options |= {"init_method": Path(environment["PROV_MEETING"]).as_uri()}
        options |= {"rank": int(environment["RANK"]), "world_size": int(environment["WORLD_SIZE"])}
    try:
        PartialState._reset_state()
        yield PartialState(cpu=device == "cpu", **options).num_processes
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        PartialState._reset_state()
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _ending(ranks: Ranks) -> Iterator[Ranks]:
    """Lets the others end with this one where all went well; otherwise they are ended by whoever started them."""
    yield ranks
    ranks.lead(END)


def require_number(config: TrainConfig) -> None:
    """Raises TrainingError unless as many processes were launched as are configured."""
    found = os.environ["WORLD_SIZE"]
    if found != str(config.processes):
        raise TrainingError(
            "another number of processes was launched than is configured",
            expected=f"`processes` = {config.processes}",
            found=found,
            fix=f"accelerate launch --num_processes {config.processes} …",
        )


def _require_devices(config: TrainConfig, device: str) -> None:
    import torch

    if device not in ("cpu", "cuda"):
        raise TrainingError(
            f"`processes` above 1 does not work on {device}", expected="cuda or cpu", fix="set `processes = 1`"
        )
    present = torch.cuda.device_count()
    if device == "cuda" and present < config.processes:
        raise TrainingError(
            "there are fewer GPUs here than processes",
            expected=f"`processes` = {config.processes}",
            found=str(present),
            fix=f"set `processes` to at most {present}, or use several machines by `accelerate launch`",
        )


@dataclass
class _Follower:
    """A process that this one started; it ends when its standard input does."""

    rank: int
    process: subprocess.Popen[bytes]
    said: IO[bytes] = field(repr=False)

    @classmethod
    def start(cls, rank: int, count: int, order: Mapping[str, Any], folder: Path) -> _Follower:
        said = (folder / f"process-{rank}").open("w+b")
        process = subprocess.Popen(
            # -P: a folder of this name where the command is run is not ours.
            [sys.executable, "-P", "-m", "training.worker"],
            env={name: value for name, value in os.environ.items() if name != "PROV_PASSPHRASE"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            # Ctrl-C is for the process that leads.
            start_new_session=True,
        )
        follower = cls(rank, process, said)
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps({**order, "rank": rank, "count": count}).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError as error:
            raise follower.failure() from error
        return follower

    def wait_until_ready(self) -> None:
        """Waits until the process is about to join; raises TrainingError when it ends instead."""
        assert self.process.stdout is not None
        if self.process.stdout.readline() != READY:
            raise self.failure()

    def failure(self) -> TrainingError:
        return TrainingError(f"process {self.rank} of this training did not start", found=self.last_words())

    def last_words(self) -> str:
        self.said.seek(0)
        lines = self.said.read()[-10_000:].decode(errors="replace").strip().splitlines()
        return lines[-1].strip()[:500] if lines else "it ended without a word"

    def leave(self) -> None:
        """Gives the process some time to end by itself."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_FAREWELL_SECONDS)

    def end(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.said.close()


def _last_words(followers: list[_Follower]) -> str | None:
    # A connection closes a moment before its process is gone.
    deadline = time.monotonic() + _FAREWELL_SECONDS
    while time.monotonic() < deadline:
        ended = [follower for follower in followers if follower.process.poll() is not None]
        if ended:
            return f"process {ended[0].rank}: {ended[0].last_words()}"
        time.sleep(0.05)
    return None
