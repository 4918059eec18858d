"""Times licence checks: cold, as a process, and warm, in one: `python -m benchmarks.license_check`.

Cold is `prov license check` from the start of the interpreter to its end; warm is one decision over a connection that
is kept open, with its round trips and the proof. On the embedded chain and on anvil on this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contracts.anvil import find_anvil, running_anvil
from provenance.home import Home
from provenance.ledger import open_ledger, open_reader
from provenance.ledger.accounts import KeystoreAccount, create_account
from provenance.ledger.jsonrpc import JsonRpc
from provenance.ledger.node_reader import open_rpc_reader
from provenance.ledger.right import fold_right
from provenance.ledger.rpc import deploy_contract

LICENCES = 20


def fill(home: Home, maker: KeystoreAccount) -> str:
    """Mints an adapter and gives licences; returns one licensee."""
    ledger = open_ledger(home)
    token = ledger.mint(
        maker, weights="01" * 32, dataset="02" * 32, base="03" * 32, terms="04" * 32, cid="bafybenchmark"
    ).token
    licensees = [f"0x{number:040x}" for number in range(1, LICENCES + 1)]
    for each in licensees:
        ledger.grant(maker, token, each, expires=ledger.now() + 10**6)
    ledger.close()
    return licensees[-1]


def cold(home: Home, account: str, rounds: int) -> dict[str, float]:
    """Milliseconds of `prov license check` as a process; ``cpu`` is the processor's time of one, which other work on
    the machine changes less."""
    command = [sys.executable, "-m", "cli.main", "license", "check", "1", account, "--json"]
    # As after an installation, which compiles to bytecode once.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"PROV_HOME": str(home.path), "PYTHONPYCACHEPREFIX": str(home.path.parent / "bytecode")}

    def run() -> None:
        done = subprocess.run(command, env=environment, capture_output=True, check=True)
        if json.loads(done.stdout)["allowed"] is not True:
            raise RuntimeError(f"the licence is not there: {done.stdout!r}")

    figures = timed(run, rounds)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {**figures, "cpu": round(1000 * spent, 1)}


def timed(run: Callable[[], object], rounds: int) -> dict[str, float]:
    """Best, median and 95th percentile of a function's time in milliseconds, after one run that does not count."""
    run()
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        run()
        times.append(1000 * (time.perf_counter() - started))
    return {
        "best": round(min(times), 2),
        "p50": round(statistics.median(times), 2),
        "p95": round(statistics.quantiles(times, n=20)[-1], 2),
    }


def on_embedded(folder: Path, rounds: int) -> dict[str, Any]:
    """The embedded chain."""
    home = Home.create(folder / "embedded")
    account = fill(home, create_account(home, "maker"))
    reader = open_reader(home)
    warm = timed(lambda: fold_right(reader, 1, account), 10 * rounds)
    reader.close()
    return {"cold_ms": cold(home, account, rounds), "warm_ms": warm}


def on_anvil(folder: Path, rounds: int) -> dict[str, Any]:
    """A node, with proofs and with its mere word."""
    with running_anvil() as node:
        home = Home.create(folder / "node")
        maker = create_account(home, "maker")
        JsonRpc(node.url).call("anvil_setBalance", maker.address, hex(10**21))
        home = home.with_chain(deploy_contract(home, node.url, maker))
        home.save()
        account = fill(home, maker)
        reader = open_rpc_reader(home)
        assert reader.right(1, account).proved
        warm = timed(lambda: reader.right(1, account), 10 * rounds)
        reader.close()
        return {"cold_ms": cold(home, account, rounds), "warm_ms": warm}


def main() -> None:
    """Prints the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="license-check-") as name:
        figures: dict[str, Any] = {"embedded": on_embedded(Path(name), rounds)}
        if find_anvil() is not None:
            figures["anvil"] = on_anvil(Path(name), rounds)
    figures["machine"] = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
