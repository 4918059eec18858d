"""Our ABI coder agrees with eth_abi and takes nothing malformed."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import decode as reference_decode
from eth_abi.abi import encode as reference_encode
from hypothesis import given
from hypothesis import strategies as st

from contracts.artifact import Parameter, load_artifact
from provenance.errors import FormatError, UsageError
from provenance.ledger.abi import decode_log, decode_values, encode_call, encode_values, topic
from provenance.ledger.protocol import Log

KINDS: dict[str, st.SearchStrategy[Any]] = {
    "uint32": st.integers(0, 2**32 - 1),
    "uint64": st.integers(0, 2**64 - 1),
    "uint128": st.integers(0, 2**128 - 1),
    "uint256": st.integers(0, 2**256 - 1),
    "address": st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex()),
    "bytes32": st.binary(min_size=32, max_size=32).map(bytes.hex),
    "string": st.text(max_size=200),
}
ARGUMENTS = st.lists(
    st.sampled_from(sorted(KINDS)).flatmap(lambda kind: st.tuples(st.just(kind), KINDS[kind])), max_size=8
)


def reference(kind: str, value: Any) -> Any:
    return bytes.fromhex(value) if kind == "bytes32" else value


@given(ARGUMENTS)
def test_encoding_is_that_of_eth_abi_and_decodes_back(arguments: list[tuple[str, Any]]) -> None:
    kinds = [kind for kind, _ in arguments]
    values = [value for _, value in arguments]
    parameters = [Parameter(f"argument{place}", kind) for place, kind in enumerate(kinds)]
    data = encode_values(parameters, values)
    assert data == reference_encode(kinds, [reference(kind, value) for kind, value in arguments])
    assert list(decode_values(parameters, data).values()) == values


@given(st.sampled_from(sorted(load_artifact().events)), st.data())
def test_events_decode_as_eth_abi_decodes_them(name: str, data: st.DataObject) -> None:
    entry = load_artifact().events[name]
    values = {each.name: data.draw(KINDS.get(each.type, st.booleans())) for each in entry.inputs}
    indexed = [each for each in entry.inputs if each.indexed]
    plain = [each for each in entry.inputs if not each.indexed]
    raw = reference_encode([e.type for e in plain], [reference(e.type, values[e.name]) for e in plain])
    topics = (entry.selector, *(topic(values[each.name]) for each in indexed))
    event = decode_log(Log(1, 2, "00" * 32, 0, topics, raw.hex()))
    assert (event.name, event.values) == (name, values)
    again = reference_decode([each.type for each in plain], raw)
    assert [reference(each.type, event.values[each.name]) for each in plain] == list(again)


@given(st.sampled_from(sorted(load_artifact().events)), st.lists(st.binary(min_size=32, max_size=32)), st.binary())
def test_malformed_logs_are_format_errors(name: str, topics: list[bytes], data: bytes) -> None:
    log = Log(1, 2, "00" * 32, 0, (load_artifact().events[name].selector, *(each.hex() for each in topics)), data.hex())
    try:
        decode_log(log)
    except FormatError:
        return


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
    ("function", "values"),
    [
        ("anchor", [2**32, 0, 1, "ab" * 32, "cid"]),
        ("anchor", [1, -1, 1, "ab" * 32, "cid"]),
        ("anchor", [1, 0, 1, "ab" * 31, "cid"]),
        ("anchor", [1, 0, 1, "AB" * 32, "cid"]),
        ("anchor", [1, 0, 1, "ab" * 32]),
        ("hasLicense", [1, "0x12"]),
    ],
)
def test_values_that_do_not_fit_are_usage_errors(function: str, values: list[Any]) -> None:
    with pytest.raises(UsageError):
        encode_call(function, values)
