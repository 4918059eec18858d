"""Importing the EVM must not make the parsers of untrusted JSON crash the process."""

from __future__ import annotations

import subprocess
import sys

NESTED = """
import sys
before = sys.getrecursionlimit()
import provenance.ledger.evm
from provenance.canonical import parse_json
from provenance.errors import FormatError
assert sys.getrecursionlimit() == before
try:
    parse_json(b"[" * 1_000_000, "a hostile file")
except FormatError:
    print("refused")
"""


def test_nested_json_is_refused_after_the_evm_was_imported() -> None:
    result = subprocess.run([sys.executable, "-c", NESTED], capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "refused", result.stderr
