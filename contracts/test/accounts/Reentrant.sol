// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ProvLedger} from "../../src/ProvLedger.sol";

/// @notice An account that makes one more call in the middle of every payment it takes part in.
contract Reentrant {
    ProvLedger private immutable LEDGER;

    bytes public next;
    uint256 public value;
    uint256 public tries;
    bool public succeeded;
    bytes public answer;

    constructor(ProvLedger ledger) {
        LEDGER = ledger;
    }

    receive() external payable {
        _try();
    }

    /// @dev From a token that calls back.
    function called() external {
        _try();
    }

    function prepare(uint256 sent, bytes calldata call) external {
        (value, next) = (sent, call);
    }

    function act(address target, uint256 sent, bytes calldata call) external payable returns (bytes memory) {
        (bool done, bytes memory result) = target.call{value: sent}(call);
        if (done) return result;
        assembly ("memory-safe") {
            revert(add(result, 32), mload(result))
        }
    }

    function _try() private {
        if (next.length == 0) return;
        bytes memory call = next;
        delete next;
        ++tries;
        (succeeded, answer) = address(LEDGER).call{value: value}(call);
    }
}
