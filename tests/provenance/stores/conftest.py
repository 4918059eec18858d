"""A real Kubo daemon, offline, on loopback, with a repository and ports of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

START_SECONDS = 60


@dataclass(frozen=True)
class KuboDaemon:
    """A running daemon: the address of its RPC, and its own command line against the same repository."""

    url: str
    program: str
    environment: dict[str, str]

    def ipfs(self, *arguments: str) -> bytes:
        """Runs one command and gives what it printed."""
        done = subprocess.run([self.program, *arguments], env=self.environment, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout


@pytest.fixture(scope="session")
def kubo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KuboDaemon]:
    """A daemon for the whole run, or a skip that says why."""
    program = shutil.which("ipfs")
    if program is None:
        pytest.skip("there is no Kubo here: put `ipfs` (0.40 or later) on PATH")
    folder = tmp_path_factory.mktemp("kubo")
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "IPFS_PATH": str(folder / "repo")}
    environment |= {"IPFS_TELEMETRY": "off", "GOMAXPROCS": "2"}
    daemon = KuboDaemon("", program, environment)
    daemon.ipfs("init", "--profile=test,unixfs-v1-2025")
    for name in ("API", "Gateway"):
        daemon.ipfs("config", f"Addresses.{name}", "/ip4/127.0.0.1/tcp/0")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "daemon", "--offline"], env=environment, stdout=log, stderr=log)
        try:
            _wait_until_ready(process, folder / "log")
            yield KuboDaemon((folder / "repo" / "api").read_text().strip(), program, environment)
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while b"Daemon is ready" not in log.read_bytes():
        assert process.poll() is None, f"the daemon ended: {log.read_text()}"
        assert time.monotonic() < deadline, f"the daemon is not ready after {START_SECONDS} s: {log.read_text()}"
        time.sleep(0.1)
