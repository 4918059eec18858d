"""A long random life of the ledger: after every step, what the reader folds from logs is what the contract says."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import pytest

from provenance.errors import LedgerRefused
from provenance.ledger.accounts import KeystoreAccount
from provenance.ledger.contributors import ContributorsTree
from provenance.ledger.licences import NEVER, Shares, Terms, Usage, Voucher
from tests.contracts.agreement import disagreements

if TYPE_CHECKING:
    from tests.contracts.world import World

STEPS = 60
DAY = 24 * 3600
RECORDS = ("0a" * 32, "0b" * 32)
TOKENS = 4
OFTEN = {
    "buy": 8,
    "offer": 3,
    "grant": 3,
    "redeem": 4,
    "open": 3,
    "anchor": 6,
    "hand on": 3,
    "claim": 2,
    "reinstate": 4,
}
"""How many times as likely as the others; most need that another came before."""


class RandomLife:
    """Picks what happens next; most of it is allowed now and then."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.chance = random.Random(seed)
        self.people = [world.maker, world.licensee, world.stranger]
        self.safety = world.account("safety")
        world.ledger.appoint_safety(world.operator, self.safety.address)
        parts = {self.people[0].address: 600_000, self.people[1].address: 400_000}
        self.tree = ContributorsTree.of(parts)
        self.done: list[str] = []
        self.refused: list[str] = []
        for _ in range(2):
            self._mint()
        for token in world.ledger.tokens():
            owner = self._owner(token.token)
            world.ledger.make_offer(owner, token.token, Terms(price=12_345, duration=DAY, quota=40, transferable=True))

    def step(self) -> None:
        """Does one thing at random, or is refused."""
        acts = self._acts()
        name = self.chance.choices(list(acts), [OFTEN.get(each, 1) for each in acts])[0]
        act = acts[name]
        try:
            act()
            self.done.append(name)
        except LedgerRefused:
            self.refused.append(name)
        # The contract is asked as of the next second: so is the reader.
        self.world.advance(1)

    def _acts(self) -> dict[str, Callable[[], object]]:
        ledger, chance = self.world.ledger, self.chance
        who, whom = chance.choice(self.people), chance.choice(self.people)
        token = chance.randint(1, max(1, len(ledger.tokens())))
        owner = self._owner(token)
        digest = chance.choice(RECORDS)
        acts: dict[str, Callable[[], object]] = {
            "mint": self._mint,
            "offer": partial(ledger.make_offer, owner, token, self._terms()),
            "close": partial(ledger.close_offer, owner, token, chance.randint(1, 3)),
            "buy": partial(ledger.buy, who, token, number=chance.choice([None, None, 1])),
            "redeem": partial(self._redeem, owner, token, whom),
            "grant": partial(ledger.grant, owner, token, whom.address, expires=self._later(), terms=self._terms()),
            "revoke": partial(ledger.revoke, owner, token, whom.address, reason="why not"),
            "renounce": partial(ledger.renounce, who, token),
            "hand on": partial(ledger.transfer_licence, who, token, whom.address),
            "settle": partial(self._settle, token, who),
            "consume": partial(ledger.consume, who, token, chance.randint(0, 20)),
            "open": partial(ledger.open_stream, who, chance.choice([0, token, token])),
            "anchor": self._anchor,
            "collect": partial(self._collect, token),
            "claim": partial(self._claim, token),
            "withdraw": partial(ledger.withdraw, who, to=whom.address),
            "transfer": partial(ledger.transfer, owner, token, whom.address),
            "register": partial(ledger.register_issuer, who, digest, valid_from=chance.choice([0, self._later()])),
            "revoke issuer": partial(ledger.revoke_issuer, who, digest, reason="why not"),
            "consent": partial(ledger.revoke_consent, who, token, record=digest, reason="no more"),
            "take down": partial(ledger.take_down, self.safety, token, reason="0f" * 32),
            "reinstate": partial(ledger.reinstate, self.safety, token, reason="0f" * 32),
            "pause": partial(ledger.set_paused, self.world.operator, not ledger.call("paused")),
            "wait": partial(self.world.advance, chance.randint(1, 2 * DAY)),
        }
        if chance.random() < 0.1:
            acts["withdraw adapter"] = partial(ledger.revoke_adapter, owner, token, reason="enough")
        return acts

    def _mint(self) -> None:
        if len(self.world.ledger.tokens()) >= TOKENS:
            return
        chance = self.chance
        contributors = chance.choice([0, 777])
        shares = Shares(
            derivable=True,
            royalty=chance.randint(0, 2500),
            derivative=chance.randint(0, 4000),
            contributors=contributors,
            contributors_root=self.tree.root if contributors else "00" * 32,
        )
        existing = [each.token for each in self.world.ledger.tokens()]
        parents = tuple(each for each in existing if chance.random() < 0.7)
        self.world.mint(
            chance.choice(self.people), shares=shares, parents=parents, base=chance.choice(["ba", "bb"]) * 32
        )

    def _terms(self) -> Terms:
        chance = self.chance
        return Terms(
            price=chance.choice([0, 99, 12_345]),
            duration=chance.choice([DAY, 3 * DAY, 3 * DAY, NEVER]),
            quota=chance.choice([0, 40, 40]),
            commercial=chance.random() < 0.3,
            transferable=chance.random() < 0.8,
            grace=chance.randint(0, 3),
        )

    def _owner(self, token: int) -> KeystoreAccount:
        address = self.world.ledger.token(token).owner
        return next((each for each in self.people if each.address == address), self.people[0])

    def _later(self) -> int:
        return self.world.ledger.now() + self.chance.choice([DAY, 5 * DAY])

    def _redeem(self, owner: KeystoreAccount, token: int, whom: KeystoreAccount) -> None:
        voucher = Voucher(token, whom.address, self._terms(), self.chance.randint(0, 9), NEVER)
        self.world.ledger.redeem(whom, voucher, self.world.sign_voucher(owner, voucher))

    def _settle(self, token: int, who: KeystoreAccount) -> None:
        usage = Usage(token, who.address, self.chance.randint(1, 60))
        self.world.ledger.settle(self.people[0], usage, self.world.sign_usage(who, usage))

    def _anchor(self) -> None:
        streams = self.world.ledger.streams()
        if streams:
            stream = self.chance.choice(streams)
            who = next(each for each in self.people if each.address == stream.holder)
            first = self.world.ledger.next_serial(stream.stream)
            self.world.anchor(who, stream, first, self.chance.randint(1, 25))

    def _collect(self, token: int) -> None:
        parents = [each.token for each in self.world.ledger.token(token).parents]
        self.world.ledger.collect(self.people[0], token, self.chance.choice([*parents, 1]))

    def _claim(self, token: int) -> None:
        who = self.chance.choice(self.people[:2]).address
        self.world.ledger.claim(self.people[2], token, who, self.tree.part(who), self.tree.proof(who))


@pytest.mark.parametrize("seed", [1, 2])
def test_reader_and_contract_agree_after_every_step_of_a_random_life(embedded: World, seed: int) -> None:
    life = RandomLife(embedded, seed)
    accounts = [each.address for each in (*life.people, life.safety, embedded.operator)]
    for number in range(STEPS):
        life.step()
        found = disagreements(embedded, accounts, RECORDS)
        assert found == [], (seed, number, life.done[-1:], life.refused[-1:])
    assert len(life.done) > STEPS // 3
    assert len(life.refused) > 5


def test_disagreement_is_noticed(embedded: World) -> None:
    token = embedded.offered(Terms(price=5, duration=DAY))
    embedded.ledger.buy(embedded.licensee, token)
    embedded.advance(1)
    accounts = [embedded.maker.address, embedded.licensee.address]
    assert disagreements(embedded, accounts, RECORDS) == []
    assert [name for name, _, _ in disagreements(embedded, accounts[1:], RECORDS)] == ["money"]
