// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Adapters} from "../src/Adapters.sol";
import {Metering} from "../src/Metering.sol";
import {Offers} from "../src/Offers.sol";
import {Streams} from "../src/Streams.sol";
import {Texts} from "../src/Texts.sol";
import {LedgerTest} from "./LedgerTest.sol";
import {vm} from "./Vm.sol";

/// @notice Streams of serials: whose they are, how they grow, and when they close.
contract StreamsTest is LedgerTest {
    uint32 private constant LIMIT = 2 ** 28;

    function test_a_stream_needs_a_right_to_the_adapter_or_no_adapter() public {
        uint256 tokenId = mint();
        vm.expectRevert(abi.encodeWithSelector(Streams.StreamUnlicensed.selector, tokenId, buyer));
        vm.prank(buyer);
        ledger.openStream(tokenId);
        vm.expectEmit(true, true, true, true, address(ledger));
        emit Streams.StreamOpened(1, 0, buyer);
        vm.prank(buyer);
        vm.assertEq(ledger.openStream(0), 1);
        vm.prank(maker);
        vm.assertEq(ledger.openStream(tokenId), 2);
        vm.assertEq(ledger.totalStreams(), 2);
        Streams.Stream memory opened = ledger.streamOf(2);
        vm.assertEq(opened.holder, maker);
        vm.assertEq(opened.tokenId, tokenId);
        vm.assertEq(opened.next, 0);
        vm.assertEq(opened.batches, 0);
    }

    function test_no_stream_is_opened_under_an_adapter_withdrawn() public {
        (uint256 tokenId,) = sold(terms(NATIVE, PRICE, MONTH));
        vm.prank(maker);
        ledger.revokeAdapter(tokenId, "withdrawn");
        vm.expectRevert(abi.encodeWithSelector(Adapters.AdapterIsRevoked.selector, tokenId));
        vm.prank(buyer);
        ledger.openStream(tokenId);
    }

    function test_stream_numbers_run_out_and_are_never_used_twice() public {
        // The counter is far too long to count up; the slot it is in is found, and checked, instead of assumed.
        ledger.openStream(0);
        ledger.openStream(0);
        for (uint256 slot; slot < 64; ++slot) {
            bytes32 held = vm.load(address(ledger), bytes32(slot));
            vm.store(address(ledger), bytes32(slot), bytes32(uint256(held) & ~uint256(type(uint32).max) | LIMIT - 2));
            if (ledger.totalStreams() == LIMIT - 2) break;
            vm.store(address(ledger), bytes32(slot), held);
        }
        vm.assertEq(ledger.openStream(0), LIMIT - 1);
        vm.expectRevert(Streams.StreamsExhausted.selector);
        ledger.openStream(0);
    }

    function test_a_batch_is_kept_and_announced() public {
        uint32 stream = open(buyer);
        vm.roll(777);
        vm.expectEmit(true, false, false, true, address(ledger));
        emit Streams.BatchAnchored(stream, 0, 1_000, keccak256("root"), "cid");
        vm.prank(buyer);
        ledger.anchor(stream, 0, 1_000, keccak256("root"), "cid");
        Streams.Batch memory batch = ledger.batchOf(stream, 0);
        vm.assertEq(batch.end, 1_000);
        vm.assertEq(batch.blockNumber, 777);
        vm.assertEq(bytes32(batch.root), bytes32(bytes23(keccak256("root"))));
        vm.assertEq(ledger.streamOf(stream).next, 1_000);
        vm.assertEq(ledger.streamOf(stream).batches, 1);
        vm.assertEq(ledger.batchOf(stream, 1).end, 0);
    }

    function test_only_the_holder_anchors() public {
        uint32 stream = open(buyer);
        vm.expectRevert(abi.encodeWithSelector(Streams.StreamUnauthorized.selector, stream, other));
        vm.prank(other);
        ledger.anchor(stream, 0, 1, "root", "cid");
        vm.expectRevert(abi.encodeWithSelector(Streams.StreamNonexistent.selector, 9));
        ledger.anchor(9, 0, 1, "root", "cid");
    }

    function test_batches_follow_one_another() public {
        uint32 stream = open(buyer);
        vm.startPrank(buyer);
        ledger.anchor(stream, 0, 10, "root", "cid");
        vm.expectRevert(abi.encodeWithSelector(Streams.BatchOutOfOrder.selector, stream, 10, 9));
        ledger.anchor(stream, 9, 1, "root", "cid");
        vm.expectRevert(abi.encodeWithSelector(Streams.BatchOutOfOrder.selector, stream, 10, 11));
        ledger.anchor(stream, 11, 1, "root", "cid");
        ledger.anchor(stream, 10, 1, "root", "cid");
        vm.stopPrank();
    }

    function test_a_batch_has_records_a_root_and_a_cid() public {
        uint32 stream = open(buyer);
        vm.startPrank(buyer);
        vm.expectRevert(abi.encodeWithSelector(Streams.BatchInvalidCount.selector, stream, 0));
        ledger.anchor(stream, 0, 0, "root", "cid");
        vm.expectRevert(abi.encodeWithSelector(Streams.BatchZeroRoot.selector, stream));
        ledger.anchor(stream, 0, 1, 0, "cid");
        vm.expectRevert(abi.encodeWithSelector(Texts.TextInvalidLength.selector, 0, 128));
        ledger.anchor(stream, 0, 1, "root", "");
        vm.expectRevert(abi.encodeWithSelector(Texts.TextInvalidLength.selector, 129, 128));
        ledger.anchor(stream, 0, 1, "root", string(new bytes(129)));
        vm.stopPrank();
    }

    function test_serials_stay_below_the_limit() public {
        uint32 stream = open(buyer);
        vm.startPrank(buyer);
        vm.expectRevert(abi.encodeWithSelector(Streams.BatchInvalidCount.selector, stream, LIMIT + 1));
        ledger.anchor(stream, 0, LIMIT + 1, "root", "cid");
        ledger.anchor(stream, 0, LIMIT - 1, "root", "cid");
        vm.expectRevert(abi.encodeWithSelector(Streams.BatchInvalidCount.selector, stream, 2));
        ledger.anchor(stream, LIMIT - 1, 2, "root", "cid");
        ledger.anchor(stream, LIMIT - 1, 1, "root", "cid");
        vm.expectRevert(abi.encodeWithSelector(Streams.BatchInvalidCount.selector, stream, 1));
        ledger.anchor(stream, LIMIT, 1, "root", "cid");
        vm.stopPrank();
    }

    function testFuzz_every_serial_has_the_batch_that_covers_it(uint8[12] calldata counts, uint32 serial) public {
        uint32 stream = open(buyer);
        uint32 next;
        for (uint256 i; i < counts.length; ++i) {
            uint32 count = uint32(counts[i]) + 1;
            vm.prank(buyer);
            ledger.anchor(stream, next, count, bytes32(uint256(i + 1) << 248), "cid");
            next += count;
        }
        serial %= next + 10;
        if (serial >= next) vm.expectRevert(abi.encodeWithSelector(Streams.BatchNonexistent.selector, stream, serial));
        (uint32 index, uint32 first, Streams.Batch memory batch) = ledger.batchCovering(stream, serial);
        if (serial >= next) return;
        vm.assertTrue(first <= serial && serial < batch.end);
        vm.assertEq(uint256(uint8(bytes1(batch.root))), index + 1);
        vm.assertEq(batch.end - first, uint256(counts[index]) + 1);
    }

    function test_no_serial_of_no_stream_is_covered() public {
        vm.expectRevert(abi.encodeWithSelector(Streams.BatchNonexistent.selector, 1, 0));
        ledger.batchCovering(1, 0);
    }

    function test_a_stream_takes_batches_until_its_grace_ends() public {
        (uint256 tokenId,) = sold(Offers.Terms(NATIVE, PRICE, MONTH, 0, 0, 7));
        uint32 stream = open(buyer, tokenId);
        vm.warp(START + MONTH + 7 days - 1);
        vm.prank(buyer);
        ledger.anchor(stream, 0, 1, "root", "cid");
        vm.warp(START + MONTH + 7 days);
        vm.expectRevert(abi.encodeWithSelector(Streams.StreamClosed.selector, stream, START + MONTH + 7 days));
        vm.prank(buyer);
        ledger.anchor(stream, 1, 1, "root", "cid");
    }

    function test_without_grace_a_stream_closes_with_its_licence() public {
        (uint256 tokenId,) = sold(terms(NATIVE, PRICE, MONTH));
        uint32 stream = open(buyer, tokenId);
        vm.prank(maker);
        ledger.revoke(tokenId, buyer, "breach");
        vm.expectRevert(abi.encodeWithSelector(Streams.StreamClosed.selector, stream, START));
        vm.prank(buyer);
        ledger.anchor(stream, 0, 1, "root", "cid");
    }

    function test_an_owner_anchors_and_a_former_owner_does_for_a_week() public {
        uint256 tokenId = mint();
        uint32 stream = open(maker, tokenId);
        vm.startPrank(maker);
        ledger.anchor(stream, 0, 1, "root", "cid");
        ledger.transferFrom(maker, maker, tokenId);
        ledger.transferFrom(maker, other, tokenId);
        vm.warp(START + 7 days - 1);
        ledger.anchor(stream, 1, 1, "root", "cid");
        vm.warp(START + 7 days);
        vm.expectRevert(abi.encodeWithSelector(Streams.StreamClosed.selector, stream, START + 7 days));
        ledger.anchor(stream, 2, 1, "root", "cid");
        vm.stopPrank();
    }

    function test_the_longer_of_two_graces_counts() public {
        (uint256 tokenId,) = sold(Offers.Terms(NATIVE, PRICE, MONTH, 0, 0, 1));
        uint32 stream = open(buyer, tokenId);
        vm.prank(maker);
        ledger.transferFrom(maker, buyer, tokenId);
        vm.prank(buyer);
        ledger.transferFrom(buyer, other, tokenId);
        vm.warp(START + MONTH + 1 days);
        vm.expectRevert(abi.encodeWithSelector(Streams.StreamClosed.selector, stream, START + MONTH + 1 days));
        vm.prank(buyer);
        ledger.anchor(stream, 0, 1, "root", "cid");
    }

    function test_a_former_owners_week_is_not_cut_by_a_licence_that_ended_before() public {
        (uint256 tokenId,) = sold(terms(NATIVE, PRICE, 1 days));
        uint32 stream = open(buyer, tokenId);
        vm.prank(maker);
        ledger.transferFrom(maker, buyer, tokenId);
        vm.warp(START + 2 days);
        vm.prank(buyer);
        ledger.transferFrom(buyer, other, tokenId);
        vm.warp(START + 9 days - 1);
        vm.prank(buyer);
        ledger.anchor(stream, 0, 1, "root", "cid");
    }

    function test_nothing_is_anchored_under_an_adapter_taken_down() public {
        (uint256 tokenId,) = sold(terms(NATIVE, PRICE, MONTH));
        uint32 theirs = open(buyer, tokenId);
        uint32 own = open(maker, tokenId);
        vm.prank(safety);
        ledger.takeDown(tokenId, "reason");
        bytes memory down = abi.encodeWithSelector(Adapters.AdapterIsTakenDown.selector, tokenId);
        vm.expectRevert(down);
        vm.prank(buyer);
        ledger.anchor(theirs, 0, 1, "root", "cid");
        vm.expectRevert(down);
        vm.prank(maker);
        ledger.anchor(own, 0, 1, "root", "cid");
    }

    function test_anchored_images_count_against_a_quota() public {
        (uint256 tokenId,) = sold(Offers.Terms(NATIVE, PRICE, MONTH, 100, 0, 7));
        uint32 first = open(buyer, tokenId);
        uint32 second = open(buyer, tokenId);
        vm.startPrank(buyer);
        vm.expectEmit(true, true, false, true, address(ledger));
        emit Metering.UsageAnchored(tokenId, buyer, 60);
        ledger.anchor(first, 0, 60, "root", "cid");
        vm.expectRevert(abi.encodeWithSelector(Metering.QuotaExceeded.selector, tokenId, buyer, 100, 101));
        ledger.anchor(second, 0, 41, "root", "cid");
        ledger.anchor(second, 0, 40, "root", "cid");
        vm.stopPrank();
        vm.assertEq(ledger.licenceOf(tokenId, buyer).anchored, 100);
        vm.assertFalse(ledger.hasLicense(tokenId, buyer));
    }

    function test_reported_images_may_still_be_anchored() public {
        (uint256 tokenId,) = sold(Offers.Terms(NATIVE, PRICE, MONTH, 100, 0, 7));
        uint32 stream = open(buyer, tokenId);
        vm.startPrank(buyer);
        ledger.consume(tokenId, 100);
        ledger.anchor(stream, 0, 100, "root", "cid");
        vm.stopPrank();
    }

    function open(address holder) private returns (uint32 stream) {
        return open(holder, 0);
    }

    function open(address holder, uint256 tokenId) private returns (uint32 stream) {
        vm.prank(holder);
        return ledger.openStream(tokenId);
    }
}
