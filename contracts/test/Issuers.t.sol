// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Issuers} from "../src/Issuers.sol";
import {Texts} from "../src/Texts.sol";
import {LedgerTest} from "./LedgerTest.sol";
import {vm} from "./Vm.sol";

/// @notice Root certificates: declared by the account they belong to, from a time, until it revokes them.
contract IssuersTest is LedgerTest {
    function test_a_certificate_stands_from_now_when_no_time_is_given() public {
        vm.expectEmit(true, true, false, true, address(ledger));
        emit Issuers.IssuerRegistered(maker, "root", START);
        vm.prank(maker);
        ledger.registerIssuer("root", 0);
        vm.assertFalse(ledger.isIssuer(maker, "root", START - 1));
        vm.assertTrue(ledger.isIssuer(maker, "root", START));
        vm.assertFalse(ledger.isIssuer(other, "root", START));
        vm.assertFalse(ledger.isIssuer(maker, "another", START));
    }

    function testFuzz_a_certificate_stands_between_its_times(uint40 from, uint40 ends, uint40 time) public {
        from = from == 0 ? 1 : from;
        vm.startPrank(maker);
        ledger.registerIssuer("root", from);
        vm.warp(ends);
        vm.assume(ends != 0);
        ledger.revokeIssuer("root", "lost");
        vm.stopPrank();
        vm.assertEq(ledger.isIssuer(maker, "root", time), from <= time && time < ends);
    }

    function test_a_certificate_is_declared_once_and_never_again() public {
        vm.startPrank(maker);
        vm.expectRevert(Issuers.IssuerZeroDigest.selector);
        ledger.registerIssuer(0, 0);
        ledger.registerIssuer("root", 0);
        bytes memory twice = abi.encodeWithSelector(Issuers.IssuerIsRegistered.selector, maker, bytes32("root"));
        vm.expectRevert(twice);
        ledger.registerIssuer("root", 5);
        vm.expectEmit(true, true, false, true, address(ledger));
        emit Issuers.IssuerRevoked(maker, "root", "lost");
        ledger.revokeIssuer("root", "lost");
        vm.expectRevert(twice);
        ledger.registerIssuer("root", 0);
        vm.stopPrank();
    }

    function test_only_a_certificate_that_stands_is_revoked_and_only_with_a_reason() public {
        bytes memory absent = abi.encodeWithSelector(Issuers.IssuerNotRegistered.selector, maker, bytes32("root"));
        vm.startPrank(maker);
        vm.expectRevert(absent);
        ledger.revokeIssuer("root", "lost");
        ledger.registerIssuer("root", 0);
        vm.expectRevert(abi.encodeWithSelector(Texts.TextInvalidLength.selector, 0, 512));
        ledger.revokeIssuer("root", "");
        ledger.revokeIssuer("root", "lost");
        vm.expectRevert(absent);
        ledger.revokeIssuer("root", "again");
        vm.stopPrank();
    }

    function test_a_certificate_stands_up_to_the_second_it_is_revoked_in() public {
        vm.startPrank(maker);
        ledger.registerIssuer("root", 0);
        vm.warp(START + 9);
        ledger.revokeIssuer("root", "lost");
        vm.stopPrank();
        vm.assertTrue(ledger.isIssuer(maker, "root", START + 8));
        vm.assertFalse(ledger.isIssuer(maker, "root", START + 9));
    }
}
