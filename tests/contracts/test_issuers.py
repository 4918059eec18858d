"""Root certificates of accounts: valid from, revoked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from provenance.errors import LedgerRefused

if TYPE_CHECKING:
    from tests.contracts.world import World

DAY = 24 * 3600
ROOT, OTHER = "0a" * 32, "0b" * 32


def test_account_registers_its_roots_and_registering_twice_is_harmless(world: World) -> None:
    ledger, maker = world.ledger, world.maker
    assert ledger.issuers(maker.address) == frozenset()
    ledger.register_issuer(maker, ROOT)
    before = ledger.head()
    assert ledger.register_issuer(maker, ROOT) == {ROOT}
    assert ledger.head() == before
    assert ledger.register_issuer(maker, OTHER) == {ROOT, OTHER}
    assert ledger.issuers(world.stranger.address) == frozenset()
    with pytest.raises(LedgerRefused, match="has registered root"):
        ledger._send("IssuerRegistered", maker, "registerIssuer", ROOT, 0)
    with pytest.raises(LedgerRefused, match="must be named"):
        ledger.register_issuer(maker, "00" * 32)


def test_root_is_valid_from_when_it_was_registered(world: World) -> None:
    world.ledger.register_issuer(world.maker, ROOT)
    (key,) = world.ledger.issuer_keys(world.maker.address)
    assert (key.valid_from, key.revoked_at) == (world.ledger.head().timestamp, None)
    for time, valid in ((key.valid_from - 1, False), (key.valid_from, True), (2**40, True)):
        assert (ROOT in world.ledger.issuers(world.maker.address, time)) is valid
        assert world.ledger.call("isIssuer", world.maker.address, ROOT, time) is valid


@pytest.mark.parametrize("offset", [-100 * DAY, 100 * DAY])
def test_root_is_valid_from_a_time_that_is_named(world: World, offset: int) -> None:
    valid_from = world.ledger.now() + offset
    current = world.ledger.register_issuer(world.maker, ROOT, valid_from=valid_from)
    assert current == ({ROOT} if offset < 0 else frozenset())
    assert world.ledger.issuers(world.maker.address, valid_from) == {ROOT}
    assert world.ledger.issuers(world.maker.address, valid_from - 1) == frozenset()
    assert world.ledger.call("isIssuer", world.maker.address, ROOT, valid_from) is True
    assert world.ledger.call("isIssuer", world.maker.address, ROOT, valid_from - 1) is False


def test_revoked_root_was_valid_until_then_and_never_again(world: World) -> None:
    ledger, maker = world.ledger, world.maker
    ledger.register_issuer(maker, ROOT)
    world.advance(DAY)
    key = ledger.revoke_issuer(maker, ROOT, reason="the key was stolen")
    assert (key.revoked_at, key.reason) == (ledger.head().timestamp, "the key was stolen")
    assert key.revoked_at is not None
    assert ledger.issuers(maker.address) == frozenset()
    for time, valid in ((key.revoked_at - 1, True), (key.revoked_at, False)):
        assert (ROOT in ledger.issuers(maker.address, time)) is valid
        assert ledger.call("isIssuer", maker.address, ROOT, time) is valid
    with pytest.raises(LedgerRefused, match="stays revoked"):
        ledger.register_issuer(maker, ROOT)
    with pytest.raises(LedgerRefused, match="does not stand by"):
        ledger.revoke_issuer(maker, ROOT, reason="again")


def test_account_revokes_only_its_own_roots(world: World) -> None:
    world.ledger.register_issuer(world.maker, ROOT)
    with pytest.raises(LedgerRefused, match="does not stand by"):
        world.ledger.revoke_issuer(world.stranger, ROOT, reason="envy")
    assert world.ledger.issuers(world.maker.address) == {ROOT}


def test_two_accounts_may_name_the_same_root(world: World) -> None:
    for account in (world.maker, world.stranger):
        world.ledger.register_issuer(account, ROOT)
    world.ledger.revoke_issuer(world.stranger, ROOT, reason="left the studio")
    assert world.ledger.issuers(world.maker.address) == {ROOT}
    assert world.ledger.issuers(world.stranger.address) == frozenset()


def test_root_that_is_not_valid_yet_can_be_revoked(world: World) -> None:
    world.ledger.register_issuer(world.maker, ROOT, valid_from=world.ledger.now() + DAY)
    world.ledger.revoke_issuer(world.maker, ROOT, reason="changed our mind")
    assert world.ledger.issuers(world.maker.address, world.ledger.now() + 2 * DAY) == frozenset()
