// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Treasury} from "./Treasury.sol";

/// @title Offers
/// @notice What a licence costs and allows. An offer never changes: an owner closes it and makes another.
abstract contract Offers is Treasury {
    /// @notice What a licence allows, and its price. `duration` is in seconds (NEVER: without end), `quota` in images
    /// (0: no limit), `grace` in days after the end in which images made before may still be anchored.
    struct Terms {
        address currency;
        uint96 price;
        uint40 duration;
        uint32 quota;
        uint8 flags;
        uint8 grace;
    }

    /// @notice A standing offer, in two slots.
    struct Offer {
        address currency;
        uint96 price;
        address seller;
        uint40 duration;
        uint32 quota;
        uint8 flags;
        uint8 grace;
        bool open;
    }

    /// @dev The expiry of a licence that does not end.
    uint40 internal constant NEVER = type(uint40).max;
    /// @dev Images may be used commercially.
    uint8 internal constant COMMERCIAL = 1;
    /// @dev The licence may be handed to another account.
    uint8 internal constant TRANSFERABLE = 2;

    uint8 private constant KNOWN_FLAGS = COMMERCIAL | TRANSFERABLE;

    mapping(uint256 tokenId => uint24) private _lastOffer;
    mapping(uint256 tokenId => mapping(uint24 offerId => Offer)) internal _offers;

    /// @notice Licences are offered; it stands while open and its seller owns the adapter.
    event OfferMade(
        uint256 indexed tokenId,
        uint24 indexed offerId,
        address indexed seller,
        address currency,
        uint96 price,
        uint40 duration,
        uint32 quota,
        uint8 flags,
        uint8 grace
    );

    /// @notice An offer was closed; licences sold under it stay as they are.
    event OfferClosed(uint256 indexed tokenId, uint24 indexed offerId);

    /// @dev There is nothing to buy.
    error OfferNonexistent(uint256 tokenId, uint256 offerId);

    /// @dev A licence must last, and its flags must be known.
    error TermsInvalid(uint256 duration, uint256 flags);

    /// @notice Offers licences. Only the adapter's owner may.
    function offer(uint256 tokenId, Terms calldata terms) external returns (uint24 offerId) {
        _requireOwner(tokenId);
        _requireNotRevoked(tokenId);
        _requireTerms(terms.duration, terms.flags);
        offerId = ++_lastOffer[tokenId];
        _offers[tokenId][offerId] =
            Offer(terms.currency, terms.price, msg.sender, terms.duration, terms.quota, terms.flags, terms.grace, true);
        emit OfferMade(
            tokenId,
            offerId,
            msg.sender,
            terms.currency,
            terms.price,
            terms.duration,
            terms.quota,
            terms.flags,
            terms.grace
        );
    }

    /// @notice Closes an offer. Only the adapter's owner may.
    function closeOffer(uint256 tokenId, uint24 offerId) external {
        _requireOwner(tokenId);
        if (!_offers[tokenId][offerId].open) revert OfferNonexistent(tokenId, offerId);
        _offers[tokenId][offerId].open = false;
        emit OfferClosed(tokenId, offerId);
    }

    /// @notice An offer as it was made, open or not; all zero if there is none.
    function offerOf(uint256 tokenId, uint24 offerId) external view returns (Offer memory) {
        return _loadOffer(tokenId, offerId);
    }

    /// @notice How many offers were made for an adapter; their ids run from 1.
    function totalOffers(uint256 tokenId) external view returns (uint24) {
        return _lastOffer[tokenId];
    }

    function _loadOffer(uint256 tokenId, uint24 offerId) internal view returns (Offer memory) {
        return _offers[tokenId][offerId];
    }

    function _requireTerms(uint40 duration, uint8 flags) internal pure {
        if (duration == 0 || flags & ~KNOWN_FLAGS != 0) revert TermsInvalid(duration, flags);
    }
}
