// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Streams} from "../../src/Streams.sol";
import {vm} from "../Vm.sol";
import {LedgerProof} from "./LedgerProof.sol";

/// @notice Proved by Halmos: batches follow one another, for every first serial, count and account.
contract StreamProofs is LedgerProof {
    /// @dev A second batch starts where the first ended, or is refused; serials stay below 2^28.
    function check_batches_follow_one_another(uint32 first, uint32 count, uint32 second, uint32 more) public {
        vm.startPrank(MAKER);
        uint32 stream = ledger.openStream(tokenId);
        ledger.anchor(stream, first, count, "root", "cid");
        assert(first == 0 && count != 0 && count <= 2 ** 28);
        try ledger.anchor(stream, second, more, "root", "cid") {
            assert(second == count && more != 0);
            assert(ledger.streamOf(stream).next == uint256(count) + more);
            assert(uint256(count) + more <= 2 ** 28);
        } catch {
            assert(ledger.streamOf(stream).next == count);
        }
    }

    /// @dev Nobody anchors into another's stream.
    function check_nobody_anchors_into_anothers_stream(address caller, uint32 first, uint32 count) public {
        vm.assume(caller != MAKER);
        vm.prank(MAKER);
        uint32 stream = ledger.openStream(0);
        vm.prank(caller);
        try ledger.anchor(stream, first, count, "root", "cid") {
            assert(false);
        } catch {}
        assert(ledger.streamOf(stream).next == 0);
    }

    /// @dev The batch that is found covers the serial that was asked for.
    function check_the_batch_found_covers_the_serial(uint32 count, uint32 more, uint32 serial) public {
        vm.startPrank(MAKER);
        uint32 stream = ledger.openStream(0);
        ledger.anchor(stream, 0, count, "root", "cid");
        ledger.anchor(stream, count, more, "root", "cid");
        (uint32 index, uint32 first, Streams.Batch memory batch) = ledger.batchCovering(stream, serial);
        assert(first <= serial && serial < batch.end);
        assert(index == (serial < count ? 0 : 1));
    }
}
