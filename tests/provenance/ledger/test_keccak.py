"""Keccak-256, in Python and compiled, is one function."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from provenance.ledger import keccak as module
from provenance.ledger.keccak import FEW, RATE, keccak, keccak_in_python

KNOWN = {
    b"": "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470",
    b"abc": "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45",
    b"transfer(address,uint256)": "a9059cbb2ab09eb219583f4a59a5d0623ade346d962bcd4e46b11da047c9049b",
}


@pytest.mark.parametrize("data", KNOWN)
def test_keccak_is_the_one_of_ethereum(data: bytes) -> None:
    assert keccak_in_python(data).hex() == KNOWN[data] == module._compiled()(data).hex()


@pytest.mark.parametrize("length", [1, 7, 8, RATE - 2, RATE - 1, RATE, RATE + 1, 2 * RATE - 1, 2 * RATE, 1000])
def test_both_implementations_agree_around_the_edges_of_a_block(length: int) -> None:
    for data in (random.Random(length).randbytes(length), bytes(length), b"\xff" * length):
        assert keccak_in_python(data) == module._compiled()(data)


def test_the_compiled_one_takes_over_without_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_hash", None)
    monkeypatch.setattr(module, "_done", FEW - 3)
    hashed = [keccak(b"abc").hex() for _ in range(6)]
    assert module._hash is not None
    assert hashed == [KNOWN[b"abc"]] * 6


def test_few_hashes_import_no_library() -> None:
    script = (
        "import sys; from provenance.ledger.keccak import keccak;"
        "keccak(b'abc'); print({'Crypto', 'cffi', 'eth_hash'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]
    )
    assert done.stdout.strip() == "set()"
