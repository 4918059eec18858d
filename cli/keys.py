"""`prov keys`: the keys of sealed weights, handed over and kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.account import As, AsJson
from cli.console import emit, note, passphrase, refusals

if TYPE_CHECKING:
    from provenance.home import Home
    from provenance.ledger.accounts import KeystoreAccount
    from provenance.ledger.protocol import LedgerReader, Token
    from provenance.sealing import WrappedKey

app = typer.Typer(
    help="Hand over, fetch and keep the keys of sealed weights.", no_args_is_help=True, rich_markup_mode=None
)

TokenNumber = Annotated[int, typer.Argument(min=1, help="Number of the adapter's token.")]
DEFAULT_PORT = 8645


@app.command("public")
def public(account: As = None, as_json: AsJson = False) -> None:
    """Print an account's public key, which its maker needs for `prov keys wrap`; the account is opened for it.

    Example: prov keys public --as licensee
    """
    with refusals():
        from provenance.home import Home
        from provenance.ledger.accounts import load_keystore
        from provenance.sealing import public_key_of

        opened = load_keystore(Home.open(), account, passphrase())
        public_key = public_key_of(opened.private_key).hex()
        emit({"address": opened.address, "public_key": public_key}, public_key, as_json=as_json)


@app.command("wrap")
def wrap(
    token: TokenNumber,
    to: Annotated[str, typer.Option(help="The licensee's public key, or an account of this home.")],
    out: Annotated[Path | None, typer.Option(help="Write the wrapped key to this file, to hand over.")] = None,
    store: Annotated[bool, typer.Option("--store", help="Put it into the block store and print its CID.")] = False,
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Wrap an adapter's key for one licensee, who alone can open it.

    Example: prov keys wrap 1 --to licensee --out licensee.key.json
    """
    with refusals(), _reading(account) as (home, reader, holder):
        from provenance.errors import KeyRefused
        from provenance.files import write_file
        from provenance.sealing import licensed, wrap_for
        from provenance.sealing.wrapping import address_of

        public_key = _public_key(home, reader, to)
        found = reader.token(token)
        if not licensed(reader, token, address_of(public_key)):
            raise KeyRefused(
                f"{address_of(public_key)} holds no licence for token {token} that is final",
                expected="a licence first, then its key",
                fix=f"prov license grant {token} {address_of(public_key)}",
            )
        wrapped = wrap_for(home, reader, found, holder, public_key)
        cid = _stored(home, wrapped) if store else None
        if out is not None:
            write_file(out, wrapped.to_bytes() + b"\n")
        text = f"token {token}: key {wrapped.key_id[:16]}… wrapped for {wrapped.account}"
        text += f"\nfile  {out}" if out else ""
        text += f"\ncid   {cid}" if cid else ""
        emit({**wrapped.to_json(), "cid": cid}, text, as_json=as_json)


