// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {Adapters} from "../src/Adapters.sol";
import {Safety} from "../src/Safety.sol";
import {Treasury} from "../src/Treasury.sol";
import {LedgerTest} from "./LedgerTest.sol";
import {vm} from "./Vm.sol";

/// @notice What the owner and the safety account may do, and that they may do no more.
contract SafetyTest is LedgerTest {
    function test_the_owner_appoints_and_dismisses_the_safety_account() public {
        vm.expectEmit(true, false, false, true, address(ledger));
        emit Safety.SafetyAppointed(other);
        ledger.appointSafety(other);
        vm.assertEq(ledger.safety(), other);
        ledger.appointSafety(address(0));
        vm.assertEq(ledger.safety(), address(0));
    }

    function testFuzz_nobody_else_appoints(address caller) public {
        vm.assume(caller != admin);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, caller));
        vm.prank(caller);
        ledger.appointSafety(caller);
    }

    function test_ownership_moves_in_two_steps() public {
        ledger.transferOwnership(other);
        vm.assertEq(ledger.owner(), admin);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, buyer));
        vm.prank(buyer);
        ledger.acceptOwnership();
        vm.prank(other);
        ledger.acceptOwnership();
        vm.assertEq(ledger.owner(), other);
    }

    function test_owner_and_safety_account_pause_and_only_the_owner_ends_a_pause() public {
        vm.prank(safety);
        ledger.pause();
        vm.assertTrue(ledger.paused());
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, safety));
        vm.prank(safety);
        ledger.unpause();
        ledger.unpause();
        ledger.pause();
        vm.assertTrue(ledger.paused());
    }

    function testFuzz_nobody_else_pauses(address caller) public {
        vm.assume(caller != admin && caller != safety);
        vm.expectRevert(abi.encodeWithSelector(Safety.SafetyUnauthorized.selector, caller));
        vm.prank(caller);
        ledger.pause();
    }

    function test_a_pause_stops_mints_and_new_sales() public {
        uint256 tokenId = mint();
        uint24 offerId = offer(tokenId);
        Adapters.Mint memory adapter = draft(maker);
        commit(adapter);
        ledger.pause();

        bytes memory paused = abi.encodeWithSelector(Pausable.EnforcedPause.selector);
        vm.expectRevert(paused);
        vm.prank(maker);
        ledger.mint(adapter, "");
        vm.expectRevert(paused);
        vm.prank(buyer);
        ledger.buy{value: PRICE}(tokenId, offerId, PRICE);
        bytes memory promised = signed(voucher(tokenId, buyer), MAKER_KEY);
        vm.expectRevert(paused);
        vm.prank(buyer);
        ledger.redeem{value: PRICE}(voucher(tokenId, buyer), promised);
    }

    function test_a_pause_stops_neither_use_nor_renewals_nor_anchors_nor_withdrawals_nor_refunds() public {
        (uint256 tokenId, uint24 offerId) = sold(terms(NATIVE, PRICE, MONTH));
        vm.prank(safety);
        ledger.pause();

        vm.assertTrue(ledger.hasLicense(tokenId, buyer));
        vm.assertEq(buy(buyer, tokenId, offerId), START + 2 * MONTH);
        vm.startPrank(buyer);
        uint32 stream = ledger.openStream(tokenId);
        ledger.anchor(stream, 0, 10, keccak256("root"), "cid");
        ledger.consume(tokenId, 1);
        vm.stopPrank();
        vm.startPrank(maker);
        ledger.grant(tokenId, other, START + MONTH, 0, 0, 0);
        ledger.revoke(tokenId, buyer, "breach");
        vm.stopPrank();
        vm.prank(buyer);
        ledger.withdraw(NATIVE, buyer);
    }

    function test_no_role_moves_a_token_or_spends_what_is_owed() public {
        (uint256 tokenId,) = sold(terms(NATIVE, PRICE, MONTH));
        address[2] memory roles = [admin, safety];
        for (uint256 i; i < roles.length; ++i) {
            vm.startPrank(roles[i]);
            vm.expectRevert(abi.encodeWithSignature("ERC721InsufficientApproval(address,uint256)", roles[i], tokenId));
            ledger.transferFrom(maker, roles[i], tokenId);
            vm.expectRevert(abi.encodeWithSignature("ERC721InvalidApprover(address)", roles[i]));
            ledger.approve(roles[i], tokenId);
            vm.expectRevert(abi.encodeWithSelector(Treasury.NothingOwed.selector, roles[i], NATIVE));
            ledger.withdraw(NATIVE, roles[i]);
            vm.expectRevert(abi.encodeWithSelector(Adapters.AdapterUnauthorized.selector, tokenId, roles[i]));
            ledger.revoke(tokenId, buyer, "breach");
            vm.expectRevert(abi.encodeWithSelector(Adapters.AdapterUnauthorized.selector, tokenId, roles[i]));
            ledger.revokeAdapter(tokenId, "seized");
            vm.stopPrank();
        }
        vm.assertEq(ledger.ownerOf(tokenId), maker);
        vm.assertEq(ledger.owed(NATIVE, maker), PRICE);
    }
}
