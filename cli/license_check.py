"""`prov license check`: may an account use an adapter now? Decided from the contract's storage, and quickly."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.account import As, AsJson
from cli.console import emit, refusals

if TYPE_CHECKING:
    from provenance.home import Home
    from provenance.ledger.right import Right

TOKEN = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)


def command(
    token: Annotated[int, typer.Argument(min=1, help="Number of the adapter's token.")],
    licensee: Annotated[
        str | None, typer.Argument(help="An address or account; the one of --as when not given.")
    ] = None,
    details: Annotated[
        bool, typer.Option("--details", help="Read the logs too, for reasons and offers; always on one's own chain.")
    ] = False,
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Say whether an account may use an adapter now; the exit code is 1 if it may not.

    On a node this is what its last final block holds, proved against the block's hash where the node serves proofs.

    Example: prov license check 1 licensee
    """
    _answer(token, licensee, details, account, as_json)


def run_plainly(arguments: Sequence[str]) -> bool:
    """Runs the command when its arguments, after `license check`, are in their plainest form.

    False leaves them to Typer: help, mistakes, other spellings. Typer reads any argument with pydantic, whose import
    alone takes as long as the whole check, which programs make before every picture.
    """
    found: dict[str, str] = {}
    places: list[str] = []
    words = iter(arguments)
    for word in words:
        if word in ("--json", "--details"):
            found[word] = word
        elif word == "--as":
            found[word] = next(words, "")
        else:
            places.append(word)
    account = found.get("--as", os.environ.get("PROV_ACCOUNT") or None)
    named = [*places, *([] if account is None else [account])]
    if len(places) not in (1, 2) or not TOKEN.fullmatch(places[0]) or any(w.startswith("-") or not w for w in named):
        return False
    try:
        _answer(int(places[0]), dict(enumerate(places)).get(1), "--details" in found, account, "--json" in found)
    except typer.Exit as done:
        sys.exit(done.exit_code)
    return True


def _answer(token: int, licensee: str | None, details: bool, account: str | None, as_json: bool) -> None:
    with refusals():
        from provenance.home import Home
        from provenance.ledger.accounts import account_address, resolve_address
        from provenance.ledger.right import read_right

        home = Home.open()
        address = resolve_address(home, licensee) if licensee else account_address(home, account)
        found = read_right(home, token, address)
        facts, lines = _facts(found), [_text(found)]
        if (details or home.chain.kind == "embedded") and found.why != "no adapter":
            _add_details(home, found, facts, lines)
        emit(facts, "\n".join(lines), as_json=as_json)
        if not found.allowed:
            raise typer.Exit(1)


def _facts(found: Right) -> dict[str, Any]:
    return {
        **asdict(found),
        "allowed": found.allowed,
        "owner": found.why == "owner",
        "taken_down": found.why == "taken down",
        "owned_by": found.owner,
    }


def _text(found: Right) -> str:
    from provenance.ledger.quantities import format_date

    why = found.why
    if why in ("licensed", "used up"):
        left = f", {max(0, found.quota - found.usage)} images left" if found.quota else ""
        why = f"{why}: expires {format_date(found.expires)}{left}"
    elif why in ("expired", "revoked"):
        why = f"{why} {format_date(found.expires)}"
    allowed = "allowed" if found.allowed else "not allowed"
    proof = "" if found.proved else ", on the word of the node alone"
    withdrawn = "; the adapter was withdrawn: what is made with it verifies as revoked" if found.withdrawn else ""
    return f"{allowed}  {found.account}  ({why}; block {found.block}{proof}{withdrawn})"


def _add_details(home: Home, found: Right, facts: dict[str, Any], lines: list[str]) -> None:
    from cli.rights import licence_facts, licence_text, offer_facts, offer_text
    from provenance.ledger import open_reader

    reader = open_reader(home)
    try:
        standing, held = reader.offers(found.token), reader.licence(found.token, found.account)
    finally:
        reader.close()
    facts["licence"] = licence_facts(held) if held else None
    facts["offers"] = [offer_facts(each) for each in standing]
    lines += [f"licence  {licence_text(held)}"] if held else []
    lines += [offer_text(each) for each in standing] or ["not for sale"]
