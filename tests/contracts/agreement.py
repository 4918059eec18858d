"""What the reader folds from logs, held against what the contract itself says: every disagreement, by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from provenance.ledger.licences import COMMERCIAL, NATIVE, TRANSFERABLE, Licence

if TYPE_CHECKING:
    from tests.contracts.world import World

DERIVABLE, REVOKED, TAKEN_DOWN, REVOKED_LICENCE = 1, 2, 4, 128
Disagreement = tuple[str, object, object]


def disagreements(world: World, accounts: Sequence[str], records: Sequence[str]) -> list[Disagreement]:
    """Where reader and contract differ, about these accounts and these digests (of roots and dataset records)."""
    checks = (_tokens(world, records), _offers(world), _licences(world, accounts), _streams(world))
    more = (_issuers(world, accounts, records), _money(world, accounts))
    return [each for check in (*checks, *more) for each in check if each[1] != each[2]]


def _tokens(world: World, records: Sequence[str]) -> Iterator[Disagreement]:
    call, tokens = world.ledger.call, world.ledger.tokens()
    yield "tokens", len(tokens), call("totalAdapters")
    for token in tokens:
        number, kept = token.token, call("adapterOf", token.token)
        flags = DERIVABLE * token.shares.derivable
        flags |= REVOKED * (token.revoked_at is not None) | TAKEN_DOWN * (token.taken_down_at is not None)
        told = {
            "maker": token.maker,
            "base": kept["base"],
            "royalty": token.shares.royalty,
            "parents": sum(each.share for each in token.parents),
            "contributors": token.shares.contributors,
            "derivative": token.shares.derivative,
            "flags": flags,
        }
        yield f"token {number}", told, kept
        yield f"token {number} alone", token, world.ledger.token(number)
        yield f"owner of {number}", token.owner, call("ownerOf", number)
        digests = [token.dataset, token.base, token.terms]
        yield f"digests of {number}", digests, list(call("digestsOf", number).values())
        parents = sum(each.token << 32 * place for place, each in enumerate(token.parents))
        yield f"parents of {number}", parents, call("parentsOf", number)
        yield f"weights of {number}", number, call("tokenOfWeights", token.weights)
        consents = {each.record: each.revoked_at for each in world.ledger.consent_revocations(number)}
        for record in records:
            yield f"consent {record[:4]}", consents.get(record, 0), call("consentRevokedAt", number, record)


def _offers(world: World) -> Iterator[Disagreement]:
    call = world.ledger.call
    for token in world.ledger.tokens():
        standing = {each.number: each for each in world.ledger.offers(token.token)}
        usable = token.revoked_at is None and token.taken_down_at is None
        for number in range(1, call("totalOffers", token.token) + 1):
            kept = call("offerOf", token.token, number)
            stands = usable and kept["open"] and kept["seller"] == token.owner
            yield f"offer {number} of {token.token} stands", number in standing, stands
            if number in standing:
                terms = standing[number].terms
                told = [terms.currency, terms.price, standing[number].seller, terms.duration, terms.quota]
                yield f"offer {number}", [*told, terms.flags, terms.grace, True], list(kept.values())


def _licences(world: World, accounts: Sequence[str]) -> Iterator[Disagreement]:
    call = world.ledger.call
    for number in [0, *(each.token for each in world.ledger.tokens()), 99]:
        for account in accounts:
            who = f"{account[:6]} of {number}"
            told, said = world.ledger.has_licence(number, account), call("hasLicense", number, account)
            yield f"right of {who}", told, said
        if number in (0, 99):
            continue
        listed = {each.licensee: each for each in world.ledger.licences(number)}
        for account in accounts:
            kept, held = call("licenceOf", number, account), world.ledger.licence(number, account)
            yield f"licence {account[:6]} of {number} alone", listed.get(account), held
            yield f"licence {account[:6]} of {number}", _told(held), _kept(held, kept)


def _told(held: Licence | None) -> list[int]:
    if held is None:
        return [0, 0]
    flags = COMMERCIAL * held.commercial | TRANSFERABLE * held.transferable
    flags |= REVOKED_LICENCE * (held.revoked_at is not None)
    ends = held.expires if held.ended_at is None else held.ended_at
    running = [held.quota, held.grace] if held.ended_at is None else []
    return [held.offer, ends, held.used, held.anchored, flags, *running]


def _kept(held: Licence | None, kept: dict[str, int]) -> list[int]:
    """The same of the contract's slot; what a licence that was handed on allowed is not kept."""
    if held is None:
        return [kept["expires"], kept["flags"]]
    running = [kept["quota"], kept["grace"]] if held.ended_at is None else []
    return [kept["offerId"], kept["expires"], kept["used"], kept["anchored"], kept["flags"], *running]


def _streams(world: World) -> Iterator[Disagreement]:
    ledger, call = world.ledger, world.ledger.call
    streams = ledger.streams()
    yield "streams", len(streams), call("totalStreams")
    for stream in streams:
        batches = ledger.batches(stream.stream)
        told = [stream.holder, stream.token, ledger.next_serial(stream.stream), len(batches)]
        yield f"stream {stream.stream}", told, list(call("streamOf", stream.stream).values())
        for place, batch in enumerate(batches):
            kept = {"end": batch.first + batch.count, "blockNumber": batch.block, "root": batch.root[:46]}
            yield f"batch {place}", kept, call("batchOf", stream.stream, place)
            told_by_serial = {"index": place, "first": batch.first, "batch": kept}
            serial = batch.first + batch.count - 1
            yield f"batch of {serial}", told_by_serial, call("batchCovering", stream.stream, serial)


def _issuers(world: World, accounts: Sequence[str], roots: Sequence[str]) -> Iterator[Disagreement]:
    for account in accounts:
        times = {world.ledger.now()}
        for key in world.ledger.issuer_keys(account):
            times |= {key.valid_from, key.valid_from - 1} | ({key.revoked_at} if key.revoked_at else set())
        for time in times:
            stood = world.ledger.issuers(account, time)
            for root in roots:
                said = world.ledger.call("isIssuer", account, root, time)
                yield f"issuer {account[:6]} {root[:4]} at {time}", root in stood, said


def _money(world: World, accounts: Sequence[str]) -> Iterator[Disagreement]:
    """The ledger holds what it owes, and what its pools have set aside and nobody took yet; nothing else."""
    ledger = world.ledger
    set_aside = 0
    for token in ledger.tokens():
        pool = ledger.call("poolOf", NATIVE, token.token)
        taken = [
            each.values["amount"]
            for name in ("ShareCollected", "ShareClaimed")
            for each in ledger._events(name, token.token)
        ]
        set_aside += pool["parents"] + pool["contributors"] - sum(taken)
    owed = sum(ledger.owed(account) for account in accounts)
    yield "money", owed + set_aside, ledger.balance(ledger.identity.contract)
