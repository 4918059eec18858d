// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC2981} from "@openzeppelin/contracts/interfaces/IERC2981.sol";
import {IERC721Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IERC721} from "@openzeppelin/contracts/token/ERC721/IERC721.sol";
import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {Adapters} from "../src/Adapters.sol";
import {Safety} from "../src/Safety.sol";
import {Texts} from "../src/Texts.sol";
import {LedgerTest} from "./LedgerTest.sol";
import {vm} from "./Vm.sol";

/// @notice What is written about an adapter, by whom, and who may withdraw it or take it down.
contract AdaptersTest is LedgerTest {
    function test_a_mint_is_kept_in_full() public {
        Adapters.Mint memory adapter = draft(maker);
        commit(adapter);
        vm.expectEmit(true, true, false, true, address(ledger));
        emit Adapters.BaseRegistered(1, adapter.base);
        vm.expectEmit(true, true, true, true, address(ledger));
        emit Adapters.AdapterMinted(
            1,
            maker,
            adapter.weights,
            adapter.dataset,
            adapter.base,
            adapter.terms,
            true,
            adapter.royalty,
            adapter.derivative,
            adapter.cid
        );
        vm.prank(maker);
        uint256 tokenId = ledger.mint(adapter, "");

        vm.assertEq(tokenId, 1);
        vm.assertEq(ledger.ownerOf(1), maker);
        vm.assertEq(ledger.tokenOfWeights(adapter.weights), 1);
        vm.assertEq(ledger.totalAdapters(), 1);
        (bytes32 dataset, bytes32 base, bytes32 kept) = ledger.digestsOf(1);
        vm.assertEq(dataset, adapter.dataset);
        vm.assertEq(base, adapter.base);
        vm.assertEq(kept, adapter.terms);
        Adapters.Adapter memory stored = ledger.adapterOf(1);
        vm.assertEq(stored.maker, maker);
        vm.assertEq(stored.base, 1);
        vm.assertEq(stored.royalty, adapter.royalty);
        vm.assertEq(stored.derivative, adapter.derivative);
        vm.assertEq(stored.flags, 1);
        vm.assertEq(ledger.tokenURI(1), "");
    }

    function test_adapters_of_one_base_share_its_number() public {
        uint256 first = mint();
        uint256 second = mint();
        Adapters.Mint memory adapter = draft(maker);
        adapter.base = keccak256("another base");
        uint256 third = mint(adapter);
        vm.assertEq(ledger.adapterOf(first).base, 1);
        vm.assertEq(ledger.adapterOf(second).base, 1);
        vm.assertEq(ledger.adapterOf(third).base, 2);
        (, bytes32 base,) = ledger.digestsOf(third);
        vm.assertEq(base, adapter.base);
    }

    function test_terms_may_be_left_out() public {
        Adapters.Mint memory adapter = draft(maker);
        adapter.terms = 0;
        adapter.derivable = false;
        uint256 tokenId = mint(adapter);
        (,, bytes32 kept) = ledger.digestsOf(tokenId);
        vm.assertEq(kept, bytes32(0));
        vm.assertEq(ledger.adapterOf(tokenId).flags, 0);
    }

    function test_mint_refuses_zero_digests() public {
        for (uint256 i; i < 3; ++i) {
            Adapters.Mint memory adapter = draft(maker);
            if (i == 0) adapter.weights = 0;
            if (i == 1) adapter.dataset = 0;
            if (i == 2) adapter.base = 0;
            commit(adapter);
            vm.expectRevert(Adapters.AdapterZeroDigest.selector);
            vm.prank(maker);
            ledger.mint(adapter, "");
        }
    }

    function test_mint_refuses_an_empty_and_a_long_cid() public {
        Adapters.Mint memory adapter = draft(maker);
        adapter.cid = "";
        commit(adapter);
        vm.expectRevert(abi.encodeWithSelector(Texts.TextInvalidLength.selector, 0, 128));
        vm.prank(maker);
        ledger.mint(adapter, "");

        adapter.cid = string(new bytes(129));
        commit(adapter);
        vm.expectRevert(abi.encodeWithSelector(Texts.TextInvalidLength.selector, 129, 128));
        vm.prank(maker);
        ledger.mint(adapter, "");

        adapter.cid = string(new bytes(128));
        vm.assertEq(mint(adapter), 1);
    }

    function test_weights_are_minted_once() public {
        Adapters.Mint memory adapter = draft(maker);
        mint(adapter);
        Adapters.Mint memory copy = draft(other);
        copy.weights = adapter.weights;
        commit(copy);
        vm.expectRevert(abi.encodeWithSelector(Adapters.AdapterWeightsTaken.selector, adapter.weights, 1));
        vm.prank(other);
        ledger.mint(copy, "");
    }

    function test_a_mint_needs_a_commitment_from_an_earlier_block() public {
        Adapters.Mint memory adapter = draft(maker);
        bytes32 commitment = ledger.mintDigest(adapter);
        bytes memory uncommitted = abi.encodeWithSelector(Adapters.MintUncommitted.selector, commitment);
        vm.expectRevert(uncommitted);
        vm.prank(maker);
        ledger.mint(adapter, "");

        vm.expectEmit(true, false, false, true, address(ledger));
        emit Adapters.MintCommitted(commitment);
        ledger.commitMint(commitment);
        vm.expectRevert(uncommitted);
        vm.prank(maker);
        ledger.mint(adapter, "");

        vm.roll(block.number + 1);
        vm.prank(maker);
        ledger.mint(adapter, "");

        // A commitment is good for one mint.
        vm.expectRevert(uncommitted);
        vm.prank(maker);
        ledger.mint(adapter, "");
    }

    function test_a_commitment_must_say_something_and_stands_once() public {
        vm.expectRevert(Adapters.AdapterZeroDigest.selector);
        ledger.commitMint(0);
        ledger.commitMint("x");
        vm.expectRevert(abi.encodeWithSelector(Adapters.MintIsCommitted.selector, bytes32("x")));
        ledger.commitMint("x");
    }

    function test_mint_digest_is_the_struct_hash_of_eip_712() public view {
        Adapters.Mint memory a;
        a.maker = maker;
        (a.weights, a.dataset, a.base, a.terms) = ("w", "d", "b", "t");
        (a.derivable, a.royalty, a.derivative, a.contributors) = (true, 1, 2, 3);
        (a.contributorsRoot, a.cid, a.salt, a.deadline) = ("root", "cid", "salt", 4);
        a.parents = new uint32[](2);
        (a.parents[0], a.parents[1]) = (5, 6);
        bytes32 kind = keccak256(
            "Mint(address maker,bytes32 weights,bytes32 dataset,bytes32 base,bytes32 terms,bool derivable,"
            "uint16 royalty,uint16 derivative,uint16 contributors,bytes32 contributorsRoot,uint32[] parents,"
            "string cid,bytes32 salt,uint256 deadline)"
        );
        bytes memory head = abi.encode(kind, maker, bytes32("w"), bytes32("d"), bytes32("b"), bytes32("t"), true);
        bytes memory middle = abi.encode(1, 2, 3, bytes32("root"), keccak256(abi.encode(5, 6)));
        bytes memory tail = abi.encode(keccak256("cid"), bytes32("salt"), 4);
        vm.assertEq(ledger.mintDigest(a), keccak256(bytes.concat(head, middle, tail)));
    }

    function test_anyone_may_send_a_mint_its_maker_signed() public {
        Adapters.Mint memory adapter = draft(maker);
        commit(adapter);
        bytes memory by = signature(MAKER_KEY, typedDigest(ledger.mintDigest(adapter)));
        vm.prank(other);
        vm.assertEq(ledger.mint(adapter, by), 1);
        vm.assertEq(ledger.ownerOf(1), maker);
    }

    function test_a_contract_account_mints_by_erc_1271() public {
        Adapters.Mint memory adapter = draft(wallet());
        commit(adapter);
        bytes memory by = signature(MAKER_KEY, typedDigest(ledger.mintDigest(adapter)));
        ledger.mint(adapter, by);
        vm.assertEq(ledger.ownerOf(1), adapter.maker);

        Adapters.Mint memory forged = draft(adapter.maker);
        commit(forged);
        by = signature(OTHER_KEY, typedDigest(ledger.mintDigest(forged)));
        vm.expectRevert(abi.encodeWithSignature("SignatureInvalid(address)", adapter.maker));
        ledger.mint(forged, by);
    }

    function test_a_signed_mint_ends_at_its_deadline() public {
        Adapters.Mint memory adapter = draft(maker);
        commit(adapter);
        bytes memory by = signature(MAKER_KEY, typedDigest(ledger.mintDigest(adapter)));
        vm.warp(adapter.deadline + 1);
        vm.expectRevert(abi.encodeWithSignature("SignatureExpired(uint256)", adapter.deadline));
        ledger.mint(adapter, by);
        vm.warp(adapter.deadline);
        ledger.mint(adapter, by);
    }

    function test_parents_are_kept_in_order_with_their_shares() public {
        mint();
        mint();
        mint();
        Adapters.Mint memory adapter = draft(other);
        adapter.parents = new uint32[](2);
        (adapter.parents[0], adapter.parents[1]) = (1, 3);
        commit(adapter);
        vm.expectEmit(true, true, false, true, address(ledger));
        emit Adapters.AdapterDerived(4, 1, 1_000);
        vm.expectEmit(true, true, false, true, address(ledger));
        emit Adapters.AdapterDerived(4, 3, 1_000);
        vm.prank(other);
        ledger.mint(adapter, "");
        vm.assertEq(ledger.parentsOf(4), uint256(3) << 32 | 1);
        vm.assertEq(ledger.adapterOf(4).parents, 2_000);
        vm.assertEq(ledger.parentsOf(1), 0);
    }

    function test_eight_parents_are_allowed_and_nine_are_not() public {
        for (uint256 i; i < 9; ++i) {
            mint();
        }
        Adapters.Mint memory adapter = draft(maker);
        adapter.parents = ascending(9);
        commit(adapter);
        vm.expectRevert(abi.encodeWithSelector(Adapters.AdapterInvalidParents.selector, 9, 8));
        vm.prank(maker);
        ledger.mint(adapter, "");
        adapter.parents = ascending(8);
        uint256 tokenId = mint(adapter);
        vm.assertEq(uint32(ledger.parentsOf(tokenId) >> 224), 8);
    }

    function test_parents_must_ascend() public {
        mint();
        mint();
        uint32[2][3] memory pairs = [[uint32(2), 1], [uint32(1), 1], [uint32(0), 1]];
        for (uint256 i; i < pairs.length; ++i) {
            Adapters.Mint memory adapter = draft(maker);
            adapter.parents = new uint32[](2);
            (adapter.parents[0], adapter.parents[1]) = (pairs[i][0], pairs[i][1]);
            commit(adapter);
            vm.expectRevert(abi.encodeWithSelector(Adapters.AdapterInvalidParents.selector, 2, 8));
            vm.prank(maker);
            ledger.mint(adapter, "");
        }
    }

    function test_parents_must_exist_so_nothing_is_its_own_parent() public {
        Adapters.Mint memory adapter = child(1);
        vm.expectRevert(abi.encodeWithSelector(IERC721Errors.ERC721NonexistentToken.selector, 1));
        vm.prank(maker);
        ledger.mint(adapter, "");
    }

    function test_nothing_is_made_from_a_withdrawn_adapter() public {
        mint();
        vm.prank(maker);
        ledger.revokeAdapter(1, "withdrawn");
        Adapters.Mint memory adapter = child(1);
        vm.expectRevert(abi.encodeWithSelector(Adapters.AdapterIsRevoked.selector, 1));
        vm.prank(maker);
        ledger.mint(adapter, "");
    }

    function test_nothing_is_made_from_an_adapter_taken_down() public {
        mint();
        vm.prank(safety);
        ledger.takeDown(1, "reason");
        Adapters.Mint memory adapter = child(1);
        vm.expectRevert(abi.encodeWithSelector(Adapters.AdapterIsTakenDown.selector, 1));
        vm.prank(maker);
        ledger.mint(adapter, "");
    }

    function test_nothing_is_made_from_an_adapter_whose_terms_forbid_it() public {
        Adapters.Mint memory closed = draft(maker);
        closed.derivable = false;
        mint(closed);
        Adapters.Mint memory adapter = child(1);
        vm.expectRevert(abi.encodeWithSelector(Adapters.AdapterNotDerivable.selector, 1));
        vm.prank(maker);
        ledger.mint(adapter, "");
    }

    function test_parents_cannot_ask_for_more_than_all() public {
        Adapters.Mint memory greedy = draft(maker);
        greedy.derivative = 6_000;
        mint(greedy);
        greedy = draft(maker);
        greedy.derivative = 4_001;
        mint(greedy);
        Adapters.Mint memory adapter = draft(maker);
        adapter.parents = ascending(2);
        commit(adapter);
        vm.expectRevert(abi.encodeWithSelector(Adapters.AdapterInvalidShares.selector, 10_001, 10_000));
        vm.prank(maker);
        ledger.mint(adapter, "");
    }

    function test_parents_and_contributors_cannot_get_more_than_all() public {
        mint();
        Adapters.Mint memory adapter = draft(maker);
        adapter.parents = ascending(1);
        (adapter.contributors, adapter.contributorsRoot) = (9_001, "root");
        commit(adapter);
        vm.expectRevert(abi.encodeWithSelector(Adapters.AdapterInvalidShares.selector, 10_001, 10_000));
        vm.prank(maker);
        ledger.mint(adapter, "");
        adapter.contributors = 9_000;
        commit(adapter);
        vm.expectEmit(true, false, false, true, address(ledger));
        emit Adapters.ContributorsNamed(2, 9_000, "root");
        vm.prank(maker);
        ledger.mint(adapter, "");
    }

    function test_derivatives_and_royalties_have_a_limit() public {
        Adapters.Mint memory adapter = draft(maker);
        adapter.derivative = 10_001;
        commit(adapter);
        vm.expectRevert(abi.encodeWithSelector(Adapters.AdapterInvalidShares.selector, 10_001, 10_000));
        vm.prank(maker);
        ledger.mint(adapter, "");
        (adapter.derivative, adapter.royalty) = (10_000, 2_501);
        commit(adapter);
        vm.expectRevert(abi.encodeWithSelector(Adapters.AdapterInvalidShares.selector, 2_501, 2_500));
        vm.prank(maker);
        ledger.mint(adapter, "");
        adapter.royalty = 2_500;
        mint(adapter);
    }

    function test_contributors_come_with_a_share_and_a_share_with_contributors() public {
        Adapters.Mint memory adapter = draft(maker);
        adapter.contributors = 7;
        commit(adapter);
        vm.expectRevert(abi.encodeWithSelector(Adapters.AdapterInvalidShares.selector, 7, 10_000));
        vm.prank(maker);
        ledger.mint(adapter, "");
        (adapter.contributors, adapter.contributorsRoot) = (0, "root");
        commit(adapter);
        vm.expectRevert(abi.encodeWithSelector(Adapters.AdapterInvalidShares.selector, 0, 10_000));
        vm.prank(maker);
        ledger.mint(adapter, "");
    }

    function test_owner_or_maker_withdraws_an_adapter_once() public {
        mint();
        vm.prank(maker);
        ledger.transferFrom(maker, other, 1);
        vm.expectRevert(abi.encodeWithSelector(Adapters.AdapterUnauthorized.selector, 1, buyer));
        vm.prank(buyer);
        ledger.revokeAdapter(1, "no");
        vm.expectEmit(true, true, false, true, address(ledger));
        emit Adapters.AdapterRevoked(1, maker, "by its maker");
        vm.prank(maker);
        ledger.revokeAdapter(1, "by its maker");
        vm.expectRevert(abi.encodeWithSelector(Adapters.AdapterIsRevoked.selector, 1));
        vm.prank(other);
        ledger.revokeAdapter(1, "again");

        mint();
        vm.prank(maker);
        ledger.transferFrom(maker, other, 2);
        vm.prank(other);
        ledger.revokeAdapter(2, "by its owner");
        vm.assertEq(ledger.adapterOf(2).flags & 2, 2);
    }

    function test_a_withdrawal_gives_its_reason() public {
        mint();
        vm.expectRevert(abi.encodeWithSelector(Texts.TextInvalidLength.selector, 0, 512));
        vm.prank(maker);
        ledger.revokeAdapter(1, "");
        vm.expectRevert(abi.encodeWithSelector(Texts.TextInvalidLength.selector, 513, 512));
        vm.prank(maker);
        ledger.revokeAdapter(1, string(new bytes(513)));
        vm.expectRevert(abi.encodeWithSelector(IERC721Errors.ERC721NonexistentToken.selector, 2));
        ledger.revokeAdapter(2, "none");
    }

    function test_licences_outlive_the_withdrawal_of_their_adapter() public {
        (uint256 tokenId,) = sold(terms(NATIVE, PRICE, MONTH));
        vm.prank(maker);
        ledger.revokeAdapter(tokenId, "withdrawn");
        vm.assertTrue(ledger.hasLicense(tokenId, buyer));
        vm.assertTrue(ledger.hasLicense(tokenId, maker));
    }

    function test_a_takedown_is_public_and_can_be_lifted() public {
        (uint256 tokenId,) = sold(terms(NATIVE, PRICE, MONTH));
        vm.expectEmit(true, true, false, true, address(ledger));
        emit Adapters.AdapterTakenDown(tokenId, safety, "reason");
        vm.prank(safety);
        ledger.takeDown(tokenId, "reason");
        vm.assertFalse(ledger.hasLicense(tokenId, buyer));
        vm.assertFalse(ledger.hasLicense(tokenId, maker));
        vm.assertEq(ledger.ownerOf(tokenId), maker);

        vm.expectRevert(abi.encodeWithSelector(Adapters.AdapterIsTakenDown.selector, tokenId));
        vm.prank(safety);
        ledger.takeDown(tokenId, "again");

        vm.expectEmit(true, true, false, true, address(ledger));
        emit Adapters.AdapterReinstated(tokenId, safety, "cleared");
        vm.prank(safety);
        ledger.reinstate(tokenId, "cleared");
        vm.assertTrue(ledger.hasLicense(tokenId, buyer));

        vm.expectRevert(abi.encodeWithSelector(Adapters.AdapterNotTakenDown.selector, tokenId));
        vm.prank(safety);
        ledger.reinstate(tokenId, "again");
    }

    function test_a_takedown_of_nothing_is_refused() public {
        vm.expectRevert(abi.encodeWithSelector(IERC721Errors.ERC721NonexistentToken.selector, 7));
        vm.prank(safety);
        ledger.takeDown(7, "reason");
    }

    function testFuzz_only_the_safety_account_takes_down_and_reinstates(address caller) public {
        vm.assume(caller != safety);
        mint();
        bytes memory unauthorized = abi.encodeWithSelector(Safety.SafetyUnauthorized.selector, caller);
        vm.expectRevert(unauthorized);
        vm.prank(caller);
        ledger.takeDown(1, "reason");
        vm.prank(safety);
        ledger.takeDown(1, "reason");
        vm.expectRevert(unauthorized);
        vm.prank(caller);
        ledger.reinstate(1, "reason");
    }

    function test_withdrawn_and_taken_down_are_two_things() public {
        mint();
        vm.prank(maker);
        ledger.revokeAdapter(1, "withdrawn");
        vm.startPrank(safety);
        ledger.takeDown(1, "reason");
        ledger.reinstate(1, "reason");
        vm.stopPrank();
        vm.assertEq(ledger.adapterOf(1).flags, 3);
    }

    function test_maker_and_safety_account_withdraw_consent_to_a_record_once() public {
        vm.warp(START + 5);
        mint();
        vm.prank(maker);
        ledger.transferFrom(maker, other, 1);
        vm.expectEmit(true, true, true, true, address(ledger));
        emit Adapters.ConsentRevoked(1, "record", maker, "asked");
        vm.prank(maker);
        ledger.revokeConsent(1, "record", "asked");
        vm.assertEq(ledger.consentRevokedAt(1, "record"), START + 5);
        vm.prank(safety);
        ledger.revokeConsent(1, "another", "court");

        vm.expectRevert(abi.encodeWithSelector(Adapters.ConsentIsRevoked.selector, 1, bytes32("record"), START + 5));
        vm.prank(safety);
        ledger.revokeConsent(1, "record", "again");
        vm.expectRevert(abi.encodeWithSelector(Adapters.AdapterUnauthorized.selector, 1, other));
        vm.prank(other);
        ledger.revokeConsent(1, "third", "no");
        vm.expectRevert(abi.encodeWithSelector(Texts.TextInvalidLength.selector, 0, 512));
        vm.prank(maker);
        ledger.revokeConsent(1, "third", "");
        vm.expectRevert(abi.encodeWithSelector(IERC721Errors.ERC721NonexistentToken.selector, 2));
        vm.prank(maker);
        ledger.revokeConsent(2, "third", "none");
        vm.assertEq(ledger.consentRevokedAt(1, "third"), 0);
    }

    function testFuzz_a_royalty_is_its_share_of_the_price(uint16 royalty, uint256 price) public {
        Adapters.Mint memory adapter = draft(maker);
        adapter.royalty = royalty % 2_501;
        uint256 tokenId = mint(adapter);
        (address receiver, uint256 amount) = ledger.royaltyInfo(tokenId, price);
        vm.assertEq(receiver, maker);
        if (price < 2 ** 240) vm.assertEq(amount, price * adapter.royalty / 10_000);
        else vm.assertTrue(amount <= price / 4);
    }

    function test_nothing_is_known_of_what_was_never_minted() public {
        vm.expectRevert(abi.encodeWithSelector(IERC721Errors.ERC721NonexistentToken.selector, 1));
        ledger.adapterOf(1);
        vm.expectRevert(abi.encodeWithSelector(IERC721Errors.ERC721NonexistentToken.selector, 1));
        ledger.tokenURI(1);
        (address receiver, uint256 amount) = ledger.royaltyInfo(1, 100);
        vm.assertEq(receiver, address(0));
        vm.assertEq(amount, 0);
        vm.assertEq(ledger.tokenOfWeights("none"), 0);
    }

    function test_interfaces_are_declared() public view {
        vm.assertTrue(ledger.supportsInterface(type(IERC721).interfaceId));
        vm.assertTrue(ledger.supportsInterface(type(IERC2981).interfaceId));
        vm.assertTrue(ledger.supportsInterface(type(IERC165).interfaceId));
        vm.assertFalse(ledger.supportsInterface(0xffffffff));
    }

    function child(uint32 parent) private returns (Adapters.Mint memory adapter) {
        adapter = draft(maker);
        adapter.parents = new uint32[](1);
        adapter.parents[0] = parent;
        commit(adapter);
    }

    function ascending(uint32 count) private pure returns (uint32[] memory ids) {
        ids = new uint32[](count);
        for (uint32 i; i < count; ++i) {
            ids[i] = i + 1;
        }
    }
}
