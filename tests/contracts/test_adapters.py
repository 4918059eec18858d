"""Minting, transferring and withdrawing adapters."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from provenance.errors import LedgerLookupError, LedgerRefused
from provenance.ledger.abi import topic
from provenance.ledger.licences import Minting, Parent, Shares, Terms
from provenance.ledger.refusals import Reverted, refusal
from provenance.ledger.typed_data import mint_values

if TYPE_CHECKING:
    from tests.contracts.world import World

ZERO = "00" * 32
DAY = 24 * 3600
DERIVABLE = Shares(derivable=True, derivative=1000)


def minting_of(world: World, **changes: object) -> Minting:
    """Something of the maker's that was not minted yet."""
    values = {
        "maker": world.maker.address,
        "weights": secrets.token_hex(32),
        "dataset": "da" * 32,
        "base": "ba" * 32,
        "terms": "7e" * 32,
        "cid": world.cid,
        "salt": secrets.token_hex(32),
    }
    return Minting(**{**values, **changes})  # type: ignore[arg-type]


def test_minted_adapter_is_told_as_it_was_given(world: World) -> None:
    shares = Shares(derivable=True, royalty=500, derivative=300, contributors=1000, contributors_root="cc" * 32)
    token = world.mint(weights="01" * 32, shares=shares)
    assert (token.token, token.owner, token.maker) == (1, world.maker.address, world.maker.address)
    assert (token.weights, token.dataset, token.base, token.terms) == ("01" * 32, "da" * 32, "ba" * 32, "7e" * 32)
    assert (token.cid, token.shares, token.parents) == (world.cid, shares, ())
    assert (token.revoked_at, token.taken_down_at) == (None, None)
    assert world.ledger.tokens() == (token,)
    assert world.ledger.token_of_weights("01" * 32) == token
    assert world.ledger.token_of_weights("02" * 32) is None
    assert world.ledger.call("tokenOfWeights", "01" * 32) == 1
    assert world.ledger.call("adapterOf", 1) == {
        "maker": token.maker,
        "base": 1,
        "royalty": 500,
        "parents": 0,
        "contributors": 1000,
        "derivative": 300,
        "flags": 1,
    }
    assert list(world.ledger.call("digestsOf", 1).values()) == [token.dataset, token.base, token.terms]


def test_adapters_of_one_base_share_its_number(world: World) -> None:
    tokens = [world.mint(base=base * 32).token for base in ("ba", "bb", "ba")]
    assert tokens == [1, 2, 3]
    assert [world.ledger.call("adapterOf", token)["base"] for token in tokens] == [1, 2, 1]
    assert world.ledger.call("totalAdapters") == 3


def test_same_weights_are_minted_once(world: World) -> None:
    first = world.mint(weights="01" * 32)
    with pytest.raises(LedgerRefused, match=f"already token {first.token}"):
        world.mint(world.stranger, weights="01" * 32)


def test_contract_itself_refuses_weights_that_are_taken(world: World) -> None:
    first, second = minting_of(world, weights="01" * 32), minting_of(world, weights="01" * 32)
    for each in (first, second):
        world.ledger.commit_mint(world.maker, each)
    world.ledger.mint_for(world.maker, first, b"")
    with pytest.raises(LedgerRefused, match="already token 1"):
        world.ledger.mint_for(world.maker, second, b"")


@pytest.mark.parametrize("field", ["weights", "dataset", "base"])
def test_mint_without_a_digest_is_refused(world: World, field: str) -> None:
    minting = minting_of(world, **{field: ZERO})
    world.ledger.commit_mint(world.maker, minting)
    with pytest.raises(LedgerRefused, match="must name the digests"):
        world.ledger.mint_for(world.maker, minting, b"")


@pytest.mark.parametrize("cid", ["", "b" * 129])
def test_mint_with_no_cid_or_a_long_one_is_refused(world: World, cid: str) -> None:
    with pytest.raises(LedgerRefused, match="empty or too long"):
        world.mint(cid=cid)


