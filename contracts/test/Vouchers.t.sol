// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Adapters} from "../src/Adapters.sol";
import {Licences} from "../src/Licences.sol";
import {Offers} from "../src/Offers.sol";
import {Signatures} from "../src/Signatures.sol";
import {Treasury} from "../src/Treasury.sol";
import {LedgerTest} from "./LedgerTest.sol";
import {vm} from "./Vm.sol";

/// @notice Licences promised in a signature, and what makes the promise worthless.
contract VouchersTest is LedgerTest {
    uint256 private tokenId;

    function setUp() public override {
        super.setUp();
        tokenId = mint();
    }

    function test_a_voucher_becomes_a_licence_that_anyone_may_pay_for() public {
        Licences.Voucher memory promised = voucher(tokenId, buyer);
        (promised.quota, promised.flags, promised.grace) = (100, 3, 7);
        bytes memory by = signed(promised, MAKER_KEY);
        vm.expectEmit(true, true, false, true, address(ledger));
        emit Licences.NonceUsed(maker, 1);
        vm.expectEmit(true, true, true, true, address(ledger));
        emit Licences.LicenceGranted(tokenId, buyer, 0, START + MONTH, 100, 3, 7, NATIVE, PRICE);
        vm.prank(other);
        vm.assertEq(ledger.redeem{value: PRICE + 1}(promised, by), START + MONTH);
        vm.assertTrue(ledger.hasLicense(tokenId, buyer));
        vm.assertFalse(ledger.hasLicense(tokenId, other));
        vm.assertEq(ledger.owed(NATIVE, other), 1);
        vm.assertEq(ledger.owed(NATIVE, maker), PRICE);
        vm.assertTrue(ledger.isNonceUsed(maker, 1));
        vm.assertFalse(ledger.isNonceUsed(maker, 2));
    }

    function test_a_voucher_ends_at_its_deadline() public {
        Licences.Voucher memory promised = voucher(tokenId, buyer);
        bytes memory by = signed(promised, MAKER_KEY);
        vm.warp(promised.deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(Signatures.SignatureExpired.selector, promised.deadline));
        vm.prank(buyer);
        ledger.redeem{value: PRICE}(promised, by);
        vm.warp(promised.deadline);
        vm.prank(buyer);
        ledger.redeem{value: PRICE}(promised, by);
    }

    function test_a_voucher_names_a_holder_and_sound_terms() public {
        Licences.Voucher memory promised = voucher(tokenId, address(0));
        bytes memory by = signed(promised, MAKER_KEY);
        vm.expectRevert(abi.encodeWithSelector(Licences.LicenceInvalidUser.selector, address(0)));
        ledger.redeem(promised, by);
        promised = voucher(tokenId, buyer);
        promised.duration = 0;
        by = signed(promised, MAKER_KEY);
        vm.expectRevert(abi.encodeWithSelector(Offers.TermsInvalid.selector, 0, 0));
        ledger.redeem(promised, by);
        promised.duration = 1;
        promised.flags = 128;
        by = signed(promised, MAKER_KEY);
        vm.expectRevert(abi.encodeWithSelector(Offers.TermsInvalid.selector, 1, 128));
        ledger.redeem(promised, by);
    }

    function test_a_cancelled_voucher_is_worthless() public {
        Licences.Voucher memory promised = voucher(tokenId, buyer);
        bytes memory by = signed(promised, MAKER_KEY);
        vm.prank(other);
        ledger.cancelVoucher(1);
        vm.assertFalse(ledger.isNonceUsed(maker, 1));
        vm.prank(maker);
        ledger.cancelVoucher(1);
        bytes memory used = abi.encodeWithSelector(Licences.NonceIsUsed.selector, maker, 1);
        vm.expectRevert(used);
        vm.prank(buyer);
        ledger.redeem{value: PRICE}(promised, by);
        vm.expectRevert(used);
        vm.prank(maker);
        ledger.cancelVoucher(1);
    }

    function test_a_voucher_of_a_former_owner_is_worthless() public {
        Licences.Voucher memory promised = voucher(tokenId, buyer);
        bytes memory by = signed(promised, MAKER_KEY);
        vm.prank(maker);
        ledger.transferFrom(maker, other, tokenId);
        vm.expectRevert(abi.encodeWithSelector(Signatures.SignatureInvalid.selector, other));
        vm.prank(buyer);
        ledger.redeem{value: PRICE}(promised, by);
    }

    function test_a_contract_account_promises_by_erc_1271() public {
        address owner = wallet();
        vm.prank(maker);
        ledger.transferFrom(maker, owner, tokenId);
        Licences.Voucher memory promised = voucher(tokenId, buyer);
        bytes memory by = signed(promised, MAKER_KEY);
        vm.prank(buyer);
        ledger.redeem{value: PRICE}(promised, by);
        vm.assertTrue(ledger.hasLicense(tokenId, buyer));
        vm.assertTrue(ledger.isNonceUsed(owner, 1));

        promised.nonce = 2;
        by = signed(promised, OTHER_KEY);
        vm.expectRevert(abi.encodeWithSelector(Signatures.SignatureInvalid.selector, owner));
        vm.prank(buyer);
        ledger.redeem{value: PRICE}(promised, by);
    }

    function testFuzz_a_voucher_that_was_altered_is_worthless(uint8 field, uint256 change) public {
        Licences.Voucher memory promised = voucher(tokenId, buyer);
        promised.price = 0;
        bytes memory by = signed(promised, MAKER_KEY);
        field %= 6;
        if (field == 0) promised.licensee = address(uint160(change | 1));
        if (field == 1) promised.duration += uint40(change % 1000 + 1);
        if (field == 2) promised.quota = uint32(change | 1);
        if (field == 3) promised.flags = uint8(change % 3 + 1);
        if (field == 4) promised.nonce += change % 1000 + 1;
        if (field == 5) promised.deadline += change % 1000 + 1;
        vm.assume(promised.licensee != buyer || field != 0);
        vm.expectRevert(abi.encodeWithSelector(Signatures.SignatureInvalid.selector, maker));
        ledger.redeem(promised, by);
    }

    function test_a_voucher_is_not_redeemed_of_an_adapter_withdrawn_or_taken_down_or_absent() public {
        Licences.Voucher memory promised = voucher(tokenId, buyer);
        bytes memory by = signed(promised, MAKER_KEY);
        vm.prank(safety);
        ledger.takeDown(tokenId, "reason");
        vm.expectRevert(abi.encodeWithSelector(Adapters.AdapterIsTakenDown.selector, tokenId));
        ledger.redeem(promised, by);
        vm.prank(maker);
        ledger.revokeAdapter(tokenId, "withdrawn");
        vm.expectRevert(abi.encodeWithSelector(Adapters.AdapterIsRevoked.selector, tokenId));
        ledger.redeem(promised, by);
        promised.tokenId = 9;
        vm.expectRevert(abi.encodeWithSignature("ERC721NonexistentToken(uint256)", 9));
        ledger.redeem(promised, by);
    }

    function test_a_voucher_does_not_replace_a_licence_that_was_paid_for() public {
        uint24 offerId = offer(tokenId);
        buy(buyer, tokenId, offerId);
        Licences.Voucher memory promised = voucher(tokenId, buyer);
        bytes memory by = signed(promised, MAKER_KEY);
        vm.expectRevert(abi.encodeWithSelector(Licences.LicenceUnderOtherTerms.selector, tokenId, buyer, offerId));
        vm.prank(buyer);
        ledger.redeem{value: PRICE}(promised, by);
    }

    function test_a_voucher_costs_what_it_says() public {
        Licences.Voucher memory promised = voucher(tokenId, buyer);
        bytes memory by = signed(promised, MAKER_KEY);
        vm.expectRevert(abi.encodeWithSelector(Treasury.PaymentInsufficient.selector, PRICE, 1));
        vm.prank(buyer);
        ledger.redeem{value: 1}(promised, by);
        promised.currency = address(token);
        by = signed(promised, MAKER_KEY);
        vm.prank(buyer);
        ledger.redeem(promised, by);
        vm.assertEq(ledger.owed(address(token), maker), PRICE);
    }

    function test_a_revocation_pays_back_what_a_voucher_cost() public {
        redeem(PRICE, 1);
        vm.warp(START + MONTH / 4);
        vm.prank(maker);
        ledger.revoke(tokenId, buyer, "breach");
        vm.assertEq(ledger.owed(NATIVE, buyer), PRICE * 3 / 4);
    }

    function test_a_free_voucher_is_not_paid_back_at_the_price_of_an_earlier_one() public {
        redeem(PRICE, 1);
        vm.warp(START + MONTH);
        redeem(0, 2);
        (, uint256 refund) = ledger.refundOf(tokenId, buyer);
        vm.assertEq(refund, 0);
    }

    function redeem(uint96 price, uint256 nonce) private {
        Licences.Voucher memory promised = voucher(tokenId, buyer);
        (promised.price, promised.nonce) = (price, nonce);
        bytes memory by = signed(promised, MAKER_KEY);
        vm.prank(buyer);
        ledger.redeem{value: price}(promised, by);
    }
}
