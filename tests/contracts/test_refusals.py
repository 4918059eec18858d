"""Each error of the contract as it really comes: reached by a transaction or a view, and told as a sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from contracts.artifact import load_artifact
from provenance.ledger.abi import encode_call
from provenance.ledger.licences import NATIVE, NEVER, Minting, Shares, Terms, Usage, Voucher
from provenance.ledger.refusals import Reverted, refusal
from provenance.ledger.typed_data import mint_values, voucher_values
from tests.contracts.solidity import act, arguments, prepare

if TYPE_CHECKING:
    from provenance.ledger.accounts import KeystoreAccount
    from tests.contracts.world import World

DAY = 24 * 3600
PRICE = 1000
OFFER = (NATIVE, PRICE, DAY, 10, 2, 0)
NEVER_REACHED = {
    "StreamsExhausted": "needs 2^28 - 1 streams",
    "OwnableInvalidOwner": "only a deployment by the zero address raises it",
    "ERC721InvalidSender": "ERC-721 raises it for a token that exists already, and ids are counted up",
}


class Scene:
    """A ledger with one adapter on offer, one licence sold under it, and one stream."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.maker, self.licensee, self.stranger = world.maker, world.licensee, world.stranger
        world.mint(weights="01" * 32, shares=Shares(derivable=True))
        world.mint()
        world.send(self.maker, "offer", 1, OFFER)
        world.ledger.buy(self.licensee, 1)
        world.ledger.open_stream(self.licensee, 1)

    def send(self, account: KeystoreAccount, function: str, *values: object, value: int = 0) -> None:
        self.world.send(account, function, *values, value=value)

    def view(self, function: str, *values: object) -> None:
        self.world.view(self.world.ledger.identity.contract, encode_call(function, values))

    def mint(self, *, commit: bool = True, sender: KeystoreAccount | None = None, **changes: object) -> None:
        digests = {
            name: f"{place:02x}" * 32 for place, name in enumerate(("weights", "dataset", "base", "terms"), 0x21)
        }
        values = {"maker": self.maker.address, **digests, "cid": "cid", "salt": "5a" * 32}
        minting = Minting(**{**values, **changes})  # type: ignore[arg-type]
        if commit:
            self.world.ledger.commit_mint(self.maker, minting)
        self.send(sender or self.maker, "mint", mint_values(minting), b"")

    def grant(self, account: KeystoreAccount, **changes: int) -> None:
        values = {"token": 2, "expires": self.world.ledger.now() + DAY, "quota": 0, "flags": 0, "grace": 0} | changes
        token = values.pop("token")
        self.send(self.maker, "grant", token, account.address, *values.values())

    def redeem(self, **changes: object) -> None:
        values = {"token": 2, "licensee": self.stranger.address, "terms": Terms(), "nonce": 1, "deadline": NEVER}
        voucher = Voucher(**{**values, **changes})  # type: ignore[arg-type]
        signature = self.world.sign_voucher(self.maker, voucher)
        self.send(self.stranger, "redeem", voucher_values(voucher), signature)

    def take_down(self) -> None:
        self.world.ledger.appoint_safety(self.world.operator, self.maker.address)
        self.send(self.maker, "takeDown", 1, "0f" * 32)

    def revoke(self) -> None:
        self.send(self.maker, "revoke", 1, self.licensee.address, "x")


def twice(act: Callable[[], None]) -> None:
    act()
    act()


def after(first: Callable[[], object], then: Callable[[], None]) -> None:
    first()
    then()


