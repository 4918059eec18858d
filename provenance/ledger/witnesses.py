"""Other nodes that must know the same blocks: then no single node decides what the chain is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from provenance.errors import FormatError, LedgerContradiction
from provenance.ledger.header import Header
from provenance.ledger.hexadecimal import parse_quantity
from provenance.ledger.node import Node, header_call
from provenance.ledger.protocol import LedgerIdentity


class Witnesses:
    """Every one must agree, and every one must answer: who can silence one could otherwise choose which is heard."""

    def __init__(self, nodes: Sequence[Node], identity: LedgerIdentity) -> None:
        self._nodes = tuple(nodes)
        self._identity = identity
        self._agreed: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._nodes)

    def agree(self, headers: Iterable[Header]) -> None:
        """Asks each witness for these blocks; raises LedgerContradiction, or LedgerUnavailable for a silent one."""
        wanted = {each.number: each for each in headers if each.hash not in self._agreed}
        if not wanted:
            return
        for node in self._nodes:
            self._ask(node, wanted)
        self._agreed |= {each.hash for each in wanted.values()}

    def close(self) -> None:
        """Closes the connections."""
        for node in self._nodes:
            node.rpc.close()

    def _ask(self, node: Node, wanted: dict[int, Header]) -> None:
        numbers = sorted(wanted)
        chain_id, genesis, *blocks = node.ask_all(
            [("eth_chainId", ()), header_call(0), *(header_call(number) for number in numbers)]
        )
        try:
            found_id = parse_quantity(chain_id, "the chain id")
        except FormatError as error:
            raise node.malformed(error) from error
        found_genesis = node.read_header(genesis, 0).hash.hex()
        if (found_id, found_genesis) != (self._identity.chain_id, self._identity.genesis):
            raise LedgerContradiction(
                f"the witness {node.name} is on another chain",
                expected=f"chain {self._identity.chain_id}, genesis {self._identity.genesis}",
                found=f"chain {found_id}, genesis {found_genesis}",
                fix="name a witness of the same chain with `prov chain use … --witness URL`",
            )
        for number, raw in zip(numbers, blocks, strict=True):
            if raw is None:
                raise node.rpc.unavailable(f"block {number} is not known to this witness")
            if (header := node.read_header(raw, number)).hash != wanted[number].hash:
                raise LedgerContradiction(
                    f"the witness {node.name} knows another block {number}",
                    expected=f"block {wanted[number].hash.hex()}, as the node says",
                    found=f"block {header.hash.hex()}",
                    fix="one of the two lies or follows another fork: rely on neither until you know which",
                )
