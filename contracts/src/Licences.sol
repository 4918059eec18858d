// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {BitMaps} from "@openzeppelin/contracts/utils/structs/BitMaps.sol";
import {Offers} from "./Offers.sol";

/// @title Licences
/// @notice The right to use an adapter: bought, granted or redeemed from a voucher; ending by itself, or by a
/// revocation that pays back the time not used.
/// @dev The shape is ERC-7507's: many users to a token, `userExpires`. What was paid for is copied into the licence, so
/// that nothing but a revocation or its holder makes it smaller.
abstract contract Licences is Offers {
    using BitMaps for BitMaps.BitMap;

    /// @notice A licence, in one slot.
    /// @dev `quota`, `used` and `anchored` count images over all licences the account ever had for the adapter, so that
    /// an old usage voucher says nothing new. The time from now to `paidUntil` is what a revocation gives money for.
    struct Licence {
        uint24 offerId;
        uint40 expires;
        uint40 paidFrom;
        uint40 paidUntil;
        uint32 quota;
        uint32 used;
        uint32 anchored;
        uint8 grace;
        uint8 flags;
    }

    /// @notice A licence that the adapter's owner promised in a signature; typed data `Voucher`.
    struct Voucher {
        uint256 tokenId;
        address licensee;
        address currency;
        uint96 price;
        uint40 duration;
        uint32 quota;
        uint8 flags;
        uint8 grace;
        uint256 nonce;
        uint256 deadline;
    }

    /// @dev What a voucher cost, which no offer remembers.
    struct Paid {
        address currency;
        uint96 price;
    }

    /// @dev The licence was revoked; only a new grant by the owner lifts that.
    uint8 internal constant REVOKED_LICENCE = 128;

    bytes32 private constant VOUCHER_TYPEHASH = keccak256(
        "Voucher(uint256 tokenId,address licensee,address currency,uint96 price,uint40 duration,uint32 quota,"
        "uint8 flags,uint8 grace,uint256 nonce,uint256 deadline)"
    );

    /// @dev `Licence` packed by hand: the compiler would write its nine fields one by one.
    mapping(uint256 tokenId => mapping(address user => uint256 packed)) private _licences;
    mapping(uint256 tokenId => mapping(address user => Paid)) private _paid;
    mapping(uint256 tokenId => mapping(address user => uint40 timestamp)) internal _ownedUntil;
    mapping(address signer => BitMaps.BitMap) private _nonces;

    /// @notice An account's licence is now this: bought, redeemed, granted or received. `offerId` 0: by no offer.
    event LicenceGranted(
        uint256 indexed tokenId,
        address indexed user,
        uint24 indexed offerId,
        uint40 expires,
        uint32 quota,
        uint8 flags,
        uint8 grace,
        address currency,
        uint256 price
    );

    /// @notice A licence was ended by the adapter's owner, and `refund` of its price is owed to the licensee.
    event LicenceRevoked(
        uint256 indexed tokenId, address indexed user, address currency, uint256 refund, string reason
    );

    /// @notice A licence was given up by its holder.
    event LicenceRenounced(uint256 indexed tokenId, address indexed user);

    /// @notice A licence changed hands.
    event LicenceTransferred(uint256 indexed tokenId, address indexed from, address indexed to);

    /// @notice An account has reported this many images in all for an adapter.
    event UsageReported(uint256 indexed tokenId, address indexed user, uint32 used);

    /// @notice A voucher's nonce was used or cancelled.
    event NonceUsed(address indexed signer, uint256 indexed nonce);

    /// @dev The offer costs more than the buyer agreed to.
    error OfferAboveMaximum(uint256 tokenId, uint256 price, uint256 maxPrice);

    /// @dev A licence cannot go to this account.
    error LicenceInvalidUser(address user);

    /// @dev The expiry has passed.
    error LicenceInvalidExpiry(uint256 expires, uint256 earliest);

    /// @dev The licence held allows more than the new terms; it may not shrink.
    error LicenceTermsNarrower(uint256 tokenId, address user);

    /// @dev The licence held was paid for under other terms; it must end, or be renounced, first.
    error LicenceUnderOtherTerms(uint256 tokenId, address user, uint256 offerId);

    /// @dev The licence was revoked; only a new grant by the owner lifts that.
    error LicenceIsRevoked(uint256 tokenId, address user);

    /// @dev There is no valid licence.
    error LicenceNotHeld(uint256 tokenId, address user);

    /// @dev The account already holds a licence.
    error LicenceIsHeld(uint256 tokenId, address user);

    /// @dev The licence already has no end.
    error LicenceWithoutEnd(uint256 tokenId, address user);

    /// @dev The licence is bound to its holder.
    error LicenceBound(uint256 tokenId, address user);

    /// @dev A report may not take back what was reported.
    error UsageNotAbove(uint256 used, uint256 reported);

    /// @dev The nonce was used or cancelled.
    error NonceIsUsed(address signer, uint256 nonce);

    /// @notice Buys a licence on an open offer, or prolongs the one held under it, which a pause does not stop. What is sent above the price is owed
    /// back.
    /// @param maxPrice The highest price the buyer agrees to.
    function buy(uint256 tokenId, uint24 offerId, uint256 maxPrice) external payable returns (uint40 expires) {
        Offer memory made = _loadOffer(tokenId, offerId);
        if (!made.open || made.seller != _requireOwned(tokenId)) revert OfferNonexistent(tokenId, offerId);
        if (made.price > maxPrice) revert OfferAboveMaximum(tokenId, made.price, maxPrice);
        return _sell(tokenId, msg.sender, offerId, made);
    }

    /// @notice Turns a voucher that the adapter's owner signed into a licence; whoever calls pays its price.
    function redeem(Voucher calldata voucher, bytes calldata signature) external payable returns (uint40 expires) {
        address owner = _requireOwned(voucher.tokenId);
        _requireBefore(voucher.deadline);
        _requireTerms(voucher.duration, voucher.flags);
        if (voucher.licensee == address(0)) revert LicenceInvalidUser(voucher.licensee);
        // Every field is one word, in the order of the type.
        _requireSigned(owner, keccak256(abi.encode(VOUCHER_TYPEHASH, voucher)), signature);
        _useNonce(owner, voucher.nonce);
        Offer memory made = Offer(
            voucher.currency, voucher.price, owner, voucher.duration, voucher.quota, voucher.flags, voucher.grace, true
        );
        if (voucher.price != 0) _paid[voucher.tokenId][voucher.licensee] = Paid(voucher.currency, voucher.price);
        return _sell(voucher.tokenId, voucher.licensee, 0, made);
    }

    /// @notice Makes a voucher of the caller's worthless.
    function cancelVoucher(uint256 nonce) external {
        _useNonce(msg.sender, nonce);
    }

    /// @notice Gives a licence until `expires`, free; also lifts a revocation. It never shrinks a valid licence, nor
    /// what the holder of one that ended may still anchor.
    /// @param quota Images more; 0 for no limit.
    function grant(uint256 tokenId, address user, uint40 expires, uint32 quota, uint8 flags, uint8 grace) external {
        _requireOwner(tokenId);
        _requireUsable(tokenId);
        if (user == address(0)) revert LicenceInvalidUser(user);
        if (expires <= block.timestamp) revert LicenceInvalidExpiry(expires, block.timestamp + 1);
        _requireTerms(expires, flags);
        Licence memory held = _load(tokenId, user);
        if (held.expires > block.timestamp) {
            if (expires < held.expires) revert LicenceInvalidExpiry(expires, held.expires);
            _requireNotNarrower(tokenId, user, held, flags, quota);
        } else {
            _requireNotLimited(tokenId, user, held, quota);
            held.offerId = 0;
        }
        _allow(held, quota, flags, grace);
        held.expires = expires;
        _store(tokenId, user, held, address(0), 0);
    }

    /// @notice Ends a valid licence now, with a public reason, and owes the licensee the price of the time not used.
    /// @dev Covered by what the contract owes the owner in that currency, and by what the owner pays now; a refund that
    /// is not covered fails, so no licence is ended without it.
    function revoke(uint256 tokenId, address user, string calldata reason) external payable {
        _requireOwner(tokenId);
        _requireText(reason, MAX_REASON_BYTES);
        (address currency, uint256 amount) = refundOf(tokenId, user);
        _end(tokenId, user, REVOKED_LICENCE);
        emit LicenceRevoked(tokenId, user, currency, amount, reason);
        _refund(currency, msg.sender, user, amount);
    }

    /// @notice Gives up the caller's licence, without a refund.
    function renounce(uint256 tokenId) external {
        _end(tokenId, msg.sender, 0);
        emit LicenceRenounced(tokenId, msg.sender);
    }

    /// @notice Hands the caller's licence, with what is left of it, to an account that holds none.
    /// @dev The caller anchors what it made before it hands the licence on: no grace is left to it.
    function transferLicence(uint256 tokenId, address to) external {
        Licence memory held = _load(tokenId, msg.sender);
        Licence memory theirs = _load(tokenId, to);
        if (to == address(0)) revert LicenceInvalidUser(to);
        if (theirs.flags & REVOKED_LICENCE != 0) revert LicenceIsRevoked(tokenId, to);
        if (_closesAt(theirs) > block.timestamp) revert LicenceIsHeld(tokenId, to);
        if (!_isValid(held)) revert LicenceNotHeld(tokenId, msg.sender);
        if (held.flags & TRANSFERABLE == 0) revert LicenceBound(tokenId, msg.sender);

        // Neither grace nor quota is left to the caller, or what it hands on could be anchored or found again.
        (uint8 grace, uint32 usage) = (held.grace, _usage(held));
        uint32 left = held.quota == 0 ? 0 : held.quota - usage;
        (held.grace, held.quota) = (0, usage);
        _save(tokenId, msg.sender, held);
        _end(tokenId, msg.sender, 0);
        if (held.offerId == 0) _paid[tokenId][to] = _paid[tokenId][msg.sender];
        // The counts are the account's own.
        (held.used, held.anchored, held.quota) = (theirs.used, theirs.anchored, 0);
        _allow(held, left, held.flags, grace);
        emit LicenceTransferred(tokenId, msg.sender, to);
        _store(tokenId, to, held, address(0), 0);
    }

    /// @notice Whether an account may use an adapter now. Never reverts.
    /// @dev Its owner may; a licensee may strictly before the expiry and within the quota; nobody while it is taken
    /// down.
    function hasLicense(uint256 tokenId, address user) public view returns (bool) {
        address owner = _ownerOf(tokenId);
        if (owner == address(0) || user == address(0) || _isTakenDown(tokenId)) return false;
        return owner == user || _isValid(_load(tokenId, user));
    }

    /// @notice When an account's right to use an adapter ends or ended: NEVER for its owner, 0 if it had none.
    function userExpires(uint256 tokenId, address user) external view returns (uint256) {
        address owner = _ownerOf(tokenId);
        return owner != address(0) && owner == user ? NEVER : _load(tokenId, user).expires;
    }

    /// @notice The licence an account holds or held; all zero if it never had one.
    function licenceOf(uint256 tokenId, address user) external view returns (Licence memory) {
        return _load(tokenId, user);
    }

    /// @notice What a revocation now would give back: the price of the time paid for and not used.
    function refundOf(uint256 tokenId, address user) public view returns (address currency, uint256 amount) {
        Licence memory held = _load(tokenId, user);
        if (held.paidUntil <= block.timestamp) return (address(0), 0);
        uint256 price;
        uint256 duration;
        if (held.offerId == 0) {
            Paid memory paid = _paid[tokenId][user];
            (currency, price, duration) = (paid.currency, paid.price, held.paidUntil - held.paidFrom);
        } else {
            Offer memory made = _loadOffer(tokenId, held.offerId);
            (currency, price, duration) = (made.currency, made.price, made.duration);
        }
        // A licence without end has used none of its time.
        if (held.paidUntil == NEVER) return (currency, price);
        amount = price * (held.paidUntil - block.timestamp) / duration;
    }

    /// @notice Whether a signer's nonce was used or cancelled.
    function isNonceUsed(address signer, uint256 nonce) external view returns (bool) {
        return _nonces[signer].get(nonce);
    }

    function _sell(uint256 tokenId, address user, uint24 offerId, Offer memory made) private returns (uint40 expires) {
        Adapter memory adapter = _requireUsable(tokenId);
        Licence memory held = _load(tokenId, user);
        if (held.flags & REVOKED_LICENCE != 0) revert LicenceIsRevoked(tokenId, user);
        uint40 start = uint40(block.timestamp);
        if (held.expires > block.timestamp) {
            if (held.expires == NEVER) revert LicenceWithoutEnd(tokenId, user);
            _requireNotNarrower(tokenId, user, held, made.flags, made.quota);
            if (held.paidUntil > block.timestamp) {
                if (offerId == 0 || held.offerId != offerId) {
                    revert LicenceUnderOtherTerms(tokenId, user, held.offerId);
                }
                start = held.paidUntil;
            }
        } else {
            _requireNotPaused();
            _requireNotLimited(tokenId, user, held, made.quota);
        }
        held.offerId = offerId;
        _allow(held, made.quota, made.flags, made.grace);
        uint40 from = held.expires > block.timestamp ? held.expires : start;
        expires = held.expires = _later(from, made.duration);
        if (made.price != 0) {
            // Paid time comes before time that was given, so that what is left of it is one span.
            (held.paidFrom, held.paidUntil) = (uint40(block.timestamp), _later(start, made.duration));
            _distribute(tokenId, adapter, made.seller, made.currency, made.price);
        }
        _store(tokenId, user, held, made.currency, made.price);
        _receive(made.currency, made.price);
    }

    function _load(uint256 tokenId, address user) internal view returns (Licence memory held) {
        uint256 packed = _licences[tokenId][user];
        held.offerId = uint24(packed);
        held.expires = uint40(packed >> 24);
        held.paidFrom = uint40(packed >> 64);
        held.paidUntil = uint40(packed >> 104);
        held.quota = uint32(packed >> 144);
        held.used = uint32(packed >> 176);
        held.anchored = uint32(packed >> 208);
        held.grace = uint8(packed >> 240);
        held.flags = uint8(packed >> 248);
    }

    function _setUsed(uint256 tokenId, address user, uint32 used) internal {
        uint256 packed = _licences[tokenId][user];
        uint32 before = uint32(packed >> 176);
        if (used <= before) revert UsageNotAbove(used, before);
        _licences[tokenId][user] = packed ^ uint256(used ^ before) << 176;
        emit UsageReported(tokenId, user, used);
    }

    function _save(uint256 tokenId, address user, Licence memory held) internal {
        _licences[tokenId][user] = uint256(held.offerId) | uint256(held.expires) << 24 | uint256(held.paidFrom) << 64
            | uint256(held.paidUntil) << 104 | uint256(held.quota) << 144 | uint256(held.used) << 176
            | uint256(held.anchored) << 208 | uint256(held.grace) << 240 | uint256(held.flags) << 248;
    }

    function _store(uint256 tokenId, address user, Licence memory held, address currency, uint256 price) private {
        _save(tokenId, user, held);
        emit LicenceGranted(
            tokenId, user, held.offerId, held.expires, held.quota, held.flags, held.grace, currency, price
        );
    }

    /// @dev Ends a licence that is valid in time, whatever is left of its quota.
    function _end(uint256 tokenId, address user, uint8 flag) private {
        Licence memory held = _load(tokenId, user);
        if (held.expires <= block.timestamp) revert LicenceNotHeld(tokenId, user);
        held.expires = held.paidUntil = uint40(block.timestamp);
        held.flags |= flag;
        _save(tokenId, user, held);
    }

    function _useNonce(address signer, uint256 nonce) private {
        if (_nonces[signer].get(nonce)) revert NonceIsUsed(signer, nonce);
        _nonces[signer].set(nonce);
        emit NonceUsed(signer, nonce);
    }

    /// @dev The old owner keeps the grace to anchor what it made; its offers end with its ownership.
    function _update(address to, uint256 tokenId, address auth) internal override returns (address from) {
        from = super._update(to, tokenId, auth);
        if (from != address(0) && from != to) _ownedUntil[tokenId][from] = uint40(block.timestamp);
    }

    function _requireNotNarrower(uint256 tokenId, address user, Licence memory held, uint8 flags, uint32 quota)
        private
        pure
    {
        bool fewerRights = held.flags & ~flags != 0;
        bool newLimit = held.quota == 0 && quota != 0;
        if (fewerRights || newLimit) revert LicenceTermsNarrower(tokenId, user);
    }

    /// @dev In the grace of a licence without limit, nobody but its holder may limit what is yet to be anchored.
    function _requireNotLimited(uint256 tokenId, address user, Licence memory held, uint32 quota) private view {
        bool newLimit = held.quota == 0 && quota != 0;
        if (newLimit && user != msg.sender && _closesAt(held) > block.timestamp) {
            revert LicenceTermsNarrower(tokenId, user);
        }
    }

    /// @dev Adds to what a licence allows: `quota` images more (0: without limit). What was left of the licence before
    /// stays while it may still be anchored; what was used above it is forgiven. To be called before the expiry changes.
    function _allow(Licence memory held, uint32 quota, uint8 flags, uint8 grace) private view {
        if (quota == 0) {
            held.quota = 0;
        } else {
            uint256 start = _usage(held);
            if (held.quota > start && block.timestamp < _closesAt(held)) start = held.quota;
            uint256 total = start + quota;
            held.quota = total > type(uint32).max ? type(uint32).max : uint32(total);
        }
        held.flags = flags;
        if (grace > held.grace) held.grace = grace;
    }

    /// @dev The first second in which nothing can be anchored any more under a licence.
    function _closesAt(Licence memory held) internal pure returns (uint256) {
        return uint256(held.expires) + uint256(held.grace) * 1 days;
    }

    function _isValid(Licence memory held) internal view returns (bool) {
        return held.expires > block.timestamp && (held.quota == 0 || _usage(held) < held.quota);
    }

    /// @dev Images on record: those anchored and those reported are the same images, counted twice.
    function _usage(Licence memory held) internal pure returns (uint32) {
        return held.used > held.anchored ? held.used : held.anchored;
    }

    function _later(uint40 from, uint40 duration) private pure returns (uint40) {
        uint256 until = uint256(from) + duration;
        return until < NEVER ? uint40(until) : NEVER;
    }
}
