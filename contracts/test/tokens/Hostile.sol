// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Reentrant} from "../accounts/Reentrant.sol";
import {Token} from "./Token.sol";

/// @notice Takes a tenth of every payment.
contract FeeToken is Token {
    function _update(address from, address to, uint256 amount) internal override {
        if (from == address(0)) return super._update(from, to, amount);
        super._update(from, to, amount - amount / 10);
        super._update(from, address(0xFEE), amount / 10);
    }
}

/// @notice Says false instead of reverting, and pays nothing.
contract FalseToken is Token {
    function transfer(address, uint256) public pure override returns (bool) {
        return false;
    }

    function transferFrom(address, address, uint256) public pure override returns (bool) {
        return false;
    }
}

/// @notice Says true, and pays nothing.
contract EmptyToken is Token {
    function transferFrom(address, address, uint256) public pure override returns (bool) {
        return true;
    }
}

/// @notice Says nothing at all, as USDT does, and pays.
contract SilentToken {
    mapping(address => uint256) public balanceOf;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function transfer(address to, uint256 amount) external {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
    }

    function transferFrom(address from, address to, uint256 amount) external {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}

/// @notice Answers for its balances what its master wishes: the sum it was asked for, and never pays out.
contract LyingToken {
    uint256 public lie;

    function balanceOf(address) external view returns (uint256) {
        return lie;
    }

    function transferFrom(address, address, uint256 amount) external returns (bool) {
        lie += amount;
        return true;
    }

    function transfer(address, uint256) external pure returns (bool) {
        return true;
    }
}

/// @notice Loses what it held: balances shrink while the payment is under way.
contract ShrinkingToken {
    uint256 private _asked;

    function balanceOf(address) external view returns (uint256) {
        return 1_000 - _asked;
    }

    function transferFrom(address, address, uint256) external returns (bool) {
        _asked = 1;
        return true;
    }
}

/// @notice Calls back whoever pays or is paid, before the money moves, as ERC-777 does.
contract CallingToken is Token {
    function _update(address from, address to, uint256 amount) internal override {
        _call(from);
        _call(to);
        super._update(from, to, amount);
    }

    /// @dev As in ERC-777, who has no hook is paid all the same.
    function _call(address party) private {
        (bool heard,) = party.call(abi.encodeCall(Reentrant.called, ()));
        if (!heard) return;
    }
}
