"""`prov account roots|register-root|revoke-root`: the certificates an account signs under, and until when."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.account import As, AsJson, acting, app
from cli.console import emit, note, refusals

if TYPE_CHECKING:
    from provenance.ledger.protocol import IssuerKey

__all__ = ["app"]

Root = Annotated[str, typer.Argument(help="Digest of a root certificate, or a PEM file that ends in it.")]


@app.command("roots")
def roots(
    who: Annotated[str | None, typer.Argument(help="An address or account; the one of --as when not given.")] = None,
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """List every root certificate an account ever registered, from when and until when it stands by it.

    Example: prov account roots maker
    """
    with refusals():
        from provenance.home import Home
        from provenance.ledger import open_reader
        from provenance.ledger.accounts import account_address, resolve_address

        home = Home.open()
        address = resolve_address(home, who) if who else account_address(home, account)
        reader = open_reader(home)
        try:
            found = reader.issuer_keys(address)
        finally:
            reader.close()
        text = "\n".join(_text(each) for each in found) or f"{address} has registered no root certificate"
        emit([asdict(each) for each in found], text, as_json=as_json)


@app.command("register-root")
def register_root(
    root: Root,
    valid_from: Annotated[
        str | None, typer.Option(help="From when, like 2026-11-22T18:37:11Z; from now when not given.")
    ] = None,
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Stand by a root certificate: what is anchored while you do verifies as yours. `prov init` does it for your own.

    Example: prov account register-root root.pem --as maker
    """
    with refusals():
        digest = _digest(root)
        since = 0 if valid_from is None else _seconds(valid_from)
        with acting(account) as (_, ledger, signer):
            ledger.register_issuer(signer, digest, valid_from=since)
            found = next(each for each in ledger.issuer_keys(signer.address) if each.root == digest)
        emit(asdict(found), _text(found), as_json=as_json)


@app.command("revoke-root")
def revoke_root(
    root: Root,
    reason: Annotated[str, typer.Option(help="Why; it is public and stays on the chain.")],
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """End a root certificate now and for good, when its key was lost or stolen; what was anchored before stays good.

    Example: prov account revoke-root identity/root.pem --reason "the key was stolen"
    """
    with refusals():
        digest = _digest(root)
        with acting(account) as (_, ledger, signer):
            found = ledger.revoke_issuer(signer, digest, reason=reason)
        emit(asdict(found), _text(found), as_json=as_json)
        note("what is anchored from now on is not vouched for; make pictures in a new home: prov init --home FOLDER")


def _digest(text: str) -> str:
    from provenance.errors import UsageError
    from provenance.statement import is_digest

    if is_digest(text.lower()):
        return text.lower()
    if not Path(text).is_file():
        raise UsageError(
            f"{text!r} is neither the digest of a root certificate nor a file",
            expected="64 hexadecimal digits, or a PEM file",
            fix="`prov account roots` lists the digests",
        )
    from provenance.certificates import certificate_digest, parse_certificates
    from provenance.files import read_file

    return certificate_digest(parse_certificates(read_file(Path(text), limit=1 << 20))[-1])


def _seconds(text: str) -> int:
    from provenance.errors import FormatError, UsageError
    from provenance.moments import parse_moment

    try:
        return int(parse_moment(text, "--valid-from").timestamp())
    except FormatError as error:
        raise UsageError(f"{text!r} is not a moment", expected=error.expected) from error


def _text(key: IssuerKey) -> str:
    from provenance.ledger.quantities import format_date

    end = "" if key.revoked_at is None else f", revoked {format_date(key.revoked_at)}: {key.reason}"
    return f"{key.root}  from {format_date(key.valid_from)}{end}"
