// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {Issuers} from "./Issuers.sol";
import {Streams} from "./Streams.sol";

/// @title ProvLedger
/// @notice Adapters as tokens, licences to use them, and the anchored history of every image made with them.
/// @dev No upgrade: nobody can change what has been written here. The owner may only appoint the safety account and
/// pause new mints and sales.
contract ProvLedger is Streams, Issuers {
    constructor() ERC721("prov adapters", "PROV") Ownable(msg.sender) {}
}
