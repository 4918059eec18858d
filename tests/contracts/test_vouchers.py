"""Vouchers: a licence promised in a signature, and every way to abuse one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from provenance.errors import LedgerRefused
from provenance.ledger.abi import encode_call
from provenance.ledger.licences import NATIVE, NEVER, Terms, Voucher
from provenance.ledger.typed_data import voucher_typed_data
from tests.contracts.solidity import act, word

if TYPE_CHECKING:
    from tests.contracts.world import World

PRICE = 10**15
DAY = 24 * 3600
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of the curve secp256k1: (r, n - s) is as good a signature as (r, s), which ERC-20 permits have been replayed with."""


@pytest.fixture
def token(world: World) -> int:
    return world.mint().token


@pytest.fixture
def voucher(world: World, token: int) -> Voucher:
    terms = Terms(price=PRICE, duration=DAY, quota=50, commercial=True, grace=3)
    return Voucher(token, world.licensee.address, terms, nonce=7, deadline=world.ledger.now() + 1000)


def test_voucher_becomes_the_licence_it_promises_and_its_licensee_pays(world: World, voucher: Voucher) -> None:
    licence = world.ledger.redeem(world.licensee, voucher, world.sign_voucher(world.maker, voucher))
    assert (licence.licensee, licence.offer, licence.quota, licence.grace) == (world.licensee.address, 0, 50, 3)
    assert (licence.commercial, licence.transferable) == (True, False)
    assert licence.expires == licence.granted_at + DAY
    assert world.ledger.owed(world.maker.address) == PRICE
    assert world.ledger.call("isNonceUsed", world.maker.address, 7) is True
    assert world.ledger.call("isNonceUsed", world.maker.address, 8) is False


def test_anyone_may_redeem_for_the_licensee(world: World, voucher: Voucher) -> None:
    licence = world.ledger.redeem(world.stranger, voucher, world.sign_voucher(world.maker, voucher))
    assert licence.licensee == world.licensee.address
    assert not world.ledger.has_licence(voucher.token, world.stranger.address)


