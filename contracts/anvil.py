"""A real node for tests and benchmarks: anvil, from the npm package or the PATH, on loopback and on a free port."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from contracts.artifact import FOLDER

START_SECONDS = 30.0
LISTENING = re.compile(r"Listening on (127\.0\.0\.1:\d+)")


@dataclass(frozen=True)
class Anvil:
    """A node that runs."""

    url: str
    process: subprocess.Popen[bytes]


def find_anvil() -> Path | None:
    """The anvil program, if there is one that fits this machine."""
    packaged = sorted((FOLDER / "node_modules" / "@foundry-rs").glob("anvil-*/bin/anvil*"))
    if packaged:
        return packaged[0]
    found = shutil.which("anvil")
    return Path(found) if found else None


@contextmanager
def running_anvil(*arguments: str) -> Iterator[Anvil]:
    """Runs a fresh node and ends it."""
    program = find_anvil()
    if program is None:
        raise FileNotFoundError("anvil is missing: run `npm install --no-save` in contracts/")
    command = [str(program), "--host", "127.0.0.1", "--port", "0", "--hardfork", "prague", *arguments]
    # Into a file: a pipe that nobody reads would stop the node once it is full.
    with tempfile.NamedTemporaryFile("r", prefix="anvil-") as output:
        process = subprocess.Popen(command, stdout=output.fileno(), stderr=subprocess.STDOUT)
        try:
            yield Anvil(f"http://{_address(process, Path(output.name))}", process)
        finally:
            process.kill()
            process.wait()


def _address(process: subprocess.Popen[bytes], output: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if match := LISTENING.search(output.read_text()):
            return match[1]
        time.sleep(0.02)
    raise OSError(f"anvil does not start:\n{output.read_text()}")
