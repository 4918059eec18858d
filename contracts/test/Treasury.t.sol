// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Adapters} from "../src/Adapters.sol";
import {Treasury} from "../src/Treasury.sol";
import {LedgerTest} from "./LedgerTest.sol";
import {vm} from "./Vm.sol";

/// @notice Where the money of a sale goes, to the last wei.
contract TreasuryTest is LedgerTest {
    address private constant ALICE = address(0xA11CE);
    address private constant BOB = address(0xB0B0);

    function test_the_owner_gets_what_it_is_owed_where_it_wants_it() public {
        sold(terms(NATIVE, PRICE, MONTH));
        vm.expectEmit(true, true, true, true, address(ledger));
        emit Treasury.Withdrawn(maker, NATIVE, ALICE, PRICE);
        vm.prank(maker);
        vm.assertEq(ledger.withdraw(NATIVE, ALICE), PRICE);
        vm.assertEq(ALICE.balance, PRICE);
        vm.assertEq(ledger.owed(NATIVE, maker), 0);
    }

    function test_tokens_are_withdrawn_as_tokens() public {
        sold(terms(address(token), 5, MONTH));
        vm.prank(maker);
        vm.assertEq(ledger.withdraw(address(token), ALICE), 5);
        vm.assertEq(token.balanceOf(ALICE), 5);
    }

    function test_withdrawals_that_are_refused() public {
        sold(terms(NATIVE, PRICE, MONTH));
        vm.expectRevert(abi.encodeWithSelector(Treasury.NothingOwed.selector, other, NATIVE));
        vm.prank(other);
        ledger.withdraw(NATIVE, other);
        vm.expectRevert(abi.encodeWithSelector(Treasury.NothingOwed.selector, maker, address(token)));
        vm.prank(maker);
        ledger.withdraw(address(token), maker);
        vm.expectRevert(abi.encodeWithSelector(Treasury.WithdrawalFailed.selector, address(0)));
        vm.prank(maker);
        ledger.withdraw(NATIVE, address(0));
        // The ledger takes no gifts.
        vm.expectRevert(abi.encodeWithSelector(Treasury.WithdrawalFailed.selector, address(ledger)));
        vm.prank(maker);
        ledger.withdraw(NATIVE, address(ledger));
        vm.assertEq(ledger.owed(NATIVE, maker), PRICE);
    }

    function test_parents_collect_their_share_and_their_parents_theirs() public {
        mint();
        mintFrom(1, other);
        mintFrom(2, buyer);
        offer(3);
        buy(other, 3, 1);
        vm.assertEq(ledger.owed(NATIVE, buyer), PRICE * 9 / 10);
        vm.assertEq(ledger.poolOf(NATIVE, 3).parents, PRICE / 10);

        vm.expectEmit(true, true, true, true, address(ledger));
        emit Treasury.ShareCollected(3, 2, NATIVE, PRICE / 10);
        vm.assertEq(ledger.collect(3, 2, NATIVE), PRICE / 10);
        vm.assertEq(ledger.owed(NATIVE, other), PRICE * 9 / 100);
        vm.assertEq(ledger.collect(2, 1, NATIVE), PRICE / 100);
        vm.assertEq(ledger.owed(NATIVE, maker), PRICE / 100);

        vm.expectRevert(abi.encodeWithSelector(Treasury.NothingDue.selector, 3, NATIVE));
        ledger.collect(3, 2, NATIVE);
        vm.expectRevert(abi.encodeWithSelector(Treasury.NothingDue.selector, 3, address(token)));
        ledger.collect(3, 2, address(token));
    }

    function test_only_parents_collect() public {
        mint();
        mintFrom(1, other);
        uint256[4] memory strangers = [uint256(0), 2, 3, 1 << 32 | 1];
        for (uint256 i; i < strangers.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Treasury.ParentUnknown.selector, 2, strangers[i]));
            ledger.collect(2, strangers[i], NATIVE);
        }
        vm.expectRevert(abi.encodeWithSelector(Treasury.ParentUnknown.selector, 9, 1));
        ledger.collect(9, 1, NATIVE);
    }

    function test_a_parent_that_asks_for_nothing_gets_nothing() public {
        Adapters.Mint memory adapter = draft(maker);
        adapter.derivative = 0;
        mint(adapter);
        mintFrom(1, other);
        offer(2);
        buy(buyer, 2, 1);
        vm.expectRevert(abi.encodeWithSelector(Treasury.NothingDue.selector, 2, NATIVE));
        ledger.collect(2, 1, NATIVE);
        vm.assertEq(ledger.owed(NATIVE, other), PRICE);
    }

    function test_contributors_claim_their_parts_and_new_sales_add_to_them() public {
        (uint256 tokenId, bytes32[] memory toAlice, bytes32[] memory toBob) = contributed(250_000, 750_000);
        buy(buyer, tokenId, 1);
        vm.assertEq(ledger.poolOf(NATIVE, tokenId).contributors, PRICE / 5);
        vm.expectEmit(true, true, true, true, address(ledger));
        emit Treasury.ShareClaimed(tokenId, ALICE, NATIVE, PRICE / 20);
        ledger.claim(tokenId, NATIVE, ALICE, 250_000, toAlice);
        vm.expectRevert(abi.encodeWithSelector(Treasury.NothingDue.selector, tokenId, NATIVE));
        ledger.claim(tokenId, NATIVE, ALICE, 250_000, toAlice);
        vm.warp(START + MONTH);
        buy(buyer, tokenId, 1);
        vm.assertEq(ledger.claim(tokenId, NATIVE, ALICE, 250_000, toAlice), PRICE / 20);
        vm.assertEq(ledger.claim(tokenId, NATIVE, BOB, 750_000, toBob), PRICE * 3 / 10);
        vm.assertEq(ledger.owed(NATIVE, ALICE), PRICE / 10);
        vm.assertEq(ledger.owed(NATIVE, BOB), PRICE * 3 / 10);
    }

    function test_only_named_contributors_claim_and_only_their_part() public {
        (uint256 tokenId, bytes32[] memory toAlice,) = contributed(250_000, 750_000);
        buy(buyer, tokenId, 1);
        bytes memory unknown = abi.encodeWithSelector(Treasury.ContributorUnknown.selector, tokenId, ALICE);
        vm.expectRevert(unknown);
        ledger.claim(tokenId, NATIVE, ALICE, 250_001, toAlice);
        vm.expectRevert(unknown);
        ledger.claim(tokenId, NATIVE, ALICE, 250_000, new bytes32[](0));
        vm.expectRevert(abi.encodeWithSelector(Treasury.ContributorUnknown.selector, tokenId, other));
        ledger.claim(tokenId, NATIVE, other, 250_000, toAlice);
        uint256 second = mint();
        vm.expectRevert(abi.encodeWithSelector(Treasury.ContributorUnknown.selector, second, ALICE));
        ledger.claim(second, NATIVE, ALICE, 250_000, toAlice);
    }

    function test_parts_above_the_whole_take_no_money_of_others() public {
        (uint256 tokenId, bytes32[] memory toAlice, bytes32[] memory toBob) = contributed(900_000, type(uint32).max);
        buy(buyer, tokenId, 1);
        uint256 pool = PRICE / 5;
        vm.assertEq(ledger.claim(tokenId, NATIVE, ALICE, 900_000, toAlice), pool * 9 / 10);
        vm.assertEq(ledger.claim(tokenId, NATIVE, BOB, type(uint32).max, toBob), pool / 10);
        vm.expectRevert(abi.encodeWithSelector(Treasury.NothingDue.selector, tokenId, NATIVE));
        ledger.claim(tokenId, NATIVE, BOB, type(uint32).max, toBob);
    }

    function testFuzz_a_sale_is_shared_to_the_last_wei(uint96 price, uint16 derivative, uint16 contributors) public {
        Adapters.Mint memory parent = draft(maker);
        parent.derivative = derivative % 10_001;
        mint(parent);
        Adapters.Mint memory adapter = draft(other);
        adapter.parents = new uint32[](1);
        adapter.parents[0] = 1;
        adapter.contributors = contributors % (10_001 - parent.derivative);
        if (adapter.contributors != 0) adapter.contributorsRoot = leaf(ALICE, 1_000_000);
        mint(adapter);
        offer(2, terms(NATIVE, price, MONTH));
        vm.deal(buyer, price);
        buy(buyer, 2, 1);

        Treasury.Pool memory pool = ledger.poolOf(NATIVE, 2);
        vm.assertEq(ledger.owed(NATIVE, other) + pool.parents + pool.contributors, price);
        if (pool.parents != 0) ledger.collect(2, 1, NATIVE);
        if (pool.contributors != 0) ledger.claim(2, NATIVE, ALICE, 1_000_000, new bytes32[](0));
        vm.assertEq(ledger.owed(NATIVE, maker), pool.parents);
        vm.assertEq(ledger.owed(NATIVE, ALICE), pool.contributors);
        vm.assertEq(address(ledger).balance, price);
    }

    function test_currencies_have_books_of_their_own() public {
        (uint256 tokenId,) = sold(terms(address(token), 1_000, MONTH));
        uint256 second = mint();
        offer(second);
        buy(other, second, 1);
        vm.assertEq(ledger.owed(address(token), maker), 1_000);
        vm.assertEq(ledger.owed(NATIVE, maker), PRICE);
        // Money in one currency does not cover a refund in another.
        vm.startPrank(maker);
        ledger.withdraw(address(token), maker);
        token.approve(address(ledger), 0);
        vm.expectRevert();
        ledger.revoke(tokenId, buyer, "breach");
        vm.stopPrank();
        vm.assertTrue(ledger.hasLicense(tokenId, buyer));
    }

    /// @dev An adapter that gives a fifth of its sales to Alice and Bob, with an offer, and their proofs.
    function contributed(uint32 alices, uint32 bobs)
        private
        returns (uint256 tokenId, bytes32[] memory toAlice, bytes32[] memory toBob)
    {
        (bytes32 left, bytes32 right) = (leaf(ALICE, alices), leaf(BOB, bobs));
        Adapters.Mint memory adapter = draft(maker);
        adapter.contributors = 2_000;
        adapter.contributorsRoot =
            left < right ? keccak256(bytes.concat(left, right)) : keccak256(bytes.concat(right, left));
        tokenId = mint(adapter);
        offer(tokenId);
        (toAlice, toBob) = (new bytes32[](1), new bytes32[](1));
        (toAlice[0], toBob[0]) = (right, left);
    }

    function leaf(address account, uint32 millionths) private pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(account, millionths))));
    }
}
