"""Contracts that tests use, from the folder ``assets``, compiled where Node is present."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from contracts.artifact import FOLDER
from contracts.compile import IMPORT, MODULES, SCRIPT, SETTINGS, CompileError, _resolve, can_compile
from provenance.ledger.keccak import keccak


def compile_assets() -> dict[str, bytes]:
    """The creation code of every contract of ``assets``, by name; raises CompileError, also where Node is missing."""
    if not can_compile():
        raise CompileError("Node, solc or OpenZeppelin is missing: run `npm install --no-save` in contracts/")
    ours = {file.name: file.read_text() for file in (Path(__file__).parent / "assets").glob("*.sol")}
    standard = {
        "language": "Solidity",
        "sources": {name: {"content": text} for name, text in _with_imports(ours).items()},
        "settings": {
            "evmVersion": SETTINGS["evmVersion"],
            "optimizer": {"enabled": True, "runs": 200},
            "outputSelection": {name: {"*": ["evm.bytecode.object"]} for name in ours},
        },
    }
    done = subprocess.run(
        ["node", "-e", SCRIPT], input=json.dumps(standard), capture_output=True, text=True, cwd=FOLDER, check=True
    )
    output = json.loads(done.stdout)["output"]
    errors = [each["formattedMessage"] for each in output.get("errors", []) if each["severity"] == "error"]
    if errors:
        raise CompileError("\n".join(errors))
    compiled = {name: contract for file in ours for name, contract in output["contracts"][file].items()}
    return {name: bytes.fromhex(contract["evm"]["bytecode"]["object"]) for name, contract in compiled.items()}


def _with_imports(ours: dict[str, str]) -> dict[str, str]:
    sources = dict(ours)
    waiting = [_resolve(name, each) for name, text in ours.items() for each in IMPORT.findall(text)]
    while waiting:
        name = waiting.pop()
        if name not in sources:
            sources[name] = (MODULES / name).read_text()
            waiting.extend(_resolve(name, each) for each in IMPORT.findall(sources[name]))
    return sources


def word(value: int | str) -> bytes:
    """A number or an address as one argument."""
    return (value if isinstance(value, int) else int(value, 16)).to_bytes(32, "big")


def arguments(signature: str, *values: int | str) -> bytes:
    """A call of a function whose arguments are one word each."""
    return keccak(signature.encode())[:4] + b"".join(word(each) for each in values)


def act(target: str, call: bytes) -> bytes:
    """Tells an Actor, Miser or Wallet to make a call."""
    return _with_bytes("act(address,bytes)", target, call)


def prepare(target: str, call: bytes) -> bytes:
    """Tells an Actor what to try in the middle of its next payment."""
    return _with_bytes("prepare(address,bytes)", target, call)


def _with_bytes(signature: str, target: str, call: bytes) -> bytes:
    padded = len(call).to_bytes(32, "big") + call + bytes(-len(call) % 32)
    return keccak(signature.encode())[:4] + word(target) + word(64) + padded
