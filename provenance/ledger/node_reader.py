"""Reads a ledger from any node, up to its last final block, and holds what its logs say against the contract's storage.

Where the node serves proofs, storage is proved against the block's header; where it does not, storage is its word too,
but a word that must agree with its logs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from provenance.errors import LedgerContradiction, LedgerLookupError
from provenance.home import Home
from provenance.ledger.abi import decode_log, event_topics
from provenance.ledger.folds import fold_batch
from provenance.ledger.licences import Licence, Offer
from provenance.ledger.node import LATEST
from provenance.ledger.protocol import Batch, ConsentRevocation, IssuerKey, LedgerReader, Stream, Token
from provenance.ledger.right import Right, right_at
from provenance.ledger.rpc_reader import RpcSource, open_rpc_source
from provenance.ledger.storage_check import StorageCheck
from provenance.ledger.view import LogView


class NodeReader(LogView):
    """A LedgerReader over a node; what its logs and its storage do not agree about raises LedgerContradiction."""

    def __init__(self, source: RpcSource, clock: Callable[[], float] = time.time) -> None:
        super().__init__(source, clock)
        self._node_source = source

    def right(self, token: int, account: str, *, finalised: bool = True) -> Right:
        """Whether an account may use an adapter, and why, at the last final block or at the last one.

        Proved where the node serves proofs; where it does not, its logs must say the same.
        """
        account = account.lower()
        source = self._node_source
        header = source.final_header() if finalised else source.node.header(LATEST)
        found = right_at(source, header, token, account, int(self._clock()))
        if not found.proved:
            with source.ending_at(header):
                told = super().has_licence(token, account)
            if told != found.allowed:
                raise LedgerContradiction(
                    f"the node {source.node.name} contradicts its own logs about adapter {token} and {account}",
                    expected=f"what its logs say: {'licensed' if told else 'not licensed'}",
                    found=found.why,
                    fix="do not rely on this node; use another with `prov chain use`",
                )
        return found

    def has_licence(self, token: int, account: str, *, finalised: bool = False) -> bool:
        """Whether an account may use an adapter now, decided as ``right`` does."""
        return self.right(token, account, finalised=finalised).allowed

    def token(self, token: int) -> Token:
        """One adapter; raises LedgerLookupError."""
        with self._checked() as check:
            try:
                found = super().token(token)
            except LedgerLookupError:
                check.token(token, None)
                raise
            check.token(token, found)
            return found

    def tokens(self) -> tuple[Token, ...]:
        """Every adapter, by id."""
        with self._checked() as check:
            found = super().tokens()
            check.tokens(found)
            return found

    def token_of_weights(self, weights: str) -> Token | None:
        """The adapter with this weights digest, if it was minted."""
        with self._checked() as check:
            found = super().token_of_weights(weights)
            check.weights(weights, found)
            return found

    def licence(self, token: int, account: str) -> Licence | None:
        """The licence an account holds or held; raises LedgerLookupError for an unknown token."""
        with self._checked() as check:
            found = super().licence(token, account)
            check.licence(token, account.lower(), found)
            return found

    def licences(self, token: int) -> tuple[Licence, ...]:
        """Every licence ever given for an adapter; raises LedgerLookupError."""
        with self._checked() as check:
            found = super().licences(token)
            check.licences(found)
            return found

    def stream(self, stream: int) -> Stream:
        """One stream; raises LedgerLookupError."""
        with self._checked() as check:
            try:
                found = super().stream(stream)
            except LedgerLookupError:
                check.stream(stream, None)
                raise
            check.stream(stream, found)
            return found

    def streams(self, holder: str | None = None) -> tuple[Stream, ...]:
        """Every stream, or one holder's."""
        with self._checked() as check:
            # All of them even for one holder: the contract counts no others.
            found = super().streams()
            check.streams(found)
            return tuple(each for each in found if holder is None or each.holder == holder.lower())

    def batches(self, stream: int) -> tuple[Batch, ...]:
        """A stream's batches, by serial; raises LedgerLookupError."""
        with self._checked() as check:
            found = super().batches(stream)
            check.batches(stream, found)
            return found

    def batch_covering(self, stream: int, serial: int) -> Batch | None:
        """The batch a serial is anchored in, if it is: found in storage by bisection, then read in its block."""
        source = self._node_source
        if not source.settings.proofs:
            # A chain that proves nothing may also number its blocks otherwise than its contracts see them.
            return super().batch_covering(stream, serial)
        with self._checked() as check:
            self.stream(stream)
            span = check.covering(stream, serial)
            if span is None:
                return None
            logs = source.logs_of_block(span.block, event_topics("BatchAnchored", stream))
            batches = (fold_batch(decode_log(log)) for log in logs)
            found = next((each for each in batches if each.covers(serial)), None)
            check.batch(span, found)
            return found

    def issuer_keys(self, account: str) -> tuple[IssuerKey, ...]:
        """Every root certificate an account ever registered as its own."""
        with self._checked() as check:
            found = super().issuer_keys(account)
            check.issuers(account.lower(), found)
            return found

    def consent_revocations(self, token: int, records: Iterable[str] = ()) -> tuple[ConsentRevocation, ...]:
        """Consents withdrawn from an adapter's dataset; raises LedgerLookupError.

        For each of ``records`` storage must say the same; a revocation of any other could be left out unnoticed.
        """
        with self._checked() as check:
            found = super().consent_revocations(token)
            check.consents(token, found, records)
            return found

    def _all_offers(self, token: int) -> list[tuple[Offer, bool]]:
        """Every offer ever made for an adapter, by number, and whether it was left open."""
        with self._checked() as check:
            found = super()._all_offers(token)
            check.offers(token, found)
            return found

    @contextmanager
    def _checked(self) -> Iterator[StorageCheck]:
        """One block for logs and storage, however many questions it takes."""
        source = self._node_source
        header = source.end_of_logs()
        with source.ending_at(header):
            yield StorageCheck(source.storage, header, source.node.name)


def reader_news(reader: LedgerReader) -> str | None:
    """A sentence if a reader's ledger has entries that it did not read because they are not final yet."""
    source = reader.source
    if not isinstance(source, RpcSource) or not (count := source.newer_logs()):
        return None
    entries = "1 newer entry of the ledger is" if count == 1 else f"{count} newer entries of the ledger are"
    return f"{entries} not final yet and {'was' if count == 1 else 'were'} not read"


def open_rpc_reader(home: Home) -> NodeReader:
    """A reader over the node of a home, up to the last final block; light: no web3 is imported."""
    return NodeReader(open_rpc_source(home, up_to_final=True))
