// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Adapters} from "../../src/Adapters.sol";
import {Treasury} from "../../src/Treasury.sol";
import {Bomber, Burner, Refuser} from "../accounts/Griefers.sol";
import {LedgerTest} from "../LedgerTest.sol";
import {EmptyToken, FalseToken, FeeToken, LyingToken, ShrinkingToken, SilentToken} from "../tokens/Hostile.sol";
import {Token} from "../tokens/Token.sol";
import {vm} from "../Vm.sol";

/// @notice Payees that refuse or burn, and tokens that lie: each harms only those who deal in it.
contract MoneyAttackTest is LedgerTest {
    function test_an_owner_that_refuses_money_sells_and_blocks_nobody() public {
        griefs(address(new Refuser()));
    }

    function test_an_owner_that_burns_gas_sells_and_blocks_nobody() public {
        griefs(address(new Burner()));
    }

    function test_an_owner_that_answers_with_a_megabyte_sells_and_blocks_nobody() public {
        griefs(address(new Bomber()));
    }

    function test_a_licensee_that_refuses_money_can_be_revoked() public {
        uint256 tokenId = mint();
        uint24 offerId = offer(tokenId);
        address refuser = address(new Refuser());
        vm.deal(refuser, PRICE);
        buy(refuser, tokenId, offerId);
        vm.prank(maker);
        ledger.revoke(tokenId, refuser, "breach");
        vm.assertEq(ledger.owed(NATIVE, refuser), PRICE);
        vm.prank(refuser);
        ledger.withdraw(NATIVE, other);
        vm.assertEq(ledger.owed(NATIVE, refuser), 0);
    }

    function test_a_token_that_takes_a_fee_buys_nothing() public {
        FeeToken hostile = new FeeToken();
        fund(hostile);
        uint256 tokenId = listed(address(hostile), 100);
        vm.expectRevert(abi.encodeWithSelector(Treasury.PaymentInsufficient.selector, 100, 90));
        vm.prank(buyer);
        ledger.buy(tokenId, 1, 100);
        vm.assertEq(ledger.owed(address(hostile), maker), 0);
    }

    function test_a_token_that_says_false_buys_nothing() public {
        FalseToken hostile = new FalseToken();
        fund(hostile);
        uint256 tokenId = listed(address(hostile), 100);
        vm.expectRevert(abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(hostile)));
        vm.prank(buyer);
        ledger.buy(tokenId, 1, 100);
    }

    function test_a_token_that_says_true_and_pays_nothing_buys_nothing() public {
        EmptyToken hostile = new EmptyToken();
        uint256 tokenId = listed(address(hostile), 100);
        vm.expectRevert(abi.encodeWithSelector(Treasury.PaymentInsufficient.selector, 100, 0));
        vm.prank(buyer);
        ledger.buy(tokenId, 1, 100);
    }

    function test_a_token_that_shrinks_buys_nothing() public {
        ShrinkingToken hostile = new ShrinkingToken();
        uint256 tokenId = listed(address(hostile), 100);
        vm.expectRevert(abi.encodeWithSelector(Treasury.PaymentInsufficient.selector, 100, 0));
        vm.prank(buyer);
        ledger.buy(tokenId, 1, 100);
    }

    function test_a_currency_that_is_no_contract_buys_nothing() public {
        uint256 tokenId = listed(address(0xDEAD), 100);
        vm.expectRevert();
        vm.prank(buyer);
        ledger.buy(tokenId, 1, 100);
    }

    function test_the_ledger_itself_is_no_currency() public {
        uint256 tokenId = listed(address(ledger), 1);
        vm.startPrank(maker);
        ledger.setApprovalForAll(address(ledger), true);
        vm.stopPrank();
        vm.expectRevert();
        vm.prank(buyer);
        ledger.buy(tokenId, 1, 1);
        vm.assertEq(ledger.ownerOf(tokenId), maker);
    }

    function test_a_token_that_answers_nothing_but_pays_is_money() public {
        SilentToken silent = new SilentToken();
        silent.mint(buyer, 100);
        uint256 tokenId = listed(address(silent), 100);
        vm.prank(buyer);
        ledger.buy(tokenId, 1, 100);
        vm.prank(maker);
        ledger.withdraw(address(silent), maker);
        vm.assertEq(silent.balanceOf(maker), 100);
    }

    function test_a_token_that_lies_about_balances_touches_no_other_money() public {
        LyingToken lying = new LyingToken();
        uint256 tokenId = listed(address(lying), 1_000 ether);
        uint256 honest = mint();
        uint24 offerId = offer(honest);
        buy(buyer, honest, offerId);
        uint24 inToken = offer(honest, terms(address(token), 5, MONTH));
        buy(maker, honest, inToken);

        vm.prank(other);
        ledger.buy(tokenId, 1, 1_000 ether);
        vm.prank(maker);
        ledger.withdraw(address(lying), maker);
        vm.assertEq(address(ledger).balance, PRICE);
        vm.assertEq(token.balanceOf(address(ledger)), 5);
        vm.assertEq(ledger.owed(NATIVE, maker), PRICE);
        vm.assertEq(ledger.owed(address(token), maker), 5);
    }

    function test_a_token_that_lies_cannot_fill_the_pools_of_another() public {
        LyingToken lying = new LyingToken();
        mint();
        uint256 derived = mintFrom(1, other);
        offer(derived, terms(address(lying), type(uint96).max, MONTH));
        vm.prank(buyer);
        ledger.buy(derived, 1, type(uint96).max);
        ledger.collect(derived, 1, address(lying));
        vm.assertEq(ledger.poolOf(NATIVE, derived).parents, 0);
        vm.assertEq(ledger.owed(NATIVE, maker), 0);
    }

    function test_nobody_spends_anothers_allowance() public {
        uint256 tokenId = listed(address(token), 100);
        // `buyer` has given the ledger an unlimited allowance; `other` has no tokens.
        uint256 before = token.balanceOf(buyer);
        vm.expectRevert();
        vm.prank(other);
        ledger.buy(tokenId, 1, 100);
        vm.assertEq(token.balanceOf(buyer), before);
    }

    function griefs(address griefer) private {
        uint256 tokenId = mint();
        vm.prank(maker);
        ledger.transferFrom(maker, griefer, tokenId);
        uint24 offerId = offer(tokenId);
        buy(buyer, tokenId, offerId);
        vm.assertTrue(ledger.hasLicense(tokenId, buyer));
        vm.expectRevert(abi.encodeWithSelector(Treasury.WithdrawalFailed.selector, griefer));
        vm.prank(griefer);
        ledger.withdraw{gas: 5_000_000}(NATIVE, griefer);
        vm.assertEq(ledger.owed(NATIVE, griefer), PRICE);

        Adapters.Mint memory adapter = draft(other);
        adapter.parents = new uint32[](1);
        adapter.parents[0] = uint32(tokenId);
        uint256 derived = mint(adapter);
        offer(derived);
        buy(buyer, derived, 1);
        ledger.collect(derived, tokenId, NATIVE);
        vm.prank(other);
        ledger.withdraw(NATIVE, other);
        vm.prank(griefer);
        ledger.withdraw(NATIVE, other);
        vm.assertEq(address(ledger).balance, 0);
    }

    function listed(address currency, uint96 price) private returns (uint256 tokenId) {
        tokenId = mint();
        offer(tokenId, terms(currency, price, MONTH));
    }

    function fund(Token hostile) private {
        hostile.mint(buyer, 1_000);
        vm.prank(buyer);
        hostile.approve(address(ledger), type(uint256).max);
    }
}
