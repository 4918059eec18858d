"""What is pinned when a home first uses a node: its chain, the contract, and what the node can prove about them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from contracts.artifact import load_artifact
from provenance.errors import FormatError, LedgerUnavailable, UsageError
from provenance.home import MAX_FEE, ChainSettings
from provenance.ledger.header import Header, parse_header
from provenance.ledger.hexadecimal import parse_bytes, parse_quantity
from provenance.ledger.jsonrpc import JsonRpc, RpcError, is_loopback
from provenance.ledger.keccak import keccak
from provenance.ledger.node import FINALIZED, LATEST, Node, header_call
from provenance.ledger.proofs import check_account, proof_call
from provenance.ledger.protocol import LedgerIdentity
from provenance.ledger.receipts import check_receipts
from provenance.ledger.rpc_reader import read_identity
from provenance.ledger.transactions import transaction_hashes
from provenance.ledger.witnesses import Witnesses

DEVELOPMENT_CHAINS = (1337, 31337)
NOBODY = "0x" + "00" * 20


def pin_chain(
    url: str,
    contract: str,
    *,
    allow_remote: bool = False,
    first_block: int = 0,
    confirmations: int | None = None,
    witnesses: tuple[str, ...] = (),
    max_fee: int = MAX_FEE,
) -> ChainSettings:
    """Asks a node once for what will be pinned; raises LedgerUnavailable unless the contract is ours.

    Without ``confirmations``, a development node on this machine needs none, and any other decides itself what is
    final. Every witness must know the chain and its last final block.
    """
    settings = probe(url, allow_remote=allow_remote, confirmations=confirmations)
    rpc = JsonRpc(url, allow_remote=allow_remote)
    node = Node(rpc, is_bound=settings.proofs)
    others = [Node(JsonRpc(each, allow_remote=allow_remote), is_bound=settings.proofs) for each in witnesses]
    try:
        found = read_identity(node, contract.lower())
        if found.code_digest != load_artifact().code_digest:
            raise LedgerUnavailable(
                f"{contract} on chain {found.chain_id} is not our contract",
                expected=f"code with sha256 {load_artifact().code_digest}",
                found=f"code with sha256 {found.code_digest}",
                fix="check the address, or deploy the contract with `prov chain deploy`",
            )
        code = parse_bytes(node.ask("eth_getCode", found.contract, LATEST), "the contract's code")
        _require_own_domain(node, found, code)
        Witnesses(others, found).agree([node.final(settings.confirmations)])
    finally:
        for each in (node, *others):
            each.rpc.close()
    return replace(
        settings,
        genesis=found.genesis,
        contract=found.contract,
        code_digest=found.code_digest,
        code_hash=keccak(code).hex(),
        first_block=first_block,
        witnesses=witnesses,
        max_fee=max_fee,
    )


def probe(url: str, *, allow_remote: bool = False, confirmations: int | None = None) -> ChainSettings:
    """Chain id, finality, and what a node can prove; nothing about a contract yet."""
    rpc = JsonRpc(url, allow_remote=allow_remote)
    try:
        try:
            raw_id, latest = rpc.batch([("eth_chainId", ()), header_call(LATEST)])
            chain_id = parse_quantity(raw_id, "the chain id")
        except RpcError as error:
            raise rpc.unavailable(str(error)) from error
        except FormatError as error:
            raise rpc.unavailable(error.what) from error
        if confirmations is None and not (is_loopback(url) and chain_id in DEVELOPMENT_CHAINS):
            _require_finalized(rpc)
        elif confirmations is None:
            confirmations = 0
        header = _bound(latest)
        return ChainSettings(
            kind="rpc",
            url=url,
            chain_id=chain_id,
            allow_remote=allow_remote,
            confirmations=confirmations,
            proofs=header is not None and _proves_state(rpc, header),
            receipts=header is not None and _proves_receipts(rpc, header),
        )
    finally:
        rpc.close()


def _require_own_domain(node: Node, identity: LedgerIdentity, code: bytes) -> None:
    """What the constructor wrote into the code must be this chain and this contract, or signatures meant for another
    would be good here."""
    expected = {identity.chain_id.to_bytes(32, "big"), domain_hash(identity)}
    if not (found := load_artifact().immutables_of(code)) <= expected:
        raise node.contradiction(
            f"shows code at {identity.contract} that was not deployed there",
            expected="its own chain id and EIP-712 domain",
            found=", ".join(sorted(each.hex() for each in found - expected)),
        )


def domain_hash(identity: LedgerIdentity) -> bytes:
    """The hash of the contract's EIP-712 domain (see contracts/src/Signatures.sol)."""
    kind = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    words = [keccak(kind), keccak(b"prov"), keccak(b"1"), identity.chain_id.to_bytes(32, "big")]
    return keccak(b"".join(words) + bytes.fromhex(identity.contract[2:]).rjust(32, b"\0"))


def _require_finalized(rpc: JsonRpc) -> None:
    try:
        rpc.call(*_flat(header_call(FINALIZED)))
    except RpcError as error:
        raise UsageError(
            "this chain does not say which blocks are final",
            expected="--confirmations N: how many blocks make one final",
            found=str(error),
            fix="ask whoever runs the chain how deep it may reorganise",
        ) from error


def _flat(call: Any) -> tuple[Any, ...]:
    return (call[0], *call[1])


def _bound(raw: Any) -> Header | None:
    """The header, if its fields hash to its hash: not so on chains whose headers differ from Ethereum's."""
    try:
        return parse_header(raw)
    except FormatError:
        return None


def _proves_state(rpc: JsonRpc, header: Header) -> bool:
    try:
        check_account(header, NOBODY, rpc.call(*_flat(proof_call(NOBODY, [], header.number))))
    except (RpcError, FormatError):
        return False
    return True


def _proves_receipts(rpc: JsonRpc, header: Header) -> bool:
    try:
        receipts, block = rpc.batch(
            [("eth_getBlockReceipts", (hex(header.number),)), ("eth_getBlockByNumber", (hex(header.number), True))]
        )
        check_receipts(header, receipts)
        transaction_hashes(header, block)
    except (RpcError, FormatError):
        return False
    return True
