"""What the contract's typed errors mean, in sentences: decoded from the ABI in one place for every chain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contracts.artifact import load_artifact
from provenance.errors import FormatError, LedgerLookupError, LedgerRefused
from provenance.ledger.abi import decode_values
from provenance.ledger.foreign_errors import foreign_sentence
from provenance.ledger.quantities import currency_name, format_date

Values = dict[str, Any]


class Reverted(Exception):
    """A transaction or call was reverted with this data; never leaves `provenance.ledger`."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data.hex())
        self.data = data


def _of(sentence: str, fix: str | None = None) -> Callable[[Values], LedgerRefused]:
    return lambda values: LedgerRefused(sentence.format(**values), fix=fix and fix.format(**values))


REFUSALS: dict[str, Callable[[Values], LedgerRefused]] = {
    "AdapterZeroDigest": _of("a mint must name the digests of weights, dataset and base, and its commitment"),
    "AdapterWeightsTaken": _of(
        "these weights are already token {tokenId}", "look at it with `prov model show {tokenId}`"
    ),
    "MintUncommitted": _of(
        "this mint was not committed to in an earlier block, which is what keeps others from minting it first",
        "commit to it, wait for a block, then mint",
    ),
    "MintIsCommitted": _of("this mint is committed to already", "mint it"),
    "AdapterInvalidShares": lambda v: LedgerRefused(
        "the shares of an adapter do not add up",
        expected=f"at most {v['limit'] / 100:g} %, each with its receivers",
        found=f"{v['total'] / 100:g} %",
    ),
    "AdapterInvalidParents": _of(
        "an adapter has at most {limit} parents, each once, in ascending order; {count} given"
    ),
    "AdapterNotDerivable": _of("the terms of adapter {tokenId} allow no adapter to be made from it"),
    "AdapterUnauthorized": _of(
        "{caller} has no say over token {tokenId}", "use the account that owns it: --as NAME (`prov account list`)"
    ),
    "AdapterIsRevoked": _of("adapter {tokenId} was withdrawn", "`prov model show {tokenId}` says why"),
    "AdapterIsTakenDown": _of(
        "adapter {tokenId} is taken down: nobody may use it until it is reinstated",
        "`prov model show {tokenId}` says why",
    ),
    "AdapterNotTakenDown": _of("adapter {tokenId} is not taken down"),
    "SafetyUnauthorized": _of(
        "{caller} is not the safety account of this ledger", "`prov operator show` says which account is"
    ),
    "OwnableUnauthorizedAccount": _of(
        "{account} is not the operator of this ledger", "`prov operator show` says which account is"
    ),
    "EnforcedPause": _of(
        "new mints and sales are paused on this ledger", "try again when its operator lifts the pause"
    ),
    "ExpectedPause": _of("mints and sales are not paused"),
    "SignatureInvalid": _of(
        "the signature is not one of {signer} over this, on this chain and contract", "ask for a new one"
    ),
    "SignatureExpired": lambda v: LedgerRefused(
        "the time to use this signature has passed",
        expected=f"use by {format_date(v['deadline'])}",
        fix="ask for a new one",
    ),
    "NonceIsUsed": _of("this voucher of {signer} was used or cancelled already (nonce {nonce})", "ask for a new one"),
    "ReentrancyGuardReentrantCall": _of("a payment called back into the ledger"),
    "ConsentIsRevoked": lambda v: LedgerRefused(
        f"consent to record {v['recordDigest']} was already withdrawn on {format_date(v['revokedAt'])}"
    ),
    "TextInvalidLength": lambda v: LedgerRefused(
        "a text is empty or too long for the ledger", expected=f"1 to {v['limit']} bytes", found=f"{v['length']} bytes"
    ),
    "TermsInvalid": _of("a licence must last at least a second, and only known rights can be given"),
    "OfferNonexistent": _of(
        "offer {offerId} of token {tokenId} does not stand",
        "`prov license offers {tokenId}` lists what does; or ask its owner to run `prov license offer {tokenId} …`",
    ),
    "OfferAboveMaximum": lambda v: LedgerRefused(
        f"a licence for token {v['tokenId']} costs more than agreed",
        expected=f"at most {v['maxPrice']}",
        found=f"{v['price']} of the currency's smallest unit",
        fix=f"read the offers with `prov license offers {v['tokenId']}` and buy again",
    ),
    "PaymentInsufficient": lambda v: LedgerRefused(
        "too little was paid", expected=f"{v['price']} of the currency's smallest unit", found=f"{v['paid']}"
    ),
    "PaymentUnexpected": _of("the price is in a token, but {sent} wei of the chain's own money was sent"),
    "SafeERC20FailedOperation": _of("the currency {token} did not move the money"),
    "LicenceInvalidUser": _of("{user} cannot hold a licence"),
    "LicenceInvalidExpiry": lambda v: LedgerRefused(
        "a licence cannot end then: it may not be over already nor cut short one already held",
        expected=f"{format_date(v['earliest'])} or later",
        found=format_date(v["expires"]),
        fix="to end a licence early, revoke it",
    ),
    "LicenceTermsNarrower": _of(
        "the licence that {user} holds for token {tokenId} allows more than these terms, and may not shrink",
        "take terms that allow as much, or wait until it has ended",
    ),
    "LicenceUnderOtherTerms": _of(
        "{user} has paid for a licence for token {tokenId} under other terms (offer {offerId})",
        "prolong it with `prov license buy {tokenId} --offer {offerId}`, wait until it has ended, or give it up with "
        "`prov license renounce {tokenId}`",
    ),
    "LicenceIsRevoked": _of(
        "the licence of {user} for token {tokenId} was revoked", "only the owner can lift that, by a new grant"
    ),
    "LicenceNotHeld": _of("{user} holds no valid licence for token {tokenId}"),
    "LicenceIsHeld": _of("{user} already holds a licence for token {tokenId}"),
    "LicenceBound": _of("the licence of {user} for token {tokenId} is bound to its holder"),
    "LicenceWithoutEnd": _of("{user} already holds a licence without end for token {tokenId}"),
    # The contract names what is reported now first.
    "UsageNotAbove": _of("{reported} images are on record already, so a report of {used} says nothing new"),
    "QuotaExceeded": _of(
        "the licence of {user} for token {tokenId} allows {quota} images in all; this would make {used}",
        "buy more with `prov license buy {tokenId}`",
    ),
    "NothingOwed": lambda v: LedgerRefused(
        f"the ledger owes {v['account']} nothing in {currency_name(v['currency'])}",
        fix="`prov income show` says what it owes; name another currency with --currency ADDRESS",
    ),
    "NothingDue": lambda v: LedgerRefused(
        f"there is no share of token {v['tokenId']}'s sales to take in {currency_name(v['currency'])}"
    ),
    "ParentUnknown": _of("adapter {parent} is no parent of adapter {tokenId}"),
    "ContributorUnknown": _of("{account} is not among the contributors of token {tokenId} with this part and proof"),
    "WithdrawalFailed": _of("{to} does not accept money", "withdraw to another account: --to ADDRESS"),
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
    "BatchNonexistent": lambda v: LedgerLookupError(
        f"serial {v['serial']} of stream {v['stream']} is not anchored yet"
    ),
    "BatchZeroRoot": _of("a batch of stream {stream} must have a root"),
    "IssuerZeroDigest": _of("a root certificate must be named"),
    "IssuerIsRegistered": _of("{account} has registered root {rootDigest} before; one that was revoked stays revoked"),
    "IssuerNotRegistered": _of("{account} does not stand by root {rootDigest}, so it cannot be revoked"),
    "ERC721NonexistentToken": lambda v: LedgerLookupError(
        f"there is no token {v['tokenId']} on this ledger", fix="`prov model list` shows the tokens"
    ),
    "ERC721IncorrectOwner": _of("token {tokenId} belongs to {owner}"),
    "ERC721InsufficientApproval": _of("{operator} may not hand on token {tokenId}"),
    "ERC721InvalidReceiver": _of("{receiver} cannot own a token"),
    "ERC721InvalidSender": _of("{sender} cannot hand on a token"),
    "ERC721InvalidOwner": _of("{owner} cannot own tokens, so it has no count of them"),
    "ERC721InvalidApprover": _of("{approver} has no say over who may hand on this token"),
    "ERC721InvalidOperator": _of("{operator} cannot be allowed to hand on tokens"),
    "OwnableInvalidOwner": _of("{owner} cannot be the operator of a ledger"),
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
    if (said := foreign_sentence(data)) is not None:
        return LedgerRefused(said)
    return LedgerRefused("the contract refused the transaction", found=f"0x{data.hex()}" if data else "no reason given")
