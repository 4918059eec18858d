"""The public key of an account out of a transaction that it signed: a buyer's, which no letter needs to bring."""

from __future__ import annotations

from contracts.artifact import load_artifact
from provenance.errors import FormatError, LedgerUnavailable
from provenance.home import Home
from provenance.ledger.abi import topic
from provenance.ledger.jsonrpc import JsonRpc, RpcError
from provenance.ledger.keccak import keccak
from provenance.ledger.protocol import LedgerReader
from provenance.ledger.rlp import Item, decode, decode_number, encode, encode_number
from provenance.sealing.wrapping import address_of

MAX_TRANSACTIONS = 20
"""Of an account's transactions, how many of the latest are looked at."""
EVENTS = {"LicenceGranted": 2, "StreamOpened": 3}
"""Events that an account's own transactions leave, and which topic names it."""


def sender_public_key(home: Home, reader: LedgerReader, account: str) -> bytes | None:
    """The compressed public key of an account that bought a licence or opened a stream on a node's ledger.

    Nothing is believed: the key's own hash must be the address. None when the node does not give transactions as they
    were signed, or the account sent none; raises LedgerUnavailable.
    """
    if home.chain.kind != "rpc" or not home.chain.url:
        return None
    transactions = dict.fromkeys(
        log.transaction
        for name, place in EVENTS.items()
        for log in reader.source.logs(
            [load_artifact().events[name].selector, *[None] * (place - 1), topic(account.lower())]
        )
    )
    rpc = JsonRpc(home.chain.url, allow_remote=home.chain.allow_remote)
    try:
        for transaction in list(transactions)[-MAX_TRANSACTIONS:]:
            found = _asked(rpc, transaction)
            if found is not None and address_of(found) == account.lower():
                return found
    finally:
        rpc.close()
    return None


def signer_of_transaction(raw: bytes) -> bytes:
    """The compressed public key that signed a transaction, typed (EIP-2718) or legacy; raises FormatError."""
    from eth_keys import keys
    from eth_keys.exceptions import BadSignature, ValidationError

    kind, body = (raw[:1], raw[1:]) if raw[:1] < b"\x80" else (b"", raw)
    fields = decode(body)
    if not isinstance(fields, list) or len(fields) < 9:
        raise FormatError("this is not a signed transaction", found=f"{raw[:20].hex()}…")
    v, r, s = (decode_number(each) for each in fields[-3:])
    unsigned: list[Item] = fields[:-3]
    if not kind and v >= 35:
        # EIP-155: the chain's number is signed too, and hidden in v.
        unsigned += [encode_number((v - 35) // 2), b"", b""]
        v = (v - 35) % 2
    elif not kind:
        v -= 27
    try:
        signature = keys.Signature(vrs=(v, r, s))
        public_key = signature.recover_public_key_from_msg_hash(keccak(kind + encode(unsigned)))
    except (BadSignature, ValidationError) as error:
        raise FormatError("a transaction's signature is malformed", found=str(error)[:200]) from error
    return bytes(public_key.to_compressed_bytes())


def _asked(rpc: JsonRpc, transaction: str) -> bytes | None:
    try:
        raw = rpc.call("eth_getRawTransactionByHash", f"0x{transaction}")
    except RpcError:
        # Many nodes leave this method out; then the licensee brings the key.
        return None
    if raw is None:
        return None
    try:
        return signer_of_transaction(bytes.fromhex(raw.removeprefix("0x")))
    except (AttributeError, ValueError, FormatError) as error:
        raise LedgerUnavailable("the node gives a transaction that was signed by nobody", found=str(error)) from error