Attempt = Callable[[Scene], None]
REACHED: dict[str, Attempt] = {
    "AdapterZeroDigest": lambda s: s.mint(base="00" * 32),
    "AdapterWeightsTaken": lambda s: s.mint(weights="01" * 32),
    "MintUncommitted": lambda s: s.mint(commit=False),
    "MintIsCommitted": lambda s: twice(lambda: s.send(s.maker, "commitMint", "01" * 32)),
    "AdapterInvalidShares": lambda s: s.mint(shares=Shares(royalty=2501)),
    "AdapterInvalidParents": lambda s: s.mint(parents=(1, 1)),
    "AdapterNotDerivable": lambda s: s.mint(parents=(2,)),
    "AdapterUnauthorized": lambda s: s.send(s.stranger, "revokeAdapter", 1, "x"),
    "AdapterIsRevoked": lambda s: twice(lambda: s.send(s.maker, "revokeAdapter", 1, "x")),
    "AdapterIsTakenDown": lambda s: after(s.take_down, lambda: s.send(s.licensee, "anchor", 1, 0, 1, "ab" * 32, "cid")),
    "AdapterNotTakenDown": lambda s: after(s.take_down, lambda: s.send(s.maker, "reinstate", 2, "0f" * 32)),
    "SafetyUnauthorized": lambda s: s.send(s.maker, "takeDown", 1, "0f" * 32),
    "OwnableUnauthorizedAccount": lambda s: s.send(s.maker, "unpause"),
    "EnforcedPause": lambda s: after(lambda: s.send(s.world.operator, "pause"), s.mint),
    "ExpectedPause": lambda s: s.send(s.world.operator, "unpause"),
    "SignatureInvalid": lambda s: s.mint(sender=s.stranger),
    "SignatureExpired": lambda s: s.redeem(deadline=1),
    "NonceIsUsed": lambda s: twice(lambda: s.send(s.maker, "cancelVoucher", 1)),
    "ConsentIsRevoked": lambda s: twice(lambda: s.send(s.maker, "revokeConsent", 1, "0c" * 32, "x")),
    "TextInvalidLength": lambda s: s.send(s.maker, "revokeAdapter", 1, ""),
    "TermsInvalid": lambda s: s.send(s.maker, "offer", 1, (NATIVE, 1, 0, 0, 0, 0)),
    "OfferNonexistent": lambda s: s.send(s.stranger, "buy", 1, 2, PRICE, value=PRICE),
    "OfferAboveMaximum": lambda s: s.send(s.stranger, "buy", 1, 1, PRICE - 1, value=PRICE),
    "PaymentInsufficient": lambda s: s.send(s.stranger, "buy", 1, 1, PRICE, value=PRICE - 1),
    "PaymentUnexpected": lambda s: after(
        lambda: s.send(s.maker, "offer", 2, ("0x" + "c0" * 20, 1, DAY, 0, 0, 0)),
        lambda: s.send(s.stranger, "buy", 2, 1, 1, value=1),
    ),
    "LicenceInvalidUser": lambda s: s.redeem(licensee=NATIVE),
    "LicenceInvalidExpiry": lambda s: s.grant(s.stranger, expires=1),
    "LicenceTermsNarrower": lambda s: after(
        lambda: s.grant(s.stranger, flags=1), lambda: s.grant(s.stranger, expires=NEVER, flags=0)
    ),
    "LicenceUnderOtherTerms": lambda s: after(
        lambda: s.send(s.maker, "offer", 1, OFFER), lambda: s.send(s.licensee, "buy", 1, 2, PRICE, value=PRICE)
    ),
    "LicenceIsRevoked": lambda s: after(s.revoke, lambda: s.send(s.licensee, "buy", 1, 1, PRICE, value=PRICE)),
    "LicenceNotHeld": lambda s: s.send(s.stranger, "renounce", 1),
    "LicenceIsHeld": lambda s: s.send(s.stranger, "transferLicence", 1, s.licensee.address),
    "LicenceBound": lambda s: after(
        lambda: s.grant(s.stranger), lambda: s.send(s.stranger, "transferLicence", 2, s.licensee.address)
    ),
    "LicenceWithoutEnd": lambda s: after(lambda: s.grant(s.stranger, expires=NEVER), s.redeem),
    "UsageNotAbove": lambda s: s.send(s.licensee, "consume", 1, 0),
    "QuotaExceeded": lambda s: s.send(s.licensee, "consume", 1, 11),
    "NothingOwed": lambda s: s.send(s.stranger, "withdraw", NATIVE, s.stranger.address),
    "NothingDue": lambda s: after(lambda: s.mint(parents=(1,)), lambda: s.send(s.maker, "collect", 3, 1, NATIVE)),
    "ParentUnknown": lambda s: s.send(s.maker, "collect", 2, 1, NATIVE),
    "ContributorUnknown": lambda s: s.send(s.maker, "claim", 1, NATIVE, s.maker.address, 1, ()),
    "WithdrawalFailed": lambda s: s.send(s.maker, "withdraw", NATIVE, NATIVE),
    "StreamUnlicensed": lambda s: s.send(s.stranger, "openStream", 1),
    "StreamNonexistent": lambda s: s.send(s.licensee, "anchor", 2, 0, 1, "ab" * 32, "cid"),
    "StreamUnauthorized": lambda s: s.send(s.maker, "anchor", 1, 0, 1, "ab" * 32, "cid"),
    "StreamClosed": lambda s: after(
        lambda: s.world.advance(2 * DAY), lambda: s.send(s.licensee, "anchor", 1, 0, 1, "ab" * 32, "cid")
    ),
    "BatchOutOfOrder": lambda s: s.send(s.licensee, "anchor", 1, 1, 1, "ab" * 32, "cid"),
    "BatchInvalidCount": lambda s: s.send(s.licensee, "anchor", 1, 0, 0, "ab" * 32, "cid"),
    "BatchZeroRoot": lambda s: s.send(s.licensee, "anchor", 1, 0, 1, "00" * 32, "cid"),
    "BatchNonexistent": lambda s: s.view("batchCovering", 1, 0),
    "IssuerZeroDigest": lambda s: s.send(s.maker, "registerIssuer", "00" * 32, 0),
    "IssuerIsRegistered": lambda s: twice(lambda: s.send(s.maker, "registerIssuer", "0a" * 32, 0)),
    "IssuerNotRegistered": lambda s: s.send(s.maker, "revokeIssuer", "0a" * 32, "x"),
    "ERC721NonexistentToken": lambda s: s.view("ownerOf", 9),
    "ERC721IncorrectOwner": lambda s: s.send(s.maker, "transferFrom", s.stranger.address, s.maker.address, 1),
    "ERC721InsufficientApproval": lambda s: s.send(s.stranger, "transferFrom", s.maker.address, s.stranger.address, 1),
    "ERC721InvalidReceiver": lambda s: s.send(s.maker, "transferFrom", s.maker.address, NATIVE, 1),
    "ERC721InvalidApprover": lambda s: s.send(s.stranger, "approve", s.stranger.address, 1),
    "ERC721InvalidOperator": lambda s: s.send(s.maker, "setApprovalForAll", NATIVE, True),
    "ERC721InvalidOwner": lambda s: s.view("balanceOf", NATIVE),
}
WITH_CODE_OF_OTHERS = ("ReentrancyGuardReentrantCall", "SafeERC20FailedOperation")


