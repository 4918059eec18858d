// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Licences} from "../src/Licences.sol";
import {Metering} from "../src/Metering.sol";
import {Offers} from "../src/Offers.sol";
import {Signatures} from "../src/Signatures.sol";
import {LedgerTest} from "./LedgerTest.sol";
import {vm} from "./Vm.sol";

/// @notice How many images were made: totals that only grow, told by the licensee alone.
contract MeteringTest is LedgerTest {
    uint256 private tokenId;

    function setUp() public override {
        super.setUp();
        (tokenId,) = sold(Offers.Terms(NATIVE, PRICE, MONTH, 100, 0, 7));
    }

    function test_anyone_settles_what_the_licensee_signed() public {
        bytes memory by = usageSigned(tokenId, buyer, 40, BUYER_KEY);
        vm.expectEmit(true, true, false, true, address(ledger));
        emit Licences.UsageReported(tokenId, buyer, 40);
        vm.prank(other);
        ledger.settle(tokenId, buyer, 40, by);
        vm.assertEq(ledger.licenceOf(tokenId, buyer).used, 40);
    }

    function test_a_report_is_above_the_last() public {
        settle(40);
        bytes memory same = usageSigned(tokenId, buyer, 40, BUYER_KEY);
        vm.expectRevert(abi.encodeWithSelector(Licences.UsageNotAbove.selector, 40, 40));
        ledger.settle(tokenId, buyer, 40, same);
        bytes memory less = usageSigned(tokenId, buyer, 39, BUYER_KEY);
        vm.expectRevert(abi.encodeWithSelector(Licences.UsageNotAbove.selector, 39, 40));
        ledger.settle(tokenId, buyer, 39, less);
        settle(41);
    }

    function test_nobody_reports_for_another() public {
        bytes memory by = usageSigned(tokenId, buyer, 40, MAKER_KEY);
        vm.expectRevert(abi.encodeWithSelector(Signatures.SignatureInvalid.selector, buyer));
        vm.prank(maker);
        ledger.settle(tokenId, buyer, 40, by);
    }

    function test_a_contract_account_reports_by_erc_1271() public {
        address account = wallet();
        grant(tokenId, account, START + 1);
        ledger.settle(tokenId, account, 5, usageSigned(tokenId, account, 5, MAKER_KEY));
        vm.assertEq(ledger.licenceOf(tokenId, account).used, 5);
    }

    function test_a_quota_that_is_used_up_ends_the_licence() public {
        settle(99);
        vm.assertTrue(ledger.hasLicense(tokenId, buyer));
        settle(100);
        vm.assertFalse(ledger.hasLicense(tokenId, buyer));
        settle(1_000);
        vm.assertFalse(ledger.hasLicense(tokenId, buyer));
    }

    function test_consuming_counts_on_from_what_was_reported_or_anchored() public {
        vm.startPrank(buyer);
        uint32 stream = ledger.openStream(tokenId);
        ledger.anchor(stream, 0, 20, "root", "cid");
        vm.assertEq(ledger.consume(tokenId, 5), 25);
        vm.expectRevert(abi.encodeWithSelector(Licences.UsageNotAbove.selector, 25, 25));
        ledger.consume(tokenId, 0);
        vm.assertEq(ledger.consume(tokenId, 75), 100);
        vm.stopPrank();
    }

    function test_nobody_consumes_more_than_the_quota() public {
        vm.expectRevert(abi.encodeWithSelector(Metering.QuotaExceeded.selector, tokenId, buyer, 100, 101));
        vm.prank(buyer);
        ledger.consume(tokenId, 101);
    }

    function test_nobody_counts_beyond_the_counter() public {
        grant(tokenId, other, START + 1);
        vm.startPrank(other);
        ledger.consume(tokenId, type(uint32).max);
        vm.expectRevert(
            abi.encodeWithSelector(Metering.QuotaExceeded.selector, tokenId, other, type(uint32).max, 2 ** 32)
        );
        ledger.consume(tokenId, 1);
        vm.stopPrank();
    }

    function test_only_the_licensed_consume() public {
        vm.expectRevert(abi.encodeWithSelector(Licences.LicenceNotHeld.selector, tokenId, other));
        vm.prank(other);
        ledger.consume(tokenId, 1);
        vm.prank(maker);
        vm.assertEq(ledger.consume(tokenId, 3), 3);
        vm.warp(START + MONTH);
        vm.expectRevert(abi.encodeWithSelector(Licences.LicenceNotHeld.selector, tokenId, buyer));
        vm.prank(buyer);
        ledger.consume(tokenId, 1);
    }

    function settle(uint32 used) private {
        ledger.settle(tokenId, buyer, used, usageSigned(tokenId, buyer, used, BUYER_KEY));
    }
}
