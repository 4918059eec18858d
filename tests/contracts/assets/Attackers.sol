// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

interface Target {
    function buy(uint256 tokenId, uint256 maxPrice, uint64 minDuration) external payable;
    function withdraw() external;
}

/// Overpays for a licence, then tries to be paid back more than once.
contract Reenter {
    Target private immutable target;
    uint256 public payments;
    uint256 public refusals;

    constructor(Target target_) {
        target = target_;
    }

    function run(uint256 tokenId) external payable {
        target.buy{value: msg.value}(tokenId, msg.value, 0);
        target.withdraw();
    }

    receive() external payable {
        payments++;
        try target.withdraw() {} catch {
            refusals++;
        }
    }
}

/// Is owed money and takes none.
contract Miser {
    Target private immutable target;

    constructor(Target target_) {
        target = target_;
    }

    function overpay(uint256 tokenId) external payable {
        target.buy{value: msg.value}(tokenId, msg.value, 0);
    }

    function run(uint256) external {
        target.withdraw();
    }
}
