// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Licences} from "../src/Licences.sol";
import {Metering} from "../src/Metering.sol";
import {Offers} from "../src/Offers.sol";
import {Streams} from "../src/Streams.sol";
import {LedgerTest} from "./LedgerTest.sol";
import {vm} from "./Vm.sol";

/// @notice Licences that change hands: the receiver gets what is left, and nobody gets more than was sold.
contract TransfersTest is LedgerTest {
    uint8 private constant TRANSFERABLE = 2;
    uint256 private tokenId;

    function test_the_receiver_gets_what_is_left() public {
        sell(100, 7);
        vm.startPrank(buyer);
        ledger.consume(tokenId, 30);
        vm.expectEmit(true, true, true, true, address(ledger));
        emit Licences.LicenceTransferred(tokenId, buyer, other);
        ledger.transferLicence(tokenId, other);
        vm.stopPrank();
        vm.assertFalse(ledger.hasLicense(tokenId, buyer));
        vm.assertTrue(ledger.hasLicense(tokenId, other));
        Licences.Licence memory held = ledger.licenceOf(tokenId, other);
        vm.assertEq(held.quota, 70);
        vm.assertEq(held.used, 0);
        vm.assertEq(held.expires, START + MONTH);
        vm.assertEq(held.flags, TRANSFERABLE);
        vm.assertEq(held.grace, 7);
        vm.assertEq(held.offerId, 1);
        vm.assertEq(ledger.licenceOf(tokenId, buyer).used, 30);
        (, uint256 refund) = ledger.refundOf(tokenId, other);
        vm.assertEq(refund, PRICE);
        (, refund) = ledger.refundOf(tokenId, buyer);
        vm.assertEq(refund, 0);
    }

    function test_a_licence_without_limit_stays_without() public {
        sell(0, 7);
        pass(buyer, other);
        vm.assertEq(ledger.licenceOf(tokenId, other).quota, 0);
        pass(other, maker);
        pass(maker, buyer);
        vm.assertTrue(ledger.hasLicense(tokenId, buyer));
    }

    function test_what_was_paid_for_a_voucher_goes_with_it() public {
        tokenId = mint();
        Licences.Voucher memory promised = voucher(tokenId, buyer);
        promised.flags = TRANSFERABLE;
        bytes memory by = signed(promised, MAKER_KEY);
        vm.prank(buyer);
        ledger.redeem{value: PRICE}(promised, by);
        pass(buyer, other);
        vm.warp(START + MONTH / 2);
        vm.prank(maker);
        ledger.revoke(tokenId, other, "breach");
        vm.assertEq(ledger.owed(NATIVE, other), PRICE / 2);
        vm.assertEq(ledger.owed(NATIVE, buyer), 0);
    }

    function test_the_receivers_own_counts_are_its_own() public {
        sell(100, 0);
        vm.startPrank(maker);
        ledger.grant(tokenId, other, START + 1, 10, 0, 0);
        vm.stopPrank();
        vm.prank(other);
        ledger.consume(tokenId, 10);
        vm.warp(START + 1);
        pass(buyer, other);
        vm.assertEq(ledger.licenceOf(tokenId, other).quota, 110);
        vm.assertEq(ledger.licenceOf(tokenId, other).used, 10);
    }

    function test_transfers_that_are_refused() public {
        sell(1, 0);
        vm.startPrank(maker);
        ledger.grant(tokenId, other, START + MONTH, 0, 0, 0);
        vm.stopPrank();
        vm.startPrank(buyer);
        vm.expectRevert(abi.encodeWithSelector(Licences.LicenceInvalidUser.selector, address(0)));
        ledger.transferLicence(tokenId, address(0));
        vm.expectRevert(abi.encodeWithSelector(Licences.LicenceIsHeld.selector, tokenId, other));
        ledger.transferLicence(tokenId, other);
        vm.expectRevert(abi.encodeWithSelector(Licences.LicenceIsHeld.selector, tokenId, buyer));
        ledger.transferLicence(tokenId, buyer);
        ledger.consume(tokenId, 1);
        vm.expectRevert(abi.encodeWithSelector(Licences.LicenceNotHeld.selector, tokenId, buyer));
        ledger.transferLicence(tokenId, safety);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(Licences.LicenceBound.selector, tokenId, other));
        vm.prank(other);
        ledger.transferLicence(tokenId, safety);
        vm.prank(maker);
        ledger.revoke(tokenId, buyer, "breach");
        vm.expectRevert(abi.encodeWithSelector(Licences.LicenceIsRevoked.selector, tokenId, buyer));
        vm.prank(other);
        ledger.transferLicence(tokenId, buyer);
    }

    function test_a_transfer_leaves_the_sender_no_images_to_anchor() public {
        sell(100, 30);
        vm.prank(buyer);
        uint32 stream = ledger.openStream(tokenId);
        vm.prank(buyer);
        ledger.anchor(stream, 0, 40, "root", "cid");
        pass(buyer, other);
        vm.assertEq(ledger.licenceOf(tokenId, other).quota, 60);
        // The same second and any later one.
        for (uint256 i; i < 2; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Streams.StreamClosed.selector, stream, START));
            vm.prank(buyer);
            ledger.anchor(stream, 40, 1, "root", "cid");
            vm.warp(START + 1);
        }
    }

    function test_a_buyer_does_not_find_again_the_images_it_handed_on() public {
        sell(100, 0);
        vm.prank(buyer);
        ledger.consume(tokenId, 40);
        pass(buyer, other);
        buy(buyer, tokenId, 1);
        vm.assertEq(ledger.licenceOf(tokenId, buyer).quota, 140);
    }

    function test_the_sender_of_a_licence_without_limit_has_no_grace_either() public {
        sell(0, 30);
        vm.prank(buyer);
        uint32 stream = ledger.openStream(tokenId);
        pass(buyer, other);
        vm.warp(START + 1);
        vm.expectRevert(abi.encodeWithSelector(Streams.StreamClosed.selector, stream, START));
        vm.prank(buyer);
        ledger.anchor(stream, 0, 5, "root", "cid");
    }

    function test_a_gift_cannot_shrink_what_is_left_of_a_licence_in_its_grace() public {
        sell(100, 30);
        vm.warp(START + MONTH);
        buy(other, tokenId, 1);
        vm.expectRevert(abi.encodeWithSelector(Licences.LicenceIsHeld.selector, tokenId, buyer));
        vm.prank(other);
        ledger.transferLicence(tokenId, buyer);
        vm.warp(START + MONTH + 29 days);
        vm.prank(other);
        ledger.transferLicence(tokenId, safety);
    }

    function test_a_grant_cannot_shrink_what_is_left_of_a_licence_in_its_grace() public {
        sell(100, 30);
        vm.prank(buyer);
        uint32 stream = ledger.openStream(tokenId);
        vm.warp(START + MONTH + 1);
        vm.prank(maker);
        ledger.grant(tokenId, buyer, START + MONTH + 2, 1, 0, 0);
        vm.warp(START + MONTH + 29 days);
        vm.prank(buyer);
        ledger.anchor(stream, 0, 100, "root", "cid");
    }

    function test_what_is_left_of_a_quota_is_kept_while_it_may_be_anchored_and_no_longer() public {
        sell(100, 30);
        vm.prank(buyer);
        ledger.consume(tokenId, 40);
        vm.warp(START + MONTH + 30 days - 1);
        buy(buyer, tokenId, 1);
        vm.assertEq(ledger.licenceOf(tokenId, buyer).quota, 200);
        vm.warp(block.timestamp + MONTH + 30 days);
        buy(buyer, tokenId, 1);
        vm.assertEq(ledger.licenceOf(tokenId, buyer).quota, 140);
    }

    function test_nobody_else_limits_a_licence_without_limit_in_its_grace() public {
        sell(0, 30);
        vm.prank(buyer);
        uint32 stream = ledger.openStream(tokenId);
        vm.warp(START + MONTH + 1);
        vm.expectRevert(abi.encodeWithSelector(Licences.LicenceTermsNarrower.selector, tokenId, buyer));
        vm.prank(maker);
        ledger.grant(tokenId, buyer, START + MONTH + 2, 1, 0, 0);
        Licences.Voucher memory promised = voucher(tokenId, buyer);
        (promised.price, promised.quota) = (0, 1);
        bytes memory by = signed(promised, MAKER_KEY);
        vm.expectRevert(abi.encodeWithSelector(Licences.LicenceTermsNarrower.selector, tokenId, buyer));
        vm.prank(maker);
        ledger.redeem(promised, by);
        vm.prank(buyer);
        ledger.anchor(stream, 0, 1_000, "root", "cid");
        // The holder itself may choose a smaller licence.
        vm.prank(buyer);
        ledger.redeem(promised, by);
        vm.expectRevert(abi.encodeWithSelector(Metering.QuotaExceeded.selector, tokenId, buyer, 1, 2));
        vm.prank(buyer);
        ledger.consume(tokenId, 2);
    }

    function test_who_reported_more_than_it_had_gets_what_it_pays_for() public {
        sell(100, 0);
        ledger.settle(tokenId, buyer, 1_000, usageSigned(tokenId, buyer, 1_000, BUYER_KEY));
        vm.assertFalse(ledger.hasLicense(tokenId, buyer));
        buy(buyer, tokenId, 1);
        vm.assertTrue(ledger.hasLicense(tokenId, buyer));
        vm.assertEq(ledger.licenceOf(tokenId, buyer).quota, 1_100);
    }

    function sell(uint32 quota, uint8 grace) private {
        (tokenId,) = sold(Offers.Terms(NATIVE, PRICE, MONTH, quota, TRANSFERABLE, grace));
    }

    function pass(address from, address to) private {
        vm.prank(from);
        ledger.transferLicence(tokenId, to);
    }
}
