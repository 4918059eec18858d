"""`prov chain`: the ledger of this home, its own or anyone's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.account import As, AsJson
from cli.console import emit, note, passphrase, refusals

if TYPE_CHECKING:
    from provenance.home import Home
    from provenance.ledger.protocol import LedgerReader

app = typer.Typer(help="Look after the ledger of this home.", no_args_is_help=True, rich_markup_mode=None)

AllowRemote = Annotated[bool, typer.Option("--allow-remote", help="Allow a node that is not on this machine.")]


@app.command("up")
def up(as_json: AsJson = False) -> None:
    """Make this home's own chain, if it is not there yet.

    Example: prov chain up
    """
    with refusals():
        from provenance.errors import UsageError
        from provenance.home import Home
        from provenance.ledger import open_ledger

        home = Home.open()
        if home.chain.kind != "embedded":
            raise UsageError(
                "this home uses a node, which prov does not start", fix="go back with `prov chain use embedded`"
            )
        ledger = open_ledger(home)
        try:
            _show(home, ledger, as_json)
        finally:
            ledger.close()


@app.command("status")
def status(as_json: AsJson = False) -> None:
    """Show which ledger this home uses and what it holds.

    Example: prov chain status --json
    """
    with refusals():
        from provenance.home import Home
        from provenance.ledger import open_reader

        home = Home.open()
        reader = open_reader(home)
        try:
            _show(home, reader, as_json)
        finally:
            reader.close()


@app.command("use")
def use(
    url: Annotated[str, typer.Argument(help="A node's address, or `embedded` for this home's own chain.")],
    contract: Annotated[str | None, typer.Option(help="Address of our contract on that chain.")] = None,
    first_block: Annotated[int, typer.Option(min=0, help="Block to read from: the contract's own is fastest.")] = 0,
    allow_remote: AllowRemote = False,
    as_json: AsJson = False,
) -> None:
    """Use a contract on any JSON-RPC node and pin its chain id, genesis block and code.

    Example: prov chain use http://127.0.0.1:8545 --contract 0x5fbdb2315678afecb367f032d93f642f64180aa3
    """
    with refusals():
        from provenance.errors import UsageError
        from provenance.home import ChainSettings, Home
        from provenance.ledger import open_ledger, open_reader
        from provenance.ledger.accounts import ADDRESS
        from provenance.ledger.rpc_reader import pin_chain

        home = Home.open()
        if url == "embedded":
            settings = ChainSettings()
        elif contract is None or not ADDRESS.fullmatch(contract.lower()):
            raise UsageError(
                "a node has many contracts",
                expected="--contract 0x and 40 hexadecimal digits",
                found=str(contract),
                fix="deploy the contract with `prov chain deploy` if it is not there yet",
            )
        else:
            settings = pin_chain(url, contract, allow_remote=allow_remote, first_block=first_block)
        home = home.with_chain(settings)
        # Going back makes the own chain if it was never there.
        reader = open_ledger(home) if url == "embedded" else open_reader(home)
        try:
            home.save()
            _show(home, reader, as_json)
        finally:
            reader.close()


@app.command("deploy")
def deploy(
    url: Annotated[str, typer.Argument(help="A node's address.")],
    account: As = None,
    allow_remote: AllowRemote = False,
    as_json: AsJson = False,
) -> None:
    """Deploy our contract through any JSON-RPC node, pin it and use it; the account pays the fee.

    Example: prov chain deploy http://127.0.0.1:8545 --as maker
    """
    with refusals():
        from provenance.home import Home
        from provenance.ledger import open_reader
        from provenance.ledger.accounts import load_account
        from provenance.ledger.rpc import deploy_contract

        home = Home.open()
        settings = deploy_contract(home, url, load_account(home, account, passphrase()), allow_remote=allow_remote)
        home = home.with_chain(settings)
        home.save()
        reader = open_reader(home)
        try:
            _show(home, reader, as_json)
        finally:
            reader.close()
        note("next: prov init, to register your root certificate on this ledger")


def _show(home: Home, reader: LedgerReader, as_json: bool) -> None:
    from provenance.ledger.jsonrpc import origin
    from provenance.ledger.quantities import format_date

    identity, head = reader.identity, reader.head()
    tokens, streams = len(reader.tokens()), len(reader.streams())
    facts: dict[str, Any] = {
        "kind": home.chain.kind,
        "node": origin(home.chain.url) if home.chain.url else None,
        "chain_id": identity.chain_id,
        "genesis": identity.genesis,
        "contract": identity.contract,
        "code_digest": identity.code_digest,
        "namespace": reader.namespace,
        "block": head.block,
        "timestamp": head.timestamp,
        "tokens": tokens,
        "streams": streams,
    }
    where = f"node {facts['node']}" if facts["node"] else f"embedded, in {home.path / 'chain'}"
    text = (
        f"ledger     {where}\n"
        f"chain      {identity.chain_id}, genesis {identity.genesis}\n"
        f"contract   {identity.contract}\n"
        f"code       sha256 {identity.code_digest}\n"
        f"namespace  {reader.namespace:#04x}\n"
        f"head       block {head.block}, {format_date(head.timestamp)}\n"
        f"holds      {tokens} adapters, {streams} streams"
    )
    emit(facts, text, as_json=as_json)