def test_mint_needs_a_commitment_that_names_it_exactly(world: World) -> None:
    committed = minting_of(world)
    world.ledger.commit_mint(world.maker, committed)
    for other in (
        minting_of(world),
        minting_of(world, weights=committed.weights, salt="01" * 32),
        minting_of(world, weights=committed.weights, salt=committed.salt, maker=world.stranger.address),
    ):
        with pytest.raises(LedgerRefused, match="was not committed to"):
            world.ledger.mint_for(world.maker, other, b"")
    assert world.ledger.mint_for(world.maker, committed, b"").weights == committed.weights


def test_commitment_is_used_once_and_made_once(world: World) -> None:
    minting = minting_of(world)
    commitment = world.ledger.commit_mint(world.maker, minting)
    assert world.ledger.commit_mint(world.maker, minting) == commitment
    with pytest.raises(Reverted) as caught:
        world.send(world.stranger, "commitMint", commitment)
    assert "is committed to already" in str(refusal(caught.value.data))
    world.ledger.mint_for(world.maker, minting, b"")
    with pytest.raises(LedgerRefused, match="was not committed to"):
        world.ledger.mint_for(world.maker, minting, b"")


def test_empty_commitment_is_refused(world: World) -> None:
    with pytest.raises(Reverted) as caught:
        world.send(world.maker, "commitMint", ZERO)
    assert "its commitment" in str(refusal(caught.value.data))


def test_mint_signed_by_its_maker_is_sent_by_anyone_and_belongs_to_the_maker(world: World) -> None:
    minting = minting_of(world)
    world.ledger.commit_mint(world.stranger, minting)
    token = world.ledger.mint_for(world.stranger, minting, world.sign_minting(world.maker, minting))
    assert (token.owner, token.maker) == (world.maker.address, world.maker.address)


def test_digest_that_is_committed_to_is_what_the_typed_data_hashes_to(world: World) -> None:
    from eth_account.messages import encode_typed_data

    from provenance.ledger.typed_data import mint_typed_data

    world.mint(shares=DERIVABLE)
    minting = minting_of(world, shares=DERIVABLE, parents=(1,))
    signable = encode_typed_data(full_message=mint_typed_data(world.ledger.identity, minting))
    assert world.ledger.call("mintDigest", mint_values(minting)) == signable.body.hex()
    assert world.ledger.call("domainSeparator") == signable.header.hex()


def test_mint_for_another_needs_its_signature_over_just_this(world: World) -> None:
    minting = minting_of(world)
    world.ledger.commit_mint(world.stranger, minting)
    wrong = (
        b"",
        world.sign_minting(world.stranger, minting),
        world.sign_minting(world.maker, minting_of(world)),
        bytes(65),
    )
    for signature in wrong:
        with pytest.raises(LedgerRefused, match="signature is not one of"):
            world.ledger.mint_for(world.stranger, minting, signature)


def test_signed_mint_lapses_but_not_for_the_maker_itself(world: World) -> None:
    minting = minting_of(world, deadline=world.ledger.now() - 1)
    world.ledger.commit_mint(world.maker, minting)
    with pytest.raises(LedgerRefused, match="time to use this signature has passed"):
        world.ledger.mint_for(world.stranger, minting, world.sign_minting(world.maker, minting))
    assert world.ledger.mint_for(world.maker, minting, b"").maker == world.maker.address


def test_whoever_copies_a_mint_it_sees_comes_too_late(world: World) -> None:
    mine = minting_of(world)
    world.ledger.commit_mint(world.maker, mine)
    copied = minting_of(world, weights=mine.weights, maker=world.stranger.address)
    with pytest.raises(LedgerRefused, match="was not committed to"):
        world.ledger.mint_for(world.stranger, copied, b"")
    world.ledger.mint_for(world.maker, mine, b"")
    world.ledger.commit_mint(world.stranger, copied)
    with pytest.raises(LedgerRefused, match="already token 1"):
        world.ledger.mint_for(world.stranger, copied, b"")


