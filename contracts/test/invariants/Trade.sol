// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Adapters} from "../../src/Adapters.sol";
import {Licences} from "../../src/Licences.sol";
import {Offers} from "../../src/Offers.sol";
import {vm} from "../Vm.sol";
import {Acts} from "./Acts.sol";

/// @notice Steps of makers and licensees: what is minted, sold, given, ended and paid.
abstract contract Trade is Acts {
    uint256 private _salt;
    Licences.Voucher[] private _vouchers;
    bytes[] private _signatures;
    mapping(uint256 nonce => bool) private _redeemed;

    function mint(uint256 who, uint256 parents, uint16 derivative, uint16 contributors) public watched(actor(who)) {
        if (tokens() == MAX_TOKENS) return;
        Adapters.Mint memory adapter;
        adapter.maker = caller;
        ++_salt;
        (adapter.weights, adapter.dataset, adapter.base) = (bytes32(_salt), "dataset", bytes32(parents % 3 + 1));
        (adapter.derivable, adapter.derivative) = (true, derivative % 5_000);
        adapter.contributors = contributors % 5_000;
        // Two contributors: the second and the third actor, of a fourth and three fourths.
        if (adapter.contributors != 0) adapter.contributorsRoot = pair(leaf(1, 250_000), leaf(2, 750_000));
        adapter.cid = "cid";
        if (tokens() != 0 && parents % 2 == 1) {
            adapter.parents = new uint32[](1);
            adapter.parents[0] = uint32(parents % tokens() + 1);
        }
        LEDGER.commitMint(LEDGER.mintDigest(adapter));
        vm.roll(block.number + 1);
        vm.startPrank(caller);
        try LEDGER.mint(adapter, "") {
            ++done[this.mint.selector];
        } catch {}
    }

    function give(uint256 token, uint256 to) external watched(owner(token)) {
        vm.startPrank(caller);
        LEDGER.transferFrom(caller, actor(to), id(token));
        movedToken = id(token);
        ++done[this.give.selector];
    }

    function offer(uint256 token, uint96 price, uint40 duration, uint32 quota, uint8 more)
        external
        watched(owner(token))
    {
        vm.startPrank(caller);
        try LEDGER.offer(id(token), terms(price, duration, quota, more)) {
            ++done[this.offer.selector];
        } catch {}
    }

    function closeOffer(uint256 token, uint24 offerId) external watched(owner(token)) {
        vm.startPrank(caller);
        try LEDGER.closeOffer(id(token), within(token, offerId)) {
            ++done[this.closeOffer.selector];
        } catch {}
    }

    function buy(uint256 who, uint256 token, uint24 offerId, uint64 above) public watched(actor(who)) {
        Offers.Offer memory made = LEDGER.offerOf(id(token), within(token, offerId));
        uint256 value = made.currency == NATIVE ? uint256(made.price) + above : 0;
        vm.startPrank(caller);
        try LEDGER.buy{value: value}(id(token), within(token, offerId), made.price) {
            over[id(token)][caller] = false;
            ++done[this.buy.selector];
        } catch {}
    }

    /// @dev Under the offer that is held already, which chance alone would rarely hit.
    function renew(uint256 who, uint256 token) external {
        uint24 offerId = LEDGER.licenceOf(id(token), actor(who)).offerId;
        if (offerId != 0) buy(who, token, offerId - 1, 0);
    }

    function redeem(
        uint256 who,
        uint256 token,
        uint256 licensee,
        uint96 price,
        uint40 duration,
        uint32 quota,
        uint8 more
    ) external {
        (bool found, uint256 key) = ownerKey(token);
        if (!found) return;
        Offers.Terms memory wanted = terms(price, duration, quota, more);
        Licences.Voucher memory promised = Licences.Voucher(
            id(token),
            actor(lingering(token, licensee)),
            wanted.currency,
            wanted.price,
            wanted.duration,
            wanted.quota,
            wanted.flags,
            wanted.grace,
            ++_salt,
            type(uint256).max
        );
        bytes32 kind = keccak256(
            "Voucher(uint256 tokenId,address licensee,address currency,uint96 price,uint40 duration,uint32 quota,"
            "uint8 flags,uint8 grace,uint256 nonce,uint256 deadline)"
        );
        _vouchers.push(promised);
        _signatures.push(sign(key, keccak256(bytes.concat(kind, abi.encode(promised)))));
        replay(who, _vouchers.length - 1);
    }

    /// @dev Any voucher ever signed, once more.
    function replay(uint256 who, uint256 which) public watched(actor(who)) {
        if (_vouchers.length == 0) return;
        Licences.Voucher memory promised = _vouchers[which % _vouchers.length];
        uint256 value = promised.currency == NATIVE ? promised.price : 0;
        vm.startPrank(caller);
        try LEDGER.redeem{value: value}(promised, _signatures[which % _vouchers.length]) {
            if (_redeemed[promised.nonce]) fault(Fault.StrangerAllowed, "a voucher was redeemed twice");
            _redeemed[promised.nonce] = true;
            over[promised.tokenId][promised.licensee] = false;
            ++done[this.redeem.selector];
        } catch {}
    }

    function grant(uint256 token, uint256 user, uint40 time, uint32 quota, uint8 more) external watched(owner(token)) {
        user = lingering(token, user);
        uint40 expires = uint40(block.timestamp + time % 60 days + 1);
        Offers.Terms memory wanted = terms(0, 1, quota, more);
        vm.startPrank(caller);
        try LEDGER.grant(id(token), actor(user), expires, wanted.quota, wanted.flags, wanted.grace) {
            over[id(token)][actor(user)] = false;
            ++done[this.grant.selector];
        } catch {}
    }

    function revoke(uint256 token, uint256 user) external watched(owner(token)) {
        user = holding(token, user, 0);
        (address currency, uint256 amount) = LEDGER.refundOf(id(token), actor(user));
        vm.startPrank(caller);
        try LEDGER.revoke{value: currency == NATIVE ? amount : 0}(id(token), actor(user), "breach") {
            ended(id(token), actor(user));
            ++done[this.revoke.selector];
        } catch {}
    }

    function renounce(uint256 who, uint256 token) external watched(actor(holding(token, who, 0))) {
        vm.startPrank(caller);
        try LEDGER.renounce(id(token)) {
            ended(id(token), caller);
            ++done[this.renounce.selector];
        } catch {}
    }

    function handOn(uint256 who, uint256 token, uint256 to) external watched(actor(holding(token, who, 2))) {
        uint256 before = room(id(token), caller) + room(id(token), actor(to));
        vm.startPrank(caller);
        try LEDGER.transferLicence(id(token), actor(to)) {
            ended(id(token), caller);
            over[id(token)][actor(to)] = false;
            if (room(id(token), caller) + room(id(token), actor(to)) > before) {
                fault(Fault.LicenceShrank, "a transfer made images");
            }
            ++done[this.handOn.selector];
        } catch {}
    }

    function collect(uint256 token, uint256 parent, uint8 kind) external watched(address(0)) {
        address currency = currencyOf(kind);
        uint256 parents = LEDGER.parentsOf(id(token));
        uint256 wanted = parents == 0 ? id(parent) : parents;
        try LEDGER.collect(id(token), wanted, currency) returns (uint256 amount) {
            leftPools[currency] += amount;
            ++done[this.collect.selector];
        } catch {}
    }

    function claim(uint256 token, uint8 which, uint8 kind) external watched(address(0)) {
        address currency = currencyOf(kind);
        bool second = which % 2 == 0;
        (uint256 place, uint32 part) = second ? (2, 750_000) : (1, uint32(250_000));
        bytes32[] memory proof = new bytes32[](1);
        proof[0] = second ? leaf(1, 250_000) : leaf(2, 750_000);
        try LEDGER.claim(id(token), currency, actors[place], part, proof) returns (uint256 amount) {
            leftPools[currency] += amount;
            ++done[this.claim.selector];
        } catch {}
    }

    function withdraw(uint256 who, uint8 kind) external watched(actor(who)) {
        vm.startPrank(caller);
        try LEDGER.withdraw(currencyOf(kind), caller) {
            ++done[this.withdraw.selector];
        } catch {}
    }
}
