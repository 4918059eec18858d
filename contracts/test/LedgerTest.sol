// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Adapters} from "../src/Adapters.sol";
import {Licences} from "../src/Licences.sol";
import {Offers} from "../src/Offers.sol";
import {ProvLedger} from "../src/ProvLedger.sol";
import {Wallet} from "./accounts/Wallet.sol";
import {Token} from "./tokens/Token.sol";
import {vm} from "./Vm.sol";

/// @notice A fresh ledger with its accounts, and the few steps most tests begin with.
abstract contract LedgerTest {
    uint256 internal constant MAKER_KEY = 0xA11CE;
    uint256 internal constant BUYER_KEY = 0xB0B;
    uint256 internal constant OTHER_KEY = 0xCA401;
    uint40 internal constant START = 1_800_000_000;
    uint40 internal constant MONTH = 30 days;
    uint96 internal constant PRICE = 1 ether;
    address internal constant NATIVE = address(0);

    /// @dev Coverage is measured on the build of the tests, all else on the code that is published.
    string private constant RELEASE = ".work/forge/release/ProvLedger.sol/ProvLedger.json";

    ProvLedger internal ledger;
    Token internal token;
    address internal admin = address(this);
    address internal safety = address(0x5AFE);
    address internal maker = vm.addr(MAKER_KEY);
    address internal buyer = vm.addr(BUYER_KEY);
    address internal other = vm.addr(OTHER_KEY);
    uint256 private _minted;

    function setUp() public virtual {
        vm.warp(START);
        vm.roll(100);
        ledger = ProvLedger(vm.deployCode(vm.envOr("LEDGER_CODE", RELEASE)));
        ledger.appointSafety(safety);
        token = new Token();
        vm.deal(buyer, 1_000 ether);
        vm.deal(other, 1_000 ether);
        vm.deal(maker, 1_000 ether);
        token.mint(buyer, 1_000 ether);
        token.mint(maker, 1_000 ether);
        vm.prank(buyer);
        token.approve(address(ledger), type(uint256).max);
        vm.prank(maker);
        token.approve(address(ledger), type(uint256).max);
    }

    /// @dev Something new to mint, which every test may change before it mints it.
    function draft(address by) internal returns (Adapters.Mint memory adapter) {
        ++_minted;
        adapter.maker = by;
        adapter.weights = keccak256(abi.encode("weights", _minted));
        adapter.dataset = keccak256(abi.encode("dataset", _minted));
        adapter.base = keccak256("base");
        adapter.terms = keccak256("terms");
        adapter.derivable = true;
        adapter.royalty = 500;
        adapter.derivative = 1_000;
        adapter.cid = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi";
        adapter.salt = keccak256(abi.encode("salt", _minted));
        adapter.deadline = block.timestamp + 1 days;
    }

    function commit(Adapters.Mint memory adapter) internal {
        ledger.commitMint(ledger.mintDigest(adapter));
        vm.roll(block.number + 1);
    }

    function mint(Adapters.Mint memory adapter) internal returns (uint256 tokenId) {
        commit(adapter);
        vm.prank(adapter.maker);
        return ledger.mint(adapter, "");
    }

    function mint() internal returns (uint256 tokenId) {
        return mint(draft(maker));
    }

    function mintFrom(uint32 parent, address by) internal returns (uint256 tokenId) {
        Adapters.Mint memory adapter = draft(by);
        adapter.parents = new uint32[](1);
        adapter.parents[0] = parent;
        return mint(adapter);
    }

    /// @dev A contract account whose key is the maker's.
    function wallet() internal returns (address payable) {
        return payable(new Wallet(maker));
    }

    function terms(address currency, uint96 price, uint40 duration) internal pure returns (Offers.Terms memory) {
        return Offers.Terms(currency, price, duration, 0, 0, 0);
    }

    function offer(uint256 tokenId, Offers.Terms memory wanted) internal returns (uint24 offerId) {
        address owner = ledger.ownerOf(tokenId);
        vm.prank(owner);
        return ledger.offer(tokenId, wanted);
    }

    function offer(uint256 tokenId) internal returns (uint24 offerId) {
        return offer(tokenId, terms(NATIVE, PRICE, MONTH));
    }

    function buy(address by, uint256 tokenId, uint24 offerId) internal returns (uint40 expires) {
        Offers.Offer memory made = ledger.offerOf(tokenId, offerId);
        vm.prank(by);
        return ledger.buy{value: made.currency == NATIVE ? made.price : 0}(tokenId, offerId, made.price);
    }

    /// @dev An adapter with an offer that `buyer` bought.
    function sold(Offers.Terms memory wanted) internal returns (uint256 tokenId, uint24 offerId) {
        tokenId = mint();
        offerId = offer(tokenId, wanted);
        buy(buyer, tokenId, offerId);
    }

    function grant(uint256 tokenId, address user, uint40 expires) internal {
        address owner = ledger.ownerOf(tokenId);
        vm.prank(owner);
        ledger.grant(tokenId, user, expires, 0, 0, 0);
    }

    function signature(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function typedDigest(bytes32 structHash) internal view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", ledger.domainSeparator(), structHash));
    }

    function voucher(uint256 tokenId, address licensee) internal view returns (Licences.Voucher memory) {
        return Licences.Voucher(tokenId, licensee, NATIVE, PRICE, MONTH, 0, 0, 0, 1, block.timestamp + 1 days);
    }

    /// @dev Spelt out a second time on purpose: what the contract hashes must be what EIP-712 says.
    function voucherHash(Licences.Voucher memory v) internal pure returns (bytes32) {
        bytes32 kind = keccak256(
            "Voucher(uint256 tokenId,address licensee,address currency,uint96 price,uint40 duration,uint32 quota,"
            "uint8 flags,uint8 grace,uint256 nonce,uint256 deadline)"
        );
        return keccak256(
            bytes.concat(
                abi.encode(kind, v.tokenId, v.licensee, v.currency, v.price, v.duration),
                abi.encode(v.quota, v.flags, v.grace, v.nonce, v.deadline)
            )
        );
    }

    function signed(Licences.Voucher memory v, uint256 key) internal view returns (bytes memory) {
        return signature(key, typedDigest(voucherHash(v)));
    }

    function usageSigned(uint256 tokenId, address user, uint32 used, uint256 key) internal view returns (bytes memory) {
        bytes32 kind = keccak256("Usage(uint256 tokenId,address user,uint32 used)");
        return signature(key, typedDigest(keccak256(abi.encode(kind, tokenId, user, used))));
    }
}
