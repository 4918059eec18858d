"""Kills writers of an embedded chain at random points and counts what was lost: `python -m benchmarks.chain_crash`.

Several processes write to one chain at once. Each says before a transaction that it begins and after it which stream it
was given; one of them, chosen at random, is ended with SIGKILL at a random moment and replaced. At the end every stream
that was acknowledged must be on the chain, once, and no writer may have more streams than transactions begun. Power
loss is not simulated. POSIX only: fork, kill and the chain's own lock (``flock``).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import sqlite3
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from provenance.home import Home
from provenance.ledger import open_ledger, open_reader
from provenance.ledger.accounts import KeystoreAccount, account_from_key
from provenance.ledger.chain_file import chain_folder, chain_path
from provenance.ledger.embedded import open_embedded_ledger

BEGUN = b"begin"


@dataclass(frozen=True)
class Outcome:
    """What happened; ``lost`` and ``doubled`` are to be 0."""

    kills: int
    writers: int
    seconds: float
    begun: int
    acknowledged: int
    on_chain: int
    unacknowledged_on_chain: int
    lost: int
    doubled: int
    blocks: int
    machine: str


@dataclass
class Writer:
    """One slot for a process; what it said outlives the process."""

    account: KeystoreAccount
    process: int = 0
    pipe: int = -1
    begun: int = 0
    acknowledged: list[int] = field(default_factory=list)
    rest: bytes = b""

    def start(self, home: Home) -> None:
        """Forks a process that writes until it is killed."""
        self.pipe, end = os.pipe()
        self.process = os.fork()
        if self.process == 0:
            write_forever(home, self.account, end)
        os.close(end)
        os.set_blocking(self.pipe, False)

    def listen(self) -> None:
        """Takes in what the process has said."""
        try:
            while data := os.read(self.pipe, 1 << 16):
                self.rest += data
        except BlockingIOError:
            pass
        *lines, self.rest = self.rest.split(b"\n")
        for line in lines:
            if line == BEGUN:
                self.begun += 1
            else:
                self.acknowledged.append(int(line))

    def kill(self) -> None:
        """Ends the process as a crash would."""
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        self.listen()
        os.close(self.pipe)
        # A line that was cut off said nothing.
        self.rest = b""


def write_forever(home: Home, account: KeystoreAccount, pipe: int) -> None:
    """Opens streams and says so; runs in a process of its own."""
    try:
        ledger = open_ledger(home)
        while True:
            os.write(pipe, BEGUN + b"\n")
            os.write(pipe, f"{ledger.open_stream(account).stream}\n".encode())
    except BaseException as error:
        print(f"a writer failed: {error!r}", file=sys.stderr, flush=True)
    finally:
        os._exit(1)


def crash(home: Home, *, kills: int, writers: int, chance: random.Random) -> Outcome:
    """Runs the writers, kills ``kills`` of them in turn, and counts."""
    open_ledger(home).close()
    slots = [Writer(account_from_key(f"writer{n}", chance.randbytes(32))) for n in range(writers)]
    started = time.monotonic()
    for each in slots:
        each.start(home)
    for _ in range(kills):
        time.sleep(chance.uniform(0.0, 0.5))
        for each in slots:
            each.listen()
            if os.waitpid(each.process, os.WNOHANG) != (0, 0):
                raise RuntimeError(f"the process of {each.account.name} ended by itself")
        # Half of the time the one that is in the middle of a transaction, if the lock still names one of ours.
        holder = [each for each in slots if each.process == lock_holder(home)]
        chosen = chance.choice(holder if holder and chance.random() < 0.5 else slots)
        chosen.kill()
        chosen.start(home)
    for each in slots:
        each.kill()
    return count(home, slots, kills + writers, time.monotonic() - started)


def lock_holder(home: Home) -> int:
    """The process that took the chain's lock last."""
    text = (chain_folder(home) / "lock").read_text()
    return int(text) if text.isdecimal() else 0


def count(home: Home, slots: list[Writer], kills: int, seconds: float) -> Outcome:
    """Compares what was said with what the chain holds."""
    check_file(home)
    reader = open_reader(home)
    found = {each.account.address: [s.stream for s in reader.streams(each.account.address)] for each in slots}
    blocks = reader.head().block
    reader.close()
    ledger = open_embedded_ledger(home)
    # The chain still takes transactions, and its EVM agrees with its logs.
    for each in slots:
        found[each.account.address].append(ledger.open_stream(each.account).stream)
        each.acknowledged.append(found[each.account.address][-1])
        each.begun += 1
    total = int(ledger.call("totalStreams"))
    ledger.close()
    every = [stream for streams in found.values() for stream in streams]
    lost = sum(len(set(each.acknowledged) - set(found[each.account.address])) for each in slots)
    doubled = len(every) - len(set(every)) + abs(total - len(every))
    doubled += sum(max(0, len(found[each.account.address]) - each.begun) for each in slots)
    acknowledged = sum(len(each.acknowledged) for each in slots)
    return Outcome(
        kills=kills,
        writers=len(slots),
        seconds=round(seconds, 1),
        begun=sum(each.begun for each in slots),
        acknowledged=acknowledged,
        on_chain=len(every),
        unacknowledged_on_chain=len(every) - acknowledged + lost,
        lost=lost,
        doubled=doubled,
        blocks=blocks,
        machine=f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
    )


def check_file(home: Home) -> None:
    """Raises RuntimeError if SQLite finds the file damaged or the blocks have a gap."""
    connection = sqlite3.connect(chain_path(home))
    try:
        [[verdict]] = connection.execute("PRAGMA integrity_check").fetchall()
        [[blocks, last]] = connection.execute("SELECT COUNT(*), MAX(number) FROM blocks").fetchall()
    finally:
        connection.close()
    if verdict != "ok" or blocks != last + 1:
        raise RuntimeError(f"the chain's file is damaged: {verdict}, {blocks} blocks, the last is {last}")


def main() -> None:
    """Runs it on a fresh home, prints the outcome as JSON, and fails if anything was lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--seed", type=int, default=4)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chain-crash-") as folder:
        home = Home.create(Path(folder) / "home")
        chance = random.Random(arguments.seed)
        outcome = crash(home, kills=arguments.kills, writers=arguments.writers, chance=chance)
    print(json.dumps(asdict(outcome), indent=2))
    sys.exit(1 if outcome.lost or outcome.doubled else 0)


if __name__ == "__main__":
    main()
