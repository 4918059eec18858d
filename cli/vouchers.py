"""`prov license sell|redeem|cancel|report|settle|consume`: licences and usage on signed papers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.account import As, AsJson, acting
from cli.console import emit, note, refusals
from cli.license import (
    Commercial,
    Currency,
    Days,
    Grace,
    Licensee,
    MaxPrice,
    PayIn,
    Quota,
    Token,
    Transferable,
    app,
    wrapped_for,
)
from cli.rights import currency_of, licence_facts, licence_text, price_of, terms_of, terms_text

__all__ = ["app"]

Out = Annotated[Path, typer.Option(help="File to write.")]


@app.command("sell")
def sell(
    token: Token,
    licensee: Licensee,
    out: Out,
    price: Annotated[
        str, typer.Option(help='Like "0.01 ether"; with --currency, a number of its smallest unit.')
    ] = "0",
    days: Days = None,
    quota: Quota = 0,
    commercial: Commercial = False,
    transferable: Transferable = False,
    grace: Grace = 7,
    currency: Currency = None,
    valid_days: Annotated[float, typer.Option(help="Days in which it can be redeemed.")] = 30,
    key_out: Annotated[
        Path | None,
        typer.Option(help="Also write the sealed weights' key: it opens them before the voucher is redeemed."),
    ] = None,
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Sign a voucher for one licensee, who turns it into a licence without another word from you.

    Example: prov license sell 1 licensee --price "0.01 ether" --days 365 --out voucher.json
    """
    with refusals():
        import secrets

        from provenance.errors import KeyRefused
        from provenance.files import write_file
        from provenance.ledger.accounts import resolve_address
        from provenance.ledger.licences import Voucher
        from provenance.ledger.papers import sign_voucher
        from provenance.ledger.quantities import duration_of_days, format_date

        terms = terms_of(price, days, quota, commercial, transferable, grace, currency)
        within = duration_of_days(valid_days)
        with acting(account) as (home, ledger, signer):
            owner = ledger.token(token).owner
            voucher = Voucher(
                token, resolve_address(home, licensee), terms, secrets.randbits(256), ledger.now() + within
            )
            signed = sign_voucher(signer, ledger.identity, voucher)
            if owner != signer.address:
                note(f"warning: token {token} belongs to {owner}, so nobody can redeem this")
            wrapped = wrapped_for(home, ledger, token, signer, voucher.licensee)
        if key_out is not None and wrapped is None:
            raise KeyRefused(
                f"there is no key of token {token} to write for {voucher.licensee}",
                expected="sealed weights that this account published, and a public key of the licensee",
                fix="leave --key-out out, and let `prov keys serve` hand the key over",
            )
        write_file(out, signed.to_bytes() + b"\n")
        if key_out is not None and wrapped is not None:
            write_file(key_out, wrapped.to_bytes() + b"\n")
        elif wrapped is not None:
            note(
                f"key of the sealed weights wrapped for {voucher.licensee}; once the voucher is redeemed, "
                f"`prov keys wrap {token} --to … --out FILE` or `prov keys serve` hands it over"
            )
        emit(
            {
                "file": str(out),
                "key_file": None if key_out is None else str(key_out),
                "nonce": str(voucher.nonce),
                "licensee": voucher.licensee,
                "price": str(terms.price),
                "currency": terms.currency,
                "deadline": voucher.deadline,
            },
            f"{out}: a licence for {voucher.licensee}, to be redeemed by {format_date(voucher.deadline)}\n"
            f"{terms_text(terms)}\n"
            f"nonce {voucher.nonce}" + (f"\nkey   {key_out}" if key_out else ""),
            as_json=as_json,
        )


