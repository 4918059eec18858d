"""The ABI types our contract uses, encoded and decoded by hand so that a reader needs no Ethereum library.

``uintN`` is int, ``address`` a lower-case ``0x`` string, ``bytesN`` lower-case hexadecimal, ``bytes`` bytes, ``string``
str, ``bool`` bool; a struct is given as a sequence and read as a dict. Contract ABI specification: solidity 0.8,
"Formal Specification of the Encoding".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from contracts.artifact import Entry, Parameter, load_artifact
from provenance.errors import FormatError, UsageError
from provenance.ledger.protocol import Log

WORD = 32
HEX = re.compile(r"[0-9a-f]*")
HEX_ADDRESS = re.compile(r"0x[0-9a-f]{40}")


@dataclass(frozen=True)
class Event:
    """A decoded log."""

    name: str
    values: dict[str, Any]
    log: Log


def encode_call(function: str, values: Sequence[Any]) -> bytes:
    """The data of a call: selector and arguments; raises UsageError for a value that does not fit its type."""
    entry = load_artifact().functions[function]
    return bytes.fromhex(entry.selector) + encode_values(entry.inputs, values)


def encode_values(parameters: Sequence[Parameter], values: Sequence[Any]) -> bytes:
    """Encodes arguments, one word each or an offset to where they are; a struct's values come in its order."""
    if len(parameters) != len(values):
        raise UsageError("a contract call has the wrong number of arguments", expected=str(len(parameters)))
    parts = [
        _encode_dynamic(parameter, value) if _is_dynamic(parameter) else _encode_static(parameter, value)
        for parameter, value in zip(parameters, values, strict=True)
    ]
    width = sum(WORD if _is_dynamic(each) else len(part) for each, part in zip(parameters, parts, strict=True))
    head, tail = b"", b""
    for parameter, part in zip(parameters, parts, strict=True):
        if _is_dynamic(parameter):
            head += (width + len(tail)).to_bytes(WORD, "big")
            tail += part
        else:
            head += part
    return head + tail


def topic(value: int | str) -> str:
    """An indexed value as a topic: a number, an address or 32 bytes in hexadecimal."""
    if isinstance(value, int):
        return value.to_bytes(WORD, "big").hex()
    return value.removeprefix("0x").rjust(2 * WORD, "0")


def event_topics(event: str, *indexed: int | str | None) -> list[str | None]:
    """The topics of an event with these indexed values (None: any)."""
    return [load_artifact().events[event].selector, *(None if each is None else topic(each) for each in indexed)]


def decode_values(parameters: Sequence[Parameter], data: bytes) -> dict[str, Any]:
    """Decodes arguments or results, by name or by place; raises FormatError."""
    values: dict[str, Any] = {}
    offset = 0
    for place, parameter in enumerate(parameters):
        name = parameter.name or str(place)
        if parameter.type == "tuple":
            width = WORD * len(parameter.components)
            values[name] = decode_values(parameter.components, _slice(data, offset, width))
            offset += width
            continue
        word = _slice(data, offset, WORD)
        values[name] = _decode_string(data, word) if parameter.type == "string" else _decode_word(parameter, word)
        offset += WORD
    return values


def decode_result(function: str, data: bytes) -> Any:
    """What a view returned: the one value, or a dict of several."""
    values = decode_values(load_artifact().functions[function].outputs, data)
    return next(iter(values.values())) if len(values) == 1 else values


def decode_log(log: Log) -> Event:
    """Decodes a log of our contract; raises FormatError for any other."""
    entry = _event_of(log)
    indexed = [each for each in entry.inputs if each.indexed]
    if len(log.topics) != len(indexed) + 1:
        raise FormatError(
            f"a log of {entry.name} has the wrong topics", expected=str(len(indexed) + 1), found=str(len(log.topics))
        )
    values = {each.name: _decode_word(each, _unhex(text)) for each, text in zip(indexed, log.topics[1:], strict=True)}
    values |= decode_values([each for each in entry.inputs if not each.indexed], _unhex(log.data))
    return Event(entry.name, values, log)


def _event_of(log: Log) -> Entry:
    for entry in load_artifact().events.values():
        if log.topics and log.topics[0] == entry.selector:
            return entry
    raise FormatError("a log is not one of our contract's events", found=log.topics[0] if log.topics else "no topics")


def _is_dynamic(parameter: Parameter) -> bool:
    kind = parameter.type
    return kind in ("string", "bytes") or kind.endswith("[]") or any(_is_dynamic(c) for c in parameter.components)


def _encode_static(parameter: Parameter, value: Any) -> bytes:
    return encode_values(parameter.components, value) if parameter.components else _encode_word(parameter, value)


def _encode_dynamic(parameter: Parameter, value: Any) -> bytes:
    if parameter.type.endswith("[]"):
        element = Parameter(parameter.name, parameter.type[:-2], components=parameter.components)
        return len(value).to_bytes(WORD, "big") + encode_values([element] * len(value), value)
    if parameter.components:
        return encode_values(parameter.components, value)
    data = str(value).encode() if parameter.type == "string" else bytes(value)
    return len(data).to_bytes(WORD, "big") + data + bytes(-len(data) % WORD)


def _encode_word(parameter: Parameter, value: Any) -> bytes:
    kind = parameter.type
    if kind.startswith("uint") and type(value) is int and 0 <= value < 2 ** int(kind[4:]):
        return value.to_bytes(WORD, "big")
    if kind == "address" and isinstance(value, str) and HEX_ADDRESS.fullmatch(value):
        return bytes.fromhex(value[2:]).rjust(WORD, b"\0")
    if kind.startswith("bytes") and isinstance(value, str) and len(value) == 2 * int(kind[5:]) and HEX.fullmatch(value):
        return bytes.fromhex(value).ljust(WORD, b"\0")
    if kind == "bool" and isinstance(value, bool):
        return int(value).to_bytes(WORD, "big")
    raise UsageError(f"{parameter.name} does not fit the contract", expected=kind, found=repr(value))


def _decode_word(parameter: Parameter, word: bytes) -> Any:
    number = int.from_bytes(word, "big")
    kind = parameter.type
    if len(word) == WORD:
        if kind.startswith("uint") and number < 2 ** int(kind[4:]):
            return number
        if kind == "address" and number < 2**160:
            return "0x" + word[12:].hex()
        if kind.startswith("bytes") and not any(word[int(kind[5:]) :]):
            return word[: int(kind[5:])].hex()
        if kind == "bool" and number < 2:
            return bool(number)
    raise FormatError(f"{parameter.name} does not decode", expected=kind, found=word.hex())


def _decode_string(data: bytes, word: bytes) -> str:
    offset = int.from_bytes(word, "big")
    length = int.from_bytes(_slice(data, offset, WORD), "big")
    # The contract does not check UTF-8, and one odd byte must not make a token unreadable.
    return _slice(data, offset + WORD, length).decode("utf-8", errors="replace")


def _slice(data: bytes, offset: int, length: int) -> bytes:
    if offset + length > len(data):
        raise FormatError(
            "contract data ends too early", expected=f"{offset + length} bytes", found=f"{len(data)} bytes"
        )
    return data[offset : offset + length]


def _unhex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise FormatError("contract data is not hexadecimal", found=text[:80]) from error