def test_every_error_of_the_contract_is_reached_or_cannot_be() -> None:
    assert sorted([*REACHED, *WITH_CODE_OF_OTHERS, *NEVER_REACHED]) == sorted(load_artifact().errors)


@pytest.mark.parametrize("name", sorted(REACHED))
def test_error_comes_as_its_name_says_and_is_told_as_a_sentence(embedded: World, name: str) -> None:
    with pytest.raises(Reverted) as caught:
        REACHED[name](Scene(embedded))
    assert caught.value.data[:4].hex() == load_artifact().errors[name].selector
    error = refusal(caught.value.data)
    assert name not in str(error)
    assert "the contract refused" not in str(error)


def test_report_that_says_nothing_new_names_both_totals_in_their_places(embedded: World) -> None:
    scene = Scene(embedded)
    embedded.ledger.consume(scene.licensee, 1, 9)
    usage = Usage(1, scene.licensee.address, 4)
    signature = embedded.sign_usage(scene.licensee, usage)
    with pytest.raises(Reverted) as caught:
        scene.send(scene.maker, "settle", 1, scene.licensee.address, 4, signature)
    assert "9 images are on record already, so a report of 4" in str(refusal(caught.value.data))


def test_coin_that_does_not_pay_is_told_as_a_sentence(embedded: World, assets: dict[str, bytes]) -> None:
    scene = Scene(embedded)
    coin = embedded.deploy(scene.maker, assets["FalseCoin"])
    scene.send(scene.maker, "offer", 2, (coin, 1, DAY, 0, 0, 0))
    with pytest.raises(Reverted) as caught:
        scene.send(scene.stranger, "buy", 2, 1, 1)
    assert caught.value.data[:4].hex() == load_artifact().errors["SafeERC20FailedOperation"].selector
    assert f"the currency {coin} did not move the money" in str(refusal(caught.value.data))


def test_payment_in_the_middle_of_a_payment_is_told_as_a_sentence(embedded: World, assets: dict[str, bytes]) -> None:
    scene, contract = Scene(embedded), embedded.ledger.identity.contract
    coin = embedded.deploy(scene.maker, assets["CallingCoin"])
    actor = embedded.deploy(scene.maker, assets["Actor"])
    for token in (1, 2):
        scene.send(scene.maker, "offer", token, (coin, 1, DAY, 0, 0, 0))
    embedded.transact(scene.maker, coin, arguments("mint(address,uint256)", actor, 2))
    embedded.transact(scene.maker, actor, act(coin, arguments("approve(address,uint256)", contract, 2)))
    embedded.transact(scene.maker, actor, prepare(contract, encode_call("buy", (2, 1, 1))))
    embedded.transact(scene.maker, actor, act(contract, encode_call("buy", (1, 2, 1))))
    answer = embedded.view(actor, arguments("answer()"))
    assert answer[64:68].hex() == load_artifact().errors["ReentrancyGuardReentrantCall"].selector
    assert "called back into the ledger" in str(refusal(answer[64:68]))
