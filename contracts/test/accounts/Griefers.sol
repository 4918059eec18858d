// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @notice Refuses all money.
contract Refuser {
    receive() external payable {
        revert("no");
    }
}

/// @notice Burns all gas it is given.
contract Burner {
    uint256 private _count;

    receive() external payable {
        while (true) ++_count;
    }
}

/// @notice Answers a payment with a megabyte.
contract Bomber {
    receive() external payable {
        assembly {
            revert(0, 1000000)
        }
    }
}
