// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

/// @title Signatures
/// @notice What accounts sign off the chain, as EIP-712 typed data bound to this chain and this contract.
/// @dev As OpenZeppelin's EIP712 does it, without what only wallets ask for: the code must fit in 24,576 bytes.
abstract contract Signatures {
    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant NAME_HASH = keccak256("prov");
    bytes32 private constant VERSION_HASH = keccak256("1");

    uint256 private immutable CHAIN_ID;
    bytes32 private immutable DOMAIN;

    /// @dev The signature is not this account's, or not over this.
    error SignatureInvalid(address signer);

    /// @dev The time to use the signature has passed.
    error SignatureExpired(uint256 deadline);

    constructor() {
        CHAIN_ID = block.chainid;
        DOMAIN = _domain();
    }

    /// @notice The hash of the EIP-712 domain of this contract on this chain, or on the fork of it that this is.
    function domainSeparator() public view returns (bytes32) {
        return block.chainid == CHAIN_ID ? DOMAIN : _domain();
    }

    function _domain() private view returns (bytes32) {
        return keccak256(abi.encode(DOMAIN_TYPEHASH, NAME_HASH, VERSION_HASH, block.chainid, address(this)));
    }

    /// @dev The account's own key first, which also saves a look at its code; then ERC-1271.
    function _requireSigned(address signer, bytes32 structHash, bytes calldata signature) internal view {
        bytes32 digest = MessageHashUtils.toTypedDataHash(domainSeparator(), structHash);
        (address recovered,,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (recovered == signer && signer != address(0)) return;
        if (signer.code.length != 0 && SignatureChecker.isValidERC1271SignatureNowCalldata(signer, digest, signature)) {
            return;
        }
        revert SignatureInvalid(signer);
    }

    function _requireBefore(uint256 deadline) internal view {
        if (block.timestamp > deadline) revert SignatureExpired(deadline);
    }
}
