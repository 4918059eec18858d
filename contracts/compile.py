"""Compiles `contracts/src` with the npm package solc and writes the committed artefact.

Run `npm install --no-save` in `contracts/` once, then `python -m contracts.compile`; ``--check`` only compares.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from contracts.artifact import ARTIFACT, FOLDER, signature

CONTRACT = "ProvLedger"
MODULES = FOLDER / "node_modules"
SETTINGS: dict[str, Any] = {
    "evmVersion": "prague",
    "optimizer": {"enabled": True, "runs": 400},
    "viaIR": True,
    # No hash of the sources' comments at the end of the code: the same code gives the same bytes.
    "metadata": {"appendCBOR": False, "bytecodeHash": "none"},
    "outputSelection": {"*": {"*": ["abi", "evm.bytecode.object", "evm.deployedBytecode", "storageLayout"]}},
}
IMPORT = re.compile(r'^\s*import\s+(?:\{[^}]*\}\s*from\s*)?"([^"]+)";', re.MULTILINE)
EXPECTED = ("2394",)
"""That transient storage needs care, of OpenZeppelin's guard, which clears what it sets."""

SCRIPT = (
    "const solc = require('solc'); let text = ''; process.stdin.on('data', d => text += d);"
    "process.stdin.on('end', () => process.stdout.write(JSON.stringify("
    "{version: solc.version(), output: JSON.parse(solc.compile(text))})));"
)


class CompileError(Exception):
    """The compiler is missing or refused the sources."""


def can_compile() -> bool:
    """Whether Node, solc and OpenZeppelin's sources are here."""
    present = (MODULES / "solc").is_dir() and (MODULES / "@openzeppelin" / "contracts").is_dir()
    return shutil.which("node") is not None and present


def compile_contract() -> bytes:
    """Compiles the sources to the bytes of the artefact; raises CompileError."""
    if not can_compile():
        raise CompileError("Node, solc or OpenZeppelin is missing: run `npm install --no-save` in contracts/")
    sources = _sources()
    standard = {
        "language": "Solidity",
        "sources": {name: {"content": text} for name, text in sources.items()},
        "settings": SETTINGS,
    }
    done = subprocess.run(
        ["node", "-e", SCRIPT], input=json.dumps(standard), capture_output=True, text=True, cwd=FOLDER, check=False
    )
    if done.returncode != 0:
        raise CompileError(done.stderr)
    answer = json.loads(done.stdout)
    problems = [e["formattedMessage"] for e in answer["output"].get("errors", []) if e["errorCode"] not in EXPECTED]
    if problems:
        raise CompileError("\n".join(problems))
    compiled = answer["output"]["contracts"][f"src/{CONTRACT}.sol"][CONTRACT]
    artifact = {
        "contract": CONTRACT,
        "compiler": answer["version"],
        "settings": {key: value for key, value in SETTINGS.items() if key != "outputSelection"},
        "sources": {name: hashlib.sha256(text.encode()).hexdigest() for name, text in sorted(sources.items())},
        "abi": compiled["abi"],
        "selectors": _selectors(compiled["abi"]),
        "bytecode": compiled["evm"]["bytecode"]["object"],
        "runtime": compiled["evm"]["deployedBytecode"]["object"],
        "codeDigest": hashlib.sha256(bytes.fromhex(compiled["evm"]["deployedBytecode"]["object"])).hexdigest(),
        # Written by the constructor; zero in "runtime".
        "immutables": sorted(
            [each["start"], each["length"]]
            for places in compiled["evm"]["deployedBytecode"].get("immutableReferences", {}).values()
            for each in places
        ),
        "storageLayout": _layout(compiled["storageLayout"]),
    }
    return json.dumps(artifact, indent=1, sort_keys=True).encode() + b"\n"


def _sources() -> dict[str, str]:
    sources: dict[str, str] = {}
    waiting = [f"src/{CONTRACT}.sol"]
    while waiting:
        name = waiting.pop()
        if name in sources:
            continue
        root = FOLDER if name.startswith("src/") else MODULES
        sources[name] = (root / name).read_text(encoding="utf-8")
        waiting.extend(_resolve(name, each) for each in IMPORT.findall(sources[name]))
    return sources


def _resolve(importer: str, target: str) -> str:
    if not target.startswith("."):
        return target
    parts = importer.split("/")[:-1]
    for part in target.split("/"):
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _selectors(abi: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    from eth_utils.crypto import keccak

    result: dict[str, dict[str, str]] = {"function": {}, "event": {}, "error": {}}
    for item in abi:
        if item["type"] in result:
            digest = keccak(text=signature(item)).hex()
            result[item["type"]][signature(item)] = digest if item["type"] == "event" else digest[:8]
    return result


def _layout(layout: dict[str, Any]) -> list[dict[str, Any]]:
    """Slot by slot; the compiler's AST ids are left out because they change with unrelated edits."""
    kinds = layout["types"]
    return [
        {"label": each["label"], "slot": each["slot"], "offset": each["offset"], "type": kinds[each["type"]]["label"]}
        for each in layout["storage"]
    ]


def main(arguments: list[str]) -> int:
    """Writes the artefact, or with ``--check`` says whether it is current."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        data = compile_contract()
    except CompileError as error:
        print(error, file=sys.stderr)
        return 3
    if arguments:
        current = ARTIFACT.read_bytes() == data
        print("the artefact is current" if current else "the artefact differs: run python -m contracts.compile")
        return 0 if current else 1
    Path(ARTIFACT).parent.mkdir(exist_ok=True)
    ARTIFACT.write_bytes(data)
    print(f"{ARTIFACT}: {len(json.loads(data)['runtime']) // 2} bytes of code")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
