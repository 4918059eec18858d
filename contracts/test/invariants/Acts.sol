// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Licences} from "../../src/Licences.sol";
import {Offers} from "../../src/Offers.sol";
import {vm} from "../Vm.sol";
import {Watch} from "./Watch.sol";

/// @notice What every step needs: who, which adapter, under what terms; and what the steps have done so far.
abstract contract Acts is Watch {
    mapping(uint256 tokenId => bool) public down;
    mapping(uint256 tokenId => mapping(address => bool)) public over;
    mapping(address currency => uint256) public leftPools;

    function owner(uint256 token) internal view returns (address) {
        return LEDGER.ownerOf(id(token));
    }

    function currencyOf(uint8 kind) internal view returns (address) {
        return kind % 2 == 0 ? NATIVE : address(TOKEN);
    }

    function id(uint256 token) internal view returns (uint256) {
        return token % tokens() + 1;
    }

    function within(uint256 token, uint24 offerId) internal view returns (uint24) {
        uint24 count = LEDGER.totalOffers(id(token));
        return count == 0 ? 1 : offerId % count + 1;
    }

    function ended(uint256 tokenId, address user) internal {
        (endedToken, endedUser) = (tokenId, user);
        over[tokenId][user] = true;
    }

    /// @dev Images an account may still make; the sum of two such must not overflow.
    function room(uint256 tokenId, address user) internal view returns (uint256) {
        Licences.Licence memory held = LEDGER.licenceOf(tokenId, user);
        if (closing(held) <= block.timestamp) return 0;
        if (held.quota == 0) return 2 ** 64;
        uint256 usage = held.used > held.anchored ? held.used : held.anchored;
        return usage < held.quota ? held.quota - usage : 0;
    }

    /// @dev The next actor from `seed` on with a licence that runs and has these flags, or `seed` itself.
    function holding(uint256 token, uint256 seed, uint8 flags) internal view returns (uint256) {
        seed %= actors.length;
        for (uint256 i; i < actors.length; ++i) {
            Licences.Licence memory held = LEDGER.licenceOf(id(token), actor(seed + i));
            if (held.expires > block.timestamp && held.flags & flags == flags) return seed + i;
        }
        return seed;
    }

    /// @dev Often the next actor whose licence is over and in its grace, where much can go wrong and chance rarely hits.
    function lingering(uint256 token, uint256 seed) internal view returns (uint256) {
        if (seed % 4 == 0) return seed;
        for (uint256 i; i < actors.length; ++i) {
            Licences.Licence memory held = LEDGER.licenceOf(id(token), actor(seed % actors.length + i));
            if (held.expires <= block.timestamp && closing(held) > block.timestamp) return seed % actors.length + i;
        }
        return seed;
    }

    function ownerKey(uint256 token) internal view returns (bool, uint256) {
        address holder = owner(token);
        for (uint256 i; i < 5; ++i) {
            if (actors[i] == holder) return (true, keys[i]);
        }
        return (false, 0);
    }

    function terms(uint96 price, uint40 duration, uint32 quota, uint8 more)
        internal
        view
        returns (Offers.Terms memory)
    {
        return Offers.Terms(
            more & 4 == 0 ? NATIVE : address(TOKEN),
            price % 1e24,
            duration % 60 days + 1,
            more & 8 == 0 ? 0 : quota % 100,
            more & 3,
            more >> 4
        );
    }

    function sign(uint256 key, bytes32 structHash) internal view returns (bytes memory) {
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", LEDGER.domainSeparator(), structHash));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function leaf(uint256 place, uint32 millionths) internal view returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(actors[place], millionths))));
    }

    function pair(bytes32 left, bytes32 right) internal pure returns (bytes32) {
        return left < right ? keccak256(bytes.concat(left, right)) : keccak256(bytes.concat(right, left));
    }
}
