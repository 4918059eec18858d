// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";

/// @title Adapters
/// @notice An adapter is a token: who made it, from which dataset, and whether it has been withdrawn.
/// @dev Weights and dataset digests are in storage, so that other contracts can ask; base, terms and the CID of the
/// release are in the mint's event only, which is all an off-chain reader needs.
abstract contract Adapters is ERC721 {
    /// @notice What the contract keeps of one adapter.
    struct Adapter {
        address maker;
        uint48 mintedAt;
        uint48 revokedAt;
        bytes32 weights;
        bytes32 dataset;
    }

    uint256 internal constant MAX_CID_BYTES = 128;
    uint256 internal constant MAX_REASON_BYTES = 512;

    uint256 private _lastTokenId;
    mapping(uint256 tokenId => Adapter) private _adapters;
    mapping(bytes32 weights => uint256 tokenId) private _tokenOfWeights;
    mapping(uint256 tokenId => mapping(bytes32 recordDigest => uint256 timestamp)) private _consentRevokedAt;

    /// @notice An adapter was minted.
    event AdapterMinted(
        uint256 indexed tokenId,
        address indexed maker,
        bytes32 indexed weights,
        bytes32 dataset,
        bytes32 base,
        bytes32 terms,
        string cid
    );

    /// @notice An adapter was withdrawn for good.
    event AdapterRevoked(uint256 indexed tokenId, address indexed by, string reason);

    /// @notice Consent to one record of an adapter's dataset was withdrawn.
    event ConsentRevoked(uint256 indexed tokenId, bytes32 indexed recordDigest, string reason);

    /// @dev Weights, dataset and base must be named.
    error AdapterZeroDigest();

    /// @dev These weights are already a token.
    error AdapterWeightsTaken(bytes32 weights, uint256 tokenId);

    /// @dev The caller has no say over this token.
    error AdapterUnauthorized(uint256 tokenId, address caller);

    /// @dev The adapter was withdrawn at `revokedAt`.
    error AdapterIsRevoked(uint256 tokenId, uint256 revokedAt);

    /// @dev Consent to this record was already withdrawn.
    error ConsentIsRevoked(uint256 tokenId, bytes32 recordDigest, uint256 revokedAt);

    /// @dev A text is empty or longer than `limit` bytes.
    error TextInvalidLength(uint256 length, uint256 limit);

    /// @notice Mints the adapter with these weights to the caller.
    /// @param weights sha256 of adapter.safetensors; one token for each.
    /// @param dataset sha256 of the dataset statement's payload.
    /// @param base Digest of the base model.
    /// @param terms sha256 of the licence terms; zero if there are none.
    /// @param cid Where the published release is.
    function mint(bytes32 weights, bytes32 dataset, bytes32 base, bytes32 terms, string calldata cid)
        external
        returns (uint256 tokenId)
    {
        if (weights == 0 || dataset == 0 || base == 0) revert AdapterZeroDigest();
        _requireText(cid, MAX_CID_BYTES);
        uint256 taken = _tokenOfWeights[weights];
        if (taken != 0) revert AdapterWeightsTaken(weights, taken);

        tokenId = ++_lastTokenId;
        _tokenOfWeights[weights] = tokenId;
        _adapters[tokenId] = Adapter(msg.sender, uint48(block.timestamp), 0, weights, dataset);
        _mint(msg.sender, tokenId);
        emit AdapterMinted(tokenId, msg.sender, weights, dataset, base, terms, cid);
    }

    /// @notice Withdraws an adapter: no new licence, no new stream. Its owner or its maker may.
    function revokeAdapter(uint256 tokenId, string calldata reason) external {
        if (_requireOwned(tokenId) != msg.sender && _adapters[tokenId].maker != msg.sender) {
            revert AdapterUnauthorized(tokenId, msg.sender);
        }
        _requireNotRevoked(tokenId);
        _requireText(reason, MAX_REASON_BYTES);
        _adapters[tokenId].revokedAt = uint48(block.timestamp);
        emit AdapterRevoked(tokenId, msg.sender, reason);
    }

    /// @notice States that consent to a record of the dataset was withdrawn. Only the adapter's maker may.
    function revokeConsent(uint256 tokenId, bytes32 recordDigest, string calldata reason) external {
        _requireOwned(tokenId);
        if (_adapters[tokenId].maker != msg.sender) revert AdapterUnauthorized(tokenId, msg.sender);
        _requireText(reason, MAX_REASON_BYTES);
        uint256 earlier = _consentRevokedAt[tokenId][recordDigest];
        if (earlier != 0) revert ConsentIsRevoked(tokenId, recordDigest, earlier);
        _consentRevokedAt[tokenId][recordDigest] = block.timestamp;
        emit ConsentRevoked(tokenId, recordDigest, reason);
    }

    /// @notice What is kept of an adapter; reverts if there is no such token.
    function adapterOf(uint256 tokenId) external view returns (Adapter memory) {
        _requireOwned(tokenId);
        return _adapters[tokenId];
    }

    /// @notice The token with these weights; 0 if there is none.
    function tokenOfWeights(bytes32 weights) external view returns (uint256) {
        return _tokenOfWeights[weights];
    }

    /// @notice When consent to a record was withdrawn; 0 if it was not.
    function consentRevokedAt(uint256 tokenId, bytes32 recordDigest) external view returns (uint256) {
        return _consentRevokedAt[tokenId][recordDigest];
    }

    /// @notice How many adapters there are; their ids run from 1.
    function totalAdapters() external view returns (uint256) {
        return _lastTokenId;
    }

    function _revokedAt(uint256 tokenId) internal view returns (uint64) {
        return _adapters[tokenId].revokedAt;
    }

    function _requireNotRevoked(uint256 tokenId) internal view {
        uint256 revokedAt = _adapters[tokenId].revokedAt;
        if (revokedAt != 0) revert AdapterIsRevoked(tokenId, revokedAt);
    }

    function _requireText(string calldata text, uint256 limit) internal pure {
        uint256 length = bytes(text).length;
        if (length == 0 || length > limit) revert TextInvalidLength(length, limit);
    }
}
