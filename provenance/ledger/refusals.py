"""What the contract's typed errors mean, in sentences: decoded from the ABI in one place for every chain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contracts.artifact import load_artifact
from provenance.errors import FormatError, LedgerLookupError, LedgerRefused
from provenance.ledger.abi import decode_values
from provenance.ledger.quantities import format_date

Values = dict[str, Any]


class Reverted(Exception):
    """A transaction or call was reverted with this data; never leaves `provenance.ledger`."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data.hex())
        self.data = data


def _of(sentence: str, fix: str | None = None) -> Callable[[Values], LedgerRefused]:
    return lambda values: LedgerRefused(sentence.format(**values), fix=fix and fix.format(**values))


REFUSALS: dict[str, Callable[[Values], LedgerRefused]] = {
    "AdapterZeroDigest": _of("a mint must name the digests of weights, dataset and base"),
    "AdapterWeightsTaken": _of(
        "these weights are already token {tokenId}", "look at it with `prov model show {tokenId}`"
    ),
    "AdapterUnauthorized": _of(
        "{caller} has no say over token {tokenId}", "use the account that owns it: --as NAME (`prov account list`)"
    ),
    "AdapterIsRevoked": lambda v: LedgerRefused(
        f"adapter {v['tokenId']} was withdrawn on {format_date(v['revokedAt'])}"
    ),
    "ConsentIsRevoked": lambda v: LedgerRefused(
        f"consent to record {v['recordDigest']} was already withdrawn on {format_date(v['revokedAt'])}"
    ),
    "TextInvalidLength": lambda v: LedgerRefused(
        "a text is empty or too long for the ledger", expected=f"1 to {v['limit']} bytes", found=f"{v['length']} bytes"
    ),
    "OfferNonexistent": _of(
        "token {tokenId} is not for sale", "ask its owner to run `prov license offer {tokenId} …` or to grant a licence"
    ),
    "OfferAboveMaximum": lambda v: LedgerRefused(
        f"a licence for token {v['tokenId']} now costs more than agreed",
        expected=f"at most {v['maxPrice']} wei",
        found=f"{v['price']} wei",
        fix=f"read the new offer with `prov license check {v['tokenId']}` and buy again",
    ),
    "OfferBelowMinimum": lambda v: LedgerRefused(
        f"a licence for token {v['tokenId']} now lasts less than agreed",
        expected=f"at least {v['minDuration']} s",
        found=f"{v['duration']} s",
        fix=f"read the new offer with `prov license check {v['tokenId']}` and buy again",
    ),
    "PaymentInsufficient": lambda v: LedgerRefused(
        "too little was paid", expected=f"{v['price']} wei", found=f"{v['sent']} wei"
    ),
    "LicenceInvalidUser": _of("{user} cannot hold a licence"),
    "LicenceInvalidExpiry": lambda v: LedgerRefused(
        "a licence cannot end then: it may not be over already nor cut short one already held",
        expected=f"{format_date(v['earliest'])} or later",
        found=format_date(v["expires"]),
        fix="to end a licence early, revoke it",
    ),
    "LicenceIsRevoked": lambda v: LedgerRefused(
        f"the licence of {v['user']} for token {v['tokenId']} was revoked on {format_date(v['revokedAt'])}",
        fix="only the owner can lift that, by a new grant",
    ),
    "LicenceNotHeld": _of("{user} holds no valid licence for token {tokenId}"),
    "LicenceWithoutEnd": _of("{user} already holds a licence without end for token {tokenId}"),
    "NothingOwed": _of("the contract owes {account} nothing"),
    "WithdrawalFailed": _of("{account} does not accept money"),
    "StreamUnlicensed": _of(
        "{caller} may not use adapter {tokenId}",
        "buy a licence with `prov license buy {tokenId}`, or use a licensed account: --as NAME",
    ),
    "StreamsExhausted": _of("every stream number of this ledger is used"),
    "StreamNonexistent": lambda v: LedgerLookupError(f"there is no stream {v['stream']} on this ledger"),
    "StreamUnauthorized": _of(
        "stream {stream} does not belong to {caller}", "use the account that opened it: --as NAME"
    ),
    "StreamClosed": lambda v: LedgerRefused(
        f"the licence behind stream {v['stream']} has ended, and so has the time to anchor",
        expected=f"anchoring by {format_date(v['closedAt'])}",
        fix="renew the licence, then anchor",
    ),
    "BatchOutOfOrder": lambda v: LedgerRefused(
        f"a batch of stream {v['stream']} does not follow the last one",
        expected=f"first serial {v['expected']}",
        found=f"first serial {v['first']}",
    ),
    "BatchInvalidCount": _of("a batch of stream {stream} cannot have {count} records"),
    "BatchZeroRoot": _of("a batch of stream {stream} must have a root"),
    "IssuerZeroDigest": _of("a root certificate must be named"),
    "IssuerIsRegistered": _of("{account} has already registered root {rootDigest}"),
    "ERC721NonexistentToken": lambda v: LedgerLookupError(
        f"there is no token {v['tokenId']} on this ledger", fix="`prov model list` shows the tokens"
    ),
    "ERC721IncorrectOwner": _of("token {tokenId} belongs to {owner}"),
    "ERC721InsufficientApproval": _of("{operator} may not hand on token {tokenId}"),
    "ERC721InvalidReceiver": _of("{receiver} cannot own a token"),
}


def refusal(data: bytes) -> LedgerRefused:
    """The error for revert data; what is not ours is reported as it came."""
    for entry in load_artifact().errors.values():
        if data[:4].hex() == entry.selector:
            try:
                values = decode_values(entry.inputs, data[4:])
            except FormatError:
                break
            known = REFUSALS.get(entry.name)
            return known(values) if known else LedgerRefused(f"the contract refused: {entry.name}", found=str(values))
    return LedgerRefused("the contract refused the transaction", found=f"0x{data.hex()}" if data else "no reason given")