def test_adapter_made_from_others_names_them_and_what_they_get(world: World) -> None:
    first, second = world.mint(shares=DERIVABLE).token, world.mint(shares=Shares(derivable=True)).token
    child = world.mint(world.stranger, parents=(second, first))
    assert child.parents == (Parent(first, 1000), Parent(second, 0))
    assert world.ledger.call("parentsOf", child.token) == first | second << 32
    assert world.ledger.call("adapterOf", child.token)["parents"] == 1000


def test_adapter_has_at_most_eight_parents_each_once(world: World) -> None:
    parents = tuple(world.mint(shares=Shares(derivable=True)).token for _ in range(9))
    assert len(world.mint(parents=parents[:8]).parents) == 8
    with pytest.raises(LedgerRefused, match="at most 8 parents"):
        world.mint(parents=parents)
    with pytest.raises(LedgerRefused, match="each once"):
        world.mint(parents=(1, 1))
    with pytest.raises(LedgerRefused, match="each once"):
        world.mint(parents=(0,))


def test_parents_must_exist_allow_it_and_be_in_use(world: World) -> None:
    closed, withdrawn = world.mint().token, world.mint(shares=DERIVABLE).token
    world.ledger.revoke_adapter(world.maker, withdrawn, reason="objection")
    for parent, reason in ((closed, "allow no adapter"), (withdrawn, "was withdrawn"), (9, "no token 9")):
        with pytest.raises(LedgerRefused, match=reason):
            world.mint(parents=(parent,))


def test_parent_that_is_taken_down_has_no_children(world: World) -> None:
    parent = world.mint(shares=DERIVABLE).token
    world.ledger.appoint_safety(world.operator, world.stranger.address)
    world.ledger.take_down(world.stranger, parent, reason="0f" * 32)
    with pytest.raises(LedgerRefused, match="taken down"):
        world.mint(parents=(parent,))


@pytest.mark.parametrize(
    "shares",
    [
        Shares(royalty=2501),
        Shares(derivative=10_001),
        Shares(contributors=10_001, contributors_root="cc" * 32),
        Shares(contributors=1),
        Shares(contributors_root="cc" * 32),
    ],
)
def test_shares_must_add_up_and_have_receivers(world: World, shares: Shares) -> None:
    with pytest.raises(LedgerRefused, match="do not add up"):
        world.mint(shares=shares)


def test_parents_and_contributors_together_get_at_most_everything(world: World) -> None:
    greedy = world.mint(shares=Shares(derivable=True, derivative=6000)).token
    same = world.mint(shares=Shares(derivable=True, derivative=4000)).token
    contributors = Shares(contributors=1, contributors_root="cc" * 32)
    assert world.mint(parents=(greedy, same)).token == 3
    with pytest.raises(LedgerRefused, match="do not add up"):
        world.mint(parents=(greedy, same), shares=contributors)
    more = world.mint(shares=Shares(derivable=True, derivative=4001)).token
    with pytest.raises(LedgerRefused, match="do not add up"):
        world.mint(parents=(greedy, more))


def test_unknown_token_is_a_lookup_error(world: World) -> None:
    ledger = world.ledger
    with pytest.raises(LedgerLookupError, match="no token 7"):
        ledger.token(7)
    with pytest.raises(LedgerLookupError, match="no token 7"):
        ledger.call("adapterOf", 7)
    with pytest.raises(LedgerLookupError, match="no token 7"):
        ledger.licence(7, world.licensee.address)
    assert not ledger.has_licence(7, world.licensee.address)
    assert ledger.call("hasLicense", 7, world.licensee.address) is False


def test_transfer_moves_the_right_to_use_and_to_sell(world: World) -> None:
    token = world.offered(Terms(price=5, duration=60))
    moved = world.ledger.transfer(world.maker, token, world.licensee.address)
    assert (moved.owner, moved.maker) == (world.licensee.address, world.maker.address)
    assert world.ledger.token(token) == moved
    assert world.ledger.offers(token) == ()
    assert world.ledger.has_licence(token, world.licensee.address)
    assert not world.ledger.has_licence(token, world.maker.address)
    with pytest.raises(LedgerRefused, match="no say"):
        world.ledger.make_offer(world.maker, token, Terms(price=5))


