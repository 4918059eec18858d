// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Issuers
/// @notice Binds an account on the chain to the root certificate it signs images and releases under.
abstract contract Issuers {
    mapping(address account => mapping(bytes32 rootDigest => bool)) private _registered;

    /// @notice An account declared a root certificate (sha256 of its DER bytes) its own.
    event IssuerRegistered(address indexed account, bytes32 indexed rootDigest);

    /// @dev A root certificate must be named.
    error IssuerZeroDigest();

    /// @dev The account has already declared it.
    error IssuerIsRegistered(address account, bytes32 rootDigest);

    /// @notice Declares a root certificate the caller's own.
    function registerIssuer(bytes32 rootDigest) external {
        if (rootDigest == 0) revert IssuerZeroDigest();
        if (_registered[msg.sender][rootDigest]) revert IssuerIsRegistered(msg.sender, rootDigest);
        _registered[msg.sender][rootDigest] = true;
        emit IssuerRegistered(msg.sender, rootDigest);
    }

    /// @notice Whether an account has declared a root certificate its own.
    function isIssuer(address account, bytes32 rootDigest) external view returns (bool) {
        return _registered[account][rootDigest];
    }
}
