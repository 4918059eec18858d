"""web3 on our own connection: every answer is bounded, and every error object is read in one place, our own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from provenance.errors import LedgerRefused, LedgerUnavailable
from provenance.ledger import node_errors
from provenance.ledger.hexadecimal import checksum
from provenance.ledger.jsonrpc import JsonRpc, RpcError
from provenance.ledger.node import Node
from provenance.ledger.protocol import Account
from provenance.ledger.refusals import Reverted


class Web3Node:
    """A node asked through web3; ``eth`` is web3's, and is to be used within ``answers``."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.eth = _connect(node.rpc).eth

    def balance(self, account: str) -> int:
        """An account's money, in wei."""
        with self.answers(None):
            return int(self.eth.get_balance(checksum(account)))

    @contextmanager
    def answers(self, account: Account | None) -> Iterator[None]:
        """Turns a node's refusals into ours, and what web3 cannot read into LedgerUnavailable.

        ``account`` is whose transaction is refused, if it is one. Raises Reverted, LedgerRefused or LedgerUnavailable.
        """
        from web3.exceptions import Web3Exception

        try:
            yield
        except RpcError as error:
            raise self.error(account, error) from error
        except (Web3Exception, ValueError, TypeError, KeyError, AttributeError) as error:
            raise self._node.rpc.unavailable(f"{type(error).__name__}: {error}"[:300]) from error

    def error(self, account: Account | None, error: RpcError) -> Exception:
        """The error to raise for a node's refusal."""
        if account is not None and node_errors.is_too_poor(error.error):
            return LedgerRefused(
                f"the account {account.name} has too little money for the transaction and its fee",
                found=f"{self.balance(account.address)} wei",
                fix=f"send money to {account.address}",
            )
        if (data := node_errors.revert_data(error.error)) is not None:
            return Reverted(data)
        return LedgerUnavailable(f"the node {self._node.name} refuses", found=str(error)[:500])


def _connect(rpc: JsonRpc) -> Any:
    from web3 import Web3
    from web3.providers.base import JSONBaseProvider

    class OwnConnection(JSONBaseProvider):  # type: ignore[misc]
        """web3's questions over our connection; an error object is raised before web3 reads it its own way."""

        def make_request(self, method: Any, params: Any) -> Any:
            return {"jsonrpc": "2.0", "id": 0, "result": rpc.call(str(method), *params)}

    return Web3(OwnConnection())