def test_stranger_cannot_take_a_token(world: World) -> None:
    token = world.mint().token
    with pytest.raises(LedgerRefused, match="may not hand on"):
        world.ledger.transfer(world.stranger, token, world.stranger.address)
    with pytest.raises(LedgerRefused, match="belongs to"):
        world.ledger._send("Transfer", world.maker, "transferFrom", world.stranger.address, world.maker.address, token)
    with pytest.raises(LedgerRefused, match="cannot own"):
        world.ledger.transfer(world.maker, token, "0x" + "00" * 20)


def test_withdrawn_adapter_is_sold_no_more_and_licences_sold_go_on(world: World) -> None:
    token = world.offered(Terms(price=5, duration=DAY))
    world.ledger.buy(world.licensee, token)
    revoked = world.ledger.revoke_adapter(world.maker, token, reason="a rights holder objected")
    assert revoked.reason == "a rights holder objected"
    assert revoked.revoked_at == world.ledger.head().timestamp
    assert world.ledger.has_licence(token, world.licensee.address)
    assert world.ledger.call("hasLicense", token, world.licensee.address) is True
    assert world.ledger.offers(token) == ()
    later = world.ledger.now() + DAY
    for attempt in (
        lambda: world.ledger.grant(world.maker, token, world.stranger.address, expires=later),
        lambda: world.ledger.make_offer(world.maker, token, Terms(price=1)),
        lambda: world.ledger._send("LicenceGranted", world.stranger, "buy", token, 1, 5, value=5),
        lambda: world.ledger.open_stream(world.licensee, token),
        lambda: world.ledger.revoke_adapter(world.maker, token, reason="again"),
    ):
        with pytest.raises(LedgerRefused, match="was withdrawn"):
            attempt()


def test_maker_may_withdraw_an_adapter_it_sold_and_a_stranger_may_not(world: World) -> None:
    token = world.mint().token
    world.ledger.transfer(world.maker, token, world.licensee.address)
    with pytest.raises(LedgerRefused, match="no say"):
        world.ledger.revoke_adapter(world.stranger, token, reason="envy")
    assert world.ledger.revoke_adapter(world.maker, token, reason="consent withdrawn").revoked_at


@pytest.mark.parametrize("reason", ["", "x" * 513])
def test_reason_must_be_given_and_short(world: World, reason: str) -> None:
    token = world.mint().token
    world.ledger.grant(world.maker, token, world.licensee.address, expires=world.ledger.now() + DAY)
    world.ledger.register_issuer(world.maker, "0a" * 32)
    for attempt in (
        lambda: world.ledger.revoke_adapter(world.maker, token, reason=reason),
        lambda: world.ledger.revoke(world.maker, token, world.licensee.address, reason=reason),
        lambda: world.ledger.revoke_consent(world.maker, token, record="0c" * 32, reason=reason),
        lambda: world.ledger.revoke_issuer(world.maker, "0a" * 32, reason=reason),
    ):
        with pytest.raises(LedgerRefused, match="empty or too long"):
            attempt()


@pytest.mark.parametrize(
    ("price", "royalty", "amount"), [(10_000, 250, 250), (39, 2500, 9), (2**255, 1, 2**255 // 10_000)]
)
def test_royalty_on_resale_is_told_as_erc_2981_asks(world: World, price: int, royalty: int, amount: int) -> None:
    token = world.mint(shares=Shares(royalty=royalty)).token
    found = world.ledger.call("royaltyInfo", token, price)
    assert found == {"receiver": world.maker.address, "amount": amount}


def test_contract_says_what_it_is(world: World) -> None:
    ledger = world.ledger
    token = world.mint().token
    assert (ledger.call("name"), ledger.call("symbol"), ledger.call("tokenURI", token)) == ("prov adapters", "PROV", "")
    contract = ledger.identity.contract
    for interface, supported in (("80ac58cd", 1), ("2a55205a", 1), ("01ffc9a7", 1), ("ffffffff", 0)):
        question = bytes.fromhex("01ffc9a7" + interface.ljust(64, "0"))
        assert world.view(contract, question).hex() == topic(supported)
