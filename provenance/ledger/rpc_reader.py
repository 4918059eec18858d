"""The contract's logs from any JSON-RPC node, after checking that it is the chain and the contract pinned before.

Where the node could do so when it was pinned, everything it says is bound to a block's hash: headers hash to it, and
the logs of a block are those of its receipts root. The block's hash itself stays the node's word, unless witnesses
agree.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from contracts.artifact import load_artifact
from provenance.errors import FormatError, LedgerUnavailable
from provenance.home import ChainSettings, Home
from provenance.ledger.header import Header
from provenance.ledger.hexadecimal import parse_bytes, parse_quantity
from provenance.ledger.jsonrpc import JsonRpc, RpcError
from provenance.ledger.node import LATEST, Node, header_call
from provenance.ledger.proofs import StateProofs, StorageReader, ToldStorage
from provenance.ledger.protocol import Head, LedgerIdentity, Log
from provenance.ledger.receipts import NodeReceipt, RawLog, check_receipts, logs_of, parse_log
from provenance.ledger.seen import Seen
from provenance.ledger.witnesses import Witnesses

MAX_REQUESTS = 5000
"""Parts in which one range of blocks is asked for; a node that splits further is not read."""

BLOCKS_AT_ONCE = 8
"""Blocks whose receipts are asked for in one request: those of one busy block may be a megabyte."""

STALE_SECONDS = 3600.0
"""A chain whose blocks are final by consensus makes one every few seconds: an hour without is a node left behind."""


class RpcSource:
    """A node's logs of one contract; a LogSource.

    With ``up_to_final`` the logs end at the last final block, for readers whose verdict must not be undone.
    """

    def __init__(
        self,
        node: Node,
        identity: LedgerIdentity,
        settings: ChainSettings,
        *,
        witnesses: Witnesses | None = None,
        seen: Seen | None = None,
        up_to_final: bool = False,
    ) -> None:
        self.node = node
        self.settings = settings
        self._identity = identity
        self._witnesses = witnesses or Witnesses((), identity)
        self._seen = seen
        self._up_to_final = up_to_final
        # Each thread its own end: a service asks for several people at once.
        self._local = threading.local()
        self._headers: dict[bytes, Header] = {}
        self._bound: dict[bytes, tuple[Log, ...]] = {}

    @property
    def storage(self) -> StorageReader:
        """The contract's storage: proved, where the node could do so when it was pinned."""
        contract, code_hash = self._identity.contract, self.settings.code_hash
        if self.settings.proofs and code_hash is not None:
            return StateProofs(self.node, contract, bytes.fromhex(code_hash))
        return ToldStorage(self.node, contract)

    @property
    def identity(self) -> LedgerIdentity:
        """Chain and contract, as pinned."""
        return self._identity

    def check(self) -> None:
        """Asks the node for everything pinned; raises LedgerUnavailable for another answer."""
        found = read_identity(self.node, self._identity.contract)
        for name, noun in (("chain_id", "chain id"), ("genesis", "genesis block"), ("code_digest", "contract code")):
            if getattr(found, name) != getattr(self._identity, name):
                raise LedgerUnavailable(
                    f"the node {self.node.name} is not on the ledger of this home: its {noun} differs",
                    expected=str(getattr(self._identity, name)),
                    found=str(getattr(found, name)),
                    fix="connect to the right node, or pin another ledger with `prov chain use`",
                )

    def head(self) -> Head:
        """The last block that logs are read up to: the last final one, for a reader that stops there."""
        header = self.end_of_logs()
        return Head(header.number, header.timestamp)

    def latest(self) -> Head:
        """The node's last block, final or not."""
        header = self.node.header(LATEST)
        return Head(header.number, header.timestamp)

    def newer_logs(self) -> int:
        """How many logs of the contract are in blocks that are not final yet; the node's word."""
        first, last = self.final_header().number + 1, self.node.header(LATEST).number
        return len(self._range([], first, last, [MAX_REQUESTS]))

    def finalised(self) -> Head:
        """The last final block."""
        header = self.final_header()
        return Head(header.number, header.timestamp)

    def final_header(self) -> Header:
        """The last final block, as the node and every witness know it; raises LedgerContradiction or
        LedgerUnavailable."""
        last = None if self._seen is None else self._seen.last()
        header = self.node.final(self.settings.confirmations)
        if self.settings.confirmations is None and abs(age := time.time() - header.timestamp) > STALE_SECONDS:
            raise self.node.contradiction(
                "does not follow its chain",
                expected=f"a final block of the last {STALE_SECONDS / 60:g} minutes",
                found=f"block {header.number}, {age / 60:.0f} minutes old",
            )
        if self._seen is not None:
            header = self._seen.check(self.node, header, last)
        self._witnesses.agree([header])
        return header

    def agree(self, headers: Sequence[Header]) -> None:
        """Asks every witness for these blocks; raises LedgerContradiction, or LedgerUnavailable for a silent one."""
        self._witnesses.agree(headers)

    def remember_final(self) -> None:
        """Notes the last final block for the next process."""
        if self._seen is not None:
            self._seen.write()

    def logs(self, topics: Sequence[str | None]) -> Iterable[Log]:
        """Logs that match, in chain order; a range the node finds too wide is asked for in halves."""
        end = self.end_of_logs()
        return self._logs(topics, self.settings.first_block, end.number, end)

    def logs_of_block(self, block: int, topics: Sequence[str | None]) -> Iterable[Log]:
        """As ``logs``, of one block."""
        return self._logs(topics, block, block, self.end_of_logs())

    def _logs(self, topics: Sequence[str | None], first: int, last: int, end: Header) -> Iterable[Log]:
        # Brings the whole view along, which a licence check does without.
        from provenance.ledger.snapshot import matches

        wanted = [None if each is None else f"0x{each}" for each in topics]
        try:
            raw = [parse_log(each) for each in self._range(wanted, first, min(last, end.number), [MAX_REQUESTS])]
        except FormatError as error:
            raise self.node.malformed(error) from error
        headers = self._headers_of(raw) | {end.number: end}
        for each in raw:
            header = headers.get(each.log.block)
            if each.address != self._identity.contract or not first <= each.log.block <= last:
                raise self.node.rpc.unavailable("a log of another contract or block")
            if header is None or each.block_hash != header.hash:
                raise self.node.contradiction(
                    "tells of a log in a block that is not in its chain",
                    expected=f"block {header.hash.hex() if header else each.log.block}",
                    found=f"block {each.block_hash.hex()}",
                )
        found = sorted((_timed(each.log, headers) for each in raw), key=lambda log: (log.block, log.index))
        if any(not matches(each, topics) for each in found):
            raise self.node.rpc.unavailable("logs that were not asked for")
        if len({(each.block, each.index) for each in found}) != len(found):
            raise self.node.rpc.unavailable("the same log twice")
        if self.settings.receipts:
            self._bind(found, [headers[number] for number in sorted({each.block for each in found})], topics)
        return found

    def end_of_logs(self) -> Header:
        """The block that logs are read up to."""
        end: Header | None = getattr(self._local, "end", None)
        if end is not None:
            return end
        return self.final_header() if self._up_to_final else self.node.header(LATEST)

    @contextmanager
    def ending_at(self, header: Header) -> Iterator[None]:
        """Reads logs up to one block, so that several questions have one answer."""
        before = getattr(self._local, "end", None)
        self._local.end = header
        try:
            yield
        finally:
            self._local.end = before

    def receipts(self, headers: Sequence[Header]) -> list[tuple[NodeReceipt, ...]]:
        """Every receipt of some blocks, as the blocks' headers bind them; raises LedgerContradiction."""
        raw = self.node.ask_all([("eth_getBlockReceipts", (hex(each.number),)) for each in headers])
        return [self._check_receipts(header, answer) for header, answer in zip(headers, raw, strict=True)]

    def close(self) -> None:
        """Closes the connections."""
        self.node.rpc.close()
        self._witnesses.close()

    def _bind(self, found: Sequence[Log], headers: Sequence[Header], topics: Sequence[str | None]) -> None:
        """The logs of each block must be exactly the matching ones of its receipts, which its header binds."""
        if self._up_to_final:
            self._witnesses.agree(headers)
        from provenance.ledger.snapshot import matches

        missing = [each for each in headers if each.hash not in self._bound]
        for start in range(0, len(missing), BLOCKS_AT_ONCE):
            some = missing[start : start + BLOCKS_AT_ONCE]
            for header, receipts in zip(some, self.receipts(some), strict=True):
                self._bound[header.hash] = logs_of(receipts, self._identity.contract)
        bound = [log for header in headers for log in self._bound[header.hash] if matches(log, topics)]
        if bound != list(found):
            odd = next(iter(set(bound) ^ set(found)))
            raise self.node.contradiction(
                "tells of other logs than its blocks hold",
                expected=f"{len(bound)} logs in {len(headers)} blocks",
                found=f"{len(found)}; the first that differs is log {odd.index} of block {odd.block}",
            )

    def _check_receipts(self, header: Header, raw: Any) -> tuple[NodeReceipt, ...]:
        try:
            return check_receipts(header, raw)
        except FormatError as error:
            raise self.node.contradiction(
                f"tells of other transactions than block {header.number} holds",
                expected=error.expected or "receipts that hash to the block's root",
                found=error.found or error.what,
            ) from error

    def _headers_of(self, logs: Iterable[RawLog]) -> dict[int, Header]:
        """The chain's headers at the blocks of some logs; asked for again only for a block that is new to us."""
        said = {each.log.block: each.block_hash for each in logs}
        missing = sorted(number for number, block_hash in said.items() if block_hash not in self._headers)
        fetched = {each.number: each for each in self.node.headers(missing)} if missing else {}
        self._headers |= {each.hash: each for each in fetched.values()}
        known = {number: self._headers[block_hash] for number, block_hash in said.items() if number not in fetched}
        return known | fetched

    def _range(self, topics: list[str | None], first: int, last: int, budget: list[int]) -> list[Any]:
        if last < first:
            return []
        budget[0] -= 1
        if budget[0] < 0:
            raise self.node.rpc.unavailable(f"logs in more than {MAX_REQUESTS} parts")
        query = {
            "address": self._identity.contract,
            "fromBlock": hex(first),
            "toBlock": hex(last),
            "topics": topics,
        }
        try:
            raw = self.node.rpc.call("eth_getLogs", query)
        except RpcError as error:
            if first == last:
                raise self.node.rpc.unavailable(str(error)) from error
            middle = (first + last) // 2
            return self._range(topics, first, middle, budget) + self._range(topics, middle + 1, last, budget)
        if not isinstance(raw, list):
            raise self.node.rpc.unavailable("logs that are not a list")
        return raw


