// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Adapters} from "./Adapters.sol";

/// @title Licences
/// @notice The right to use an adapter: offered at a price, bought or granted, ending by itself or by revocation.
/// @dev Terms are snapshotted at purchase: a later offer never changes a licence already held. Money is only ever
/// pulled (`withdraw`), so that no payment can run foreign code in the middle of a state change.
abstract contract Licences is Adapters {
    /// @notice A standing offer; a duration of 0 means there is none.
    struct Offer {
        uint128 price;
        uint64 duration;
    }

    /// @notice A licence, in one slot.
    struct Licence {
        uint64 expires;
        uint64 grantedAt;
        uint64 revokedAt;
    }

    /// @notice The expiry of a licence that does not end.
    uint64 public constant NEVER = type(uint64).max;

    mapping(uint256 tokenId => Offer) private _offers;
    mapping(uint256 tokenId => mapping(address user => Licence)) private _licences;
    mapping(uint256 tokenId => mapping(address user => uint64 timestamp)) private _ownedUntil;
    mapping(address account => uint256 amount) private _owed;

    /// @notice A licence is offered; a duration of 0 withdraws the offer.
    event OfferSet(uint256 indexed tokenId, uint128 price, uint64 duration);

    /// @notice A licence was bought (`price` > 0 or a free offer) or granted.
    event LicenceGranted(uint256 indexed tokenId, address indexed user, uint64 expires, uint256 price);

    /// @notice A licence was ended by the adapter's owner.
    event LicenceRevoked(uint256 indexed tokenId, address indexed user, string reason);

    /// @notice An account took what it was owed.
    event Withdrawn(address indexed account, uint256 amount);

    /// @dev There is nothing to buy.
    error OfferNonexistent(uint256 tokenId);

    /// @dev The offer costs more than the buyer agreed to.
    error OfferAboveMaximum(uint256 tokenId, uint256 price, uint256 maxPrice);

    /// @dev The offer lasts less than the buyer agreed to.
    error OfferBelowMinimum(uint256 tokenId, uint256 duration, uint256 minDuration);

    /// @dev Too little was sent.
    error PaymentInsufficient(uint256 price, uint256 sent);

    /// @dev A licence cannot go to this account.
    error LicenceInvalidUser(address user);

    /// @dev The expiry has passed, or would shorten a licence already held.
    error LicenceInvalidExpiry(uint256 expires, uint256 earliest);

    /// @dev The licence was revoked; only a new grant by the owner lifts that.
    error LicenceIsRevoked(uint256 tokenId, address user, uint256 revokedAt);

    /// @dev There is no valid licence to end.
    error LicenceNotHeld(uint256 tokenId, address user);

    /// @dev The licence already has no end.
    error LicenceWithoutEnd(uint256 tokenId, address user);

    /// @dev Nothing is owed to this account.
    error NothingOwed(address account);

    /// @dev The account does not accept money.
    error WithdrawalFailed(address account);

    /// @notice Offers licences of `duration` seconds at `price` wei; a duration of 0 withdraws the offer.
    function offer(uint256 tokenId, uint128 price, uint64 duration) external {
        _requireOwner(tokenId);
        _requireNotRevoked(tokenId);
        _offers[tokenId] = Offer(price, duration);
        emit OfferSet(tokenId, price, duration);
    }

    /// @notice Buys a licence, or prolongs the one held. What is sent above the price is owed back.
    /// @param maxPrice The highest price the buyer agrees to: the owner may change the offer at any time.
    /// @param minDuration The shortest duration the buyer agrees to.
    function buy(uint256 tokenId, uint256 maxPrice, uint64 minDuration) external payable returns (uint64 expires) {
        address owner = _requireOwned(tokenId);
        _requireNotRevoked(tokenId);
        Offer memory standing = _offers[tokenId];
        if (standing.duration == 0) revert OfferNonexistent(tokenId);
        if (standing.price > maxPrice) revert OfferAboveMaximum(tokenId, standing.price, maxPrice);
        if (standing.duration < minDuration) revert OfferBelowMinimum(tokenId, standing.duration, minDuration);
        if (msg.value < standing.price) revert PaymentInsufficient(standing.price, msg.value);

        Licence storage held = _licences[tokenId][msg.sender];
        if (held.revokedAt != 0) revert LicenceIsRevoked(tokenId, msg.sender, held.revokedAt);
        uint64 from = held.expires > block.timestamp ? held.expires : uint64(block.timestamp);
        if (from == NEVER) revert LicenceWithoutEnd(tokenId, msg.sender);
        expires = standing.duration > NEVER - from ? NEVER : from + standing.duration;

        _licences[tokenId][msg.sender] = Licence(expires, uint64(block.timestamp), 0);
        if (standing.price != 0) _owed[owner] += standing.price;
        if (msg.value > standing.price) _owed[msg.sender] += msg.value - standing.price;
        emit LicenceGranted(tokenId, msg.sender, expires, standing.price);
    }

    /// @notice Gives a licence until `expires`, free; also lifts a revocation. It never shortens a valid licence.
    function grant(uint256 tokenId, address user, uint64 expires) external {
        _requireOwner(tokenId);
        _requireNotRevoked(tokenId);
        if (user == address(0)) revert LicenceInvalidUser(user);
        if (expires <= block.timestamp) revert LicenceInvalidExpiry(expires, block.timestamp + 1);
        Licence storage held = _licences[tokenId][user];
        if (held.revokedAt == 0 && expires < held.expires) revert LicenceInvalidExpiry(expires, held.expires);
        _licences[tokenId][user] = Licence(expires, uint64(block.timestamp), 0);
        emit LicenceGranted(tokenId, user, expires, 0);
    }

    /// @notice Ends a valid licence now, with a public reason.
    function revoke(uint256 tokenId, address user, string calldata reason) external {
        _requireOwner(tokenId);
        _requireText(reason, MAX_REASON_BYTES);
        Licence storage held = _licences[tokenId][user];
        if (held.revokedAt != 0 || held.expires <= block.timestamp) revert LicenceNotHeld(tokenId, user);
        held.revokedAt = uint64(block.timestamp);
        emit LicenceRevoked(tokenId, user, reason);
    }

    /// @notice Pays the caller what it is owed.
    function withdraw() external returns (uint256 amount) {
        amount = _owed[msg.sender];
        if (amount == 0) revert NothingOwed(msg.sender);
        _owed[msg.sender] = 0;
        emit Withdrawn(msg.sender, amount);
        (bool paid,) = msg.sender.call{value: amount}("");
        if (!paid) revert WithdrawalFailed(msg.sender);
    }

    /// @notice Whether an account may use an adapter now. Never reverts.
    function hasLicense(uint256 tokenId, address user) public view returns (bool) {
        return userExpires(tokenId, user) > block.timestamp;
    }

    /// @notice When an account's right to use an adapter ends or ended: NEVER for its owner, 0 if it had none.
    function userExpires(uint256 tokenId, address user) public view returns (uint64 expires) {
        address owner = _ownerOf(tokenId);
        if (owner == address(0) || user == address(0)) return 0;
        if (owner == user) {
            expires = NEVER;
        } else {
            Licence storage held = _licences[tokenId][user];
            expires = held.revokedAt != 0 ? held.revokedAt : held.expires;
            uint64 owned = _ownedUntil[tokenId][user];
            if (owned > expires) expires = owned;
        }
        uint64 revokedAt = _revokedAt(tokenId);
        if (revokedAt != 0 && revokedAt < expires) expires = revokedAt;
    }

    /// @notice The licence an account holds or held; all zero if it never had one.
    function licenceOf(uint256 tokenId, address user) external view returns (Licence memory) {
        return _licences[tokenId][user];
    }

    /// @notice The standing offer; all zero if there is none.
    function offerOf(uint256 tokenId) external view returns (Offer memory) {
        return _offers[tokenId];
    }

    /// @notice What the contract owes an account.
    function owed(address account) external view returns (uint256) {
        return _owed[account];
    }

    /// @dev A new owner sells under terms of its own; the old one keeps the grace to anchor what it made.
    function _update(address to, uint256 tokenId, address auth) internal virtual override returns (address from) {
        from = super._update(to, tokenId, auth);
        if (from == address(0) || from == to) return from;
        _ownedUntil[tokenId][from] = uint64(block.timestamp);
        if (_offers[tokenId].duration != 0) {
            delete _offers[tokenId];
            emit OfferSet(tokenId, 0, 0);
        }
    }

    function _requireOwner(uint256 tokenId) private view {
        if (_requireOwned(tokenId) != msg.sender) revert AdapterUnauthorized(tokenId, msg.sender);
    }
}
