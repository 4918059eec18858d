"""Reads the ledger from any JSON-RPC node, after checking that it is the chain and the contract pinned at first use."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from contracts.artifact import load_artifact
from provenance.errors import LedgerUnavailable
from provenance.home import ChainSettings, Home
from provenance.ledger.jsonrpc import JsonRpc, RpcError, origin
from provenance.ledger.protocol import Head, LedgerIdentity, LedgerReader, Log
from provenance.ledger.snapshot import matches
from provenance.ledger.view import LogView

QUANTITY = re.compile(r"0x(?:0|[1-9a-f][0-9a-f]{0,15})")


class RpcSource:
    """A node's logs of one contract; a LogSource."""

    def __init__(self, rpc: JsonRpc, identity: LedgerIdentity, first_block: int = 0) -> None:
        self._rpc = rpc
        self._identity = identity
        self._first_block = first_block
        self._timestamps: dict[int, int] = {}

    @property
    def identity(self) -> LedgerIdentity:
        """Chain and contract, as pinned."""
        return self._identity

    def check(self) -> None:
        """Asks the node for everything pinned; raises LedgerUnavailable for another answer."""
        found = read_identity(self._rpc, self._identity.contract)
        for name, noun in (("chain_id", "chain id"), ("genesis", "genesis block"), ("code_digest", "contract code")):
            if getattr(found, name) != getattr(self._identity, name):
                raise LedgerUnavailable(
                    f"the node {origin(self._rpc.url)} is not on the ledger of this home: its {noun} differs",
                    expected=str(getattr(self._identity, name)),
                    found=str(getattr(found, name)),
                    fix="connect to the right node, or pin another ledger with `prov chain use`",
                )

    def head(self) -> Head:
        """The last block."""
        block = _asked(self._rpc, "eth_getBlockByNumber", "latest", False)
        return Head(self._number(block, "number"), self._number(block, "timestamp"))

    def logs(self, topics: Sequence[str | None]) -> Iterable[Log]:
        """Logs that match, in chain order; a range the node finds too wide is asked for in halves."""
        wanted = [None if each is None else f"0x{each}" for each in topics]
        raw = self._range(wanted, self._first_block, self.head().block)
        found = sorted((self._log(each) for each in raw), key=lambda log: (log.block, log.index))
        if any(not matches(each, topics) for each in found):
            raise self._rpc.unavailable("logs that were not asked for")
        return found

    def close(self) -> None:
        """Holds nothing open."""

    def _range(self, topics: list[str | None], first: int, last: int) -> list[Any]:
        if last < first:
            return []
        query = {
            "address": self._identity.contract,
            "fromBlock": hex(first),
            "toBlock": hex(last),
            "topics": topics,
        }
        try:
            raw = self._rpc.call("eth_getLogs", query)
        except RpcError as error:
            if first == last:
                raise self._rpc.unavailable(str(error)) from error
            middle = (first + last) // 2
            return self._range(topics, first, middle) + self._range(topics, middle + 1, last)
        if not isinstance(raw, list):
            raise self._rpc.unavailable("logs that are not a list")
        return raw

    def _log(self, raw: Any) -> Log:
        if not isinstance(raw, dict) or raw.get("removed") or raw.get("address", "").lower() != self._identity.contract:
            raise self._rpc.unavailable("a log of another contract")
        topics = raw.get("topics")
        if not isinstance(topics, list) or not 1 <= len(topics) <= 4:
            raise self._rpc.unavailable("a log with malformed topics")
        block = self._number(raw, "blockNumber")
        return Log(
            block=block,
            timestamp=self._timestamp(raw, block),
            transaction=self._hex(raw.get("transactionHash"), 32),
            index=self._number(raw, "logIndex"),
            topics=tuple(self._hex(each, 32) for each in topics),
            data=self._hex(raw.get("data")),
        )

    def _timestamp(self, raw: dict[str, Any], block: int) -> int:
        if raw.get("blockTimestamp") is not None:
            return self._number(raw, "blockTimestamp")
        if block not in self._timestamps:
            header = _asked(self._rpc, "eth_getBlockByNumber", hex(block), False)
            self._timestamps[block] = self._number(header, "timestamp")
        return self._timestamps[block]

    def _number(self, raw: Any, name: str) -> int:
        value = raw.get(name) if isinstance(raw, dict) else None
        if not isinstance(value, str) or not QUANTITY.fullmatch(value):
            raise self._rpc.unavailable(f"{name} = {value!r}"[:200])
        return int(value, 16)

    def _hex(self, value: Any, length: int | None = None) -> str:
        size = "(?:[0-9a-f]{2})*" if length is None else f"[0-9a-f]{{{2 * length}}}"
        if not isinstance(value, str) or not re.fullmatch(f"0x{size}", value.lower()):
            raise self._rpc.unavailable(f"{value!r} where bytes belong"[:200])
        return value.lower()[2:]


def read_identity(rpc: JsonRpc, contract: str) -> LedgerIdentity:
    """What a node says about its chain and a contract on it; raises LedgerUnavailable."""
    chain_id = _asked(rpc, "eth_chainId")
    genesis = _asked(rpc, "eth_getBlockByNumber", "0x0", False)
    code = _asked(rpc, "eth_getCode", contract, "latest")
    try:
        return LedgerIdentity(
            chain_id=int(chain_id, 16),
            genesis=bytes.fromhex(genesis["hash"].removeprefix("0x")).hex(),
            contract=contract,
            code_digest=hashlib.sha256(bytes.fromhex(code.removeprefix("0x"))).hexdigest(),
        )
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise rpc.unavailable(f"malformed chain id, genesis or code ({error})") from error


def pin_chain(url: str, contract: str, *, allow_remote: bool = False, first_block: int = 0) -> ChainSettings:
    """Asks a node once for what will be pinned; raises LedgerUnavailable unless the contract is ours."""
    rpc = JsonRpc(url, allow_remote=allow_remote)
    found = read_identity(rpc, contract.lower())
    if found.code_digest != load_artifact().code_digest:
        raise LedgerUnavailable(
            f"{contract} on chain {found.chain_id} is not our contract",
            expected=f"code with sha256 {load_artifact().code_digest}",
            found=f"code with sha256 {found.code_digest}",
            fix="check the address, or deploy the contract with `prov chain deploy`",
        )
    return ChainSettings(
        kind="rpc",
        url=url,
        chain_id=found.chain_id,
        genesis=found.genesis,
        contract=found.contract,
        code_digest=found.code_digest,
        first_block=first_block,
        allow_remote=allow_remote,
    )


def open_rpc_source(home: Home) -> RpcSource:
    """Connects to the node of a home; raises LedgerUnavailable if it is not the ledger pinned."""
    chain = home.chain
    if not chain.url or chain.chain_id is None or not chain.genesis or not chain.contract or not chain.code_digest:
        raise LedgerUnavailable("this home has no ledger pinned", fix="run `prov chain use URL --contract ADDRESS`")
    identity = LedgerIdentity(chain.chain_id, chain.genesis, chain.contract, chain.code_digest)
    source = RpcSource(JsonRpc(chain.url, allow_remote=chain.allow_remote), identity, chain.first_block)
    source.check()
    return source


def open_rpc_reader(home: Home) -> LedgerReader:
    """A reader over the node of a home; light: no web3 is imported."""
    return LogView(open_rpc_source(home))


def _asked(rpc: JsonRpc, method: str, *parameters: Any) -> Any:
    try:
        return rpc.call(method, *parameters)
    except RpcError as error:
        raise rpc.unavailable(str(error)) from error
