// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Strings} from "@openzeppelin/contracts/utils/Strings.sol";
import {Licences} from "../../src/Licences.sol";
import {ProvLedger} from "../../src/ProvLedger.sol";
import {Streams} from "../../src/Streams.sol";
import {Treasury} from "../../src/Treasury.sol";
import {LedgerTest} from "../LedgerTest.sol";
import {vm} from "../Vm.sol";
import {Handler} from "./Handler.sol";
import {Watch} from "./Watch.sol";

/// @notice What stays true whatever anybody does in whatever order.
contract LedgerInvariants is LedgerTest {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    Handler private handler;

    function setUp() public override {
        super.setUp();
        handler = new Handler(ledger);
        ledger.appointSafety(address(0x5AFE));
        ledger.transferOwnership(address(0xAD1));
        vm.prank(address(0xAD1));
        ledger.acceptOwnership();
    }

    /// @dev Forge asks for these two by name.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), handler.steps());
    }

    /// @dev One campaign for all: each step is dear, because everything is looked at before and after it.
    function invariant_the_ledger_keeps_its_promises() external view {
        allMoneyIsOwedOrInAPool();
        theExpiredTheRevokedAndTheTakenDownAreNeverLicensed();
        anchorsNeverOverlapAndLeaveNoGap();
        for (uint256 kind; kind <= uint256(type(Watch.Fault).max); ++kind) {
            vm.assertEq(handler.faultOf(Watch.Fault(kind)), "");
        }
    }

    /// @dev A history of the same steps without chance, to show that none of them is always refused.
    function test_every_step_of_the_histories_succeeds_now_and_then() external {
        bytes4[] memory steps = handler.steps();
        for (uint256 i; i < 1_800; ++i) {
            bytes memory seeds;
            for (uint256 j; j < 7; ++j) {
                // Small numbers, which fit every argument of every step.
                seeds = bytes.concat(seeds, abi.encode(uint256(uint8(uint256(keccak256(abi.encode(i, j)))) % 127)));
            }
            // A step's own arithmetic may refuse a seed.
            (bool taken,) = address(handler).call(bytes.concat(steps[i % steps.length], seeds));
            vm.assertTrue(taken, Strings.toString(i));
        }
        for (uint256 i = 1; i < steps.length; ++i) {
            if (steps[i] != handler.renew.selector && steps[i] != handler.replay.selector) {
                vm.assertTrue(handler.done(steps[i]) != 0, Strings.toString(i));
            }
        }
        this.invariant_the_ledger_keeps_its_promises();
    }

    function allMoneyIsOwedOrInAPool() private view {
        vm.assertEq(address(ledger).balance, booked(address(0)));
        vm.assertEq(handler.TOKEN().balanceOf(address(ledger)), booked(address(handler.TOKEN())));
    }

    function theExpiredTheRevokedAndTheTakenDownAreNeverLicensed() private view {
        for (uint256 t = 1; t <= ledger.totalAdapters(); ++t) {
            for (uint256 u; u < 6; ++u) {
                address user = handler.actors(u);
                bool licensed = ledger.hasLicense(t, user);
                if (handler.down(t)) vm.assertFalse(licensed);
                if (!licensed || ledger.ownerOf(t) == user) continue;
                Licences.Licence memory held = ledger.licenceOf(t, user);
                vm.assertTrue(held.expires > block.timestamp, "an expired licence holds");
                vm.assertTrue(held.flags & 128 == 0, "a revoked licence holds");
                vm.assertTrue(!handler.over(t, user), "a licence that was ended holds");
                vm.assertTrue(held.quota == 0 || held.used < held.quota, "a licence used up holds");
            }
        }
    }

    function anchorsNeverOverlapAndLeaveNoGap() private view {
        vm.assertEq(ledger.totalStreams(), handler.lastStream());
        for (uint32 s = 1; s <= handler.lastStream(); ++s) {
            uint32 next;
            uint256 count = handler.batches(s);
            for (uint32 i; i < count; ++i) {
                (uint32 first, uint32 records) = handler.anchored(s, i);
                vm.assertEq(first, next);
                next = first + records;
                vm.assertEq(ledger.batchOf(s, i).end, next);
                (uint32 index,,) = ledger.batchCovering(s, next - 1);
                vm.assertEq(index, i);
            }
            Streams.Stream memory opened = ledger.streamOf(s);
            vm.assertEq(opened.next, next);
            vm.assertEq(opened.batches, count);
            vm.assertEq(opened.holder, handler.openedBy(s));
        }
    }

    function booked(address currency) private view returns (uint256 sum) {
        for (uint256 u; u < 6; ++u) {
            sum += ledger.owed(currency, handler.actors(u));
        }
        for (uint256 t = 1; t <= ledger.totalAdapters(); ++t) {
            Treasury.Pool memory pool = ledger.poolOf(currency, t);
            sum += uint256(pool.parents) + pool.contributors;
        }
        sum -= handler.leftPools(currency);
    }
}
