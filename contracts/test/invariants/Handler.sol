// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Licences} from "../../src/Licences.sol";
import {Offers} from "../../src/Offers.sol";
import {ProvLedger} from "../../src/ProvLedger.sol";
import {Treasury} from "../../src/Treasury.sol";
import {Reentrant} from "../accounts/Reentrant.sol";
import {vm} from "../Vm.sol";
import {Trade} from "./Trade.sol";
import {Watch} from "./Watch.sol";

/// @notice The steps of a random history: makers, licensees, both roles, strangers, and one account that is a contract
/// and calls back. A step that the ledger refuses is part of the history, too.
contract Handler is Trade {
    struct Anchored {
        uint32 first;
        uint32 count;
    }

    mapping(uint32 stream => Anchored[]) public anchored;
    mapping(uint32 stream => address) public openedBy;
    uint32 public lastStream;

    constructor(ProvLedger ledger) Watch(ledger) {
        vm.roll(100);
        mint(0, 0, 2_000, 1_000);
        mint(1, 1, 0, 500);
    }

    /// @dev The steps that forge calls.
    function steps() external pure returns (bytes4[] memory selectors) {
        selectors = new bytes4[](26);
        (selectors[0], selectors[1]) = (this.pass.selector, this.mint.selector);
        (selectors[2], selectors[3]) = (this.give.selector, this.offer.selector);
        (selectors[4], selectors[5]) = (this.closeOffer.selector, this.buy.selector);
        (selectors[6], selectors[7]) = (this.renew.selector, this.redeem.selector);
        (selectors[8], selectors[9]) = (this.replay.selector, this.grant.selector);
        (selectors[10], selectors[11]) = (this.revoke.selector, this.renounce.selector);
        (selectors[12], selectors[13]) = (this.handOn.selector, this.settle.selector);
        (selectors[14], selectors[15]) = (this.consume.selector, this.openStream.selector);
        (selectors[16], selectors[17]) = (this.anchor.selector, this.collect.selector);
        (selectors[18], selectors[19]) = (this.claim.selector, this.withdraw.selector);
        (selectors[20], selectors[21]) = (this.takeDown.selector, this.reinstate.selector);
        (selectors[22], selectors[23]) = (this.rule.selector, this.trespass.selector);
        (selectors[24], selectors[25]) = (this.reenter.selector, this.ask.selector);
    }

    function pass(uint256 time) external watched(address(0)) {
        vm.warp(block.timestamp + time % 20 days);
        vm.roll(block.number + 1);
    }

    function settle(uint256 token, uint256 user, uint32 used) external watched(address(0)) {
        address account = actor(user);
        if (account.code.length != 0) return;
        used = LEDGER.licenceOf(id(token), account).used + used % 50;
        bytes32 kind = keccak256("Usage(uint256 tokenId,address user,uint32 used)");
        bytes memory by = sign(keyOf(user), keccak256(abi.encode(kind, id(token), account, used)));
        try LEDGER.settle(id(token), account, used, by) {
            ++done[this.settle.selector];
        } catch {}
    }

    function consume(uint256 who, uint256 token, uint32 count) external watched(actor(who)) {
        bool licensed = LEDGER.hasLicense(id(token), caller);
        vm.startPrank(caller);
        try LEDGER.consume(id(token), count % 50) {
            if (!licensed) fault(Fault.StrangerAllowed, "images were counted without a licence");
            ++done[this.consume.selector];
        } catch {}
    }

    function openStream(uint256 who, uint256 token) external watched(actor(who)) {
        if (lastStream == MAX_STREAMS) return;
        uint256 tokenId = token % (tokens() + 1);
        bool licensed = tokenId == 0 || LEDGER.hasLicense(tokenId, caller);
        vm.startPrank(caller);
        try LEDGER.openStream(tokenId) returns (uint32 stream) {
            if (!licensed) fault(Fault.StrangerAllowed, "a stream was opened without a licence");
            if (stream != ++lastStream) fault(Fault.SerialReused, "a stream's number was not the next");
            openedBy[stream] = caller;
            ++done[this.openStream.selector];
        } catch {}
    }

    /// @dev Mostly in order, sometimes not; mostly by the holder, sometimes not.
    function anchor(uint256 who, uint32 stream, uint32 first, uint32 count) external watched(actor(who)) {
        if (lastStream == 0) return;
        stream = stream % lastStream + 1;
        if (who % 4 != 0) caller = openedBy[stream];
        uint32 next = LEDGER.streamOf(stream).next;
        if (first % 4 != 0) first = next;
        count %= 40;
        uint256 tokenId = LEDGER.streamOf(stream).tokenId;
        vm.startPrank(caller);
        try LEDGER.anchor(stream, first, count, "root", "cid") {
            if (caller != openedBy[stream]) fault(Fault.StrangerAllowed, "a stream took another's batch");
            if (down[tokenId]) fault(Fault.StrangerAllowed, "a batch was anchored under an adapter taken down");
            if (first != next || count == 0) fault(Fault.SerialReused, "a batch did not follow the last");
            anchored[stream].push(Anchored(first, count));
            ++done[this.anchor.selector];
        } catch {}
    }

    function takeDown(uint256 token) external watched(SAFETY) {
        vm.startPrank(SAFETY);
        try LEDGER.takeDown(id(token), "reason") {
            down[id(token)] = true;
            ++done[this.takeDown.selector];
        } catch {}
    }

    function reinstate(uint256 token) external watched(SAFETY) {
        vm.startPrank(SAFETY);
        try LEDGER.reinstate(id(token), "reason") {
            down[id(token)] = false;
            ++done[this.reinstate.selector];
        } catch {}
    }

    /// @dev All else the two roles can do.
    function rule(uint256 token, uint8 what) external watched(what % 2 == 0 ? SAFETY : ADMIN) {
        bytes[5] memory acts;
        acts[0] = abi.encodeCall(LEDGER.pause, ());
        acts[1] = abi.encodeCall(LEDGER.unpause, ());
        acts[2] = abi.encodeCall(LEDGER.revokeConsent, (id(token), bytes32(uint256(what)), "asked"));
        acts[3] = abi.encodeCall(LEDGER.appointSafety, (SAFETY));
        acts[4] = abi.encodeCall(LEDGER.unpause, ());
        vm.startPrank(caller);
        (bool allowed,) = address(LEDGER).call(acts[what / 2 % 5]);
        if (allowed) ++done[this.rule.selector];
    }

    /// @dev Whoever is not the owner, or is a role, tries what only an owner or a role may.
    function trespass(uint256 who, uint256 token, uint256 user, uint8 what)
        external
        watched(who % 3 == 0 ? SAFETY : who % 3 == 1 ? ADMIN : actor(who))
    {
        uint256 tokenId = id(token);
        if (caller == LEDGER.ownerOf(tokenId)) return;
        address victim = actor(user);
        bytes[10] memory acts;
        acts[0] = abi.encodeCall(LEDGER.transferFrom, (LEDGER.ownerOf(tokenId), caller, tokenId));
        acts[1] = abi.encodeCall(Offers.offer, (tokenId, terms(1, 1, 1, 0)));
        acts[2] = abi.encodeCall(Licences.grant, (tokenId, caller, type(uint40).max, 0, 0, 0));
        acts[3] = abi.encodeCall(Licences.revoke, (tokenId, victim, "breach"));
        acts[4] = abi.encodeCall(LEDGER.approve, (caller, tokenId));
        acts[5] = abi.encodeCall(LEDGER.transferOwnership, (caller));
        acts[6] = abi.encodeCall(LEDGER.takeDown, (tokenId, "reason"));
        acts[7] = abi.encodeCall(LEDGER.reinstate, (tokenId, "reason"));
        acts[8] = abi.encodeCall(LEDGER.appointSafety, (caller));
        acts[9] = abi.encodeCall(Offers.closeOffer, (tokenId, within(token, 1)));
        what %= 10;
        // What its role does allow is not a trespass.
        if (caller == SAFETY && (what == 6 || what == 7) || caller == ADMIN && (what == 5 || what == 8)) return;
        vm.startPrank(caller);
        (bool allowed,) = address(LEDGER).call(acts[what]);
        if (allowed) fault(Fault.StrangerAllowed, "somebody did what only another may");
        ++done[this.trespass.selector];
    }

    /// @dev The contract among the actors calls back while it is paid.
    function reenter(uint256 token, uint256 to, uint8 what) external watched(actors[5]) {
        bytes[5] memory acts;
        acts[0] = abi.encodeCall(Treasury.withdraw, (NATIVE, caller));
        acts[1] = abi.encodeCall(Licences.buy, (id(token), 1, type(uint256).max));
        acts[2] = abi.encodeCall(Licences.revoke, (id(token), actor(to), "breach"));
        acts[3] = abi.encodeCall(Treasury.collect, (id(token), 1, NATIVE));
        acts[4] = abi.encodeCall(LEDGER.openStream, (99));
        Reentrant contractor = Reentrant(payable(caller));
        overpay(what);
        contractor.prepare(1 ether, acts[what % 5]);
        uint256 before = caller.balance;
        uint256 owed = LEDGER.owed(NATIVE, caller);
        vm.startPrank(caller);
        try LEDGER.withdraw(NATIVE, caller) returns (uint256 amount) {
            if (amount != owed || caller.balance > before + owed) fault(Fault.MoneyTaken, "a reentrant call paid");
            if (what % 5 == 3 && contractor.succeeded()) {
                leftPools[NATIVE] += abi.decode(contractor.answer(), (uint256));
            }
            ++done[this.reenter.selector];
        } catch {}
        contractor.prepare(0, "");
    }

    /// @dev Every question can be asked of anything.
    function ask(uint256 tokenId, address user, uint256 known) external {
        if (known % 2 == 0) (tokenId, user) = (id(tokenId), actor(known));
        try LEDGER.hasLicense(tokenId, user) returns (bool) {}
        catch {
            fault(Fault.QuestionFailed, "hasLicense reverted");
        }
        ++done[this.ask.selector];
    }

    /// @dev It must be owed something before it can be paid: what it pays too much for the first thing it can buy.
    function overpay(uint24 offerId) private {
        vm.startPrank(caller);
        for (uint256 i; i < 12 && LEDGER.owed(NATIVE, caller) == 0; ++i) {
            uint24 wanted = within(i, offerId + uint24(i));
            Offers.Offer memory made = LEDGER.offerOf(id(i), wanted);
            if (made.currency != NATIVE) continue;
            try LEDGER.buy{value: uint256(made.price) + 1}(id(i), wanted, made.price) {
                over[id(i)][caller] = false;
            } catch {}
        }
        vm.stopPrank();
    }

    function batches(uint32 stream) external view returns (uint256) {
        return anchored[stream].length;
    }
}
