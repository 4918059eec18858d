"""One JSON-RPC node, asked strictly: what is malformed, or not bound to a block's hash, is not an answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from provenance.errors import FormatError, LedgerContradiction, LedgerUnavailable
from provenance.ledger.header import Header, parse_header
from provenance.ledger.jsonrpc import Call, JsonRpc, RpcError, origin

FINALIZED = "finalized"
LATEST = "latest"


class Node:
    """Asks a node; ``is_bound`` says that its headers must hash to their hashes (see ``header.parse_header``)."""

    def __init__(self, rpc: JsonRpc, *, is_bound: bool) -> None:
        self.rpc = rpc
        self.is_bound = is_bound
        self._headers: dict[int, Header] = {}

    @property
    def name(self) -> str:
        """Its address, without a path that may be a secret."""
        return origin(self.rpc.url)

    def ask(self, method: str, *parameters: Any) -> Any:
        """The result of a method; raises LedgerUnavailable, also if the node refuses."""
        return self.ask_all([(method, parameters)])[0]

    def ask_all(self, calls: Sequence[Call]) -> list[Any]:
        """The results of several methods in one round trip."""
        try:
            return self.rpc.batch(calls)
        except RpcError as error:
            raise self.rpc.unavailable(str(error)) from error

    def header(self, block: int | str) -> Header:
        """The header of a block, by number or tag."""
        return self.headers([block])[0]

    def headers(self, blocks: Iterable[int | str]) -> list[Header]:
        """Headers of several blocks in one round trip."""
        wanted = list(blocks)
        raw = self.ask_all([header_call(each) for each in wanted])
        return [self.read_header(each, block) for each, block in zip(raw, wanted, strict=True)]

    def read_header(self, raw: Any, block: int | str) -> Header:
        """A header from the answer to ``header_call(block)``."""
        try:
            header = parse_header(raw, is_bound=self.is_bound)
        except FormatError as error:
            raise self.malformed(error) from error
        if isinstance(block, int) and header.number != block:
            raise self.contradiction(
                "answers with another block", expected=f"block {block}", found=f"block {header.number}"
            )
        return header

    def final(self, confirmations: int | None) -> Header:
        """The last block taken as final: by the node's word, or so many blocks behind its last one."""
        if confirmations is None:
            return self.header(FINALIZED)
        latest = self.header(LATEST)
        return self.header(max(latest.number - confirmations, 0)) if confirmations else latest

    def malformed(self, error: FormatError) -> LedgerUnavailable:
        """The error for an answer that does not parse."""
        found = error.what if error.found is None else f"{error.what}: {error.found}"
        return self.rpc.unavailable(found)

    def contradiction(self, what: str, *, expected: str, found: str) -> LedgerContradiction:
        """The error for an answer that cannot be true."""
        return LedgerContradiction(
            f"the node {self.name} {what}",
            expected=expected,
            found=found,
            fix="do not rely on this node; ask another with `prov chain use`",
        )


def header_call(block: int | str) -> Call:
    """The question for a header."""
    return "eth_getBlockByNumber", (block if isinstance(block, str) else hex(block), False)
