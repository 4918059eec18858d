// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {Adapters} from "./Adapters.sol";

/// @title Treasury
/// @notice Who is owed what of each sale: the adapter's owner at once; its parents and the contributors to its dataset
/// by claim. Money is only ever pulled.
/// @dev Currency 0 is the chain's own money, any other an ERC-20 token. Every currency has books of its own, so a token
/// that lies can only harm those who deal in it. A sale costs the same however many contributors there are.
abstract contract Treasury is Adapters, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @notice All that an adapter's sales ever set aside, in one slot.
    struct Pool {
        uint128 parents;
        uint128 contributors;
    }

    /// @dev A contributor's share is counted in parts of this.
    uint32 internal constant MILLION = 1_000_000;

    mapping(address currency => mapping(address account => uint256)) private _owed;
    mapping(address currency => mapping(uint256 tokenId => Pool)) private _pools;
    mapping(address currency => mapping(uint256 tokenId => mapping(uint256 parent => uint256))) private _collected;
    mapping(address currency => mapping(uint256 tokenId => mapping(address account => uint256))) private _claimed;
    mapping(address currency => mapping(uint256 tokenId => uint256)) private _claimedInAll;

    /// @notice A parent's share of an adapter's sales became income of the parent.
    event ShareCollected(uint256 indexed tokenId, uint256 indexed parent, address indexed currency, uint256 amount);

    /// @notice A contributor's share of an adapter's sales became owed to it.
    event ShareClaimed(uint256 indexed tokenId, address indexed account, address indexed currency, uint256 amount);

    /// @notice An account took what it was owed.
    event Withdrawn(address indexed account, address indexed currency, address indexed to, uint256 amount);

    /// @dev Too little was paid.
    error PaymentInsufficient(uint256 price, uint256 paid);

    /// @dev The chain's own money was sent, but the price is in a token.
    error PaymentUnexpected(uint256 sent);

    /// @dev Nothing is owed to this account.
    error NothingOwed(address account, address currency);

    /// @dev There is no share to take, or all of it was taken.
    error NothingDue(uint256 tokenId, address currency);

    /// @dev This is not a parent of the adapter.
    error ParentUnknown(uint256 tokenId, uint256 parent);

    /// @dev The proof does not lead to the adapter's contributors.
    error ContributorUnknown(uint256 tokenId, address account);

    /// @dev The account does not accept money.
    error WithdrawalFailed(address to);

    /// @notice Pays what the caller is owed in a currency to an account of its choice.
    function withdraw(address currency, address to) external returns (uint256 amount) {
        amount = _owed[currency][msg.sender];
        if (amount == 0) revert NothingOwed(msg.sender, currency);
        if (to == address(0)) revert WithdrawalFailed(to);
        _owed[currency][msg.sender] = 0;
        emit Withdrawn(msg.sender, currency, to, amount);
        if (currency != address(0)) {
            IERC20(currency).safeTransfer(to, amount);
            return amount;
        }
        (bool paid,) = to.call{value: amount}("");
        if (!paid) revert WithdrawalFailed(to);
    }

    /// @notice Moves a parent's share of an adapter's sales to the parent, as if it had been sold there. Anyone may.
    function collect(uint256 tokenId, uint256 parent, address currency) external returns (uint256 amount) {
        if (!_isParent(tokenId, parent)) revert ParentUnknown(tokenId, parent);
        uint256 total = uint256(_pools[currency][tokenId].parents);
        uint256 shares = _adapters[tokenId].parents;
        // No parent asked for a share when the shares are 0, and then the pool is empty too.
        Adapter memory receiver = _loadAdapter(parent);
        uint256 entitled = shares == 0 ? 0 : total * receiver.derivative / shares;
        amount = entitled - _collected[currency][tokenId][parent];
        if (amount == 0) revert NothingDue(tokenId, currency);
        _collected[currency][tokenId][parent] = entitled;
        _distribute(parent, receiver, _ownerOf(parent), currency, amount);
        emit ShareCollected(tokenId, parent, currency, amount);
    }

    /// @notice Credits a contributor with its share of an adapter's sales. Anyone may.
    /// @param millionths The contributor's part, as in the leaf
    /// `keccak256(bytes.concat(keccak256(abi.encode(account, millionths))))`.
    function claim(uint256 tokenId, address currency, address account, uint32 millionths, bytes32[] calldata proof)
        external
        returns (uint256 amount)
    {
        bytes32 leaf = keccak256(bytes.concat(keccak256(abi.encode(account, millionths))));
        if (!MerkleProof.verifyCalldata(proof, _contributorsRoots[tokenId], leaf)) {
            revert ContributorUnknown(tokenId, account);
        }
        uint256 total = _pools[currency][tokenId].contributors;
        uint256 entitled = total * millionths / MILLION;
        uint256 claimed = _claimed[currency][tokenId][account];
        uint256 left = total - _claimedInAll[currency][tokenId];
        if (entitled > claimed) amount = entitled - claimed;
        // Parts that add up to more than a million must not reach into other money.
        if (amount > left) amount = left;
        if (amount == 0) revert NothingDue(tokenId, currency);
        _claimed[currency][tokenId][account] = claimed + amount;
        _claimedInAll[currency][tokenId] += amount;
        _credit(currency, account, amount);
        emit ShareClaimed(tokenId, account, currency, amount);
    }

    /// @notice What the contract owes an account.
    function owed(address currency, address account) external view returns (uint256) {
        return _owed[currency][account];
    }

    /// @notice All that an adapter's sales ever set aside for its parents and for its contributors.
    function poolOf(address currency, uint256 tokenId) external view returns (Pool memory) {
        return _pools[currency][tokenId];
    }

    /// @dev The owner gets what parents and contributors do not.
    function _distribute(uint256 tokenId, Adapter memory adapter, address owner, address currency, uint256 amount)
        internal
    {
        if (adapter.parents == 0 && adapter.contributors == 0) return _credit(currency, owner, amount);
        uint256 toParents = amount * adapter.parents / WHOLE;
        uint256 toContributors = amount * adapter.contributors / WHOLE;
        if (toParents + toContributors != 0) {
            Pool storage pool = _pools[currency][tokenId];
            pool.parents += uint128(toParents);
            pool.contributors += uint128(toContributors);
        }
        _credit(currency, owner, amount - toParents - toContributors);
    }

    function _credit(address currency, address account, uint256 amount) internal {
        if (amount != 0) _owed[currency][account] += amount;
    }

    /// @dev Gives `amount` back to `to` out of what `from` is owed; the caller pays what that does not cover.
    function _refund(address currency, address from, address to, uint256 amount) internal {
        uint256 covered = _owed[currency][from];
        if (covered > amount) covered = amount;
        if (covered != 0) _owed[currency][from] -= covered;
        _credit(currency, to, amount);
        _receive(currency, amount - covered);
    }

    /// @dev The last step of whoever calls it.
    function _receive(address currency, uint256 price) internal {
        if (currency == address(0)) {
            if (msg.value < price) revert PaymentInsufficient(price, msg.value);
            _credit(currency, msg.sender, msg.value - price);
            return;
        }
        if (msg.value != 0) revert PaymentUnexpected(msg.value);
        if (price != 0) _pull(currency, price);
    }

    /// @dev The only place where a foreign contract runs before an account is square: what it calls meanwhile may do
    /// anything but pay in a token, which would count twice.
    function _pull(address currency, uint256 price) private nonReentrant {
        uint256 before = IERC20(currency).balanceOf(address(this));
        IERC20(currency).safeTransferFrom(msg.sender, address(this), price);
        uint256 current = IERC20(currency).balanceOf(address(this));
        if (current < before + price) revert PaymentInsufficient(price, current > before ? current - before : 0);
    }
}
