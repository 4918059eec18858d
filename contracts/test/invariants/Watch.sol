// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Licences} from "../../src/Licences.sol";
import {ProvLedger} from "../../src/ProvLedger.sol";
import {Reentrant} from "../accounts/Reentrant.sol";
import {Token} from "../tokens/Token.sol";
import {vm} from "../Vm.sol";

/// @notice Looks at everything the ledger holds before and after each step, and notes what should not have happened.
/// @dev It knows nothing of how the ledger works: only who acted, and which promise nobody's act may break.
abstract contract Watch {
    /// @notice What may never happen, each the failure of one invariant.
    enum Fault {
        LicenceShrank,
        UsageFell,
        MoneyTaken,
        TokenTaken,
        RoleOverreached,
        SerialReused,
        StrangerAllowed,
        QuestionFailed
    }

    struct Look {
        Licences.Licence[] licences;
        uint256[] refunds;
        uint256[] owed;
        uint256[] funds;
        address[] owners;
        uint256[] streams;
    }

    uint256 internal constant MAX_TOKENS = 4;
    uint256 internal constant MAX_STREAMS = 6;
    address internal constant SAFETY = address(0x5AFE);
    address internal constant ADMIN = address(0xAD1);
    address internal constant NATIVE = address(0);

    ProvLedger public immutable LEDGER;
    Token public immutable TOKEN;

    address[] public actors;
    uint256[] internal keys;
    string[8] private _faults;
    mapping(bytes4 => uint256) public done;

    /// @dev Who acts, and what its act may rightly do; set by the step, cleared by `watched`.
    address internal caller;
    uint256 internal endedToken;
    address internal endedUser;
    uint256 internal movedToken;

    modifier watched(address by) {
        // A step that reverted has left its prank behind.
        vm.stopPrank();
        caller = by;
        Look memory before = look();
        uint256 time = block.timestamp;
        _;
        vm.stopPrank();
        compare(before, look(), time == block.timestamp);
        (endedToken, endedUser, movedToken) = (0, address(0), 0);
    }

    constructor(ProvLedger ledger) {
        LEDGER = ledger;
        TOKEN = new Token();
        for (uint256 key = 0xA1; key < 0xA6; ++key) {
            keys.push(key);
            add(vm.addr(key));
        }
        keys.push(0xA1);
        add(address(new Reentrant(ledger)));
    }

    function faultOf(Fault kind) external view returns (string memory) {
        return _faults[uint256(kind)];
    }

    function actor(uint256 seed) internal view returns (address) {
        return actors[seed % actors.length];
    }

    function keyOf(uint256 seed) internal view returns (uint256) {
        return keys[seed % keys.length];
    }

    function tokens() internal view returns (uint256) {
        return LEDGER.totalAdapters();
    }

    function fault(Fault kind, string memory what) internal {
        if (bytes(_faults[uint256(kind)]).length == 0) _faults[uint256(kind)] = what;
    }

    function look() internal view returns (Look memory seen) {
        uint256 users = actors.length;
        uint256 count = tokens();
        seen.licences = new Licences.Licence[](count * users);
        seen.refunds = new uint256[](count * users);
        seen.owners = new address[](count);
        (seen.owed, seen.funds) = (new uint256[](2 * users), new uint256[](2 * users));
        for (uint256 t; t < count; ++t) {
            seen.owners[t] = LEDGER.ownerOf(t + 1);
            for (uint256 u; u < users; ++u) {
                Licences.Licence memory held = LEDGER.licenceOf(t + 1, actors[u]);
                seen.licences[t * users + u] = held;
                if (held.paidUntil <= block.timestamp) continue;
                (, seen.refunds[t * users + u]) = LEDGER.refundOf(t + 1, actors[u]);
            }
        }
        for (uint256 u; u < users; ++u) {
            (seen.owed[2 * u], seen.owed[2 * u + 1]) =
            (LEDGER.owed(NATIVE, actors[u]), LEDGER.owed(address(TOKEN), actors[u]));
            (seen.funds[2 * u], seen.funds[2 * u + 1]) = (actors[u].balance, TOKEN.balanceOf(actors[u]));
        }
        seen.streams = new uint256[](LEDGER.totalStreams());
        for (uint32 s; s < seen.streams.length; ++s) {
            seen.streams[s] = LEDGER.streamOf(s + 1).next;
        }
    }

    function compare(Look memory before, Look memory afterwards, bool sameTime) private {
        if (caller == SAFETY || caller == ADMIN) {
            if (keccak256(abi.encode(before)) != keccak256(abi.encode(afterwards))) {
                fault(Fault.RoleOverreached, "a role changed a licence, a token, money or a stream");
            }
        }
        uint256 users = actors.length;
        for (uint256 i; i < before.licences.length; ++i) {
            compareLicence(i / users + 1, actors[i % users], before.licences[i], afterwards.licences[i]);
            bool ended = endedToken == i / users + 1 && endedUser == actors[i % users];
            if (sameTime && !ended && afterwards.refunds[i] < before.refunds[i]) {
                fault(Fault.LicenceShrank, "a refund shrank");
            }
        }
        for (uint256 i; i < before.owed.length; ++i) {
            if (actors[i / 2] == caller) continue;
            if (afterwards.owed[i] < before.owed[i]) fault(Fault.MoneyTaken, "what another is owed was taken");
            if (afterwards.funds[i] < before.funds[i]) fault(Fault.MoneyTaken, "what another has was taken");
        }
        for (uint256 t; t < before.owners.length; ++t) {
            if (afterwards.owners[t] == before.owners[t]) continue;
            bool own = movedToken == t + 1 && before.owners[t] == caller;
            if (!own) fault(Fault.TokenTaken, "a token was moved by another than its owner");
        }
        for (uint256 s; s < before.streams.length; ++s) {
            if (afterwards.streams[s] < before.streams[s]) fault(Fault.SerialReused, "a stream went back");
        }
    }

    function compareLicence(
        uint256 tokenId,
        address user,
        Licences.Licence memory before,
        Licences.Licence memory afterwards
    ) private {
        if (afterwards.used < before.used || afterwards.anchored < before.anchored) {
            fault(Fault.UsageFell, "a count of images fell");
        }
        if (endedToken == tokenId && endedUser == user) return;
        bool runs = before.expires > block.timestamp;
        if (runs && afterwards.expires < before.expires) fault(Fault.LicenceShrank, "an expiry came nearer");
        if (runs && before.flags & ~afterwards.flags != 0) fault(Fault.LicenceShrank, "a right was lost");
        if (before.paidUntil > block.timestamp && afterwards.paidUntil < before.paidUntil) {
            fault(Fault.LicenceShrank, "paid time was lost");
        }
        if (closing(before) <= block.timestamp) return;
        if (closing(afterwards) < closing(before)) fault(Fault.LicenceShrank, "the time to anchor was cut");
        if (before.quota != 0 && afterwards.quota != 0 && afterwards.quota < before.quota) {
            fault(Fault.LicenceShrank, "a quota shrank");
        }
        bool chosen = !runs && caller == user;
        if (before.quota == 0 && afterwards.quota != 0 && !chosen) {
            fault(Fault.LicenceShrank, "a licence without limit was limited");
        }
    }

    function closing(Licences.Licence memory held) internal pure returns (uint256) {
        return uint256(held.expires) + uint256(held.grace) * 1 days;
    }

    function add(address account) private {
        actors.push(account);
        vm.deal(account, 1e30);
        TOKEN.mint(account, 1e30);
        vm.prank(account);
        TOKEN.approve(address(LEDGER), type(uint256).max);
    }
}