@app.command("redeem")
def redeem(
    voucher: Annotated[Path, typer.Argument(help="A file that `prov license sell` made.")],
    max_price: MaxPrice = None,
    currency: PayIn = None,
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Turn a voucher into its licensee's licence; the acting account pays its price.

    Example: prov license redeem voucher.json --max-price "0.01 ether" --as licensee
    """
    with refusals():
        from provenance.files import read_file
        from provenance.ledger.papers import MAX_BYTES, SignedVoucher, require_ledger

        most = None if max_price is None else price_of(max_price, currency)
        signed = SignedVoucher.parse(read_file(voucher, limit=MAX_BYTES), str(voucher))
        with acting(account) as (_, ledger, signer):
            require_ledger(signed, ledger.identity)
            if signed.voucher.licensee != signer.address:
                note(f"the licence is for {signed.voucher.licensee}; {signer.address} pays for it")
            licence = ledger.redeem(
                signer, signed.voucher, signed.signature, max_price=most, currency=currency_of(currency)
            )
        terms = signed.voucher.terms
        facts = {**licence_facts(licence), "price": str(terms.price), "currency": terms.currency}
        emit(facts, f"{licence_text(licence)}\npaid  {terms_text(terms)}", as_json=as_json)


@app.command("cancel")
def cancel(
    nonce: Annotated[str, typer.Argument(help="The nonce that `prov license sell` printed.")],
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Make a voucher that you signed worthless, if it was not redeemed yet.

    Example: prov license cancel 1234567890 --as maker
    """
    with refusals():
        from provenance.errors import UsageError
        from provenance.ledger.papers import NUMBER

        if not NUMBER.fullmatch(nonce) or int(nonce) >= 2**256:
            raise UsageError(f"{nonce!r} is not a nonce", expected="a whole number below 2^256")
        with acting(account) as (_, ledger, signer):
            ledger.cancel_voucher(signer, int(nonce))
        emit({"nonce": nonce, "cancelled": True}, f"nonce {nonce} is cancelled", as_json=as_json)


@app.command("report")
def report(
    token: Token,
    out: Out,
    used: Annotated[
        int | None, typer.Option(min=1, max=2**32 - 1, help="Images made in all; this home's journal if not given.")
    ] = None,
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Sign how many images you made in all with an adapter; the maker settles it when it suits.

    Example: prov license report 1 --out usage.json --as licensee
    """
    with refusals():
        from provenance.files import write_file
        from provenance.ledger.licences import Usage
        from provenance.ledger.papers import sign_usage

        with acting(account) as (home, ledger, signer):
            from provenance.journal import Journal

            with Journal.of_home(home) as journal:
                total = journal.total(signer.address, token) if used is None else used
            signed = sign_usage(signer, ledger.identity, Usage(token, signer.address, total))
        write_file(out, signed.to_bytes() + b"\n")
        emit(
            {"file": str(out), "token": token, "user": signer.address, "used": total},
            f"{out}: {total} images made with token {token} by {signer.address}",
            as_json=as_json,
        )


@app.command("settle")
def settle(
    usage: Annotated[Path, typer.Argument(help="A file that `prov license report` made.")],
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Put a licensee's signed usage report on the ledger.

    Example: prov license settle usage.json
    """
    with refusals():
        from provenance.files import read_file
        from provenance.ledger.papers import MAX_BYTES, SignedUsage, require_ledger

        signed = SignedUsage.parse(read_file(usage, limit=MAX_BYTES), str(usage))
        with acting(account) as (_, ledger, signer):
            require_ledger(signed, ledger.identity)
            licence = ledger.settle(signer, signed.usage, signed.signature)
        text = f"token {signed.usage.token}: {signed.usage.used} images by {signed.usage.user} are on record"
        emit(licence_facts(licence) if licence else None, text, as_json=as_json)


@app.command("consume")
def consume(
    token: Token,
    count: Annotated[int, typer.Argument(min=1, max=2**32 - 1, help="Images to add.")],
    account: As = None,
    as_json: AsJson = False,
) -> None:
    """Report images of your own on the ledger, in a transaction of your own.

    Example: prov license consume 1 25 --as licensee
    """
    with refusals():
        with acting(account) as (_, ledger, signer):
            licence = ledger.consume(signer, token, count)
        text = licence_text(licence) if licence else f"token {token}: {count} images reported"
        emit(licence_facts(licence) if licence else None, text, as_json=as_json)
