// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Licences} from "../../src/Licences.sol";
import {vm} from "../Vm.sol";
import {LedgerProof} from "./LedgerProof.sol";

/// @notice Proved by Halmos for every argument there is, not for many: times, accounts, quotas and prices are symbols.
contract LicenceProofs is LedgerProof {
    /// @dev A licence holds strictly before its expiry, and never from it on.
    function check_a_licence_ends_at_its_expiry(address user, uint40 expires, uint40 time) public {
        vm.assume(user != MAKER && user != address(0));
        grant(user, expires, 0);
        vm.assume(time >= START);
        vm.warp(time);
        assert(ledger.hasLicense(tokenId, user) == (time < expires));
    }

    /// @dev While an adapter is taken down nobody is licensed, whoever it is and whenever.
    function check_nobody_is_licensed_while_taken_down(address user, address asked, uint40 expires, uint40 time)
        public
    {
        vm.assume(user != address(0));
        grant(user, expires, 0);
        vm.prank(SAFETY);
        ledger.takeDown(tokenId, "reason");
        vm.warp(time);
        assert(!ledger.hasLicense(tokenId, asked));
    }

    /// @dev A takedown that is lifted leaves every licence as it was.
    function check_a_lifted_takedown_changes_no_licence(address user, uint40 expires, uint32 quota) public {
        vm.assume(user != MAKER && user != address(0));
        grant(user, expires, quota);
        bool before = ledger.hasLicense(tokenId, user);
        vm.startPrank(SAFETY);
        ledger.takeDown(tokenId, "reason");
        ledger.reinstate(tokenId, "reason");
        vm.stopPrank();
        assert(ledger.hasLicense(tokenId, user) == before);
    }

    /// @dev Nobody but the safety account takes an adapter down.
    function check_only_the_safety_account_takes_down(address caller) public {
        vm.assume(caller != SAFETY);
        vm.prank(caller);
        try ledger.takeDown(tokenId, "reason") {
            assert(false);
        } catch {}
        assert(ledger.hasLicense(tokenId, MAKER));
    }

    /// @dev Who was revoked is not licensed at any later time.
    function check_the_revoked_are_never_licensed(address user, uint40 expires, uint40 time) public {
        vm.assume(user != MAKER && user != address(0));
        grant(user, expires, 0);
        vm.prank(MAKER);
        ledger.revoke(tokenId, user, "breach");
        vm.assume(time >= START);
        vm.warp(time);
        assert(!ledger.hasLicense(tokenId, user));
    }

    /// @dev Asking reverts for no adapter and no account.
    function check_asking_never_reverts(uint256 anyToken, address asked, uint40 time) public {
        vm.warp(time);
        try ledger.hasLicense(anyToken, asked) returns (bool) {}
        catch {
            assert(false);
        }
    }

    /// @dev Without a licence or ownership there is no right.
    function check_no_right_comes_from_nothing(uint256 anyToken, address asked) public view {
        if (ledger.hasLicense(anyToken, asked)) assert(anyToken == tokenId && asked == MAKER);
    }

    /// @dev A grant to a holder never brings the expiry nearer, takes a right or lowers the quota.
    function check_a_grant_never_shrinks(
        uint40 first,
        uint32 quota,
        uint8 flags,
        uint40 second,
        uint32 more,
        uint8 other
    ) public {
        address user = address(0xB0B);
        vm.startPrank(MAKER);
        ledger.grant(tokenId, user, first, quota, flags, 0);
        Licences.Licence memory before = ledger.licenceOf(tokenId, user);
        try ledger.grant(tokenId, user, second, more, other, 0) {}
        catch {
            return;
        }
        Licences.Licence memory afterwards = ledger.licenceOf(tokenId, user);
        assert(afterwards.expires >= before.expires);
        assert(before.flags & ~afterwards.flags == 0);
        assert(afterwards.quota == 0 || (before.quota != 0 && afterwards.quota >= before.quota));
    }

    /// @dev A quota that is used up ends the right, exactly then.
    function check_a_quota_used_up_ends_the_right(uint32 quota, uint32 count) public {
        address user = address(0xB0B);
        vm.assume(quota != 0 && count != 0);
        grant(user, type(uint40).max, quota);
        vm.prank(user);
        try ledger.consume(tokenId, count) {}
        catch {
            assert(count > quota);
            return;
        }
        assert(count <= quota);
        assert(ledger.hasLicense(tokenId, user) == (count < quota));
    }

    function grant(address user, uint40 expires, uint32 quota) private {
        vm.prank(MAKER);
        ledger.grant(tokenId, user, expires, quota, 0, 0);
    }
}
