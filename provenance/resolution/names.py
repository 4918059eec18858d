"""Names of manifests: what the resolution API calls ``manifestId``."""

from __future__ import annotations

import re

from provenance.jumbf import parse_manifest_store
from provenance.record import ImageRecord
from safety.watermark import Payload

_OURS = re.compile(r"urn:c2pa:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}:prov-(?P<payload>[0-9a-f]{16})", re.IGNORECASE)
_RECORD = re.compile(
    r"urn:prov:image:(?P<ledger>[0-9]{1,19}:0x[0-9a-f]{40}):(?P<stream>[0-9]{1,9}):(?P<serial>[0-9]{1,9})"
)
_ANY = re.compile(r"(?=.*urn:)[\x21-\x7e]{1,200}")


def is_name(text: str) -> bool:
    """Whether a text could be the name of a C2PA manifest, today's ``urn:c2pa:`` or an older ``urn:uuid:`` (8.1)."""
    return bool(_ANY.fullmatch(text))


def name_of(record: ImageRecord, manifest: bytes) -> str:
    """What a recorded manifest is called: its own C2PA name where that names the payload, else its record's name."""
    label = parse_manifest_store(manifest).active
    found = _OURS.fullmatch(label)
    return label if found and found["payload"].lower() == record.payload else record.id


def payload_of(name: str, namespace: int, ledger: str) -> Payload | None:
    """The payload that a manifest's name leads to on a ledger, ``"<chain id>:<contract>"``; None for others' names."""
    if ours := _OURS.fullmatch(name):
        return Payload.unpack(int(ours["payload"], 16))
    recorded = _RECORD.fullmatch(name)
    if recorded is None or recorded["ledger"] != ledger:
        return None
    stream, serial = int(recorded["stream"]), int(recorded["serial"])
    return None if max(stream, serial) >= 2**28 else Payload(namespace, stream, serial)
