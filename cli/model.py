"""`prov model`: adapters as tokens."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import model_card, model_merge
from cli.account import As, AsJson, acting
from cli.console import emit, note, refusals
from cli.license import Commercial, Quota, Transferable
from cli.rights import offer_facts, offer_text, terms_of

if TYPE_CHECKING:
    from provenance.ledger.licences import Shares
    from provenance.ledger.protocol import LedgerReader, Token

app = typer.Typer(help="Publish adapters as tokens and look at them.", no_args_is_help=True, rich_markup_mode=None)
app.command("card")(model_card.command)
app.command("merge")(model_merge.command)

TokenNumber = Annotated[int, typer.Argument(min=1, help="Number of the adapter's token.")]
Reason = Annotated[str, typer.Option(help="Why; it is public and stays on the chain.")]


@app.command("publish")
def publish(
    adapter: Annotated[Path, typer.Argument(help="A release that `prov train` made.")],
    dataset: Annotated[Path, typer.Option(help="The signed dataset it was trained on.")],
    price: Annotated[str | None, typer.Option(help='Offer licences at this price, like "0.01 ether".')] = None,
    days: Annotated[
        float | None, typer.Option("--days", "--duration", help="Days a licence lasts; without end when not given.")
    ] = None,
    include_data: Annotated[
        bool, typer.Option(help="Publish the training pictures too, not only their records.")
    ] = False,
    in_clear: Annotated[
        bool, typer.Option("--open", help="Publish the weights in clear, for anyone; they are sealed otherwise.")
    ] = False,
    quota: Quota = 0,
    commercial: Commercial = False,
    transferable: Transferable = False,
    royalty: Annotated[float, typer.Option(min=0, max=25, help="Per cent asked on resale of the token.")] = 0,
    derivable: Annotated[bool, typer.Option("--derivable", help="Adapters may be made from this one.")] = False,
    derivative: Annotated[
        float, typer.Option("--derivative-share", min=0, max=100, help="Per cent of the sales of those adapters.")
    ] = 0,
    parents: Annotated[list[int] | None, typer.Option("--parent", help="Token it was made from; repeatable.")] = None,
    contributors: Annotated[
        Path | None, typer.Option(help="Who contributed to the dataset, and their parts (JSON).")
    ] = None,
    contributors_share: Annotated[
        float, typer.Option(min=0, max=100, help="Per cent of sales that goes to the contributors.")
    ] = 0,
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Publish an adapter with its training history and mint its token; its weights are encrypted for licensees.

    Example: prov model publish adapter --dataset release --price "0.01 ether" --days 30
    """
    with refusals():
        from provenance.release import publish_release, terms_document
        from provenance.stores import open_store
        from provenance.trust import TrustStore

        offered = None if price is None else terms_of(price, days, quota, commercial, transferable, 7, None)
        shares = _shares(royalty, derivable, derivative, contributors, contributors_share)
        with acting(account) as (home, ledger, signer):
            token = publish_release(
                adapter,
                dataset,
                home=home,
                ledger=ledger,
                store=open_store(home),
                account=signer,
                trust=TrustStore.of_home(home),
                include_data=include_data,
                sealed=not in_clear,
                terms=terms_document(offered, shares),
                shares=shares,
                parents=parents or (),
            )
            if offered is not None and all(each.terms != offered for each in ledger.offers(token.token)):
                ledger.make_offer(signer, token.token, offered)
            emit(_facts(ledger, token), _text(ledger, token), as_json=as_json)
        note(f"next: prov generate PROMPT --model {token.token}")


@app.command("show")
def show(token: TokenNumber, as_json: AsJson = False) -> None:
    """Show what the ledger knows about an adapter, and the signed figures that were published with it.

    Example: prov model show 1
    """
    with refusals():
        from cli.model_figures import published_figures

        reader = _reader()
        try:
            found = reader.token(token)
            figures, lines = published_figures(reader, found)
            facts = {**_facts(reader, found), "evaluation": figures}
            emit(facts, "\n".join([_text(reader, found), *lines]), as_json=as_json)
        finally:
            reader.close()


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List every adapter on this ledger.

    Example: prov model list
    """
    with refusals():
        reader = _reader()
        try:
            found = reader.tokens()
        finally:
            reader.close()
        lines = [f"{each.token:>4}  weights {each.weights[:16]}…  owner {each.owner}{_state(each)}" for each in found]
        emit([asdict(each) for each in found], "\n".join(lines) or "no adapter yet", as_json=as_json)


@app.command("parents")
def parents(token: TokenNumber, as_json: AsJson = False) -> None:
    """Show what an adapter was made from, as far as the ledger holds it.

    Example: prov model parents 1
    """
    with refusals():
        reader = _reader()
        try:
            found = reader.token(token)
        finally:
            reader.close()
        named = ", ".join(f"token {each.token} ({each.share / 100:g} % of sales)" for each in found.parents)
        emit(
            {
                "token": token,
                "base": found.base,
                "dataset": found.dataset,
                "adapters": [asdict(each) for each in found.parents],
            },
            f"base      {found.base}\ndataset   {found.dataset}\nadapters  {named or 'none'}",
            as_json=as_json,
        )


@app.command("revoke")
def revoke(token: TokenNumber, reason: Reason, account: As = None, as_json: AsJson = False) -> None:
    """Withdraw an adapter for good; images made with it will verify as revoked.

    Example: prov model revoke 1 --reason "a rights holder objected"
    """
    with refusals(), acting(account) as (_, ledger, signer):
        token_now = ledger.revoke_adapter(signer, token, reason=reason)
        emit(_facts(ledger, token_now), _text(ledger, token_now), as_json=as_json)


@app.command("revoke-consent")
def revoke_consent(
    token: TokenNumber,
    reason: Reason,
    record: Annotated[str | None, typer.Option(help="Digest of the dataset record.")] = None,
    picture: Annotated[str | None, typer.Option(help="Or the picture's path in the dataset; needs --dataset.")] = None,
    dataset: Annotated[Path | None, typer.Option(help="The signed dataset that has the picture.")] = None,
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """State that consent to a training picture was withdrawn; the adapter's images will verify as revoked.

    Example: prov model revoke-consent 1 --picture data/cat.png --dataset release --reason "consent withdrawn"
    """
    with refusals():
        digest = _record_digest(record, picture, dataset)
        with acting(account) as (_, ledger, signer):
            revoked = ledger.revoke_consent(signer, token, record=digest, reason=reason)
        emit(asdict(revoked), f"token {token}: consent to record {digest} is withdrawn", as_json=as_json)


@app.command("transfer")
def transfer(
    token: TokenNumber,
    to: Annotated[str, typer.Argument(help="The new owner: an address, or an account of this home.")],
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Hand an adapter to another owner; its offer ends, licences sold stay valid.

    Example: prov model transfer 1 studio
    """
    with refusals():
        from provenance.ledger.accounts import resolve_address

        with acting(account) as (home, ledger, signer):
            token_now = ledger.transfer(signer, token, resolve_address(home, to))
            emit(_facts(ledger, token_now), _text(ledger, token_now), as_json=as_json)


