// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Adapters} from "../src/Adapters.sol";
import {Licences} from "../src/Licences.sol";
import {Offers} from "../src/Offers.sol";
import {Treasury} from "../src/Treasury.sol";
import {LedgerTest} from "./LedgerTest.sol";
import {vm} from "./Vm.sol";

/// @notice Offers: who makes them, that they never change, and what buying on one gives.
contract OffersTest is LedgerTest {
    uint256 private tokenId;

    function setUp() public override {
        super.setUp();
        tokenId = mint();
    }

    function test_an_offer_is_kept_as_it_was_made() public {
        vm.expectEmit(true, true, true, true, address(ledger));
        emit Offers.OfferMade(tokenId, 1, maker, address(token), 5, MONTH, 100, 3, 7);
        vm.prank(maker);
        uint24 offerId = ledger.offer(tokenId, Offers.Terms(address(token), 5, MONTH, 100, 3, 7));
        vm.assertEq(offerId, 1);
        Offers.Offer memory made = ledger.offerOf(tokenId, 1);
        vm.assertEq(made.currency, address(token));
        vm.assertEq(made.price, 5);
        vm.assertEq(made.seller, maker);
        vm.assertEq(made.duration, MONTH);
        vm.assertEq(made.quota, 100);
        vm.assertEq(made.flags, 3);
        vm.assertEq(made.grace, 7);
        vm.assertTrue(made.open);
        vm.assertEq(offer(tokenId), 2);
        vm.assertEq(ledger.totalOffers(tokenId), 2);
    }

    function testFuzz_only_the_owner_offers_and_closes(address caller) public {
        vm.assume(caller != maker);
        offer(tokenId);
        bytes memory unauthorized = abi.encodeWithSelector(Adapters.AdapterUnauthorized.selector, tokenId, caller);
        vm.expectRevert(unauthorized);
        vm.prank(caller);
        ledger.offer(tokenId, terms(NATIVE, PRICE, MONTH));
        vm.expectRevert(unauthorized);
        vm.prank(caller);
        ledger.closeOffer(tokenId, 1);
    }

    function test_terms_must_last_and_be_known() public {
        vm.startPrank(maker);
        vm.expectRevert(abi.encodeWithSelector(Offers.TermsInvalid.selector, 0, 0));
        ledger.offer(tokenId, Offers.Terms(NATIVE, 1, 0, 0, 0, 0));
        vm.expectRevert(abi.encodeWithSelector(Offers.TermsInvalid.selector, 1, 4));
        ledger.offer(tokenId, Offers.Terms(NATIVE, 1, 1, 0, 4, 0));
        vm.expectRevert(abi.encodeWithSelector(Offers.TermsInvalid.selector, 1, 128));
        ledger.offer(tokenId, Offers.Terms(NATIVE, 1, 1, 0, 128, 0));
        vm.stopPrank();
    }

    function test_a_withdrawn_adapter_is_not_offered() public {
        vm.startPrank(maker);
        ledger.revokeAdapter(tokenId, "withdrawn");
        vm.expectRevert(abi.encodeWithSelector(Adapters.AdapterIsRevoked.selector, tokenId));
        ledger.offer(tokenId, terms(NATIVE, PRICE, MONTH));
        vm.stopPrank();
    }

    function test_a_closed_offer_sells_nothing_and_is_closed_once() public {
        offer(tokenId);
        vm.expectEmit(true, true, false, true, address(ledger));
        emit Offers.OfferClosed(tokenId, 1);
        vm.prank(maker);
        ledger.closeOffer(tokenId, 1);
        bytes memory none = abi.encodeWithSelector(Offers.OfferNonexistent.selector, tokenId, 1);
        vm.expectRevert(none);
        vm.prank(maker);
        ledger.closeOffer(tokenId, 1);
        vm.expectRevert(none);
        vm.prank(buyer);
        ledger.buy{value: PRICE}(tokenId, 1, PRICE);
    }

    function test_an_offer_ends_with_its_sellers_ownership() public {
        offer(tokenId);
        vm.prank(maker);
        ledger.transferFrom(maker, other, tokenId);
        vm.expectRevert(abi.encodeWithSelector(Offers.OfferNonexistent.selector, tokenId, 1));
        vm.prank(buyer);
        ledger.buy{value: PRICE}(tokenId, 1, PRICE);
    }

    function test_buying_needs_an_offer_and_an_adapter_for_sale() public {
        vm.expectRevert(abi.encodeWithSelector(Offers.OfferNonexistent.selector, tokenId, 1));
        vm.prank(buyer);
        ledger.buy{value: PRICE}(tokenId, 1, PRICE);
        vm.expectRevert(abi.encodeWithSelector(Offers.OfferNonexistent.selector, 9, 1));
        vm.prank(buyer);
        ledger.buy{value: PRICE}(9, 1, PRICE);

        offer(tokenId);
        vm.prank(safety);
        ledger.takeDown(tokenId, "reason");
        vm.expectRevert(abi.encodeWithSelector(Adapters.AdapterIsTakenDown.selector, tokenId));
        vm.prank(buyer);
        ledger.buy{value: PRICE}(tokenId, 1, PRICE);
        vm.prank(maker);
        ledger.revokeAdapter(tokenId, "withdrawn");
        vm.expectRevert(abi.encodeWithSelector(Adapters.AdapterIsRevoked.selector, tokenId));
        vm.prank(buyer);
        ledger.buy{value: PRICE}(tokenId, 1, PRICE);
    }

    function test_a_buyer_never_pays_more_than_it_agreed_to() public {
        offer(tokenId);
        vm.expectRevert(abi.encodeWithSelector(Licences.OfferAboveMaximum.selector, tokenId, PRICE, PRICE - 1));
        vm.prank(buyer);
        ledger.buy{value: PRICE}(tokenId, 1, PRICE - 1);
    }

    function test_what_is_sent_above_the_price_is_owed_back() public {
        offer(tokenId);
        vm.prank(buyer);
        ledger.buy{value: PRICE + 7}(tokenId, 1, PRICE);
        vm.assertEq(ledger.owed(NATIVE, buyer), 7);
        vm.assertEq(ledger.owed(NATIVE, maker), PRICE);
        vm.assertEq(address(ledger).balance, PRICE + 7);
    }

    function test_too_little_buys_nothing() public {
        offer(tokenId);
        vm.expectRevert(abi.encodeWithSelector(Treasury.PaymentInsufficient.selector, PRICE, PRICE - 1));
        vm.prank(buyer);
        ledger.buy{value: PRICE - 1}(tokenId, 1, PRICE);
    }

    function test_a_licence_is_bought_with_a_token() public {
        offer(tokenId, terms(address(token), 5, MONTH));
        uint256 before = token.balanceOf(buyer);
        buy(buyer, tokenId, 1);
        vm.assertEq(token.balanceOf(buyer), before - 5);
        vm.assertEq(token.balanceOf(address(ledger)), 5);
        vm.assertEq(ledger.owed(address(token), maker), 5);
        vm.assertEq(ledger.owed(NATIVE, maker), 0);
        vm.expectRevert(abi.encodeWithSelector(Treasury.PaymentUnexpected.selector, 1));
        vm.prank(buyer);
        ledger.buy{value: 1}(tokenId, 1, 5);
    }

    function test_a_free_offer_takes_no_money_in_any_currency() public {
        offer(tokenId, terms(address(token), 0, MONTH));
        buy(other, tokenId, 1);
        vm.assertTrue(ledger.hasLicense(tokenId, other));
        vm.assertEq(ledger.owed(address(token), maker), 0);
    }
}
