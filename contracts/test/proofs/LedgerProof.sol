// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Adapters} from "../../src/Adapters.sol";
import {ProvLedger} from "../../src/ProvLedger.sol";
import {vm} from "../Vm.sol";

/// @notice A ledger with one adapter, from which every proof begins.
abstract contract LedgerProof {
    address internal constant MAKER = address(0xA11CE);
    address internal constant SAFETY = address(0x5AFE);
    uint40 internal constant START = 1_800_000_000;

    ProvLedger internal ledger;
    uint256 internal tokenId;

    function setUp() public virtual {
        vm.warp(START);
        vm.roll(100);
        ledger = new ProvLedger();
        ledger.appointSafety(SAFETY);
        Adapters.Mint memory adapter;
        adapter.maker = MAKER;
        (adapter.weights, adapter.dataset, adapter.base) = ("weights", "dataset", "base");
        adapter.cid = "cid";
        ledger.commitMint(ledger.mintDigest(adapter));
        vm.roll(101);
        vm.prank(MAKER);
        tokenId = ledger.mint(adapter, "");
    }
}