def _state(token: Token) -> str:
    withdrawn, down = token.revoked_at is not None, token.taken_down_at is not None
    return "  revoked" * withdrawn + "  taken down" * down


def _reader() -> LedgerReader:
    from provenance.home import Home
    from provenance.ledger import open_reader

    return open_reader(Home.open())


def _record_digest(record: str | None, picture: str | None, dataset: Path | None) -> str:
    from provenance.errors import LedgerLookupError, UsageError

    if record is not None and picture is None:
        return record.lower()
    if record is not None or picture is None or dataset is None:
        raise UsageError("give either --record DIGEST, or --picture PATH with --dataset RELEASE")
    from provenance.dataset import verify_dataset
    from provenance.trust import home_and_files

    manifest = verify_dataset(dataset, home_and_files([]))
    for each in manifest.records:
        if each.path == picture:
            return each.digest
    raise LedgerLookupError(
        f"the dataset {manifest.name} has no picture {picture}", expected=f"a path like {manifest.records[0].path}"
    )


def _shares(
    royalty: float, derivable: bool, derivative: float, contributors: Path | None, contributors_share: float
) -> Shares:
    from provenance.errors import UsageError
    from provenance.ledger.licences import Shares

    if (contributors is None) != (contributors_share == 0):
        raise UsageError("give both --contributors FILE and --contributors-share, or neither")
    if derivative and not derivable:
        raise UsageError("--derivative-share needs --derivable", fix="add --derivable, or leave the share out")
    shares = Shares(derivable, round(100 * royalty), round(100 * derivative))
    if contributors is None:
        return shares
    from provenance.files import read_file
    from provenance.ledger.contributors import ContributorsTree

    tree = ContributorsTree.parse(read_file(contributors, limit=1 << 26))
    return replace(shares, contributors=round(100 * contributors_share), contributors_root=tree.root)


def _facts(reader: LedgerReader, token: Token) -> dict[str, Any]:
    return {
        **asdict(token),
        "offers": [offer_facts(each) for each in reader.offers(token.token)],
        "consent_revocations": [asdict(each) for each in reader.consent_revocations(token.token)],
    }


def _text(reader: LedgerReader, token: Token) -> str:
    from provenance.ledger.quantities import format_date

    lines = [
        f"token     {token.token} of {reader.identity.contract}, chain {reader.identity.chain_id}",
        f"owner     {token.owner}",
        f"maker     {token.maker}",
        f"minted    {format_date(token.minted_at)}",
        f"weights   {token.weights}",
        f"dataset   {token.dataset}",
        f"base      {token.base}",
        f"terms     {token.terms}",
        f"release   {token.cid}",
    ]
    lines += [offer_text(each) for each in reader.offers(token.token)] or ["offers    none stands"]
    lines += [f"parent    token {each.token}, {each.share / 100:g} % of sales" for each in token.parents]
    shares = token.shares
    if shares.contributors:
        lines.append(
            f"shares    {shares.contributors / 100:g} % of sales to contributors, root {shares.contributors_root}"
        )
    if shares.royalty:
        lines.append(f"royalty   {shares.royalty / 100:g} % asked on resale")
    if shares.derivable:
        lines.append(f"derived   adapters may be made from it, for {shares.derivative / 100:g} % of their sales")
    if token.taken_down_at is not None:
        lines.append(f"down      taken down {format_date(token.taken_down_at)}, reason sha256 {token.takedown_reason}")
    if token.revoked_at is not None:
        lines.append(f"revoked   {format_date(token.revoked_at)}: {token.reason}")
    for each in reader.consent_revocations(token.token):
        lines.append(f"consent   withdrawn {format_date(each.revoked_at)} for record {each.record}: {each.reason}")
    return "\n".join(lines)
