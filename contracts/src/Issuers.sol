// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Texts} from "./Texts.sol";

/// @title Issuers
/// @notice Binds an account on the chain to the root certificates it signs images and releases under, and says from
/// when until when.
abstract contract Issuers is Texts {
    /// @notice A root certificate of an account; `revokedAt` is 0 while it stands.
    struct Issuer {
        uint40 validFrom;
        uint40 revokedAt;
    }

    mapping(address account => mapping(bytes32 rootDigest => Issuer)) private _issuers;

    /// @notice An account declared a root certificate (sha256 of its DER bytes) its own.
    event IssuerRegistered(address indexed account, bytes32 indexed rootDigest, uint40 validFrom);

    /// @notice An account no longer stands by what is signed under a root certificate from now on.
    event IssuerRevoked(address indexed account, bytes32 indexed rootDigest, string reason);

    /// @dev A root certificate must be named.
    error IssuerZeroDigest();

    /// @dev The account has declared it before, or has revoked it.
    error IssuerIsRegistered(address account, bytes32 rootDigest);

    /// @dev The account has not declared it, or has revoked it.
    error IssuerNotRegistered(address account, bytes32 rootDigest);

    /// @notice Declares a root certificate the caller's own from `validFrom` on; 0 means now.
    function registerIssuer(bytes32 rootDigest, uint40 validFrom) external {
        if (rootDigest == 0) revert IssuerZeroDigest();
        Issuer storage issuer = _issuers[msg.sender][rootDigest];
        if (issuer.validFrom != 0) revert IssuerIsRegistered(msg.sender, rootDigest);
        issuer.validFrom = validFrom == 0 ? uint40(block.timestamp) : validFrom;
        emit IssuerRegistered(msg.sender, rootDigest, issuer.validFrom);
    }

    /// @notice Ends a root certificate of the caller's now, for good. What was anchored before stays good.
    function revokeIssuer(bytes32 rootDigest, string calldata reason) external {
        _requireText(reason, MAX_REASON_BYTES);
        Issuer storage issuer = _issuers[msg.sender][rootDigest];
        if (issuer.validFrom == 0 || issuer.revokedAt != 0) revert IssuerNotRegistered(msg.sender, rootDigest);
        issuer.revokedAt = uint40(block.timestamp);
        emit IssuerRevoked(msg.sender, rootDigest, reason);
    }

    /// @notice Whether a root certificate was an account's own at a time.
    function isIssuer(address account, bytes32 rootDigest, uint256 time) external view returns (bool) {
        Issuer memory issuer = _issuers[account][rootDigest];
        bool begun = issuer.validFrom != 0 && issuer.validFrom <= time;
        return begun && (issuer.revokedAt == 0 || time < issuer.revokedAt);
    }
}
