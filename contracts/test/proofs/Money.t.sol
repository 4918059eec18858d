// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Offers} from "../../src/Offers.sol";
import {vm} from "../Vm.sol";
import {LedgerProof} from "./LedgerProof.sol";

/// @notice Proved by Halmos: what a sale and a withdrawal do with money, for every price and payment.
contract MoneyProofs is LedgerProof {
    address private constant BUYER = address(0xB0B);

    /// @dev Every wei that is paid is owed to the owner or back to the buyer, and too little buys nothing.
    function check_every_wei_of_a_sale_is_owed(uint96 price, uint128 value) public {
        sell(price, 30 days, value);
        assert(value >= price);
        assert(ledger.owed(address(0), MAKER) == price);
        assert(ledger.owed(address(0), BUYER) == value - price);
        assert(address(ledger).balance == value);
    }

    /// @dev A withdrawal pays all that is owed, once, to nobody else.
    function check_a_withdrawal_pays_what_is_owed_once(uint96 price) public {
        sell(price, 30 days, price);
        vm.prank(MAKER);
        try ledger.withdraw(address(0), MAKER) returns (uint256 amount) {
            assert(amount == price && price != 0);
        } catch {
            assert(price == 0);
        }
        assert(MAKER.balance == price);
        assert(address(ledger).balance == 0);
        assert(ledger.owed(address(0), MAKER) == 0);
    }

    /// @dev Nobody who is owed nothing withdraws anything.
    function check_nobody_withdraws_what_is_anothers(address caller, address to, uint96 price) public {
        vm.assume(caller != MAKER);
        sell(price, 30 days, price);
        vm.prank(caller);
        try ledger.withdraw(address(0), to) {
            assert(false);
        } catch {}
        assert(address(ledger).balance == price);
        assert(ledger.owed(address(0), MAKER) == price);
    }

    /// @dev From the end of the time that was paid for on, nothing is given back.
    function check_nothing_is_given_back_of_time_that_is_over(uint96 price, uint40 later) public {
        sell(price, 30 days, price);
        vm.assume(later >= START + 30 days);
        vm.warp(later);
        (, uint256 amount) = ledger.refundOf(tokenId, BUYER);
        assert(amount == 0);
    }

    function sell(uint96 price, uint40 duration, uint128 value) private {
        vm.prank(MAKER);
        ledger.offer(tokenId, Offers.Terms(address(0), price, duration, 0, 0, 0));
        vm.deal(BUYER, value);
        vm.prank(BUYER);
        ledger.buy{value: value}(tokenId, 1, price);
    }
}
