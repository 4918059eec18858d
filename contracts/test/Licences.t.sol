// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Adapters} from "../src/Adapters.sol";
import {Licences} from "../src/Licences.sol";
import {Offers} from "../src/Offers.sol";
import {Texts} from "../src/Texts.sol";
import {Treasury} from "../src/Treasury.sol";
import {LedgerTest} from "./LedgerTest.sol";
import {vm} from "./Vm.sol";

/// @notice Licences bought and granted: how long they last, what makes them larger, and the only things that end them.
contract LicencesTest is LedgerTest {
    uint40 private constant NEVER = type(uint40).max;
    uint8 private constant COMMERCIAL = 1;

    function test_a_purchase_is_kept_and_announced() public {
        uint256 tokenId = mint();
        offer(tokenId, Offers.Terms(NATIVE, PRICE, MONTH, 100, 3, 7));
        vm.expectEmit(true, true, true, true, address(ledger));
        emit Licences.LicenceGranted(tokenId, buyer, 1, START + MONTH, 100, 3, 7, NATIVE, PRICE);
        vm.assertEq(buy(buyer, tokenId, 1), START + MONTH);
        Licences.Licence memory held = ledger.licenceOf(tokenId, buyer);
        vm.assertEq(held.offerId, 1);
        vm.assertEq(held.expires, START + MONTH);
        vm.assertEq(held.paidFrom, START);
        vm.assertEq(held.paidUntil, START + MONTH);
        vm.assertEq(held.quota, 100);
        vm.assertEq(held.flags, 3);
        vm.assertEq(held.grace, 7);
        vm.assertEq(ledger.userExpires(tokenId, buyer), START + MONTH);
    }

    function testFuzz_a_licence_holds_strictly_before_its_expiry(uint40 duration, uint40 wait) public {
        duration = duration % (3650 days) + 1;
        (uint256 tokenId,) = sold(terms(NATIVE, PRICE, duration));
        vm.warp(uint256(START) + wait);
        vm.assertEq(ledger.hasLicense(tokenId, buyer), wait < duration);
    }

    function testFuzz_asking_for_a_licence_never_reverts(uint256 tokenId, address user) public {
        sold(terms(NATIVE, PRICE, MONTH));
        bool answer = ledger.hasLicense(tokenId, user);
        vm.assertEq(answer, tokenId == 1 && (user == maker || user == buyer));
        ledger.userExpires(tokenId, user);
        ledger.licenceOf(tokenId, user);
        ledger.refundOf(tokenId, user);
    }

    function test_the_owner_needs_no_licence_and_nobody_has_one_for_nothing() public {
        uint256 tokenId = mint();
        vm.assertTrue(ledger.hasLicense(tokenId, maker));
        vm.assertEq(ledger.userExpires(tokenId, maker), NEVER);
        vm.assertFalse(ledger.hasLicense(tokenId, address(0)));
        vm.assertFalse(ledger.hasLicense(0, maker));
        vm.assertFalse(ledger.hasLicense(2, address(0)));
        vm.assertEq(ledger.userExpires(2, address(0)), 0);
        vm.prank(maker);
        ledger.transferFrom(maker, other, tokenId);
        vm.assertFalse(ledger.hasLicense(tokenId, maker));
        vm.assertEq(ledger.userExpires(tokenId, maker), 0);
    }

    function test_renewing_adds_time_and_images() public {
        (uint256 tokenId, uint24 offerId) = sold(Offers.Terms(NATIVE, PRICE, MONTH, 100, COMMERCIAL, 7));
        vm.warp(START + 10 days);
        vm.assertEq(buy(buyer, tokenId, offerId), START + 2 * MONTH);
        Licences.Licence memory held = ledger.licenceOf(tokenId, buyer);
        vm.assertEq(held.quota, 200);
        vm.assertEq(held.paidUntil, START + 2 * MONTH);
        vm.warp(START + 2 * MONTH);
        vm.assertFalse(ledger.hasLicense(tokenId, buyer));
        vm.assertEq(buy(buyer, tokenId, offerId), START + 3 * MONTH);
    }

    function test_an_offer_that_changes_hands_changes_no_licence() public {
        (uint256 tokenId, uint24 offerId) = sold(Offers.Terms(NATIVE, PRICE, MONTH, 100, COMMERCIAL, 7));
        vm.startPrank(maker);
        ledger.closeOffer(tokenId, offerId);
        ledger.offer(tokenId, Offers.Terms(NATIVE, 2 * PRICE, 1, 1, 0, 0));
        ledger.transferFrom(maker, other, tokenId);
        vm.stopPrank();
        Licences.Licence memory held = ledger.licenceOf(tokenId, buyer);
        vm.assertEq(held.expires, START + MONTH);
        vm.assertEq(held.quota, 100);
        vm.assertEq(held.flags, COMMERCIAL);
        vm.assertEq(held.grace, 7);
    }

    function test_a_licence_without_end_is_not_prolonged() public {
        (uint256 tokenId, uint24 offerId) = sold(terms(NATIVE, PRICE, NEVER));
        vm.assertEq(ledger.userExpires(tokenId, buyer), NEVER);
        vm.expectRevert(abi.encodeWithSelector(Licences.LicenceWithoutEnd.selector, tokenId, buyer));
        vm.prank(buyer);
        ledger.buy{value: PRICE}(tokenId, offerId, PRICE);
    }

    function test_time_beyond_the_calendar_is_time_without_end() public {
        (uint256 tokenId, uint24 offerId) = sold(terms(NATIVE, PRICE, NEVER - START));
        vm.assertEq(ledger.userExpires(tokenId, buyer), NEVER);
        vm.warp(START + 1);
        uint256 second = mint();
        offerId = offer(second, terms(NATIVE, PRICE, NEVER - START));
        vm.assertEq(buy(buyer, second, offerId), NEVER);
    }

    function test_a_paid_licence_is_not_replaced_by_other_terms() public {
        (uint256 tokenId,) = sold(terms(NATIVE, PRICE, MONTH));
        uint24 second = offer(tokenId, terms(NATIVE, PRICE, MONTH));
        vm.expectRevert(abi.encodeWithSelector(Licences.LicenceUnderOtherTerms.selector, tokenId, buyer, 1));
        vm.prank(buyer);
        ledger.buy{value: PRICE}(tokenId, second, PRICE);
        vm.warp(START + MONTH);
        buy(buyer, tokenId, second);
        vm.assertEq(ledger.licenceOf(tokenId, buyer).offerId, second);
    }

    function test_buying_adds_to_time_that_was_given() public {
        uint256 tokenId = mint();
        grant(tokenId, buyer, START + 10 days);
        uint24 offerId = offer(tokenId);
        vm.assertEq(buy(buyer, tokenId, offerId), START + 10 days + MONTH);
        vm.assertEq(ledger.licenceOf(tokenId, buyer).paidUntil, START + MONTH);
    }

    function test_a_purchase_never_narrows_a_licence() public {
        uint256 tokenId = mint();
        vm.prank(maker);
        ledger.grant(tokenId, buyer, START + MONTH, 0, COMMERCIAL, 0);
        bytes memory narrower = abi.encodeWithSelector(Licences.LicenceTermsNarrower.selector, tokenId, buyer);
        offer(tokenId, Offers.Terms(NATIVE, PRICE, MONTH, 0, 0, 0));
        vm.expectRevert(narrower);
        vm.prank(buyer);
        ledger.buy{value: PRICE}(tokenId, 1, PRICE);
        offer(tokenId, Offers.Terms(NATIVE, PRICE, MONTH, 1, COMMERCIAL, 0));
        vm.expectRevert(narrower);
        vm.prank(buyer);
        ledger.buy{value: PRICE}(tokenId, 2, PRICE);
        offer(tokenId, Offers.Terms(NATIVE, PRICE, MONTH, 0, 3, 0));
        buy(buyer, tokenId, 3);
        vm.assertEq(ledger.licenceOf(tokenId, buyer).flags, 3);
    }

    function test_a_grant_is_free_and_announced() public {
        uint256 tokenId = mint();
        vm.expectEmit(true, true, true, true, address(ledger));
        emit Licences.LicenceGranted(tokenId, buyer, 0, START + 5, 9, COMMERCIAL, 3, NATIVE, 0);
        vm.prank(maker);
        ledger.grant(tokenId, buyer, START + 5, 9, COMMERCIAL, 3);
        vm.assertTrue(ledger.hasLicense(tokenId, buyer));
        (, uint256 refund) = ledger.refundOf(tokenId, buyer);
        vm.assertEq(refund, 0);
    }

    function test_what_is_granted_after_a_purchase_ended_is_under_no_offer() public {
        (uint256 tokenId,) = sold(terms(NATIVE, PRICE, MONTH));
        vm.warp(START + MONTH);
        grant(tokenId, buyer, START + 2 * MONTH);
        vm.assertEq(ledger.licenceOf(tokenId, buyer).offerId, 0);
        (, uint256 refund) = ledger.refundOf(tokenId, buyer);
        vm.assertEq(refund, 0);
    }

    function testFuzz_only_the_owner_grants(address caller) public {
        uint256 tokenId = mint();
        vm.assume(caller != maker);
        vm.expectRevert(abi.encodeWithSelector(Adapters.AdapterUnauthorized.selector, tokenId, caller));
        vm.prank(caller);
        ledger.grant(tokenId, caller, NEVER, 0, 0, 0);
    }

    function test_a_grant_has_a_holder_and_a_future() public {
        uint256 tokenId = mint();
        vm.startPrank(maker);
        vm.expectRevert(abi.encodeWithSelector(Licences.LicenceInvalidUser.selector, address(0)));
        ledger.grant(tokenId, address(0), NEVER, 0, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(Licences.LicenceInvalidExpiry.selector, START, START + 1));
        ledger.grant(tokenId, buyer, START, 0, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(Offers.TermsInvalid.selector, START + 1, 128));
        ledger.grant(tokenId, buyer, START + 1, 0, 128, 0);
        vm.stopPrank();
    }

    function test_a_grant_never_shrinks_a_licence() public {
        (uint256 tokenId,) = sold(Offers.Terms(NATIVE, PRICE, MONTH, 0, COMMERCIAL, 7));
        vm.startPrank(maker);
        vm.expectRevert(abi.encodeWithSelector(Licences.LicenceInvalidExpiry.selector, START + 1, START + MONTH));
        ledger.grant(tokenId, buyer, START + 1, 0, COMMERCIAL, 0);
        bytes memory narrower = abi.encodeWithSelector(Licences.LicenceTermsNarrower.selector, tokenId, buyer);
        vm.expectRevert(narrower);
        ledger.grant(tokenId, buyer, START + MONTH, 0, 0, 0);
        vm.expectRevert(narrower);
        ledger.grant(tokenId, buyer, START + MONTH, 5, COMMERCIAL, 0);
        ledger.grant(tokenId, buyer, START + MONTH, 0, COMMERCIAL, 0);
        vm.stopPrank();
        Licences.Licence memory held = ledger.licenceOf(tokenId, buyer);
        vm.assertEq(held.grace, 7);
        vm.assertEq(held.paidUntil, START + MONTH);
    }

    function test_a_grant_adds_images() public {
        (uint256 tokenId,) = sold(Offers.Terms(NATIVE, PRICE, MONTH, 100, 0, 0));
        vm.startPrank(maker);
        ledger.grant(tokenId, buyer, START + MONTH, 50, 0, 0);
        vm.assertEq(ledger.licenceOf(tokenId, buyer).quota, 150);
        ledger.grant(tokenId, buyer, START + MONTH, type(uint32).max, 0, 0);
        vm.assertEq(ledger.licenceOf(tokenId, buyer).quota, type(uint32).max);
        ledger.grant(tokenId, buyer, START + MONTH, 0, 0, 0);
        vm.assertEq(ledger.licenceOf(tokenId, buyer).quota, 0);
        vm.stopPrank();
    }

    function test_nothing_is_granted_of_an_adapter_withdrawn_or_taken_down() public {
        uint256 tokenId = mint();
        vm.prank(safety);
        ledger.takeDown(tokenId, "reason");
        vm.startPrank(maker);
        vm.expectRevert(abi.encodeWithSelector(Adapters.AdapterIsTakenDown.selector, tokenId));
        ledger.grant(tokenId, buyer, NEVER, 0, 0, 0);
        ledger.revokeAdapter(tokenId, "withdrawn");
        vm.expectRevert(abi.encodeWithSelector(Adapters.AdapterIsRevoked.selector, tokenId));
        ledger.grant(tokenId, buyer, NEVER, 0, 0, 0);
        vm.stopPrank();
    }

    function test_a_revocation_pays_back_the_time_not_used() public {
        (uint256 tokenId,) = sold(terms(NATIVE, PRICE, MONTH));
        vm.warp(START + MONTH / 4);
        (address currency, uint256 refund) = ledger.refundOf(tokenId, buyer);
        vm.assertEq(currency, NATIVE);
        vm.assertEq(refund, PRICE * 3 / 4);
        vm.expectEmit(true, true, false, true, address(ledger));
        emit Licences.LicenceRevoked(tokenId, buyer, NATIVE, PRICE * 3 / 4, "breach");
        vm.prank(maker);
        ledger.revoke(tokenId, buyer, "breach");
        vm.assertFalse(ledger.hasLicense(tokenId, buyer));
        vm.assertEq(ledger.owed(NATIVE, buyer), PRICE * 3 / 4);
        vm.assertEq(ledger.owed(NATIVE, maker), PRICE / 4);
        vm.assertEq(ledger.userExpires(tokenId, buyer), block.timestamp);
    }

    function test_the_refund_of_renewals_is_for_all_of_them() public {
        (uint256 tokenId, uint24 offerId) = sold(terms(NATIVE, PRICE, MONTH));
        buy(buyer, tokenId, offerId);
        vm.warp(START + MONTH / 2);
        (, uint256 refund) = ledger.refundOf(tokenId, buyer);
        vm.assertEq(refund, PRICE * 3 / 2);
    }

    function test_a_licence_without_end_is_paid_back_whole() public {
        (uint256 tokenId,) = sold(terms(NATIVE, PRICE, NEVER));
        vm.warp(START + 3650 days);
        (, uint256 refund) = ledger.refundOf(tokenId, buyer);
        vm.assertEq(refund, PRICE);
    }

    function test_a_refund_that_is_not_covered_is_paid_by_the_owner_or_fails() public {
        (uint256 tokenId,) = sold(terms(NATIVE, PRICE, MONTH));
        vm.startPrank(maker);
        ledger.withdraw(NATIVE, maker);
        vm.expectRevert(abi.encodeWithSelector(Treasury.PaymentInsufficient.selector, PRICE, PRICE - 1));
        ledger.revoke{value: PRICE - 1}(tokenId, buyer, "breach");
        vm.assertTrue(ledger.hasLicense(tokenId, buyer));
        ledger.revoke{value: PRICE + 3}(tokenId, buyer, "breach");
        vm.stopPrank();
        vm.assertEq(ledger.owed(NATIVE, buyer), PRICE);
        vm.assertEq(ledger.owed(NATIVE, maker), 3);
    }

    function test_a_refund_in_a_token_is_pulled_from_the_owner() public {
        (uint256 tokenId,) = sold(terms(address(token), 1_000, MONTH));
        vm.startPrank(maker);
        ledger.withdraw(address(token), maker);
        uint256 before = token.balanceOf(maker);
        vm.expectRevert(abi.encodeWithSelector(Treasury.PaymentUnexpected.selector, 1));
        ledger.revoke{value: 1}(tokenId, buyer, "breach");
        ledger.revoke(tokenId, buyer, "breach");
        vm.stopPrank();
        vm.assertEq(token.balanceOf(maker), before - 1_000);
        vm.assertEq(ledger.owed(address(token), buyer), 1_000);
    }

    function test_a_revocation_of_what_was_given_pays_nothing() public {
        uint256 tokenId = mint();
        grant(tokenId, buyer, START + MONTH);
        vm.prank(maker);
        ledger.revoke(tokenId, buyer, "breach");
        vm.assertEq(ledger.owed(NATIVE, buyer), 0);
        vm.assertFalse(ledger.hasLicense(tokenId, buyer));
    }

    function test_only_the_owner_revokes_only_a_licence_that_runs_and_only_with_a_reason() public {
        (uint256 tokenId,) = sold(terms(NATIVE, PRICE, MONTH));
        vm.expectRevert(abi.encodeWithSelector(Adapters.AdapterUnauthorized.selector, tokenId, safety));
        vm.prank(safety);
        ledger.revoke(tokenId, buyer, "breach");
        vm.startPrank(maker);
        vm.expectRevert(abi.encodeWithSelector(Texts.TextInvalidLength.selector, 0, 512));
        ledger.revoke(tokenId, buyer, "");
        vm.expectRevert(abi.encodeWithSelector(Licences.LicenceNotHeld.selector, tokenId, other));
        ledger.revoke(tokenId, other, "breach");
        ledger.revoke(tokenId, buyer, "breach");
        vm.expectRevert(abi.encodeWithSelector(Licences.LicenceNotHeld.selector, tokenId, buyer));
        ledger.revoke(tokenId, buyer, "breach");
        vm.stopPrank();
    }

    function test_only_a_grant_lifts_a_revocation() public {
        (uint256 tokenId, uint24 offerId) = sold(Offers.Terms(NATIVE, PRICE, MONTH, 100, 0, 0));
        vm.prank(maker);
        ledger.revoke(tokenId, buyer, "breach");
        vm.assertEq(ledger.licenceOf(tokenId, buyer).flags & 128, 128);
        vm.expectRevert(abi.encodeWithSelector(Licences.LicenceIsRevoked.selector, tokenId, buyer));
        vm.prank(buyer);
        ledger.buy{value: PRICE}(tokenId, offerId, PRICE);
        vm.warp(START + 2 * MONTH);
        vm.expectRevert(abi.encodeWithSelector(Licences.LicenceIsRevoked.selector, tokenId, buyer));
        vm.prank(buyer);
        ledger.buy{value: PRICE}(tokenId, offerId, PRICE);
        grant(tokenId, buyer, START + 3 * MONTH);
        vm.assertTrue(ledger.hasLicense(tokenId, buyer));
        vm.assertEq(ledger.licenceOf(tokenId, buyer).flags, 0);
    }

    function test_a_holder_gives_its_licence_up_without_a_refund() public {
        (uint256 tokenId, uint24 offerId) = sold(terms(NATIVE, PRICE, MONTH));
        vm.expectEmit(true, true, false, true, address(ledger));
        emit Licences.LicenceRenounced(tokenId, buyer);
        vm.prank(buyer);
        ledger.renounce(tokenId);
        vm.assertFalse(ledger.hasLicense(tokenId, buyer));
        vm.assertEq(ledger.owed(NATIVE, buyer), 0);
        vm.expectRevert(abi.encodeWithSelector(Licences.LicenceNotHeld.selector, tokenId, buyer));
        vm.prank(buyer);
        ledger.renounce(tokenId);
        buy(buyer, tokenId, offerId);
        vm.assertTrue(ledger.hasLicense(tokenId, buyer));
    }
}