def test_price_of_a_voucher_is_given_back_by_the_time_not_used(world: World, voucher: Voucher) -> None:
    bought = world.ledger.redeem(world.licensee, voucher, world.sign_voucher(world.maker, voucher))
    world.advance(DAY // 2)
    revoked = world.ledger.revoke(world.maker, voucher.token, world.licensee.address, reason="x")
    assert revoked.revoked_at
    assert revoked.refund == PRICE * (bought.expires - revoked.revoked_at) // DAY > 0


def test_free_voucher_after_a_paid_one_owes_nothing_back(world: World, voucher: Voucher) -> None:
    world.ledger.redeem(world.licensee, voucher, world.sign_voucher(world.maker, voucher))
    world.advance(DAY + 1)
    free = replace(voucher, terms=replace(voucher.terms, price=0), nonce=8, deadline=NEVER)
    world.ledger.redeem(world.licensee, free, world.sign_voucher(world.maker, free))
    assert world.ledger.refund(voucher.token, world.licensee.address)[1] == 0


def test_voucher_that_is_handed_on_is_refunded_to_its_new_holder(world: World, voucher: Voucher) -> None:
    free = replace(voucher, terms=replace(voucher.terms, transferable=True))
    world.ledger.redeem(world.licensee, free, world.sign_voucher(world.maker, free))
    world.ledger.transfer_licence(world.licensee, free.token, world.stranger.address)
    refund = world.ledger.revoke(world.maker, free.token, world.stranger.address, reason="x").refund
    assert world.ledger.owed(world.stranger.address) == refund > 0.9 * PRICE


def test_voucher_is_used_once(world: World, voucher: Voucher) -> None:
    signature = world.sign_voucher(world.maker, voucher)
    world.ledger.redeem(world.licensee, voucher, signature)
    with pytest.raises(LedgerRefused, match="used or cancelled"):
        world.ledger.redeem(world.licensee, voucher, signature)
    other = replace(voucher, licensee=world.stranger.address)
    with pytest.raises(LedgerRefused, match="used or cancelled"):
        world.ledger.redeem(world.stranger, other, world.sign_voucher(world.maker, other))


def test_cancelled_voucher_is_worthless(world: World, voucher: Voucher) -> None:
    world.ledger.cancel_voucher(world.maker, voucher.nonce)
    with pytest.raises(LedgerRefused, match="used or cancelled"):
        world.ledger.redeem(world.licensee, voucher, world.sign_voucher(world.maker, voucher))
    with pytest.raises(LedgerRefused, match="used or cancelled"):
        world.ledger.cancel_voucher(world.maker, voucher.nonce)


def test_nobody_cancels_anothers_voucher(world: World, voucher: Voucher) -> None:
    world.ledger.cancel_voucher(world.stranger, voucher.nonce)
    assert world.ledger.redeem(world.licensee, voucher, world.sign_voucher(world.maker, voucher)).quota == 50


def test_voucher_lapses_after_its_deadline(world: World, voucher: Voucher) -> None:
    world.advance(2000)
    with pytest.raises(LedgerRefused, match="time to use this signature has passed"):
        world.ledger.redeem(world.licensee, voucher, world.sign_voucher(world.maker, voucher))


def test_voucher_of_another_chain_or_contract_or_over_other_terms_is_refused(world: World, voucher: Voucher) -> None:
    identity = world.ledger.identity
    elsewhere = (
        replace(identity, chain_id=identity.chain_id + 1),
        replace(identity, contract=world.stranger.address),
    )
    signatures = [world.maker.sign_typed_data(voucher_typed_data(each, voucher)) for each in elsewhere]
    signatures += [
        world.sign_voucher(world.maker, replace(voucher, terms=replace(voucher.terms, price=PRICE + 1))),
        world.sign_voucher(world.maker, replace(voucher, licensee=world.stranger.address)),
        world.sign_voucher(world.stranger, voucher),
    ]
    for signature in signatures:
        with pytest.raises(LedgerRefused, match=f"signature is not one of {world.maker.address}"):
            world.ledger.redeem(world.licensee, voucher, signature)


def test_malleable_signature_is_refused(world: World, voucher: Voucher) -> None:
    good = world.sign_voucher(world.maker, voucher)
    s, v = int.from_bytes(good[32:64], "big"), good[64]
    twin = good[:32] + (ORDER - s).to_bytes(32, "big") + bytes([55 - v])
    for signature in (twin, good[:64], good + b"\0", good[:64] + bytes([v - 27]), bytes(65)):
        with pytest.raises(LedgerRefused, match="signature is not one of"):
            world.ledger.redeem(world.licensee, voucher, signature)
    assert world.ledger.redeem(world.licensee, voucher, good).quota == 50


def test_voucher_of_a_former_owner_is_worthless(world: World, voucher: Voucher) -> None:
    signature = world.sign_voucher(world.maker, voucher)
    world.ledger.transfer(world.maker, voucher.token, world.stranger.address)
    with pytest.raises(LedgerRefused, match=f"signature is not one of {world.stranger.address}"):
        world.ledger.redeem(world.licensee, voucher, signature)


def test_voucher_must_name_a_licensee_a_token_and_terms(world: World, voucher: Voucher) -> None:
    for wrong, reason in (
        (replace(voucher, licensee=NATIVE), "cannot hold"),
        (replace(voucher, token=9), "no token 9"),
        (replace(voucher, terms=replace(voucher.terms, duration=0)), "must last"),
    ):
        with pytest.raises(LedgerRefused, match=reason):
            world.ledger.redeem(world.licensee, wrong, world.sign_voucher(world.maker, wrong))


def test_voucher_does_not_lift_a_revocation_or_mix_with_a_paid_licence(world: World, voucher: Voucher) -> None:
    world.ledger.redeem(world.licensee, voucher, world.sign_voucher(world.maker, voucher))
    second = replace(voucher, nonce=8)
    with pytest.raises(LedgerRefused, match="under other terms"):
        world.ledger.redeem(world.licensee, second, world.sign_voucher(world.maker, second))
    world.ledger.revoke(world.maker, voucher.token, world.licensee.address, reason="x")
    with pytest.raises(LedgerRefused, match="was revoked"):
        world.ledger.redeem(world.licensee, second, world.sign_voucher(world.maker, second))


def test_voucher_that_is_paid_too_little_is_refused_and_not_used(world: World, voucher: Voucher) -> None:
    from provenance.ledger.typed_data import voucher_values

    signature = world.sign_voucher(world.maker, voucher)
    with pytest.raises(LedgerRefused, match="too little was paid"):
        world.ledger._send(
            "LicenceGranted", world.licensee, "redeem", voucher_values(voucher), signature, value=PRICE - 1
        )
    assert world.ledger.call("isNonceUsed", world.maker.address, 7) is False


def test_owner_that_is_a_contract_signs_by_erc_1271(world: World, voucher: Voucher, assets: dict[str, bytes]) -> None:
    wallet = world.deploy(world.maker, assets["Wallet"] + word(world.maker.address))
    world.ledger.transfer(world.maker, voucher.token, wallet)
    with pytest.raises(LedgerRefused, match=f"signature is not one of {wallet}"):
        world.ledger.redeem(world.licensee, voucher, world.sign_voucher(world.stranger, voucher))
    licence = world.ledger.redeem(world.licensee, voucher, world.sign_voucher(world.maker, voucher))
    assert licence.licensee == world.licensee.address
    assert world.ledger.owed(wallet) == PRICE
    withdraw = encode_call("withdraw", (NATIVE, world.maker.address))
    world.transact(world.maker, wallet, act(world.ledger.identity.contract, withdraw))
    assert world.ledger.owed(wallet) == 0
