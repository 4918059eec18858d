// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Licences} from "../../src/Licences.sol";
import {Offers} from "../../src/Offers.sol";
import {Treasury} from "../../src/Treasury.sol";
import {Reentrant} from "../accounts/Reentrant.sol";
import {LedgerTest} from "../LedgerTest.sol";
import {CallingToken} from "../tokens/Hostile.sol";
import {vm} from "../Vm.sol";

/// @notice An account that is a contract, and calls the ledger again while it is being paid or is paying.
contract ReentrancyTest is LedgerTest {
    Reentrant private attacker;
    uint256 private tokenId;
    CallingToken private calling;

    function setUp() public override {
        super.setUp();
        attacker = new Reentrant(ledger);
        vm.deal(address(attacker), 100 ether);
        tokenId = mint();
        calling = new CallingToken();
        calling.mint(address(attacker), 100 ether);
        attacker.act(address(calling), 0, abi.encodeCall(calling.approve, (address(ledger), type(uint256).max)));
        // Money of others, which there is to steal.
        offer(tokenId);
        buy(buyer, tokenId, 1);
    }

    function test_a_withdrawal_is_not_repeated_from_within() public {
        owe(1 ether);
        uint256 before = address(attacker).balance;
        enter(0, abi.encodeCall(Treasury.withdraw, (NATIVE, address(attacker))));
        attacker.act(address(ledger), 0, abi.encodeCall(Treasury.withdraw, (NATIVE, address(attacker))));
        refusedFromWithin(Treasury.NothingOwed.selector);
        vm.assertEq(address(attacker).balance, before + 1 ether);
        vm.assertEq(address(ledger).balance, PRICE * 2);
    }

    function test_what_is_bought_during_a_withdrawal_is_paid_for() public {
        owe(1 ether);
        enter(PRICE, abi.encodeCall(Licences.buy, (tokenId, 1, PRICE)));
        attacker.act(address(ledger), 0, abi.encodeCall(Treasury.withdraw, (NATIVE, address(attacker))));
        vm.assertTrue(attacker.succeeded());
        vm.assertEq(ledger.owed(NATIVE, maker), PRICE * 3);
        vm.assertEq(address(ledger).balance, PRICE * 3);
    }

    function test_a_refund_during_a_withdrawal_is_paid_for() public {
        uint256 own = owned();
        uint24 offerId = offerBy(own, terms(NATIVE, PRICE, MONTH));
        buy(other, own, offerId);
        // The withdrawal takes the price, so nothing covers the refund any more.
        enter(0, abi.encodeCall(Licences.revoke, (own, other, "breach")));
        attacker.act(address(ledger), 0, abi.encodeCall(Treasury.withdraw, (NATIVE, address(attacker))));
        refusedFromWithin(Treasury.PaymentInsufficient.selector);
        vm.assertTrue(ledger.hasLicense(own, other));
        vm.assertEq(address(ledger).balance, PRICE);
    }

    function test_a_purchase_is_not_repeated_from_within_its_payment() public {
        uint24 offerId = offer(tokenId, terms(address(calling), 5, MONTH));
        enter(0, abi.encodeCall(Licences.buy, (tokenId, offerId, 5)));
        attacker.act(address(ledger), 0, abi.encodeCall(Licences.buy, (tokenId, offerId, 5)));
        refusedFromWithin(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
        vm.assertEq(ledger.userExpires(tokenId, address(attacker)), START + MONTH);
        vm.assertEq(ledger.owed(address(calling), maker), 5);
        vm.assertEq(calling.balanceOf(address(ledger)), 5);
    }

    function test_a_seller_does_not_withdraw_what_has_not_arrived() public {
        uint256 own = owned();
        uint24 offerId = offerBy(own, terms(address(calling), 5, MONTH));
        enter(0, abi.encodeCall(Treasury.withdraw, (address(calling), address(attacker))));
        attacker.act(address(ledger), 0, abi.encodeCall(Licences.buy, (own, offerId, 5)));
        vm.assertFalse(attacker.succeeded());
        vm.assertEq(calling.balanceOf(address(ledger)), 5);
        vm.assertEq(ledger.owed(address(calling), address(attacker)), 5);
    }

    function test_a_seller_does_not_withdraw_the_money_of_others_while_its_own_is_under_way() public {
        deposit(5);
        uint256 own = owned();
        uint24 offerId = offerBy(own, terms(address(calling), 5, MONTH));
        enter(0, abi.encodeCall(Treasury.withdraw, (address(calling), address(attacker))));
        vm.expectRevert(abi.encodeWithSelector(Treasury.PaymentInsufficient.selector, 5, 0));
        attacker.act(address(ledger), 0, abi.encodeCall(Licences.buy, (own, offerId, 5)));
        vm.assertEq(calling.balanceOf(address(ledger)), 5);
        vm.assertEq(ledger.owed(address(calling), maker), 5);
    }

    function test_a_refund_is_not_withdrawn_before_it_is_paid() public {
        deposit(5);
        uint256 own = owned();
        uint24 offerId = offerBy(own, terms(address(calling), 5, MONTH));
        attacker.act(address(ledger), 0, abi.encodeCall(Licences.buy, (own, offerId, 5)));
        attacker.act(address(ledger), 0, abi.encodeCall(Treasury.withdraw, (address(calling), address(attacker))));
        // Owner and licensee are one account: the refund it owes itself is credited, then pulled from it.
        enter(0, abi.encodeCall(Treasury.withdraw, (address(calling), address(attacker))));
        vm.expectRevert(abi.encodeWithSelector(Treasury.PaymentInsufficient.selector, 5, 0));
        attacker.act(address(ledger), 0, abi.encodeCall(Licences.revoke, (own, address(attacker), "breach")));
        vm.assertEq(calling.balanceOf(address(ledger)), 5);
    }

    function test_a_licence_revoked_while_it_is_paid_for_is_paid_back_once() public {
        uint256 own = owned();
        uint24 offerId = offerBy(own, terms(address(calling), 5, MONTH));
        enter(0, abi.encodeCall(Licences.revoke, (own, address(attacker), "breach")));
        attacker.act(address(ledger), 0, abi.encodeCall(Licences.buy, (own, offerId, 5)));
        vm.assertEq(calling.balanceOf(address(ledger)), 5);
        vm.assertEq(ledger.owed(address(calling), address(attacker)), 5);
        vm.assertEq(ledger.licenceOf(own, address(attacker)).expires, START);
    }

    function test_a_token_withdrawal_is_not_repeated_from_within() public {
        deposit(50);
        uint256 own = owned();
        uint24 offerId = offerBy(own, terms(address(calling), 5, MONTH));
        attacker.act(address(ledger), 0, abi.encodeCall(Licences.buy, (own, offerId, 5)));
        enter(0, abi.encodeCall(Treasury.withdraw, (address(calling), address(attacker))));
        attacker.act(address(ledger), 0, abi.encodeCall(Treasury.withdraw, (address(calling), address(attacker))));
        refusedFromWithin(Treasury.NothingOwed.selector);
        vm.assertEq(calling.balanceOf(address(ledger)), 50);
    }

    function test_a_licence_given_up_while_it_is_paid_for_is_gone_and_paid() public {
        uint24 offerId = offer(tokenId, terms(address(calling), 5, MONTH));
        enter(0, abi.encodeCall(Licences.renounce, (tokenId)));
        attacker.act(address(ledger), 0, abi.encodeCall(Licences.buy, (tokenId, offerId, 5)));
        vm.assertTrue(attacker.succeeded());
        vm.assertFalse(ledger.hasLicense(tokenId, address(attacker)));
        vm.assertEq(ledger.owed(address(calling), maker), 5);
        vm.assertEq(calling.balanceOf(address(ledger)), 5);
    }

    function test_a_licence_handed_on_while_it_is_paid_for_exists_once() public {
        uint24 offerId = offer(tokenId, Offers.Terms(address(calling), 5, MONTH, 10, 2, 0));
        enter(0, abi.encodeCall(Licences.transferLicence, (tokenId, other)));
        attacker.act(address(ledger), 0, abi.encodeCall(Licences.buy, (tokenId, offerId, 5)));
        vm.assertTrue(attacker.succeeded());
        vm.assertFalse(ledger.hasLicense(tokenId, address(attacker)));
        vm.assertTrue(ledger.hasLicense(tokenId, other));
        vm.assertEq(ledger.licenceOf(tokenId, other).quota, 10);
        vm.assertEq(calling.balanceOf(address(ledger)), 5);
    }

    function enter(uint256 value, bytes memory call) private {
        attacker.prepare(value, call);
    }

    function refusedFromWithin(bytes4 problem) private view {
        vm.assertEq(attacker.tries(), 1);
        vm.assertFalse(attacker.succeeded());
        vm.assertEq(bytes4(attacker.answer()), problem);
    }

    /// @dev Tokens of the maker's in the ledger, which there are to steal.
    function deposit(uint96 amount) private {
        calling.mint(other, amount);
        vm.prank(other);
        calling.approve(address(ledger), amount);
        uint256 listed = mint();
        buy(other, listed, offer(listed, terms(address(calling), amount, MONTH)));
    }

    /// @dev The attacker is owed by paying too much.
    function owe(uint256 amount) private {
        attacker.act(address(ledger), PRICE + amount, abi.encodeCall(Licences.buy, (tokenId, 1, PRICE)));
    }

    function owned() private returns (uint256 own) {
        own = mint();
        vm.prank(maker);
        ledger.transferFrom(maker, address(attacker), own);
    }

    function offerBy(uint256 own, Offers.Terms memory wanted) private returns (uint24) {
        return abi.decode(attacker.act(address(ledger), 0, abi.encodeCall(Offers.offer, (own, wanted))), (uint24));
    }
}
