// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {Issuers} from "./Issuers.sol";
import {Streams} from "./Streams.sol";

/// @title ProvLedger
/// @notice Adapters as tokens, licences to use them, and the anchored history of every image made with them.
/// @dev No administrator, no upgrade, no pause: nobody can change what has been written here.
contract ProvLedger is Streams, Issuers {
    constructor() ERC721("prov adapters", "PROV") {}
}
