"""Accounts whose key is elsewhere: a program on this machine, or Clef or Web3Signer, signs; we check what it returns.

The file ``home/accounts/NAME.json`` is strict::

    {"type": "urn:prov:external-account:v1", "address": "0x…", "command": ["program", "argument"]}
    {"type": "urn:prov:external-account:v1", "address": "0x…", "url": "http://127.0.0.1:8550"}

Either way a request is one JSON-RPC 2.0 object, ``eth_signTransaction`` with [transaction] or ``eth_signTypedData``
with [address, typed data] (EIP-712); a command reads it from stdin and writes the answer to stdout.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from provenance.canonical import parse_json
from provenance.errors import FormatError, LedgerUnavailable, SignatureError
from provenance.ledger.accounts import ADDRESS
from provenance.ledger.accounts import EXTERNAL as TYPE
from provenance.ledger.hexadecimal import checksum, parse_bytes
from provenance.ledger.jsonrpc import JsonRpc, RpcError, check_url
from provenance.ledger.node_errors import is_unknown_method
from provenance.ledger.rlp import Item, decode, decode_number

SIGN_SECONDS = 300.0
"""A person may have to press a button."""

MAX_ANSWER_BYTES = 1 << 20
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
QUANTITIES = ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas", "value")


@dataclass(frozen=True)
class ExternalAccount:
    """An account that asks a command or a URL to sign; every signature is checked before it is used."""

    name: str
    address: str
    command: tuple[str, ...] = ()
    url: str | None = None

    def sign_transaction(self, transaction: dict[str, Any]) -> bytes:
        """The signed transaction's bytes; raises SignatureError if it is not this one, or not signed by this
        account."""
        asked: dict[str, Any] = {"from": checksum(self.address), "type": "0x2", "accessList": []}
        asked |= {name: hex(transaction[name]) for name in QUANTITIES}
        asked |= {"to": checksum(transaction["to"].hex()) if transaction["to"] else None}
        asked |= {"data": f"0x{transaction['data'].hex()}", "input": f"0x{transaction['data'].hex()}"}
        answer = self._ask("signTransaction", [asked])
        # Geth and Clef send {"raw", "tx"}, Web3Signer the bytes alone.
        raw = self._bytes(answer.get("raw") if isinstance(answer, dict) else answer)
        self._check_fields(raw, transaction)
        from eth_account import Account

        self._check_signer(str(Account.recover_transaction(raw)))
        return raw

    def sign_typed_data(self, typed: dict[str, Any]) -> bytes:
        """The 65 bytes (r, s, v) of a signature over EIP-712 typed data; raises SignatureError if it is not this
        account's."""
        signature = self._bytes(self._ask("signTypedData", [checksum(self.address), typed]))
        if len(signature) != 65 or signature[64] not in (0, 1, 27, 28):
            raise self._refused("65 bytes that end in 27 or 28", f"{len(signature)} bytes")
        # Some signers count from 0; contracts want 27 or 28.
        signature = signature[:64] + bytes([signature[64] % 27 + 27])
        if int.from_bytes(signature[32:64], "big") > CURVE_ORDER // 2:
            raise self._refused("a signature with a low s (EIP-2)", "a high one, which contracts refuse")
        from eth_account import Account
        from eth_account.messages import encode_typed_data
        from eth_keys.exceptions import BadSignature

        try:
            signer = Account.recover_message(encode_typed_data(full_message=typed), signature=signature)
        except (BadSignature, ValueError) as error:
            raise self._refused("a signature", str(error)) from error
        self._check_signer(str(signer))
        return signature

    def to_json(self) -> dict[str, Any]:
        """The content of its file."""
        how: dict[str, Any] = {"command": list(self.command)} if self.url is None else {"url": self.url}
        return {"type": TYPE, "address": self.address, **how}

    def _ask(self, method: str, parameters: list[Any]) -> Any:
        if self.url is None:
            return self._run(f"eth_{method}", parameters)
        rpc = JsonRpc(self.url, seconds=SIGN_SECONDS)
        try:
            try:
                return rpc.call(f"eth_{method}", *parameters)
            except RpcError as error:
                if not is_unknown_method(error.error):
                    raise
                # Clef's name for it.
                return rpc.call(f"account_{method}", *parameters)
        except RpcError as error:
            raise self._unavailable(str(error)) from error
        finally:
            rpc.close()

    def _run(self, method: str, parameters: list[Any]) -> Any:
        # Not needed to name an account, which every command does.
        import subprocess

        question = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        try:
            done = subprocess.run(
                self.command,
                input=json.dumps(question).encode(),
                stdout=subprocess.PIPE,
                timeout=SIGN_SECONDS,
                env={name: value for name, value in os.environ.items() if name != "PROV_PASSPHRASE"},
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise self._unavailable(str(error)) from error
        if done.returncode != 0:
            raise self._unavailable(f"it ended with status {done.returncode}")
        try:
            answer = parse_json(done.stdout, "the signer's answer", limit=MAX_ANSWER_BYTES)
        except FormatError as error:
            raise self._unavailable(error.found or error.what) from error
        if not isinstance(answer, dict) or answer.get("id", 1) != 1:
            raise self._unavailable("an answer to another question")
        if answer.get("error") is not None:
            raise self._unavailable(str(RpcError(answer["error"])))
        return answer.get("result")

    def _check_fields(self, raw: bytes, asked: dict[str, Any]) -> None:
        """The transaction that was signed must be the one asked for, field by field (EIP-1559)."""
        wanted = [*(asked[name] for name in QUANTITIES[:5]), asked["to"], asked["value"], asked["data"], []]
        try:
            fields = decode(raw[1:]) if raw[:1] == b"\x02" else []
            found = _typed(fields) if isinstance(fields, list) and len(fields) == 12 else None
        except FormatError as error:
            raise self._refused("a signed transaction of type 2", error.what) from error
        if found is None:
            raise self._refused("a signed transaction of type 2", f"0x{raw[:20].hex()}…")
        names = (*QUANTITIES[:5], "to", "value", "data", "accessList")
        for name, expected, given in zip(names, wanted, found, strict=True):
            if expected != given:
                raise self._refused(f"the transaction asked for, with {name} {expected!r}", f"{name} {given!r}"[:200])

    def _check_signer(self, found: str) -> None:
        if found.lower() != self.address:
            raise self._refused(f"a signature of {self.address}", f"one of {found.lower()}")

    def _bytes(self, value: Any) -> bytes:
        try:
            return parse_bytes(value, "a signature")
        except FormatError as error:
            raise self._refused("0x and hexadecimal digits", error.found or error.what) from error

    def _refused(self, expected: str, found: str) -> SignatureError:
        return SignatureError(
            f"the signer of the account {self.name} returned something else than it was asked for",
            expected=expected,
            found=found,
            fix="do not use this signer until you know why",
        )

    def _unavailable(self, found: str) -> LedgerUnavailable:
        return LedgerUnavailable(
            f"the signer of the account {self.name} does not sign", found=found[:300], fix="see what the signer says"
        )


def parse_external(name: str, raw: dict[str, Any]) -> ExternalAccount:
    """Reads the content of an account's file strictly; raises FormatError, or UsageError for a URL elsewhere."""
    what = f"the account {name} does not name an external signer"
    if raw.get("type") != TYPE or set(raw) not in ({"type", "address", "command"}, {"type", "address", "url"}):
        raise FormatError(what, expected=f'type "{TYPE}", an address, and a command or a url')
    address, command, url = raw["address"], raw.get("command"), raw.get("url")
    if not isinstance(address, str) or not ADDRESS.fullmatch(address):
        raise FormatError(what, expected="an address of 0x and 40 lower-case digits", found=repr(address)[:100])
    if "url" in raw:
        if not isinstance(url, str):
            raise FormatError(what, expected="a url", found=repr(url)[:100])
        return ExternalAccount(name, address, url=check_url(url, allow_remote=False))
    if not isinstance(command, list) or not command or not all(isinstance(each, str) and each for each in command):
        raise FormatError(what, expected="a command: a list of words", found=repr(command)[:100])
    return ExternalAccount(name, address, command=tuple(command))


def _typed(fields: list[Item]) -> list[Any]:
    numbers = [decode_number(each) for each in fields[:5]]
    return [*numbers, fields[5], decode_number(fields[6]), fields[7], fields[8]]