@app.command("add")
def add(
    file: Annotated[Path, typer.Argument(help="A file that `prov keys wrap` made.")],
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Keep a wrapped key that a maker handed over, after checking that it opens and fits the release.

    Example: prov keys add licensee.key.json --as licensee
    """
    with refusals(), _reading(account) as (home, reader, holder):
        from provenance.files import read_file
        from provenance.sealing import WrappedKey
        from provenance.sealing.weights import accept_key
        from provenance.stores import open_store

        wrapped = WrappedKey.parse(read_file(file, limit=1 << 16).removesuffix(b"\n"), str(file))
        token = accept_key(home, reader, open_store(home), wrapped, holder)
        _kept(token, holder, as_json)


@app.command("fetch")
def fetch(
    token: TokenNumber,
    url: Annotated[str, typer.Option(help="The maker's key service, like http://127.0.0.1:8645.")],
    allow_remote: Annotated[bool, typer.Option("--allow-remote", help="Allow a service on another machine.")] = False,
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Fetch the key of an adapter from its maker's key service, by proof of a licensed account.

    Example: prov keys fetch 1 --url http://127.0.0.1:8645 --as licensee
    """
    with refusals(), _reading(account) as (home, reader, holder):
        from provenance.keyservice.client import fetch_key
        from provenance.stores import open_store

        found = fetch_key(
            url,
            token,
            home=home,
            reader=reader,
            store=open_store(home),
            account=holder,
            allow_remote=allow_remote,
        )
        _kept(found, holder, as_json)


@app.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """List the wrapped keys this home holds.

    Example: prov keys list
    """
    with refusals():
        from provenance.home import Home
        from provenance.ledger import open_reader
        from provenance.sealing.keyring import Keyring

        home = Home.open()
        reader = open_reader(home)
        try:
            held = Keyring.of_home(home, reader.identity).all()
            numbers = {each.weights: each.token for each in reader.tokens()}
        finally:
            reader.close()
        lines = [
            f"token {numbers.get(each.weights, '?'):>4}  for {each.account}  key {each.key_id[:16]}…"
            f"{'  (its maker)' if each.account == each.maker else ''}"
            for each in held
        ]
        data = [{"token": numbers.get(each.weights), **each.to_json()} for each in held]
        emit(data, "\n".join(lines) or "no key yet", as_json=as_json)


@app.command("serve")
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")] = DEFAULT_PORT,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Allow an address that other machines can reach.")
    ] = False,
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Serve wrapped keys to licensees until interrupted; every release and refusal is in `prov keys log`.

    Example: prov keys serve --as maker
    """
    with refusals(), _reading(account) as (home, reader, holder):
        from provenance.http.serving import listen, make_server
        from provenance.keyservice.desk import KeyDesk
        from provenance.keyservice.log import ReleaseLog
        from provenance.keyservice.service import create_app
        from provenance.ledger import open_reader

        log = ReleaseLog.of_home(home)
        for _ in log.entries():
            # A broken chain is to be looked at before anything is added to it.
            pass
        desk = KeyDesk(home, reader.identity, holder, lambda: open_reader(home), log)
        listening = listen(host, port, allow_remote=allow_remote)
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{listening.getsockname()[1]}"
        emit({"url": url, "account": holder.address}, f"serving keys of {holder.address} on {url}", as_json=as_json)
        make_server(create_app(desk)).run(sockets=[listening])


@app.command("log")
def log(as_json: AsJson = False) -> None:
    """Show every key released and refused, after checking that no line was changed.

    Example: prov keys log
    """
    with refusals():
        from provenance.home import Home
        from provenance.keyservice.log import ReleaseLog

        entries = list(ReleaseLog.of_home(Home.open()).entries())
        lines = [
            f"{each['time']}  {each['event']:8}  token {each['token'] or '-'}  {each['account'] or '-'}  "
            f"from {each['peer']}{'  ' + each['reason'] if each['reason'] else ''}"
            for each in entries
        ]
        head = f"{len(entries)} entries, head {entries[-1]['hash']}" if entries else "no entry yet"
        emit(entries, "\n".join([*lines, head]), as_json=as_json)


@contextmanager
def _reading(account: str | None) -> Iterator[tuple[Home, LedgerReader, KeystoreAccount]]:
    from provenance.home import Home
    from provenance.ledger import open_reader
    from provenance.ledger.accounts import load_keystore

    home = Home.open()
    holder = load_keystore(home, account, passphrase())
    reader = open_reader(home)
    try:
        yield home, reader, holder
    finally:
        reader.close()


def _public_key(home: Home, reader: LedgerReader, text: str) -> bytes:
    from provenance.errors import UsageError
    from provenance.ledger.accounts import ADDRESS, account_names, resolve_address
    from provenance.sealing import known_public_key, parse_public_key

    if text not in account_names(home) and not ADDRESS.fullmatch(text.lower()):
        return parse_public_key(text)
    address = resolve_address(home, text)
    found = known_public_key(home, reader, address, passphrase())
    if found is None:
        raise UsageError(
            f"the public key of {address} is not known here, and an address alone cannot be encrypted to",
            expected="a public key, as `prov keys public` prints it for the licensee",
            fix="ask the licensee for it, or run `prov keys serve` and let them fetch the key",
        )
    return found


def _stored(home: Home, wrapped: WrappedKey) -> str:
    from provenance.stores import add_bytes, open_store

    return str(add_bytes(open_store(home), wrapped.to_bytes()))


def _kept(token: Token, holder: KeystoreAccount, as_json: bool) -> None:
    emit(
        {"token": token.token, "account": holder.address, "weights": token.weights},
        f"token {token.token}: its key for {holder.address} is kept in this home",
        as_json=as_json,
    )
    note(f"next: prov generate PROMPT --model {token.token}")
