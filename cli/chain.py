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

DEFAULT_MAX_FEE = "1000 gwei"

AllowRemote = Annotated[bool, typer.Option("--allow-remote", help="Allow a node that is not on this machine.")]
Confirmations = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Blocks that make one final; by default what the node calls final, and 0 on a development node here.",
    ),
]
Witness = Annotated[
    list[str] | None,
    typer.Option("--witness", help="Another node, which must know the same blocks; may be given several times."),
]
MaxFee = Annotated[str, typer.Option(help='The most that accounts here pay for one gas, like "80 gwei".')]


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
    confirmations: Confirmations = None,
    witness: Witness = None,
    max_fee: MaxFee = DEFAULT_MAX_FEE,
    allow_remote: AllowRemote = False,
    as_json: AsJson = False,
) -> None:
    """Use a contract on any JSON-RPC node and pin its chain id, genesis block and code.

    What the node can prove now it must prove from then on. Every witness must agree with it about every block.

    Example: prov chain use http://127.0.0.1:8545 --contract 0x5fbdb2315678afecb367f032d93f642f64180aa3
    """
    with refusals():
        from provenance.errors import UsageError
        from provenance.home import ChainSettings, Home
        from provenance.ledger import open_ledger, open_reader
        from provenance.ledger.accounts import ADDRESS
        from provenance.ledger.pinning import pin_chain
        from provenance.ledger.quantities import parse_wei
        from provenance.ledger.rpc_reader import identity_of
        from provenance.ledger.seen import forget_seen

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
            settings = pin_chain(
                url,
                contract,
                allow_remote=allow_remote,
                first_block=first_block,
                confirmations=confirmations,
                witnesses=tuple(witness or ()),
                max_fee=parse_wei(max_fee),
            )
            forget_seen(home.path / "chain", identity_of(settings))
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
    confirmations: Confirmations = None,
    max_fee: MaxFee = DEFAULT_MAX_FEE,
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
        from provenance.ledger.quantities import parse_wei
        from provenance.ledger.rpc import deploy_contract

        home = Home.open()
        settings = deploy_contract(
            home,
            url,
            load_account(home, account, passphrase()),
            allow_remote=allow_remote,
            confirmations=confirmations,
            max_fee=parse_wei(max_fee),
            progress=note,
        )
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
    from provenance.ledger.rpc_reader import RpcSource

    identity, final, chain = reader.identity, reader.source.finalised(), home.chain
    head = reader.source.latest() if isinstance(reader.source, RpcSource) else reader.head()
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
        "final_block": final.block,
        "confirmations": chain.confirmations,
        "proofs": chain.proofs,
        "receipts": chain.receipts,
        "witnesses": [origin(each) for each in chain.witnesses],
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
        f"head       block {head.block}, {format_date(head.timestamp)}; final up to block {final.block}\n"
        f"proved     {_proved(home)}\n"
        f"holds      {tokens} adapters, {streams} streams"
    )
    emit(facts, text, as_json=as_json)


def _proved(home: Home) -> str:
    from provenance.ledger.jsonrpc import origin

    chain = home.chain
    if chain.kind == "embedded":
        return "it is this home's own chain"
    what = {
        (True, True): "storage and logs, against the block's hash",
        (True, False): "storage, against the block's hash; logs are the node's word",
        (False, False): "nothing: all is the node's word",
    }[chain.proofs, chain.receipts]
    witnesses = ", ".join(origin(each) for each in chain.witnesses) or "none: the block's hash is the node's word"
    return f"{what}; witnesses: {witnesses}"
