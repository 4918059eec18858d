"""A long random life of the contract: what the reader folds from logs is what the contract itself says."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import pytest

from provenance.errors import LedgerRefused
from provenance.ledger.accounts import KeystoreAccount
from provenance.ledger.protocol import NEVER

if TYPE_CHECKING:
    from tests.contracts.conftest import World

STEPS = 90
DAY = 24 * 3600


@pytest.mark.parametrize("seed", [1, 2])
def test_reader_and_contract_agree_through_a_random_life(world: World, seed: int) -> None:
    chance = random.Random(seed)
    people = [world.maker, world.licensee, world.stranger]
    ledger = world.ledger
    for _ in range(2):
        world.mint()
    done, refused = 0, 0
    for _ in range(STEPS):
        who, whom = chance.choice(people), chance.choice(people)
        token, stream = chance.randint(0, 3), chance.randint(1, 4)
        end = chance.choice([NEVER, ledger.now() + 3 * DAY])
        verbs: list[Callable[[], object]] = [
            partial(world.mint, who),
            partial(ledger.set_offer, who, token, price=chance.randint(0, 99), duration=DAY),
            partial(ledger.buy, who, token),
            partial(ledger.grant, who, token, whom.address, expires=end),
            partial(ledger.revoke, who, token, whom.address, reason="why not"),
            partial(ledger.open_stream, who, token),
            partial(_anchor_next, world, who, stream, chance.randint(1, 9)),
            partial(ledger.withdraw, who),
            partial(ledger.transfer, who, token, whom.address),
            partial(world.advance, chance.randint(1, 2 * DAY)),
        ]
        if chance.random() < 0.2:
            verbs.append(partial(ledger.revoke_adapter, who, token, reason="enough"))
        try:
            chance.choice(verbs)()
            done += 1
        except LedgerRefused:
            refused += 1
    assert done > 20
    assert refused > 5
    _agree(world)


def _anchor_next(world: World, who: KeystoreAccount, stream: int, count: int) -> None:
    world.anchor(who, world.ledger.stream(stream), world.ledger.next_serial(stream), count)


def _agree(world: World) -> None:
    ledger, people = world.ledger, [world.maker, world.licensee, world.stranger]
    tokens = ledger.tokens()
    assert len(tokens) == ledger.call("totalAdapters")
    for token in tokens:
        assert token == ledger.token(token.token)
        held = ledger.call("adapterOf", token.token)
        assert held == {
            "maker": token.maker,
            "mintedAt": token.minted_at,
            "revokedAt": token.revoked_at or 0,
            "weights": token.weights,
            "dataset": token.dataset,
        }
        assert ledger.call("ownerOf", token.token) == token.owner
        offer, kept = ledger.offer(token.token), ledger.call("offerOf", token.token)
        if token.revoked_at is None:
            assert (offer.price, offer.duration) == tuple(kept.values()) if offer else kept["duration"] == 0
        for person in people:
            assert ledger.has_licence(token.token, person.address) is ledger.call(
                "hasLicense", token.token, person.address
            )
            licence, slot = (
                ledger.licence(token.token, person.address),
                ledger.call("licenceOf", token.token, person.address),
            )
            found = (licence.expires, licence.granted_at, licence.revoked_at or 0) if licence else (0, 0, 0)
            assert found == tuple(slot.values())
    streams = ledger.streams()
    assert len(streams) == ledger.call("totalStreams")
    for stream in streams:
        assert ledger.call("streamOf", stream.stream) == {
            "holder": stream.holder,
            "tokenId": stream.token,
            "next": ledger.next_serial(stream.stream),
        }
        batches = ledger.batches(stream.stream)
        assert [each.first for each in batches] == [sum(b.count for b in batches[:n]) for n in range(len(batches))]
    assert ledger.balance(ledger.identity.contract) == sum(ledger.owed(person.address) for person in people)
