"""Waiting for a transaction until the block that holds it is final, and looking again when it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from provenance.errors import FormatError, LedgerUnavailable
from provenance.ledger.header import Header
from provenance.ledger.node import Node
from provenance.ledger.receipts import NodeReceipt, parse_receipt

RECEIPT_SECONDS = 180.0
FINAL_SECONDS = 3600.0
FIRST_PAUSE = 0.02
LONGEST_PAUSE = 4.0

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Settled:
    """A receipt, and the final block that holds it."""

    receipt: NodeReceipt
    header: Header


class Settlement:
    """Waits for one transaction; ``progress`` is told, in a sentence, what is waited for."""

    def __init__(
        self,
        node: Node,
        transaction: str,
        *,
        confirmations: int | None,
        progress: Progress,
        receipt_seconds: float | None = None,
        final_seconds: float | None = None,
    ) -> None:
        self._node = node
        self._transaction = transaction
        self._confirmations = confirmations
        self._progress = progress
        self._receipt_seconds = RECEIPT_SECONDS if receipt_seconds is None else receipt_seconds
        self._final_seconds = FINAL_SECONDS if final_seconds is None else final_seconds

    def wait(self) -> Settled:
        """The receipt once its block is final and still the chain's; a block that was replaced is waited for again.

        Raises LedgerUnavailable if that takes too long.
        """
        deadline = time.monotonic() + self._final_seconds
        was_replaced = False
        while True:
            receipt = self._first_receipt(was_replaced)
            self._until_final(receipt, deadline)
            header = self._node.header(receipt.block)
            again = self._receipt()
            if again is not None and again.block_hash == receipt.block_hash == header.hash:
                return Settled(again, header)
            was_replaced = True
            self._progress(f"block {receipt.block} was replaced; waiting for {self._transaction} in another")
            if time.monotonic() > deadline:
                raise self._late(f"in the chain after {self._final_seconds:g} s", "blocks that were replaced")

    def _first_receipt(self, was_replaced: bool) -> NodeReceipt:
        deadline = time.monotonic() + self._receipt_seconds
        pause = _Pause()
        while (receipt := self._receipt()) is None:
            if time.monotonic() > deadline:
                found = "the block that held it was replaced, and none holds it since" if was_replaced else "no receipt"
                raise self._late(f"in a block yet after {self._receipt_seconds:g} s", found)
            pause()
        return receipt

    def _until_final(self, receipt: NodeReceipt, deadline: float) -> None:
        pause = _Pause()
        last = -1
        while (final := self._node.final(self._confirmations).number) < receipt.block:
            if final != last:
                self._progress(f"in block {receipt.block}; final up to block {final}")
                last = final
            if time.monotonic() > deadline:
                raise self._late(f"final yet after {self._final_seconds:g} s", f"final up to block {final}")
            pause()

    def _receipt(self) -> NodeReceipt | None:
        raw = self._node.ask("eth_getTransactionReceipt", f"0x{self._transaction}")
        if raw is None:
            return None
        try:
            receipt = parse_receipt(raw)
        except FormatError as error:
            raise self._node.malformed(error) from error
        if receipt.transaction != self._transaction:
            raise self._node.contradiction(
                "answers with the receipt of another transaction",
                expected=self._transaction,
                found=receipt.transaction,
            )
        return receipt

    def _late(self, what: str, found: str) -> LedgerUnavailable:
        return LedgerUnavailable(
            f"the transaction {self._transaction} is not {what}",
            found=found,
            fix="it may still be taken up: look at the ledger before trying again",
        )


class _Pause:
    """Sleeps longer each time."""

    def __init__(self) -> None:
        self._seconds = FIRST_PAUSE

    def __call__(self) -> None:
        time.sleep(self._seconds)
        self._seconds = min(2 * self._seconds, LONGEST_PAUSE)
