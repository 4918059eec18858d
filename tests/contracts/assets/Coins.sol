// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @notice An ERC-20 as it should be, from which anyone may help itself.
contract Coin is ERC20("Coin", "COIN") {
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}

/// @notice Takes a tenth of every payment.
contract FeeCoin is Coin {
    function _update(address from, address to, uint256 amount) internal override {
        if (from == address(0)) return super._update(from, to, amount);
        super._update(from, to, amount - amount / 10);
        super._update(from, address(0xFEE), amount / 10);
    }
}

/// @notice Says that it paid, and pays nothing.
contract EmptyCoin is Coin {
    function transferFrom(address, address, uint256) public pure override returns (bool) {
        return true;
    }
}

/// @notice Says that it did not pay, and pays nothing.
contract FalseCoin is Coin {
    function transferFrom(address, address, uint256) public pure override returns (bool) {
        return false;
    }
}

/// @notice Pays and says nothing, as the oldest coins do.
contract SilentCoin {
    mapping(address => uint256) public balanceOf;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address, uint256) external {}

    function transfer(address to, uint256 amount) external {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
    }

    function transferFrom(address from, address to, uint256 amount) external {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}

/// @notice Changes no allowance that is not zero, as the oldest coins do, and says why it refuses, with a bell.
contract OldCoin is Coin {
    function approve(address spender, uint256 amount) public override returns (bool) {
        require(amount == 0 || allowance(msg.sender, spender) == 0, "OldCoin: first to zero");
        return super.approve(spender, amount);
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        require(balanceOf(from) >= amount, "OldCoin: not enough\x07");
        return super.transferFrom(from, to, amount);
    }
}

interface Called {
    function called() external;
}

/// @notice Calls back who pays, before the money moves, as ERC-777 does.
contract CallingCoin is Coin {
    function _update(address from, address to, uint256 amount) internal override {
        if (from.code.length != 0) {
            try Called(from).called() {} catch {}
        }
        super._update(from, to, amount);
    }
}
