"""The messages between server and contributors, and how they lie in Flower's own (``GetPropertiesIns``, ``FitIns``).

===========  ==================================================================  ===================================
message      from the server                                                     back from the contributor
===========  ==================================================================  ===================================
``plan``     its signed plan                                                     its enrolment and its dataset's files
``roster``   the enrolments of all, in order                                     nothing
round        number and weights; in a secure aggregation, SecAgg+'s own message  the update, or that of SecAgg+
``refused``  why this contributor is left out                                    nothing
``done``     digests of the finished adapter                                     nothing
===========  ==================================================================  ===================================

A contributor that cannot go on answers with the reason in the status of any of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from provenance.canonical import canonical_json, parse_json
from provenance.errors import FormatError
from provenance.federated.statements import Signed

PLAN, ROSTER, REFUSED, DONE = "plan", "roster", "refused", "done"
SAFETENSORS = "safetensors"
MAX_PARTS_BYTES = 256 * 1024**2
MAX_REASON = 4000

Scalars = dict[str, Any]


def signed_scalars(signed: Signed, name: str) -> Scalars:
    """A signed statement as two of Flower's scalars."""
    return {name: signed.envelope, f"{name}_chain": signed.chain}


def signed_from(scalars: Mapping[str, Any], name: str, what: str) -> Signed:
    """Reads them back; raises FormatError."""
    return Signed(bytes_from(scalars, name, what), bytes_from(scalars, f"{name}_chain", what))


def bytes_from(scalars: Mapping[str, Any], name: str, what: str) -> bytes:
    """A scalar that must be bytes; raises FormatError."""
    value = scalars.get(name)
    if not isinstance(value, bytes):
        raise FormatError(f"{what} lacks its {name}", expected="bytes", found=type(value).__name__)
    return value


def whole_number(scalars: Mapping[str, Any], name: str, what: str) -> int:
    """A scalar that must be a whole number; raises FormatError."""
    value = scalars.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise FormatError(f"{what} lacks its {name}", expected="a whole number", found=type(value).__name__)
    return value


def texts_to_bytes(texts: Mapping[str, bytes]) -> bytes:
    """Files of UTF-8 text by name, as one JSON object."""
    return canonical_json({name: data.decode() for name, data in texts.items()})


def texts_from_bytes(data: bytes, what: str) -> dict[str, bytes]:
    """Reads it back; raises FormatError."""
    value = parse_json(data, what, limit=MAX_PARTS_BYTES)
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise FormatError(f"{what} is malformed", expected="an object of texts")
    return {name: text.encode() for name, text in value.items()}


def roster_to_bytes(enrolments: Sequence[Signed]) -> bytes:
    """The enrolments of all contributors, in the order of their numbers."""
    return canonical_json([[signed.envelope.decode(), signed.chain.decode()] for signed in enrolments])


def roster_from_bytes(data: bytes, what: str) -> tuple[Signed, ...]:
    """Reads it back; raises FormatError."""
    value = parse_json(data, what, limit=MAX_PARTS_BYTES)
    if not isinstance(value, list):
        raise FormatError(f"{what} is malformed", expected="a list of enrolments")
    signed = []
    for entry in value:
        match entry:
            case [str(envelope), str(chain)]:
                signed.append(Signed(envelope.encode(), chain.encode()))
            case _:
                raise FormatError(f"{what} is malformed", expected="an envelope and its certificates")
    return tuple(signed)
