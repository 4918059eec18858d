// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Licences} from "./Licences.sol";

/// @title Metering
/// @notice How many images were made under a licence: told by the licensee in signatures, settled when it suits.
/// @dev A report is the total so far, so that only the last one matters and none can be settled twice.
abstract contract Metering is Licences {
    bytes32 private constant USAGE_TYPEHASH = keccak256("Usage(uint256 tokenId,address user,uint32 used)");

    /// @notice Under a licence with a quota, an account has anchored this many images in all.
    event UsageAnchored(uint256 indexed tokenId, address indexed user, uint32 anchored);

    /// @dev The licence allows fewer images.
    error QuotaExceeded(uint256 tokenId, address user, uint256 quota, uint256 used);

    /// @notice Settles a licensee's signed total, the typed data `Usage`. Anyone may.
    function settle(uint256 tokenId, address user, uint32 used, bytes calldata signature) external {
        _requireSigned(user, keccak256(abi.encode(USAGE_TYPEHASH, tokenId, user, used)), signature);
        _setUsed(tokenId, user, used);
    }

    /// @notice Reports `count` more images of the caller's, within its licence.
    function consume(uint256 tokenId, uint32 count) external returns (uint32 used) {
        if (!hasLicense(tokenId, msg.sender)) revert LicenceNotHeld(tokenId, msg.sender);
        Licence memory held = _load(tokenId, msg.sender);
        used = _count(tokenId, msg.sender, held, _usage(held), count);
        _setUsed(tokenId, msg.sender, used);
    }

    /// @dev Anchored images count where a quota makes the count matter.
    function _countAnchored(uint256 tokenId, address user, Licence memory held, uint32 count) internal {
        if (held.quota == 0) return;
        held.anchored = _count(tokenId, user, held, held.anchored, count);
        _save(tokenId, user, held);
        emit UsageAnchored(tokenId, user, held.anchored);
    }

    function _count(uint256 tokenId, address user, Licence memory held, uint32 before, uint32 count)
        private
        pure
        returns (uint32)
    {
        uint256 total = uint256(before) + count;
        uint256 quota = held.quota == 0 ? type(uint32).max : held.quota;
        if (total > quota) revert QuotaExceeded(tokenId, user, quota, total);
        return uint32(total);
    }
}
