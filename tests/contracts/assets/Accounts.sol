// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @notice An account of code: acts as it is told, and once more in the middle of each payment it takes part in.
contract Actor {
    address private target;
    bytes private next;
    uint256 public tries;
    bool public succeeded;
    bytes public answer;

    receive() external payable {
        _again();
    }

    /// @notice What to try in the middle of the next payment.
    function prepare(address target_, bytes calldata call) external {
        (target, next) = (target_, call);
    }

    function act(address to, bytes calldata call) external payable {
        (bool done, bytes memory result) = to.call{value: msg.value}(call);
        if (done) return;
        assembly ("memory-safe") {
            revert(add(result, 32), mload(result))
        }
    }

    /// @dev From a coin that calls back.
    function called() external {
        _again();
    }

    function _again() private {
        if (next.length == 0) return;
        ++tries;
        (succeeded, answer) = target.call(next);
    }
}

/// @notice As an Actor, and takes no money.
contract Miser {
    function act(address to, bytes calldata call) external payable {
        (bool done, bytes memory result) = to.call{value: msg.value}(call);
        if (done) return;
        assembly ("memory-safe") {
            revert(add(result, 32), mload(result))
        }
    }
}

/// @notice A contract account that signs by ERC-1271 with the key of its owner.
contract Wallet {
    address private immutable KEY;

    constructor(address key) {
        KEY = key;
    }

    function act(address to, bytes calldata call) external payable {
        (bool done,) = to.call{value: msg.value}(call);
        require(done);
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        (address recovered,,) = ECDSA.tryRecover(hash, signature);
        return recovered == KEY ? this.isValidSignature.selector : bytes4(0xffffffff);
    }
}

interface Licensing {
    function hasLicense(uint256 tokenId, address user) external view returns (bool);
}

/// @notice Asks for a licence as another contract would, and says what that cost.
contract Asker {
    function ask(Licensing ledger, uint256 tokenId, address user) external view returns (bool held, uint256 gas) {
        gas = gasleft();
        held = ledger.hasLicense(tokenId, user);
        gas -= gasleft();
    }
}
