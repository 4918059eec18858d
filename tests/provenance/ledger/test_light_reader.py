"""Reading a ledger needs no Ethereum library, and takes milliseconds."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from provenance.home import Home
from provenance.ledger import open_reader
from provenance.ledger.embedded import EmbeddedLedger

ROOT = Path(__file__).parents[3]
HEAVY = ("eth", "eth_abi", "eth_account", "eth_keys", "eth_utils", "rlp", "trie", "web3", "requests", "torch", "numpy")
SCRIPT = f"""
import json, sys
from pathlib import Path
from provenance.home import Home
from provenance.ledger import open_reader
from provenance.ledger.snapshot import take_snapshot
reader = open_reader(Home.open(Path(sys.argv[1])))
reader.tokens(), reader.streams(), reader.head(), reader.namespace
for stream in reader.streams():
    reader.batch_covering(stream.stream, 0), take_snapshot(reader, stream.stream, 0)
    if stream.token:
        reader.has_licence(stream.token, stream.holder)
print(json.dumps([len(reader.tokens()), sorted(set({HEAVY!r}) & {{name.split(".")[0] for name in sys.modules}})]))
"""


def read_in_a_fresh_process(home: Home) -> list[object]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(home.path)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    found: list[object] = json.loads(done.stdout)
    return found


def test_reading_the_embedded_chain_imports_no_ethereum_library(home: Home, filled: EmbeddedLedger) -> None:
    assert read_in_a_fresh_process(home) == [2, []]


@pytest.mark.anvil
def test_reading_a_node_imports_no_ethereum_library(node_home: Home) -> None:
    assert read_in_a_fresh_process(node_home) == [0, []]


def test_opening_and_asking_takes_milliseconds(home: Home, filled: EmbeddedLedger) -> None:
    open_reader(home).close()
    started = time.perf_counter()
    reader = open_reader(home)
    assert reader.batch_covering(1, 12)
    assert not reader.has_licence(1, reader.stream(1).holder)
    reader.close()
    assert time.perf_counter() - started < 0.1
