"""Refuses when the code forge tested is not the code of the committed artefact.

Run as ``python -m contracts.tools.artefact FORGE_OUT``, where FORGE_OUT is forge's output folder.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from contracts.artifact import ARTIFACT

PARTS = {"bytecode": "bytecode", "runtime": "deployedBytecode"}


def differences(built: Path) -> list[str]:
    """The parts in which forge's build of the contract and the artefact differ."""
    artifact = json.loads(ARTIFACT.read_bytes())
    name = artifact["contract"]
    forged = json.loads((built / f"{name}.sol" / f"{name}.json").read_bytes())
    return [ours for ours, theirs in PARTS.items() if forged[theirs]["object"].removeprefix("0x") != artifact[ours]]


def main(arguments: list[str]) -> int:
    """Compares the folder named by the only argument with the artefact."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    different = differences(Path(arguments[0]))
    if different:
        print(
            f"{', '.join(different)}: this is not the code of the committed artefact. Run python -m contracts.compile; "
            "if that changes nothing, the compiler settings of contracts/foundry.toml and contracts/compile.py differ"
        )
        return 1
    print("forge tested the code of the committed artefact, byte for byte")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
