// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";

/// @title Safety
/// @notice Two roles with little power: an owner who appoints, and a safety account that may take adapters down.
/// @dev Neither can move a token, a licence or money, change a digest or an anchor, or replace the code. A pause stops
/// new mints and sales only: licences, anchors, withdrawals and refunds go on.
abstract contract Safety is Ownable2Step, Pausable {
    /// @notice The account that may take adapters down and reinstate them.
    address public safety;

    /// @notice The owner appointed the safety account.
    event SafetyAppointed(address indexed safety);

    /// @dev Only the safety account may do this.
    error SafetyUnauthorized(address caller);

    /// @notice Appoints the safety account; the zero address leaves the role empty.
    function appointSafety(address account) external onlyOwner {
        safety = account;
        emit SafetyAppointed(account);
    }

    /// @notice Stops new mints and sales. The owner or the safety account may.
    function pause() external {
        if (msg.sender != safety && msg.sender != owner()) revert SafetyUnauthorized(msg.sender);
        _pause();
    }

    /// @notice Lets mints and sales go on. Only the owner may.
    function unpause() external onlyOwner {
        _unpause();
    }

    function _requireSafety() internal view {
        if (msg.sender != safety) revert SafetyUnauthorized(msg.sender);
    }
}
