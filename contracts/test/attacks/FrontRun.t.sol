// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Adapters} from "../../src/Adapters.sol";
import {Licences} from "../../src/Licences.sol";
import {Offers} from "../../src/Offers.sol";
import {Signatures} from "../../src/Signatures.sol";
import {LedgerTest} from "../LedgerTest.sol";
import {vm} from "../Vm.sol";

/// @notice Somebody sees a transaction before it is in a block, and puts its own first.
contract FrontRunTest is LedgerTest {
    function test_who_sees_a_mint_comes_too_late_to_copy_it() public {
        Adapters.Mint memory adapter = draft(maker);
        commit(adapter);
        // The maker's mint waits for its block; the copy has all but an earlier commitment.
        Adapters.Mint memory copy = adapter;
        copy.maker = other;
        bytes32 copied = ledger.mintDigest(copy);
        vm.prank(other);
        ledger.commitMint(copied);
        vm.expectRevert(abi.encodeWithSelector(Adapters.MintUncommitted.selector, copied));
        vm.prank(other);
        ledger.mint(copy, "");
        copy.maker = maker;
        vm.prank(maker);
        uint256 tokenId = ledger.mint(adapter, "");
        vm.assertEq(ledger.ownerOf(tokenId), maker);

        vm.roll(block.number + 1);
        copy.maker = other;
        vm.expectRevert(abi.encodeWithSelector(Adapters.AdapterWeightsTaken.selector, adapter.weights, tokenId));
        vm.prank(other);
        ledger.mint(copy, "");
    }

    function test_who_sends_anothers_mint_mints_it_to_its_maker() public {
        Adapters.Mint memory adapter = draft(maker);
        commit(adapter);
        vm.expectRevert(abi.encodeWithSelector(Signatures.SignatureInvalid.selector, maker));
        vm.prank(other);
        ledger.mint(adapter, "");
        bytes memory by = signature(MAKER_KEY, typedDigest(ledger.mintDigest(adapter)));
        vm.prank(other);
        vm.assertEq(ledger.ownerOf(ledger.mint(adapter, by)), maker);
    }

    function test_who_repeats_anothers_commitment_does_not_stop_its_mint() public {
        Adapters.Mint memory adapter = draft(maker);
        bytes32 commitment = ledger.mintDigest(adapter);
        vm.prank(other);
        ledger.commitMint(commitment);
        vm.expectRevert(abi.encodeWithSelector(Adapters.MintIsCommitted.selector, commitment));
        vm.prank(maker);
        ledger.commitMint(commitment);
        vm.roll(block.number + 1);
        vm.prank(maker);
        vm.assertEq(ledger.ownerOf(ledger.mint(adapter, "")), maker);
    }

    function testFuzz_what_was_committed_to_cannot_be_changed(uint8 field, bytes32 change) public {
        Adapters.Mint memory adapter = draft(maker);
        commit(adapter);
        field %= 8;
        vm.assume(change != 0);
        if (field == 0) adapter.weights ^= change;
        if (field == 1) adapter.dataset ^= change;
        if (field == 2) adapter.base ^= change;
        if (field == 3) adapter.terms ^= change;
        if (field == 4) adapter.salt ^= change;
        if (field == 5) adapter.deadline ^= uint256(change);
        if (field == 6) adapter.derivable = false;
        if (field == 7) adapter.cid = string(abi.encodePacked(change));
        vm.assume(adapter.weights != 0 && adapter.dataset != 0 && adapter.base != 0);
        bytes32 changed = ledger.mintDigest(adapter);
        vm.expectRevert(abi.encodeWithSelector(Adapters.MintUncommitted.selector, changed));
        vm.prank(maker);
        ledger.mint(adapter, "");
    }

    function test_an_owner_cannot_raise_the_price_under_a_buyers_hands() public {
        uint256 tokenId = mint();
        uint24 offerId = offer(tokenId);
        vm.startPrank(maker);
        ledger.closeOffer(tokenId, offerId);
        ledger.offer(tokenId, terms(NATIVE, 10 * PRICE, 1));
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(Offers.OfferNonexistent.selector, tokenId, offerId));
        vm.prank(buyer);
        ledger.buy{value: PRICE}(tokenId, offerId, PRICE);
        vm.expectRevert(abi.encodeWithSelector(Licences.OfferAboveMaximum.selector, tokenId, 10 * PRICE, PRICE));
        vm.prank(buyer);
        ledger.buy{value: 10 * PRICE}(tokenId, offerId + 1, PRICE);
    }

    function test_a_voucher_redeemed_by_another_serves_its_licensee_alone() public {
        uint256 tokenId = mint();
        Licences.Voucher memory promised = voucher(tokenId, buyer);
        bytes memory by = signed(promised, MAKER_KEY);
        vm.prank(other);
        ledger.redeem{value: PRICE}(promised, by);
        vm.assertTrue(ledger.hasLicense(tokenId, buyer));
        vm.assertFalse(ledger.hasLicense(tokenId, other));
        promised.licensee = other;
        vm.expectRevert(abi.encodeWithSelector(Signatures.SignatureInvalid.selector, maker));
        vm.prank(other);
        ledger.redeem{value: PRICE}(promised, by);
    }
}
