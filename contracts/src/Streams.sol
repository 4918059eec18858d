// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Metering} from "./Metering.sol";

/// @title Streams
/// @notice A stream is one holder's numbered sequence of images; batches of their records are anchored in order.
/// @dev Stream and serial have 28 bits each, because the watermark in the pixels carries both. A batch's root and CID
/// are in its event; storage keeps where each batch ends and the beginning of its root, so that the one that covers a
/// serial is found in O(log n) and a log that was withheld or invented is noticed.
abstract contract Streams is Metering {
    /// @notice A stream, in one slot.
    struct Stream {
        address holder;
        uint32 tokenId;
        uint32 next;
        uint32 batches;
    }

    /// @notice A batch, in one slot: the serial after its last, its block, and the first 23 bytes of its root.
    struct Batch {
        uint32 end;
        uint40 blockNumber;
        bytes23 root;
    }

    /// @dev Streams and serials stay below this.
    uint32 internal constant LIMIT = 2 ** 28;

    /// @dev How long a former owner may anchor what it made before.
    uint40 internal constant OWNER_GRACE = 7 days;

    uint32 private _lastStream;
    mapping(uint32 stream => Stream) private _streams;
    mapping(uint32 stream => mapping(uint32 index => Batch)) private _batches;

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

    /// @dev No batch covers this serial yet.
    error BatchNonexistent(uint32 stream, uint32 serial);

    /// @notice Opens a stream under an adapter the caller owns or has licensed, or under token 0, which is open to all.
    function openStream(uint256 tokenId) external returns (uint32 stream) {
        if (tokenId != 0) {
            if (!hasLicense(tokenId, msg.sender)) revert StreamUnlicensed(tokenId, msg.sender);
            _requireNotRevoked(tokenId);
        }
        stream = _lastStream + 1;
        if (stream >= LIMIT) revert StreamsExhausted();
        _lastStream = stream;
        _streams[stream] = Stream(msg.sender, uint32(tokenId), 0, 0);
        emit StreamOpened(stream, tokenId, msg.sender);
    }

    /// @notice Anchors the next `count` records of the caller's stream.
    function anchor(uint32 stream, uint32 first, uint32 count, bytes32 root, string calldata cid) external {
        Stream memory opened = streamOf(stream);
        if (opened.holder == address(0)) revert StreamNonexistent(stream);
        if (opened.holder != msg.sender) revert StreamUnauthorized(stream, msg.sender);
        if (first != opened.next) revert BatchOutOfOrder(stream, opened.next, first);
        if (count == 0 || count > LIMIT - first) revert BatchInvalidCount(stream, count);
        if (root == 0) revert BatchZeroRoot(stream);
        _requireText(cid, MAX_CID_BYTES);
        if (opened.tokenId != 0) _use(stream, opened.tokenId, count);
        _batches[stream][opened.batches] = Batch(first + count, uint40(block.number), bytes23(root));
        (opened.next, opened.batches) = (first + count, opened.batches + 1);
        _streams[stream] = opened;
        emit BatchAnchored(stream, first, count, root, cid);
    }

    /// @notice A stream's holder, adapter, next serial and number of batches; all zero if there is no such stream.
    function streamOf(uint32 stream) public view returns (Stream memory) {
        return _streams[stream];
    }

    /// @notice How many streams there are; their numbers run from 1.
    function totalStreams() external view returns (uint32) {
        return _lastStream;
    }

    /// @notice A stream's batch by its place, from 0; all zero if there is none.
    function batchOf(uint32 stream, uint32 index) public view returns (Batch memory) {
        return _batches[stream][index];
    }

    /// @notice The batch that covers a serial: its place, first serial and what is kept of it.
    function batchCovering(uint32 stream, uint32 serial)
        external
        view
        returns (uint32 index, uint32 first, Batch memory batch)
    {
        Stream memory opened = streamOf(stream);
        if (serial >= opened.next) revert BatchNonexistent(stream, serial);
        uint32 high = opened.batches;
        while (index < high) {
            uint32 middle = (index + high) / 2;
            if (_batches[stream][middle].end > serial) high = middle;
            else index = middle + 1;
        }
        first = index == 0 ? 0 : _batches[stream][index - 1].end;
        batch = batchOf(stream, index);
    }

    /// @dev The caller may anchor: as owner, under a licence or in its grace, or in the grace after it was owner.
    function _use(uint32 stream, uint256 tokenId, uint32 count) private {
        _requireNotTakenDown(tokenId);
        if (_ownerOf(tokenId) == msg.sender) return;
        Licence memory held = _load(tokenId, msg.sender);
        uint256 closesAt = _closesAt(held);
        if (block.timestamp < closesAt) return _countAnchored(tokenId, msg.sender, held, count);
        uint256 owned = _ownedUntil[tokenId][msg.sender];
        if (owned != 0 && owned + OWNER_GRACE > closesAt) closesAt = owned + OWNER_GRACE;
        if (block.timestamp >= closesAt) revert StreamClosed(stream, closesAt);
    }
}
