"""What a purchase pays: the offer that is meant, the price and currency agreed to, and a token's allowance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provenance.errors import LedgerRefused
from provenance.ledger.licences import NATIVE, Offer, Terms
from provenance.ledger.quantities import currency_name, format_money
from provenance.ledger.refusals import Reverted, refusal

if TYPE_CHECKING:
    from provenance.ledger.protocol import Account, LedgerReader
    from provenance.ledger.writer import Transactor

APPROVE = bytes.fromhex("095ea7b3")
"""Selector of ERC-20's ``approve(address,uint256)``."""
ALLOWANCE = bytes.fromhex("dd62ed3e")
"""Selector of ERC-20's ``allowance(address,address)``."""


def choose_offer(reader: LedgerReader, token: int, account: str, number: int | None) -> Offer:
    """The offer an account means: the one it names, the one it prolongs, or the only one there is.

    An owner can make another offer at any moment, so the latest is never taken for the one that was read. Raises
    LedgerRefused, or LedgerLookupError for an unknown token.
    """
    adapter, standing = reader.token(token), reader.offers(token)
    if adapter.taken_down_at is not None or adapter.revoked_at is not None:
        state = "taken down" if adapter.taken_down_at is not None else "withdrawn"
        raise LedgerRefused(
            f"adapter {token} is {state}, and no licence is sold", fix=f"`prov model show {token}` says why"
        )
    if number is not None:
        found = next((each for each in standing if each.number == number), None)
        if found is None:
            raise _none_stands(f"offer {number} of token {token} does not stand", token)
        return found
    held = reader.licence(token, account)
    if held is not None and held.offer and held.ended_at is None and held.expires > reader.now():
        for each in standing:
            if each.number == held.offer:
                return each
    if not standing:
        raise _none_stands(f"token {token} is not for sale: no offer stands", token)
    if len(standing) > 1:
        numbers = ", ".join(str(each.number) for each in standing)
        raise LedgerRefused(
            f"several offers stand for token {token}",
            expected=f"the number of one: --offer {numbers.replace(', ', ' or ')}",
            fix=f"compare them with `prov license offers {token}`",
        )
    return standing[0]


def require_agreed(terms: Terms, what: str, *, max_price: int | None, currency: str | None) -> None:
    """Raises LedgerRefused unless a price is one that whoever pays has agreed to; None agrees to any."""
    if currency is not None and terms.currency != currency.lower():
        raise LedgerRefused(
            f"{what} is priced in another currency than was agreed to",
            expected=currency_name(currency),
            found=format_money(terms.price, terms.currency),
            fix="to pay in a token, name it: --currency ADDRESS"
            if terms.currency != NATIVE
            else "leave --currency out to pay in the chain's own money",
        )
    if max_price is not None and terms.price > max_price:
        raise LedgerRefused(
            f"{what} costs more than agreed",
            expected=f"at most {format_money(max_price, terms.currency)}",
            found=format_money(terms.price, terms.currency),
            fix="read what it offers, and raise --max-price if it is worth that",
        )


def allow(transactor: Transactor, account: Account, spender: str, currency: str, amount: int) -> None:
    """Lets the contract take an amount of an ERC-20 token, unless it may already; raises LedgerRefused.

    A purchase that failed after its approval left one behind, and some tokens change none that is not zero.
    """
    found = _allowance(transactor, account.address, spender, currency)
    if found >= amount:
        return
    try:
        if found:
            _approve(transactor, account, spender, currency, 0)
        _approve(transactor, account, spender, currency, amount)
    except Reverted as error:
        raise LedgerRefused(
            f"the currency {currency} does not let {account.address} pay",
            expected=f"a balance of {amount} of its smallest units",
            found=refusal(error.data).what,
        ) from error


def _allowance(transactor: Transactor, owner: str, spender: str, currency: str) -> int:
    try:
        answer = transactor.call(ALLOWANCE + _word(owner) + _word(spender), currency)
    except Reverted:
        # A token that does not tell is asked to approve again.
        return 0
    return int.from_bytes(answer, "big") if len(answer) == 32 else 0


def _approve(transactor: Transactor, account: Account, spender: str, currency: str, amount: int) -> None:
    transactor.send(account, APPROVE + _word(spender) + amount.to_bytes(32, "big"), 0, currency)


def _word(address: str) -> bytes:
    return bytes.fromhex(address.removeprefix("0x")).rjust(32, b"\0")


def _none_stands(what: str, token: int) -> LedgerRefused:
    return LedgerRefused(
        what,
        fix=f"`prov license offers {token}` lists what stands; or ask its owner to run `prov license offer {token} …`",
    )
