// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Licences} from "./Licences.sol";

/// @title Streams
/// @notice A stream is one holder's numbered sequence of images; batches of their records are anchored in order.
/// @dev Stream and serial have 28 bits each, because the watermark in the pixels carries both. A batch lives in its
/// event; storage holds only the next serial, so that ranges can neither overlap nor leave a gap.
abstract contract Streams is Licences {
    /// @notice A stream, in one slot.
    struct Stream {
        address holder;
        uint64 tokenId;
        uint32 next;
    }

    /// @notice Streams and serials stay below this.
    uint32 public constant LIMIT = 2 ** 28;

    /// @notice How long after the end of a licence its holder may anchor what was made before.
    uint64 public constant ANCHOR_GRACE = 7 days;

    uint32 private _lastStream;
    mapping(uint32 stream => Stream) private _streams;

    /// @notice A stream was opened; `tokenId` is 0 for images made without an adapter.
    event StreamOpened(uint32 indexed stream, uint256 indexed tokenId, address indexed holder);

    /// @notice Records `first` to `first + count - 1` of a stream have this Merkle root and lie at this CID.
    event BatchAnchored(uint32 indexed stream, uint32 first, uint32 count, bytes32 root, string cid);

    /// @dev The caller may not use this adapter.
    error StreamUnlicensed(uint256 tokenId, address caller);

    /// @dev All stream numbers are used.
    error StreamsExhausted();

    /// @dev There is no such stream.
    error StreamNonexistent(uint32 stream);

    /// @dev The stream belongs to another account.
    error StreamUnauthorized(uint32 stream, address caller);

    /// @dev The licence behind the stream ended, and so did the time to anchor what was made under it.
    error StreamClosed(uint32 stream, uint256 closedAt);

    /// @dev Batches must follow one another.
    error BatchOutOfOrder(uint32 stream, uint32 expected, uint32 first);

    /// @dev A batch must have records, and serials must stay below LIMIT.
    error BatchInvalidCount(uint32 stream, uint32 count);

    /// @dev A batch must have a root.
    error BatchZeroRoot(uint32 stream);

    /// @notice Opens a stream under an adapter the caller owns or has licensed, or under token 0, which is open to all.
    function openStream(uint256 tokenId) external returns (uint32 stream) {
        if (tokenId != 0 && !hasLicense(tokenId, msg.sender)) revert StreamUnlicensed(tokenId, msg.sender);
        stream = _lastStream + 1;
        if (stream >= LIMIT) revert StreamsExhausted();
        _lastStream = stream;
        _streams[stream] = Stream(msg.sender, uint64(tokenId), 0);
        emit StreamOpened(stream, tokenId, msg.sender);
    }

    /// @notice Anchors the next `count` records of the caller's stream.
    function anchor(uint32 stream, uint32 first, uint32 count, bytes32 root, string calldata cid) external {
        Stream memory opened = _streams[stream];
        if (opened.holder == address(0)) revert StreamNonexistent(stream);
        if (opened.holder != msg.sender) revert StreamUnauthorized(stream, msg.sender);
        if (first != opened.next) revert BatchOutOfOrder(stream, opened.next, first);
        if (count == 0 || count > LIMIT - first) revert BatchInvalidCount(stream, count);
        if (root == 0) revert BatchZeroRoot(stream);
        _requireText(cid, MAX_CID_BYTES);
        if (opened.tokenId != 0) {
            uint256 closesAt = uint256(userExpires(opened.tokenId, msg.sender)) + ANCHOR_GRACE;
            if (block.timestamp > closesAt) revert StreamClosed(stream, closesAt);
        }
        _streams[stream].next = first + count;
        emit BatchAnchored(stream, first, count, root, cid);
    }

    /// @notice A stream's holder, adapter and next serial; all zero if there is no such stream.
    function streamOf(uint32 stream) external view returns (Stream memory) {
        return _streams[stream];
    }

    /// @notice How many streams there are; their numbers run from 1.
    function totalStreams() external view returns (uint32) {
        return _lastStream;
    }
}
