// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC2981} from "@openzeppelin/contracts/interfaces/IERC2981.sol";
import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {Safety} from "./Safety.sol";
import {Signatures} from "./Signatures.sol";
import {Texts} from "./Texts.sol";

/// @title Adapters
/// @notice An adapter is a token: who made it, from which dataset, base and parents, and whether it was withdrawn or
/// taken down.
/// @dev Digests are in storage, so that other contracts can ask; the CID of the release is in the mint's event only.
/// Base models are numbered, so that the many adapters of one base share its digest.
abstract contract Adapters is ERC721, Safety, Signatures, Texts, IERC2981 {
    /// @notice What is minted. All but `contributorsRoot`, `parents` and the shares must be given.
    /// @dev Shares are in hundredths of a percent of each licence sold. `derivative` is what this adapter asks of the
    /// sales of adapters made from it; `contributors` goes to the accounts under `contributorsRoot`.
    struct Mint {
        address maker;
        bytes32 weights;
        bytes32 dataset;
        bytes32 base;
        bytes32 terms;
        bool derivable;
        uint16 royalty;
        uint16 derivative;
        uint16 contributors;
        bytes32 contributorsRoot;
        uint32[] parents;
        string cid;
        bytes32 salt;
        uint256 deadline;
    }

    /// @notice What the contract keeps of one adapter, in one slot.
    struct Adapter {
        address maker;
        uint24 base;
        uint16 royalty;
        uint16 parents;
        uint16 contributors;
        uint16 derivative;
        uint8 flags;
    }

    /// @dev Adapters may be made from it.
    uint8 internal constant DERIVABLE = 1;
    /// @dev It was withdrawn by its owner or maker.
    uint8 internal constant REVOKED = 2;
    /// @dev It was taken down by the safety account.
    uint8 internal constant TAKEN_DOWN = 4;

    /// @dev Shares are parts of this.
    uint16 internal constant WHOLE = 10_000;
    /// @dev The largest royalty on resale.
    uint16 internal constant MAX_ROYALTY = 2_500;
    /// @dev The most parents an adapter can have.
    uint256 internal constant MAX_PARENTS = 8;

    bytes32 private constant MINT_TYPEHASH = keccak256(
        "Mint(address maker,bytes32 weights,bytes32 dataset,bytes32 base,bytes32 terms,bool derivable,uint16 royalty,"
        "uint16 derivative,uint16 contributors,bytes32 contributorsRoot,uint32[] parents,string cid,bytes32 salt,"
        "uint256 deadline)"
    );

    uint32 private _lastTokenId;
    uint24 private _lastBase;
    mapping(uint256 tokenId => Adapter) internal _adapters;
    mapping(uint256 tokenId => bytes32) private _datasets;
    mapping(uint256 tokenId => bytes32) private _terms;
    mapping(uint256 tokenId => uint256 packed) private _parents;
    mapping(uint256 tokenId => bytes32) internal _contributorsRoots;
    mapping(bytes32 weights => uint256 tokenId) private _tokenOfWeights;
    mapping(uint24 number => bytes32 digest) private _bases;
    mapping(bytes32 digest => uint24 number) private _baseNumbers;
    mapping(bytes32 commitment => uint256 blockNumber) private _committedAt;
    mapping(uint256 tokenId => mapping(bytes32 recordDigest => uint256 timestamp)) private _consentRevokedAt;

    /// @notice Somebody will mint something, and nobody else can say first what.
    event MintCommitted(bytes32 indexed commitment);

    /// @notice A base model got a number.
    event BaseRegistered(uint24 indexed number, bytes32 indexed digest);

    /// @notice An adapter was minted.
    event AdapterMinted(
        uint256 indexed tokenId,
        address indexed maker,
        bytes32 indexed weights,
        bytes32 dataset,
        bytes32 base,
        bytes32 terms,
        bool derivable,
        uint16 royalty,
        uint16 derivative,
        string cid
    );

    /// @notice An adapter was made from another, which gets a share of its sales.
    event AdapterDerived(uint256 indexed tokenId, uint256 indexed parent, uint16 share);

    /// @notice A share of an adapter's sales goes to those who contributed to its dataset.
    event ContributorsNamed(uint256 indexed tokenId, uint16 share, bytes32 root);

    /// @notice An adapter was withdrawn for good.
    event AdapterRevoked(uint256 indexed tokenId, address indexed by, string reason);

    /// @notice The safety account took an adapter down; `reason` is the sha256 of a published text.
    event AdapterTakenDown(uint256 indexed tokenId, address indexed by, bytes32 reason);

    /// @notice The safety account lifted a takedown.
    event AdapterReinstated(uint256 indexed tokenId, address indexed by, bytes32 reason);

    /// @notice Consent to one record of an adapter's dataset was withdrawn.
    event ConsentRevoked(uint256 indexed tokenId, bytes32 indexed recordDigest, address indexed by, string reason);

    /// @dev Weights, dataset, base and commitments must be named.
    error AdapterZeroDigest();

    /// @dev These weights are already a token.
    error AdapterWeightsTaken(bytes32 weights, uint256 tokenId);

    /// @dev The mint must have been committed to in an earlier block.
    error MintUncommitted(bytes32 commitment);

    /// @dev The commitment stands already.
    error MintIsCommitted(bytes32 commitment);

    /// @dev Shares do not add up: `total` of `limit`, or a share without its receivers.
    error AdapterInvalidShares(uint256 total, uint256 limit);

    /// @dev Parents must ascend, and be few.
    error AdapterInvalidParents(uint256 count, uint256 limit);

    /// @dev The terms of this adapter allow none to be made from it.
    error AdapterNotDerivable(uint256 tokenId);

    /// @dev The caller has no say over this token.
    error AdapterUnauthorized(uint256 tokenId, address caller);

    /// @dev The adapter was withdrawn.
    error AdapterIsRevoked(uint256 tokenId);

    /// @dev The adapter is taken down.
    error AdapterIsTakenDown(uint256 tokenId);

    /// @dev The adapter is not taken down.
    error AdapterNotTakenDown(uint256 tokenId);

    /// @dev Consent to this record was already withdrawn.
    error ConsentIsRevoked(uint256 tokenId, bytes32 recordDigest, uint256 revokedAt);

    /// @notice Announces a mint without saying what: `commitment` is `mintDigest` of it, salt and all.
    /// @dev Who sees a mint waiting for its block can copy the weights' digest, but its own commitment comes too late.
    function commitMint(bytes32 commitment) external {
        if (commitment == 0) revert AdapterZeroDigest();
        if (_committedAt[commitment] != 0) revert MintIsCommitted(commitment);
        _committedAt[commitment] = block.number;
        emit MintCommitted(commitment);
    }

    /// @notice Mints an adapter to its maker, who sends this or has signed it; committed to in an earlier block.
    /// @param signature The maker's signature over the typed data `Mint`; not read when the maker is the caller.
    function mint(Mint calldata adapter, bytes calldata signature) external whenNotPaused returns (uint256 tokenId) {
        if (adapter.weights == 0 || adapter.dataset == 0 || adapter.base == 0) revert AdapterZeroDigest();
        _requireText(adapter.cid, MAX_CID_BYTES);
        _redeemCommitment(adapter, signature);
        uint256 taken = _tokenOfWeights[adapter.weights];
        if (taken != 0) revert AdapterWeightsTaken(adapter.weights, taken);

        tokenId = ++_lastTokenId;
        _tokenOfWeights[adapter.weights] = tokenId;
        _datasets[tokenId] = adapter.dataset;
        if (adapter.terms != 0) _terms[tokenId] = adapter.terms;
        _adapters[tokenId] = Adapter(
            adapter.maker,
            _baseNumber(adapter.base),
            adapter.royalty,
            _adopt(tokenId, adapter.parents),
            adapter.contributors,
            adapter.derivative,
            adapter.derivable ? DERIVABLE : 0
        );
        _requireShares(tokenId, adapter);
        _mint(adapter.maker, tokenId);
        emit AdapterMinted(
            tokenId,
            adapter.maker,
            adapter.weights,
            adapter.dataset,
            adapter.base,
            adapter.terms,
            adapter.derivable,
            adapter.royalty,
            adapter.derivative,
            adapter.cid
        );
    }

    /// @notice Withdraws an adapter: no new licence, stream or derivative. Its owner or its maker may.
    /// @dev Licences sold go on: ending one early is `revoke`, which gives back the money for the time not used.
    function revokeAdapter(uint256 tokenId, string calldata reason) external {
        if (_requireOwned(tokenId) != msg.sender && _adapters[tokenId].maker != msg.sender) {
            revert AdapterUnauthorized(tokenId, msg.sender);
        }
        _requireNotRevoked(tokenId);
        _requireText(reason, MAX_REASON_BYTES);
        _adapters[tokenId].flags |= REVOKED;
        emit AdapterRevoked(tokenId, msg.sender, reason);
    }

    /// @notice Takes an adapter down: nobody is licensed and nothing is anchored until it is reinstated.
    function takeDown(uint256 tokenId, bytes32 reason) external {
        _requireSafety();
        _requireOwned(tokenId);
        _requireNotTakenDown(tokenId);
        _adapters[tokenId].flags |= TAKEN_DOWN;
        emit AdapterTakenDown(tokenId, msg.sender, reason);
    }

    /// @notice Lifts a takedown.
    function reinstate(uint256 tokenId, bytes32 reason) external {
        _requireSafety();
        if (_adapters[tokenId].flags & TAKEN_DOWN == 0) revert AdapterNotTakenDown(tokenId);
        _adapters[tokenId].flags &= ~TAKEN_DOWN;
        emit AdapterReinstated(tokenId, msg.sender, reason);
    }

    /// @notice States that consent to a record of the dataset was withdrawn. The maker or the safety account may.
    function revokeConsent(uint256 tokenId, bytes32 recordDigest, string calldata reason) external {
        _requireOwned(tokenId);
        if (_adapters[tokenId].maker != msg.sender && safety != msg.sender) {
            revert AdapterUnauthorized(tokenId, msg.sender);
        }
        _requireText(reason, MAX_REASON_BYTES);
        uint256 earlier = _consentRevokedAt[tokenId][recordDigest];
        if (earlier != 0) revert ConsentIsRevoked(tokenId, recordDigest, earlier);
        _consentRevokedAt[tokenId][recordDigest] = block.timestamp;
        emit ConsentRevoked(tokenId, recordDigest, msg.sender, reason);
    }

    /// @notice What is committed to and signed: the EIP-712 struct hash of a mint.
    function mintDigest(Mint calldata adapter) public pure returns (bytes32) {
        // In two parts, for the compiler's stack; every value is one word, so the parts join to the encoding.
        return keccak256(
            bytes.concat(
                abi.encode(
                    MINT_TYPEHASH,
                    adapter.maker,
                    adapter.weights,
                    adapter.dataset,
                    adapter.base,
                    adapter.terms,
                    adapter.derivable,
                    adapter.royalty
                ),
                abi.encode(
                    adapter.derivative,
                    adapter.contributors,
                    adapter.contributorsRoot,
                    keccak256(abi.encodePacked(adapter.parents)),
                    keccak256(bytes(adapter.cid)),
                    adapter.salt,
                    adapter.deadline
                )
            )
        );
    }

    /// @notice What is kept of an adapter; reverts if there is no such token.
    function adapterOf(uint256 tokenId) external view returns (Adapter memory) {
        _requireOwned(tokenId);
        return _loadAdapter(tokenId);
    }

    /// @notice Digests of an adapter's dataset statement, base model and terms; all zero if there is no such token.
    function digestsOf(uint256 tokenId) external view returns (bytes32 dataset, bytes32 base, bytes32 terms) {
        return (_datasets[tokenId], _bases[_adapters[tokenId].base], _terms[tokenId]);
    }

    /// @notice The adapters an adapter was made from, ascending: eight ids of 32 bits, the first in the lowest; 0 is none.
    function parentsOf(uint256 tokenId) external view returns (uint256 packed) {
        return _parents[tokenId];
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

    /// @notice ERC-2981: what the maker asks of a resale. No chain can enforce it.
    function royaltyInfo(uint256 tokenId, uint256 salePrice) external view returns (address receiver, uint256 amount) {
        Adapter memory adapter = _loadAdapter(tokenId);
        return (adapter.maker, salePrice / WHOLE * adapter.royalty + salePrice % WHOLE * adapter.royalty / WHOLE);
    }

    /// @notice Empty: the release's CID is in the mint's event.
    function tokenURI(uint256 tokenId) public view override returns (string memory) {
        _requireOwned(tokenId);
        return "";
    }

    /// @inheritdoc IERC165
    function supportsInterface(bytes4 interfaceId) public view override(ERC721, IERC165) returns (bool) {
        return interfaceId == type(IERC2981).interfaceId || super.supportsInterface(interfaceId);
    }

    function _loadAdapter(uint256 tokenId) internal view returns (Adapter memory) {
        return _adapters[tokenId];
    }

    function _isTakenDown(uint256 tokenId) internal view returns (bool) {
        return _adapters[tokenId].flags & TAKEN_DOWN != 0;
    }

    /// @dev Neither withdrawn nor taken down.
    function _requireUsable(uint256 tokenId) internal view returns (Adapter memory adapter) {
        adapter = _loadAdapter(tokenId);
        if (adapter.flags & REVOKED != 0) revert AdapterIsRevoked(tokenId);
        if (adapter.flags & TAKEN_DOWN != 0) revert AdapterIsTakenDown(tokenId);
    }

    function _requireNotRevoked(uint256 tokenId) internal view {
        if (_adapters[tokenId].flags & REVOKED != 0) revert AdapterIsRevoked(tokenId);
    }

    function _requireNotTakenDown(uint256 tokenId) internal view {
        if (_isTakenDown(tokenId)) revert AdapterIsTakenDown(tokenId);
    }

    function _requireOwner(uint256 tokenId) internal view {
        if (_requireOwned(tokenId) != msg.sender) revert AdapterUnauthorized(tokenId, msg.sender);
    }

    function _isParent(uint256 tokenId, uint256 parent) internal view returns (bool) {
        for (uint256 packed = _parents[tokenId]; packed != 0; packed >>= 32) {
            if (packed & type(uint32).max == parent) return true;
        }
        return false;
    }

    function _redeemCommitment(Mint calldata adapter, bytes calldata signature) private {
        bytes32 commitment = mintDigest(adapter);
        uint256 committedAt = _committedAt[commitment];
        if (committedAt == 0 || committedAt >= block.number) revert MintUncommitted(commitment);
        delete _committedAt[commitment];
        if (adapter.maker == msg.sender) return;
        _requireBefore(adapter.deadline);
        _requireSigned(adapter.maker, commitment, signature);
    }

    function _baseNumber(bytes32 digest) private returns (uint24 number) {
        number = _baseNumbers[digest];
        if (number != 0) return number;
        number = ++_lastBase;
        _baseNumbers[digest] = number;
        _bases[number] = digest;
        emit BaseRegistered(number, digest);
    }

    function _adopt(uint256 tokenId, uint32[] calldata parents) private returns (uint16 share) {
        if (parents.length == 0) return 0;
        if (parents.length > MAX_PARENTS) revert AdapterInvalidParents(parents.length, MAX_PARENTS);
        uint256 packed;
        uint256 last;
        uint256 total;
        for (uint256 i; i < parents.length; ++i) {
            uint256 parent = parents[i];
            if (parent <= last) revert AdapterInvalidParents(parents.length, MAX_PARENTS);
            last = parent;
            _requireOwned(parent);
            Adapter memory made = _requireUsable(parent);
            if (made.flags & DERIVABLE == 0) revert AdapterNotDerivable(parent);
            total += made.derivative;
            packed |= parent << (32 * i);
            emit AdapterDerived(tokenId, parent, made.derivative);
        }
        if (total > WHOLE) revert AdapterInvalidShares(total, WHOLE);
        _parents[tokenId] = packed;
        return uint16(total);
    }

    function _requireShares(uint256 tokenId, Mint calldata adapter) private {
        uint256 total = uint256(_adapters[tokenId].parents) + adapter.contributors;
        if (total > WHOLE) revert AdapterInvalidShares(total, WHOLE);
        if (adapter.derivative > WHOLE) revert AdapterInvalidShares(adapter.derivative, WHOLE);
        if (adapter.royalty > MAX_ROYALTY) revert AdapterInvalidShares(adapter.royalty, MAX_ROYALTY);
        if ((adapter.contributors == 0) != (adapter.contributorsRoot == 0)) {
            revert AdapterInvalidShares(adapter.contributors, WHOLE);
        }
        if (adapter.contributors != 0) {
            _contributorsRoots[tokenId] = adapter.contributorsRoot;
            emit ContributorsNamed(tokenId, adapter.contributors, adapter.contributorsRoot);
        }
    }
}
