"""`prov operator`: the two roles of a ledger: its operator, who appoints and pauses, and its safety account."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.account import As, AsJson, acting
from cli.console import emit, refusals
from cli.license import Licensee, Token

if TYPE_CHECKING:
    from provenance.home import Home
    from provenance.ledger.protocol import Account, Ledger

app = typer.Typer(
    help="Appoint the safety account, pause sales, take adapters down.", no_args_is_help=True, rich_markup_mode=None
)

Why = Annotated[str | None, typer.Option("--reason", help="Why, in words; they go into the block store.")]
WhyFile = Annotated[Path | None, typer.Option("--reason-file", help="Or a file that says why.")]


@app.command("show")
def show(as_json: AsJson = False) -> None:
    """Show who operates this ledger, who its safety account is, and whether sales are paused.

    Example: prov operator show
    """
    with refusals():
        from provenance.home import Home
        from provenance.ledger import open_ledger
        from provenance.ledger.licences import NATIVE

        ledger = open_ledger(Home.open())
        try:
            operator, safety, paused = ledger.operator(), ledger.safety(), ledger.is_paused()
        finally:
            ledger.close()
        appointed = None if safety == NATIVE else safety
        emit(
            {"operator": operator, "safety": appointed, "paused": paused},
            f"operator  {operator}\nsafety    {appointed or 'nobody'}\npaused    {'yes' if paused else 'no'}",
            as_json=as_json,
        )


@app.command("appoint")
def appoint(
    safety: Annotated[str | None, typer.Argument(help="An address or account; nobody when not given.")] = None,
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Appoint the account that may take adapters down; on a home's own chain, the home is the operator.

    Example: prov operator appoint safety-desk
    """
    with refusals():
        from provenance.ledger.accounts import resolve_address
        from provenance.ledger.licences import NATIVE

        with _operating(account) as (home, ledger, signer):
            address = resolve_address(home, safety) if safety else NATIVE
            ledger.appoint_safety(signer, address)
        emit({"safety": address if safety else None}, f"safety    {address if safety else 'nobody'}", as_json=as_json)


@app.command("pause")
def pause(account: As = None, as_json: AsJson = False) -> None:
    """Stop new mints and sales; licences, renewals, anchors, refunds and withdrawals go on.

    Example: prov operator pause
    """
    with refusals(), _operating(account) as (_, ledger, signer):
        ledger.set_paused(signer, True)
        emit({"paused": True}, "new mints and sales are paused", as_json=as_json)


@app.command("unpause")
def unpause(account: As = None, as_json: AsJson = False) -> None:
    """Let mints and sales go on.

    Example: prov operator unpause
    """
    with refusals(), _operating(account) as (_, ledger, signer):
        ledger.set_paused(signer, False)
        emit({"paused": False}, "mints and sales go on", as_json=as_json)


@app.command("hand-over")
def hand_over(to: Licensee, account: As = None, as_json: AsJson = False) -> None:
    """Offer the operator's role to another account, which must accept it.

    Example: prov operator hand-over studio
    """
    with refusals():
        from provenance.ledger.accounts import resolve_address

        with _operating(account) as (home, ledger, signer):
            address = resolve_address(home, to)
            ledger.offer_operator(signer, address)
        emit({"offered_to": address}, f"offered to {address}: prov operator accept --as …", as_json=as_json)


@app.command("accept")
def accept(account: As = None, as_json: AsJson = False) -> None:
    """Accept the operator's role that was offered to an account.

    Example: prov operator accept --as studio
    """
    with refusals(), acting(account) as (_, ledger, signer):
        ledger.accept_operator(signer)
        emit({"operator": signer.address}, f"operator  {signer.address}", as_json=as_json)


@app.command("take-down")
def take_down(
    token: Token, reason: Why = None, reason_file: WhyFile = None, account: As = None, as_json: AsJson = False
) -> None:
    """Take an adapter down: nobody may use it until it is reinstated. Only the safety account may.

    Example: prov operator take-down 1 --reason "made to imitate a living person" --as safety-desk
    """
    with refusals(), acting(account) as (home, ledger, signer):
        digest, cid = _publish_reason(home, reason, reason_file)
        ledger.take_down(signer, token, reason=digest)
        emit(
            {"token": token, "taken_down": True, "reason": digest, "cid": cid},
            f"token {token} is taken down\nreason    sha256 {digest}, {cid}",
            as_json=as_json,
        )


@app.command("reinstate")
def reinstate(
    token: Token, reason: Why = None, reason_file: WhyFile = None, account: As = None, as_json: AsJson = False
) -> None:
    """Lift a takedown. Only the safety account may.

    Example: prov operator reinstate 1 --reason "the complaint was withdrawn" --as safety-desk
    """
    with refusals(), acting(account) as (home, ledger, signer):
        digest, cid = _publish_reason(home, reason, reason_file)
        ledger.reinstate(signer, token, reason=digest)
        emit(
            {"token": token, "taken_down": False, "reason": digest, "cid": cid},
            f"token {token} is reinstated\nreason    sha256 {digest}, {cid}",
            as_json=as_json,
        )


@contextmanager
def _operating(account: str | None) -> Iterator[tuple[Home, Ledger, Account]]:
    """As ``acting``; on a home's own chain, the chain's own key acts when no account is named."""
    from provenance.home import Home
    from provenance.ledger.embedded import open_embedded_ledger

    home = Home.open()
    if account is not None or home.chain.kind != "embedded":
        with acting(account) as found:
            yield found
        return
    ledger = open_embedded_ledger(home)
    try:
        yield home, ledger, ledger.operator_account()
    finally:
        ledger.close()


def _publish_reason(home: Home, reason: str | None, file: Path | None) -> tuple[str, str]:
    from provenance.canonical import sha256_hex
    from provenance.errors import UsageError
    from provenance.files import read_file
    from provenance.stores import add_bytes, open_store

    if (reason is None) == (file is None):
        raise UsageError("say why: give either --reason TEXT or --reason-file FILE")
    data = read_file(file, limit=1 << 20) if file else (reason or "").encode()
    return sha256_hex(data), str(add_bytes(open_store(home), data))
