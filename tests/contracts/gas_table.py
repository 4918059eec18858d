"""The committed gas table: ``contracts/gas.json`` for the tests, ``docs/gas.md`` for people.

`python -m tests.contracts.gas_table` measures and compares; ``--write`` writes both files.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from contracts.artifact import FOLDER
from contracts.compile import CompileError
from provenance.files import write_file
from tests.contracts.gas_life import Life
from tests.contracts.solidity import compile_assets
from tests.contracts.world import embedded_world, known_account

TABLE = FOLDER / "gas.json"
PAGE = FOLDER.parent / "docs" / "gas.md"
TOLERANCE = 0.01
CODE_OF_OTHERS = ("coin", "hasLicense")
"""Words in the names of rows that need contracts of others, and so a compiler."""

CEILINGS = {"mint": 175_000, "buy: first": 80_000, "buy: renewal": 50_000, "settle": 35_000, "anchor": 75_000}
"""What the operations whose names begin so may cost."""

PAYS_FOR = {
    "mint: the ledger's first": (
        "mint",
        "17,100 for the account's first ERC-721 balance, 17,100 for the slot that counts adapters, the rest for the "
        "base's digest and number, which every later adapter of that base shares",
    ),
    "mint: on a new base": ("mint", "the base's digest and number, which every later adapter of that base shares"),
    "mint: an account's first": ("mint", "OpenZeppelin's ERC-721 keeps a balance, and 17,100 is its first slot"),
    "mint: an account's first, on a new base": ("mint", "the first ERC-721 balance, and the base's digest and number"),
    "mint: one parent": ("mint", "22,100 for the slot of parents, reading the parent and its owner, and an event"),
    "mint: with contributors": ("mint", "22,100 for the root of the contributors, and an event"),
    "mint: eight parents and contributors": ("mint", "both slots, and eight parents that are read and named"),
    "buy: first purchase, very first sale": (
        "buy: first purchase",
        "17,100 for the first slot of what the maker is owed; it is empty again after the maker withdrew",
    ),
    "buy: first purchase, parents and contributors share, very first sale": (
        "buy: first purchase",
        "17,100 for what the maker is owed, 22,100 for what is set aside for the others",
    ),
    "buy: first purchase with a coin": (
        "buy: first purchase",
        "the coin's own `transferFrom`, and its balance before and after: coins that lie are found out",
    ),
    "buy: first purchase with a coin, very first sale": (
        "buy: first purchase with a coin",
        "17,100 each for what the maker is owed and for the ledger's first balance in the coin",
    ),
    "buy: renewal, with a quota": ("buy: renewal", "adding up the quota"),
    "buy: renewal, parents and contributors share": ("buy: renewal", "5,000 for what is set aside for the others"),
    "buy: renewal with a coin": ("buy: renewal", "the coin's own `transferFrom`, and its balance before and after"),
    "settle: a total of nine digits": ("settle", "two more bytes that are not zero"),
}
"""For each row above its ceiling: the row it is compared with, and what the difference pays for."""

Table = dict[str, int]


def measure(*, with_contracts: bool = True) -> Table:
    """Runs the scripted life on an embedded chain of its own; raises CompileError where Node is missing."""
    with tempfile.TemporaryDirectory(prefix="prov-gas-") as folder:
        world = embedded_world(Path(folder), known_account)
        try:
            return Life(world, compile_assets() if with_contracts else None).run()
        finally:
            world.ledger.close()


def ceiling_of(operation: str) -> int | None:
    """The ceiling of a row, if its kind has one."""
    return next((gas for name, gas in CEILINGS.items() if operation.startswith(name)), None)


def per_image(table: Table) -> dict[str, float]:
    """Gas for one image of a batch, by the number of its images: the dearest way to anchor."""
    return {
        "1000": table["anchor: with a quota"] / 1000,
        "1000000": table["anchor: with a quota, 1,000,000 images"] / 1_000_000,
    }


def read_table() -> Table:
    """The committed figures."""
    raw = json.loads(TABLE.read_bytes())
    return {name: int(row["gas"]) for name, row in raw["operations"].items()}


def table_bytes(table: Table) -> bytes:
    """The file for the tests."""
    rows = {
        name: {"gas": gas} | ({} if (ceiling := ceiling_of(name)) is None else {"ceiling": ceiling})
        for name, gas in table.items()
    }
    return json.dumps({"operations": rows, "perImage": per_image(table)}, indent=1).encode() + b"\n"


def page_bytes(table: Table) -> bytes:
    """The page for people."""
    lines = [
        "# What each operation costs",
        "",
        "Gas as the embedded chain and anvil both count it (Prague rules), to the unit the same on both. Measured by",
        "`python -m tests.contracts.gas_table`, written by the same command with `--write`, kept in",
        "`contracts/gas.json`; a test fails when a figure moves by more than 1 %. Addresses and signatures have no",
        "zero bytes here: each would cost 12 less. A mint is two transactions: the commitment and the mint.",
        "",
        "| operation | gas | ceiling |",
        "|---|---:|---:|",
    ]
    for name, gas in table.items():
        ceiling = ceiling_of(name)
        told = "" if ceiling is None else f"{ceiling:,}" + (" (above)" if gas > ceiling else "")
        lines.append(f"| {name} | {gas:,} | {told} |")
    lines += ["", "## An image of a batch", "", "Under a licence with a quota, the dearest way to anchor.", ""]
    lines += ["| images in a batch | gas for one |", "|---:|---:|"]
    lines += [f"| {int(count):,} | {gas:.3f} |" for count, gas in per_image(table).items()]
    lines += ["", "## What the rows above their ceiling pay for", ""]
    for name, (baseline, reason) in PAYS_FOR.items():
        if table[name] > (ceiling_of(name) or 0):
            lines.append(f"- **{name}**: {table[name] - table[baseline]:,} more than “{baseline}”: {reason}.")
    return "\n".join(lines).encode() + b"\n"


def moved(found: Table, committed: Table) -> list[str]:
    """Rows whose figure differs from the committed one by more than the tolerance."""
    return [
        f"{name}: {committed[name]:,} committed, {gas:,} measured"
        for name, gas in found.items()
        if abs(gas - committed[name]) > TOLERANCE * committed[name]
    ]


def main(arguments: list[str]) -> int:
    """Measures; compares with the committed table, or writes it."""
    if arguments not in ([], ["--write"]):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        table = measure()
    except CompileError as error:
        print(error, file=sys.stderr)
        return 3
    if arguments:
        write_file(TABLE, table_bytes(table))
        write_file(PAGE, page_bytes(table))
        return 0
    differences = moved(table, read_table())
    print("\n".join(differences) or "every figure is within 1 % of the committed one")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
