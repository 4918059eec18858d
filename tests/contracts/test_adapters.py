"""Minting, transferring and withdrawing adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from provenance.errors import LedgerLookupError, LedgerRefused

if TYPE_CHECKING:
    from tests.contracts.conftest import World

ZERO = "00" * 32


def test_minted_adapter_is_told_as_it_was_given(world: World) -> None:
    token = world.mint(weights="01" * 32, terms="0e" * 32)
    assert (token.token, token.owner, token.maker) == (1, world.maker.address, world.maker.address)
    assert (token.weights, token.dataset, token.base, token.terms) == ("01" * 32, "da" * 32, "ba" * 32, "0e" * 32)
    assert token.cid == world.cid
    assert token.revoked_at is None
    assert world.ledger.tokens() == (token,)
    assert world.ledger.token_of_weights("01" * 32) == token
    assert world.ledger.token_of_weights("02" * 32) is None
    assert world.ledger.call("adapterOf", 1) == {
        "maker": token.maker,
        "mintedAt": token.minted_at,
        "revokedAt": 0,
        "weights": token.weights,
        "dataset": token.dataset,
    }


def test_token_numbers_run_from_one(world: World) -> None:
    assert [world.mint().token for _ in range(3)] == [1, 2, 3]
    assert world.ledger.call("totalAdapters") == 3


def test_same_weights_are_minted_once(world: World) -> None:
    first = world.mint(weights="01" * 32)
    with pytest.raises(LedgerRefused, match=f"already token {first.token}"):
        world.mint(world.stranger, weights="01" * 32)


@pytest.mark.parametrize("field", ["weights", "dataset", "base"])
def test_mint_without_a_digest_is_refused(world: World, field: str) -> None:
    with pytest.raises(LedgerRefused, match="must name the digests"):
        world.mint(None, **{field: ZERO})


@pytest.mark.parametrize("cid", ["", "b" * 129])
def test_mint_with_no_cid_or_a_long_one_is_refused(world: World, cid: str) -> None:
    with pytest.raises(LedgerRefused, match="empty or too long"):
        world.mint(cid=cid)


def test_unknown_token_is_a_lookup_error(world: World) -> None:
    with pytest.raises(LedgerLookupError, match="no token 7"):
        world.ledger.token(7)
    with pytest.raises(LedgerLookupError, match="no token 7"):
        world.ledger.call("adapterOf", 7)
    with pytest.raises(LedgerLookupError, match="no token 7"):
        world.ledger.licence(7, world.licensee.address)
    assert not world.ledger.has_licence(7, world.licensee.address)
    assert world.ledger.call("hasLicense", 7, world.licensee.address) is False


def test_transfer_moves_the_right_to_use_and_to_sell(world: World) -> None:
    token = world.mint().token
    world.ledger.set_offer(world.maker, token, price=5, duration=60)
    moved = world.ledger.transfer(world.maker, token, world.licensee.address)
    assert (moved.owner, moved.maker) == (world.licensee.address, world.maker.address)
    assert world.ledger.token(token) == moved
    assert world.ledger.offer(token) is None
    assert world.ledger.has_licence(token, world.licensee.address)
    assert not world.ledger.has_licence(token, world.maker.address)
    with pytest.raises(LedgerRefused, match="no say"):
        world.ledger.set_offer(world.maker, token, price=5, duration=60)


def test_stranger_cannot_take_a_token(world: World) -> None:
    token = world.mint().token
    with pytest.raises(LedgerRefused):
        world.ledger.transfer(world.stranger, token, world.stranger.address)
    with pytest.raises(LedgerRefused, match="cannot own"):
        world.ledger.transfer(world.maker, token, "0x" + "00" * 20)


def test_withdrawn_adapter_licenses_nobody_any_more(world: World) -> None:
    token = world.mint().token
    world.ledger.grant(world.maker, token, world.licensee.address, expires=world.ledger.now() + 1000)
    revoked = world.ledger.revoke_adapter(world.maker, token, reason="a rights holder objected")
    assert revoked.reason == "a rights holder objected"
    assert revoked.revoked_at is not None
    for account in (world.maker, world.licensee):
        assert not world.ledger.has_licence(token, account.address)
        assert world.ledger.call("hasLicense", token, account.address) is False
        with pytest.raises(LedgerRefused, match="may not use"):
            world.ledger.open_stream(account, token)
    with pytest.raises(LedgerRefused, match="was withdrawn"):
        world.ledger.grant(world.maker, token, world.stranger.address, expires=world.ledger.now() + 1000)
    with pytest.raises(LedgerRefused, match="was withdrawn"):
        world.ledger.set_offer(world.maker, token, price=1, duration=1)
    with pytest.raises(LedgerRefused, match="was withdrawn"):
        world.ledger.revoke_adapter(world.maker, token, reason="again")


def test_maker_may_withdraw_an_adapter_it_sold_and_a_stranger_may_not(world: World) -> None:
    token = world.mint().token
    world.ledger.transfer(world.maker, token, world.licensee.address)
    with pytest.raises(LedgerRefused, match="no say"):
        world.ledger.revoke_adapter(world.stranger, token, reason="envy")
    assert world.ledger.revoke_adapter(world.maker, token, reason="consent withdrawn").revoked_at


def test_consent_is_withdrawn_once_and_by_the_maker_alone(world: World) -> None:
    token = world.mint().token
    world.ledger.transfer(world.maker, token, world.licensee.address)
    with pytest.raises(LedgerRefused, match="no say"):
        world.ledger.revoke_consent(world.licensee, token, record="0c" * 32, reason="no")
    revoked = world.ledger.revoke_consent(world.maker, token, record="0c" * 32, reason="no more")
    assert world.ledger.consent_revocations(token) == (revoked,)
    assert world.ledger.call("consentRevokedAt", token, "0c" * 32) == revoked.revoked_at
    assert world.ledger.call("consentRevokedAt", token, "0d" * 32) == 0
    with pytest.raises(LedgerRefused, match="already withdrawn"):
        world.ledger.revoke_consent(world.maker, token, record="0c" * 32, reason="again")


@pytest.mark.parametrize("reason", ["", "x" * 513])
def test_reason_must_be_given_and_short(world: World, reason: str) -> None:
    token = world.mint().token
    with pytest.raises(LedgerRefused, match="empty or too long"):
        world.ledger.revoke_adapter(world.maker, token, reason=reason)


def test_contract_says_what_it_is(world: World) -> None:
    assert world.ledger.call("name") == "prov adapters"
    assert world.ledger.call("symbol") == "PROV"
