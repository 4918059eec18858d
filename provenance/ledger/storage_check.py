"""Compares what logs say with what the contract's storage holds at the same block, and so notices withheld logs.

Anyone can leave logs out of an answer; storage cannot be left out of a proof. What storage neither counts nor is asked
for by name — an account's roots, consents to records not named, all licensees — can still be left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from provenance.errors import LedgerContradiction
from provenance.ledger.header import Header
from provenance.ledger.licences import Licence, Offer
from provenance.ledger.proofs import StorageReader
from provenance.ledger.protocol import Batch, ConsentRevocation, IssuerKey, Stream, Token
from provenance.ledger.storage import (
    ADAPTER,
    ADAPTER_REVOKED,
    ADAPTER_TAKEN_DOWN,
    BATCH,
    ISSUER,
    LICENCE,
    LICENCE_REVOKED,
    OFFER_PRICE,
    OFFER_TERMS,
    ROOT_BYTES,
    STREAM,
    address_of,
    member_of,
    slot_of,
    unpack,
)


@dataclass(frozen=True)
class Span:
    """What storage keeps of a batch: its serials from ``first`` to below ``end``, its block, how its root begins."""

    first: int
    end: int
    block: int
    root: str


class StorageCheck:
    """Checks folded values against storage at one block; every method raises LedgerContradiction."""

    def __init__(self, reader: StorageReader, header: Header, node: str) -> None:
        self._reader = reader
        self._header = header
        self._node = node
        self._values: dict[int, int] = {}

    def tokens(self, found: Sequence[Token]) -> None:
        """Every adapter there is must have been shown."""
        word = self._read(slot_of("_lastTokenId"))
        self._same("adapters", member_of("_lastTokenId", word, 32), len(found))
        self._get([slot for each in found for slot in _slots_of(each)])
        for each in found:
            self.token(each.token, each)

    def token(self, token: int, found: Token | None) -> None:
        """An adapter must be what storage says: maker, owner, withdrawn or not, taken down or not; or not exist."""
        slots = slot_of("_owners", token), slot_of("_adapters", token)
        values = self._get(slots)
        owner, held = address_of(values[slots[0]]), unpack(values[slots[1]], ADAPTER)
        what = f"adapter {token}"
        if found is None:
            self._same(f"{what}, its mint", held["maker"] != 0, False)
            return
        self._same(f"{what}, its maker", address_of(held["maker"]), found.maker)
        self._same(f"{what}, its owner", owner, found.owner)
        flags = held["flags"]
        self._same(f"{what}, whether it was withdrawn", bool(flags & ADAPTER_REVOKED), found.revoked_at is not None)
        down = bool(flags & ADAPTER_TAKEN_DOWN)
        self._same(f"{what}, whether it is taken down", down, found.taken_down_at is not None)
        self._digests(token, found)
        base = self._read(slot_of("_bases", held["base"]))
        self._same(f"{what}, its base model", f"{base:064x}", found.base)

    def weights(self, weights: str, found: Token | None) -> None:
        """The adapter of these weights, or that there is none."""
        token = self._read(slot_of("_tokenOfWeights", weights))
        self._same("the adapter of these weights", token, 0 if found is None else found.token)

    def licence(self, token: int, account: str, found: Licence | None) -> None:
        """A licence must be what storage says, or not exist."""
        held = unpack(self._read(slot_of("_licences", token, account)), LICENCE)
        what = f"the licence of {account} for adapter {token}"
        if found is None:
            self._same(f"{what}, its grant", held["expires"] != 0, False)
            return
        self._same(f"{what}, its end", held["expires"], found.expires if found.ended_at is None else found.ended_at)
        revoked = bool(held["flags"] & LICENCE_REVOKED)
        self._same(f"{what}, whether it was revoked", revoked, found.revoked_at is not None)
        self._same(f"{what}, its quota", held["quota"], found.quota)
        self._same(f"{what}, the images reported", held["used"], found.used)
        self._same(f"{what}, the images anchored", held["anchored"], found.anchored)

    def licences(self, found: Sequence[Licence]) -> None:
        """Every licence shown must be what storage says; how many there are, storage does not count."""
        self._get([slot_of("_licences", each.token, each.licensee) for each in found])
        for each in found:
            self.licence(each.token, each.licensee, each)

    def offers(self, token: int, found: Sequence[tuple[Offer, bool]]) -> None:
        """Every offer ever made must have been shown, with its terms, and as open or closed as it is."""
        self._same(f"adapter {token}, its offers", self._read(slot_of("_lastOffer", token)), len(found))
        slots = [slot_of("_offers", token, each.number) for each, _ in found]
        values = self._get([slot + part for slot in slots for part in (0, 1)])
        for slot, (each, is_open) in zip(slots, found, strict=True):
            price, kept = unpack(values[slot], OFFER_PRICE), unpack(values[slot + 1], OFFER_TERMS)
            terms = each.terms
            told = (terms.currency, terms.price, each.seller, terms.duration, terms.quota, terms.flags, terms.grace)
            numbers = (kept["duration"], kept["quota"], kept["flags"], kept["grace"])
            stored = (address_of(price["currency"]), price["price"], address_of(kept["seller"]), *numbers)
            self._same(f"offer {each.number} of adapter {token}", (*stored, bool(kept["open"])), (*told, is_open))

    def streams(self, found: Sequence[Stream]) -> None:
        """Every stream there is must have been shown, as storage says."""
        word = self._read(slot_of("_lastStream"))
        self._same("streams", member_of("_lastStream", word, 32), len(found))
        self._get([slot_of("_streams", each.stream) for each in found])
        for each in found:
            self.stream(each.stream, each)

    def stream(self, stream: int, found: Stream | None) -> None:
        """A stream must be what storage says, or not exist."""
        held = unpack(self._read(slot_of("_streams", stream)), STREAM)
        if found is None:
            self._same(f"stream {stream}", held["holder"] != 0, False)
            return
        self._same(f"stream {stream}, its holder", address_of(held["holder"]), found.holder)
        self._same(f"stream {stream}, its adapter", held["token"], found.token)

    def batches(self, stream: int, found: Sequence[Batch]) -> None:
        """A stream's batches must be all there are, with the ends, blocks and beginnings of roots in storage."""
        stream_slot = slot_of("_streams", stream)
        slots = [slot_of("_batches", stream, place) for place in range(len(found))]
        values = self._get([stream_slot, *slots])
        held = unpack(values[stream_slot], STREAM)
        self._same(f"stream {stream}, its batches", held["batches"], len(found))
        self._same(
            f"stream {stream}, its next serial", held["next"], max((b.first + b.count for b in found), default=0)
        )
        first = 0
        for place, (slot, batch) in enumerate(zip(slots, found, strict=True)):
            kept = unpack(values[slot], BATCH)
            expected = (first, kept["end"], kept["block"], kept["root"].to_bytes(ROOT_BYTES, "big").hex())
            told = (batch.first, batch.first + batch.count, batch.block, batch.root[: 2 * ROOT_BYTES])
            self._same(f"stream {stream}, its batch {place} (first, end, block, root)", expected, told)
            first = kept["end"]

    def covering(self, stream: int, serial: int) -> Span | None:
        """Where the batch is that covers a serial, found by bisection; None if none does."""
        held = unpack(self._read(slot_of("_streams", stream)), STREAM)
        if serial >= held["next"]:
            return None
        low, high = 0, held["batches"]
        while low < high:
            middle = (low + high) // 2
            if self._batch(stream, middle)["end"] > serial:
                high = middle
            else:
                low = middle + 1
        found = self._batch(stream, low)
        first = self._batch(stream, low - 1)["end"] if low else 0
        return Span(first, found["end"], found["block"], found["root"].to_bytes(ROOT_BYTES, "big").hex())

    def batch(self, span: Span, found: Batch | None) -> None:
        """A batch must be what storage says."""
        told = found and Span(found.first, found.first + found.count, found.block, found.root[: 2 * ROOT_BYTES])
        self._same("the batch that covers a serial", span, told)

    def _batch(self, stream: int, place: int) -> Mapping[str, int]:
        return unpack(self._read(slot_of("_batches", stream, place)), BATCH)

    def issuers(self, account: str, found: Sequence[IssuerKey]) -> None:
        """Every root certificate shown must be what storage says; withholding one's revocation is noticed."""
        slots = [slot_of("_issuers", account, each.root) for each in found]
        values = self._get(slots)
        for slot, each in zip(slots, found, strict=True):
            kept = unpack(values[slot], ISSUER)
            expected, told = (kept["valid_from"], kept["revoked_at"]), (each.valid_from, each.revoked_at or 0)
            self._same(f"root {each.root} of {account} (valid from, revoked at)", expected, told)

    def consents(self, token: int, found: Sequence[ConsentRevocation], records: Iterable[str]) -> None:
        """Every revocation shown must be what storage says, and every revocation of ``records`` must be shown."""
        told = dict.fromkeys(records, 0) | {each.record: each.revoked_at for each in found}
        slots = {record: slot_of("_consentRevokedAt", token, record) for record in told}
        values = self._get(list(slots.values()))
        for record, revoked_at in told.items():
            self._same(f"adapter {token}, consent to record {record}", values[slots[record]], revoked_at)

    def _digests(self, token: int, found: Token) -> None:
        slots = _slots_of(found)[2:]
        values = self._get(slots)
        expected = (values[slots[0]], f"{values[slots[1]]:064x}", f"{values[slots[2]]:064x}")
        self._same(f"adapter {token}, its digests", expected, (token, found.dataset, found.terms))

    def _read(self, slot: int) -> int:
        return self._get([slot])[slot]

    def _get(self, slots: Sequence[int]) -> Mapping[int, int]:
        """Values of slots, each asked for once, and all that are missing together."""
        if missing := [each for each in dict.fromkeys(slots) if each not in self._values]:
            self._values |= self._reader.read(self._header, missing)
        return self._values

    def _same(self, what: str, stored: object, told: object) -> None:
        if stored != told:
            raise LedgerContradiction(
                f"the logs of the node {self._node} are not what the contract holds at block {self._header.number}:"
                f" {what}",
                expected=str(stored),
                found=str(told),
                fix="logs were withheld or invented: do not rely on this node; use another with `prov chain use`",
            )


def _slots_of(token: Token) -> tuple[int, int, int, int, int]:
    number = token.token
    digests = slot_of("_tokenOfWeights", token.weights), slot_of("_datasets", number), slot_of("_terms", number)
    return slot_of("_owners", number), slot_of("_adapters", number), *digests
