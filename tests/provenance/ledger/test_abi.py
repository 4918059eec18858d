"""Our ABI coder agrees with eth_abi on everything the contract has, and takes nothing malformed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from eth_abi.abi import decode as reference_decode
from eth_abi.abi import encode as reference_encode
from hypothesis import given
from hypothesis import strategies as st

from contracts.artifact import Parameter, load_artifact
from provenance.errors import FormatError, UsageError
from provenance.ledger.abi import decode_log, decode_result, decode_values, encode_call, encode_values, topic
from provenance.ledger.protocol import Log

FUNCTIONS = sorted(load_artifact().functions)
VIEWS = sorted(name for name, entry in load_artifact().functions.items() if entry.outputs)
EVENTS = sorted(load_artifact().events)


def values_of(parameter: Parameter) -> st.SearchStrategy[Any]:
    """Values of a type, as our coder takes them."""
    kind = parameter.type
    if kind.endswith("[]"):
        return st.lists(values_of(Parameter("", kind[:-2], components=parameter.components)), max_size=4).map(tuple)
    if parameter.components:
        return st.tuples(*(values_of(each) for each in parameter.components))
    if kind.startswith("uint"):
        return st.integers(0, 2 ** int(kind[4:]) - 1)
    if kind == "address":
        return st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())
    if kind.startswith("bytes") and kind != "bytes":
        size = int(kind[5:])
        return st.binary(min_size=size, max_size=size).map(bytes.hex)
    return {"bytes": st.binary(max_size=100), "string": st.text(max_size=100), "bool": st.booleans()}[kind]


def kind_of(parameter: Parameter) -> str:
    """A type as eth_abi names it."""
    if not parameter.components:
        return parameter.type
    return f"({','.join(kind_of(each) for each in parameter.components)})"


def reference(parameter: Parameter, value: Any) -> Any:
    """A value as eth_abi takes it."""
    if parameter.components:
        return tuple(reference(each, one) for each, one in zip(parameter.components, value, strict=True))
    if parameter.type.endswith("[]"):
        return [reference(Parameter("", parameter.type[:-2]), each) for each in value]
    return bytes.fromhex(value) if parameter.type.startswith("bytes") and isinstance(value, str) else value


def encoded(parameters: Sequence[Parameter], values: Sequence[Any]) -> bytes:
    kinds = [kind_of(each) for each in parameters]
    return reference_encode(kinds, [reference(p, v) for p, v in zip(parameters, values, strict=True)])


def told(parameter: Parameter, value: Any) -> Any:
    """A value as our coder reads it: a struct by its names."""
    if not parameter.components:
        return value
    return {each.name: told(each, one) for each, one in zip(parameter.components, value, strict=True)}


@given(st.sampled_from(FUNCTIONS), st.data())
def test_every_call_is_encoded_as_eth_abi_encodes_it(function: str, data: st.DataObject) -> None:
    entry = load_artifact().functions[function]
    values = [data.draw(values_of(each)) for each in entry.inputs]
    assert encode_call(function, values) == bytes.fromhex(entry.selector) + encoded(entry.inputs, values)


@given(st.sampled_from(VIEWS), st.data())
def test_every_result_is_decoded_from_what_eth_abi_encodes(function: str, data: st.DataObject) -> None:
    outputs = load_artifact().functions[function].outputs
    values = [data.draw(values_of(each)) for each in outputs]
    expected = [told(parameter, value) for parameter, value in zip(outputs, values, strict=True)]
    found = decode_result(function, encoded(outputs, values))
    assert (list(found.values()) if len(outputs) > 1 else [found]) == expected


@given(st.sampled_from(EVENTS), st.data())
def test_events_decode_as_eth_abi_decodes_them(name: str, data: st.DataObject) -> None:
    entry = load_artifact().events[name]
    values = {each.name: data.draw(values_of(each)) for each in entry.inputs}
    indexed = [each for each in entry.inputs if each.indexed]
    plain = [each for each in entry.inputs if not each.indexed]
    raw = encoded(plain, [values[each.name] for each in plain])
    topics = (entry.selector, *(topic(values[each.name]) for each in indexed))
    event = decode_log(Log(1, 2, "00" * 32, 0, topics, raw.hex()))
    assert (event.name, event.values) == (name, values)
    again = reference_decode([each.type for each in plain], raw)
    assert [reference(each, event.values[each.name]) for each in plain] == list(again)


@given(st.sampled_from(EVENTS), st.lists(st.binary(min_size=32, max_size=32)), st.binary())
def test_malformed_logs_are_format_errors(name: str, topics: list[bytes], data: bytes) -> None:
    log = Log(1, 2, "00" * 32, 0, (load_artifact().events[name].selector, *(each.hex() for each in topics)), data.hex())
    entry = load_artifact().events[name]
    indexed = [each for each in entry.inputs if each.indexed]
    try:
        event = decode_log(log)
    except FormatError:
        return
    assert len(topics) == len(indexed)
    assert set(event.values) == {each.name for each in entry.inputs}


@given(st.sampled_from(VIEWS), st.binary(max_size=400))
def test_malformed_results_are_format_errors_or_fit_their_types(function: str, data: bytes) -> None:
    outputs = load_artifact().functions[function].outputs
    try:
        values = decode_values(outputs, data)
    except FormatError:
        return
    assert len(values) == len(outputs)


@pytest.mark.parametrize("topics", [(), ("ff" * 32,), ("zz",)])
def test_foreign_logs_are_refused(topics: tuple[str, ...]) -> None:
    with pytest.raises(FormatError, match="not one of our"):
        decode_log(Log(1, 2, "00" * 32, 0, topics, ""))


def test_text_that_is_not_utf8_does_not_stop_a_reader() -> None:
    entry = load_artifact().events["AdapterRevoked"]
    data = reference_encode(["bytes"], [b"\xff\xfe no"]).hex()
    event = decode_log(Log(1, 2, "00" * 32, 0, (entry.selector, topic(1), topic("0x" + "11" * 20)), data))
    assert event.values["reason"] == "�� no"


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("uint40", 2**40),
        ("uint8", 256),
        ("address", 2**160),
        ("bool", 2),
        ("bytes23", 1),
        ("bytes4", 1),
    ],
)
def test_words_that_do_not_fit_their_type_are_format_errors(kind: str, word: int) -> None:
    with pytest.raises(FormatError, match=f"expected: {kind}|does not decode"):
        decode_values([Parameter("value", kind)], word.to_bytes(32, "big"))


@pytest.mark.parametrize(
    ("function", "values"),
    [
        ("anchor", [2**32, 0, 1, "ab" * 32, "cid"]),
        ("anchor", [1, -1, 1, "ab" * 32, "cid"]),
        ("anchor", [1, True, 1, "ab" * 32, "cid"]),
        ("anchor", [1, 0, 1, "ab" * 31, "cid"]),
        ("anchor", [1, 0, 1, "AB" * 32, "cid"]),
        ("anchor", [1, 0, 1, "ab" * 32]),
        ("hasLicense", [1, "0x12"]),
        ("hasLicense", [1, "0x" + "AB" * 20]),
        ("offer", [1, ("0x" + "00" * 20, 2**96, 1, 0, 0, 0)]),
        ("offer", [1, ("0x" + "00" * 20, 1, 1, 0, 0)]),
        ("offer", [1, ("0x" + "00" * 20, 1, 2**40, 0, 0, 0)]),
        ("claim", [1, "0x" + "00" * 20, "0x" + "11" * 20, 1, ["ab"]]),
    ],
)
def test_values_that_do_not_fit_are_usage_errors(function: str, values: list[Any]) -> None:
    with pytest.raises(UsageError):
        encode_call(function, values)


@given(st.lists(st.integers(0, 2**32 - 1), max_size=8))
def test_lists_decode_with_eth_abi_as_they_were_encoded(values: list[int]) -> None:
    data = encode_values([Parameter("parents", "uint32[]")], [values])
    assert list(reference_decode(["uint32[]"], data)[0]) == values