def read_identity(node: Node, contract: str) -> LedgerIdentity:
    """What a node says about its chain and a contract on it; raises LedgerUnavailable."""
    chain_id, genesis, code = node.ask_all([("eth_chainId", ()), header_call(0), ("eth_getCode", (contract, LATEST))])
    try:
        return LedgerIdentity(
            chain_id=parse_quantity(chain_id, "the chain id"),
            genesis=node.read_header(genesis, 0).hash.hex(),
            contract=contract,
            code_digest=load_artifact().digest_of(parse_bytes(code, "the contract's code")),
        )
    except FormatError as error:
        raise node.malformed(error) from error


def identity_of(chain: ChainSettings) -> LedgerIdentity:
    """The ledger that settings pin; raises LedgerUnavailable if they pin none."""
    if not chain.url or chain.chain_id is None or not chain.genesis or not chain.contract or not chain.code_digest:
        raise LedgerUnavailable("this home has no ledger pinned", fix="run `prov chain use URL --contract ADDRESS`")
    return LedgerIdentity(chain.chain_id, chain.genesis, chain.contract, chain.code_digest)


def open_rpc_source(home: Home, *, up_to_final: bool = False) -> RpcSource:
    """Connects to the node of a home; raises LedgerUnavailable if it is not the ledger pinned."""
    chain = home.chain
    identity = identity_of(chain)
    if identity.code_digest != load_artifact().code_digest:
        raise LedgerUnavailable(
            "this home uses a contract that this prov does not speak to",
            expected=f"code with sha256 {load_artifact().code_digest}",
            found=f"code with sha256 {identity.code_digest}",
            fix="use the prov that deployed it, or another ledger with `prov chain deploy` or `prov chain use`",
        )
    nodes = [
        Node(JsonRpc(url, allow_remote=chain.allow_remote), is_bound=chain.proofs)
        for url in (str(chain.url), *chain.witnesses)
    ]
    source = RpcSource(
        nodes[0],
        identity,
        chain,
        witnesses=Witnesses(nodes[1:], identity),
        seen=Seen(home.path / "chain", identity),
        up_to_final=up_to_final,
    )
    source.check()
    return source


def _timed(log: Log, headers: dict[int, Header]) -> Log:
    return Log(log.block, headers[log.block].timestamp, log.transaction, log.index, log.topics, log.data)
