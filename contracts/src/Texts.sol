// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Texts
/// @notice What people write into the ledger: never empty, never long.
abstract contract Texts {
    uint256 internal constant MAX_CID_BYTES = 128;
    uint256 internal constant MAX_REASON_BYTES = 512;

    /// @dev A text is empty or longer than `limit` bytes.
    error TextInvalidLength(uint256 length, uint256 limit);

    function _requireText(string calldata text, uint256 limit) internal pure {
        uint256 length = bytes(text).length;
        if (length == 0 || length > limit) revert TextInvalidLength(length, limit);
    }
}
