// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Adapters} from "../../src/Adapters.sol";
import {Licences} from "../../src/Licences.sol";
import {Metering} from "../../src/Metering.sol";
import {ProvLedger} from "../../src/ProvLedger.sol";
import {Signatures} from "../../src/Signatures.sol";
import {LedgerTest} from "../LedgerTest.sol";
import {vm} from "../Vm.sol";

/// @notice Signatures used again, elsewhere, or in another shape.
contract SignatureAttackTest is LedgerTest {
    uint256 private constant ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
    uint256 private tokenId;

    function setUp() public override {
        super.setUp();
        tokenId = mint();
    }

    function test_the_domain_is_this_contract_on_this_chain() public {
        bytes32 kind = keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        bytes memory names = abi.encode(kind, keccak256("prov"), keccak256("1"));
        vm.assertEq(
            ledger.domainSeparator(), keccak256(bytes.concat(names, abi.encode(block.chainid, address(ledger))))
        );
        vm.chainId(77);
        vm.assertEq(ledger.domainSeparator(), keccak256(bytes.concat(names, abi.encode(77, address(ledger)))));
    }

    function test_a_voucher_is_not_redeemed_twice() public {
        (Licences.Voucher memory promised, bytes memory by) = free(buyer, 1);
        ledger.redeem(promised, by);
        bytes memory used = abi.encodeWithSelector(Licences.NonceIsUsed.selector, maker, 1);
        vm.expectRevert(used);
        ledger.redeem(promised, by);
        vm.warp(promised.deadline);
        vm.expectRevert(used);
        ledger.redeem(promised, by);
    }

    function test_two_vouchers_of_one_nonce_are_one_voucher() public {
        (Licences.Voucher memory first, bytes memory by) = free(buyer, 1);
        ledger.redeem(first, by);
        (Licences.Voucher memory second, bytes memory again) = free(other, 1);
        vm.expectRevert(abi.encodeWithSelector(Licences.NonceIsUsed.selector, maker, 1));
        ledger.redeem(second, again);
    }

    function test_a_voucher_is_worthless_on_a_fork_of_the_chain() public {
        (Licences.Voucher memory promised, bytes memory by) = free(buyer, 1);
        vm.chainId(block.chainid + 1);
        vm.expectRevert(abi.encodeWithSelector(Signatures.SignatureInvalid.selector, maker));
        ledger.redeem(promised, by);
    }

    function test_a_voucher_is_worthless_at_another_ledger() public {
        (Licences.Voucher memory promised, bytes memory by) = free(buyer, 1);
        ProvLedger first = ledger;
        setUp();
        vm.assertTrue(address(ledger) != address(first));
        vm.expectRevert(abi.encodeWithSelector(Signatures.SignatureInvalid.selector, maker));
        ledger.redeem(promised, by);
        first.redeem(promised, by);
    }

    function test_a_malleable_signature_is_refused() public {
        (Licences.Voucher memory promised,) = free(buyer, 1);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(MAKER_KEY, typedDigest(voucherHash(promised)));
        bytes memory twin = abi.encodePacked(r, ORDER - uint256(s), v ^ 7);
        bytes memory invalid = abi.encodeWithSelector(Signatures.SignatureInvalid.selector, maker);
        vm.expectRevert(invalid);
        ledger.redeem(promised, twin);
    }

    function test_signatures_of_another_length_are_refused() public {
        (Licences.Voucher memory promised,) = free(buyer, 1);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(MAKER_KEY, typedDigest(voucherHash(promised)));
        bytes[5] memory shapes;
        shapes[0] = "";
        shapes[1] = abi.encodePacked(r);
        // ERC-2098's compact form.
        shapes[2] = abi.encodePacked(r, uint256(s) | uint256(v - 27) << 255);
        shapes[3] = abi.encodePacked(r, s, v, uint8(0));
        shapes[4] = abi.encodePacked(r, s, uint8(v - 27));
        for (uint256 i; i < shapes.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Signatures.SignatureInvalid.selector, maker));
            ledger.redeem(promised, shapes[i]);
        }
        ledger.redeem(promised, abi.encodePacked(r, s, v));
    }

    function testFuzz_random_bytes_sign_nothing(bytes calldata by) public {
        (Licences.Voucher memory promised,) = free(buyer, 1);
        vm.expectRevert(abi.encodeWithSelector(Signatures.SignatureInvalid.selector, maker));
        ledger.redeem(promised, by);
    }

    function test_the_zero_account_signs_nothing() public {
        Adapters.Mint memory adapter = draft(address(0));
        commit(adapter);
        vm.expectRevert(abi.encodeWithSelector(Signatures.SignatureInvalid.selector, address(0)));
        ledger.mint(adapter, abi.encodePacked(bytes32(0), bytes32(0), uint8(27)));
        vm.expectRevert(abi.encodeWithSelector(Signatures.SignatureInvalid.selector, address(0)));
        ledger.settle(tokenId, address(0), 1, abi.encodePacked(bytes32(0), bytes32(0), uint8(27)));
    }

    function test_a_signature_of_one_type_is_not_one_of_another() public {
        bytes memory by = usageSigned(tokenId, maker, 5, MAKER_KEY);
        Licences.Voucher memory promised = voucher(tokenId, buyer);
        promised.price = 0;
        vm.expectRevert(abi.encodeWithSelector(Signatures.SignatureInvalid.selector, maker));
        ledger.redeem(promised, by);
        by = signed(promised, MAKER_KEY);
        vm.expectRevert(abi.encodeWithSelector(Signatures.SignatureInvalid.selector, maker));
        ledger.settle(tokenId, maker, 5, by);
    }

    function test_a_usage_report_is_bound_to_adapter_and_chain() public {
        uint256 second = mint();
        grant(tokenId, buyer, START + MONTH);
        grant(second, buyer, START + MONTH);
        bytes memory by = usageSigned(tokenId, buyer, 5, BUYER_KEY);
        bytes memory invalid = abi.encodeWithSelector(Signatures.SignatureInvalid.selector, buyer);
        vm.expectRevert(invalid);
        ledger.settle(second, buyer, 5, by);
        vm.chainId(block.chainid + 1);
        vm.expectRevert(invalid);
        ledger.settle(tokenId, buyer, 5, by);
    }

    function test_a_report_settled_twice_says_nothing_new() public {
        grant(tokenId, buyer, START + MONTH);
        bytes memory by = usageSigned(tokenId, buyer, 5, BUYER_KEY);
        ledger.settle(tokenId, buyer, 5, by);
        vm.expectRevert(abi.encodeWithSelector(Licences.UsageNotAbove.selector, 5, 5));
        ledger.settle(tokenId, buyer, 5, by);
    }

    function free(address licensee, uint256 nonce)
        private
        view
        returns (Licences.Voucher memory promised, bytes memory by)
    {
        promised = voucher(tokenId, licensee);
        (promised.price, promised.nonce) = (0, nonce);
        by = signed(promised, MAKER_KEY);
    }
}
