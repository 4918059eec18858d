"""A batch: the records of consecutive serials as one folder of the block store, under one Merkle root.

::

    records/00000.jsonl       256 records to a file, one canonical line each, in order of serial
    leaves.bin                the 32-byte leaf hash of every record, in order
    manifests/00000/N.c2pa    the C2PA manifest store of each picture, by serial; void records have none
    issuer.pem                certificates of the issuer: leaf, then root
    blocked.head              head of the log of what was blocked, as it was then; absent while that is empty

A leaf is RFC 6962's ``SHA-256(0x00 || record)``. Whoever checks one picture reads ``leaves.bin`` and one file of
records, not the batch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from provenance.errors import FormatError, RecordError
from provenance.journal import Entry
from provenance.ledger.protocol import Batch
from provenance.merkle import HASH_BYTES, leaf_hash, proof, root, verify_proof
from provenance.record import MAX_RECORD_BYTES
from provenance.unixfs import BlockSource, list_directory, read_path

MAX_BATCH = 4096
SHARD = 256
LEAVES, ISSUER, LOG_HEAD = "leaves.bin", "issuer.pem", "blocked.head"
MAX_COUNT = 2**20
_HEAD = re.compile(r"[0-9a-f]{64}\n")


@dataclass(frozen=True)
class Inclusion:
    """A record's bytes with its Merkle proof: its place in the batch, and the audit path from leaf to root."""

    record: bytes
    index: int
    path: tuple[bytes, ...]

    def check(self, batch: Batch, serial: int) -> None:
        """Raises RecordError unless the record stands at the serial's place under the anchored root."""
        leaf = leaf_hash(self.record)
        at_place = self.index == serial - batch.first
        if not at_place or not verify_proof(leaf, self.index, batch.count, self.path, bytes.fromhex(batch.root)):
            raise RecordError(
                "the record's Merkle proof does not lead to the anchored root",
                expected=f"root {batch.root}, place {serial - batch.first} of {batch.count}",
                found=f"leaf {leaf.hex()}, place {self.index}",
            )


def batch_files(entries: Sequence[Entry], certificates_pem: bytes, log_head: str | None = None) -> dict[str, bytes]:
    """The files of a batch folder, by name; ``log_head`` is that of the log of what was blocked."""
    files = {LEAVES: b"".join(leaf_hash(entry.record) for entry in entries), ISSUER: certificates_pem}
    for start in range(0, len(entries), SHARD):
        shard = entries[start : start + SHARD]
        files[_records_file(start)] = b"".join(entry.record + b"\n" for entry in shard)
        for entry in shard:
            if entry.manifest:
                files[_manifest_file(start, entry.serial)] = entry.manifest
    if log_head is not None:
        files[LOG_HEAD] = f"{log_head}\n".encode()
    return files


def batch_root(entries: Sequence[Entry]) -> str:
    """The Merkle root over the records, in hexadecimal."""
    return root([leaf_hash(entry.record) for entry in entries]).hex()


def read_inclusion(store: BlockSource, batch: Batch, serial: int) -> Inclusion:
    """Reads one record and works out its proof from the leaves; raises RecordError, or what the store raises."""
    if not 0 < batch.count <= MAX_COUNT:
        raise RecordError(
            "the batch is too large to check", expected=f"at most {MAX_COUNT} records", found=f"{batch.count}"
        )
    leaves = read_path(store, batch.cid, LEAVES, limit=MAX_COUNT * HASH_BYTES)
    if len(leaves) != HASH_BYTES * batch.count:
        raise RecordError(
            f"{LEAVES} is not the anchored batch's", expected=f"{batch.count} leaves", found=f"{len(leaves)} bytes"
        )
    index = serial - batch.first
    name = _records_file(index)
    lines = read_path(store, batch.cid, name, limit=SHARD * (MAX_RECORD_BYTES + 1)).split(b"\n")
    expected = min(SHARD, batch.count - index // SHARD * SHARD)
    if len(lines) != expected + 1 or lines[-1]:
        raise RecordError(f"{name} is not whole", expected=f"{expected} lines", found=f"{len(lines) - 1}")
    hashes = [leaves[i : i + HASH_BYTES] for i in range(0, len(leaves), HASH_BYTES)]
    record = lines[index % SHARD]
    if leaf_hash(record) != hashes[index]:
        raise RecordError(
            f"the record is not the one that {LEAVES} names",
            expected=f"leaf {hashes[index].hex()}",
            found=f"leaf {leaf_hash(record).hex()}",
        )
    return Inclusion(record, index, proof(hashes, index))


def read_manifest(store: BlockSource, batch: Batch, serial: int) -> bytes:
    """The C2PA manifest store that a picture was issued with."""
    return read_path(store, batch.cid, _manifest_file(serial - batch.first, serial), limit=16 * 1024**2)


def read_issuer(store: BlockSource, batch: Batch) -> bytes:
    """The certificates of the batch's issuer."""
    return read_path(store, batch.cid, ISSUER, limit=1 << 20)


def read_log_head(store: BlockSource, batch: Batch) -> str | None:
    """The head of the log of what was blocked when a batch was anchored, None where it brings none.

    Raises FormatError for what is no head.
    """
    if LOG_HEAD not in list_directory(store, batch.cid):
        return None
    text = read_path(store, batch.cid, LOG_HEAD, limit=65).decode("ascii", errors="replace")
    if not _HEAD.fullmatch(text):
        raise FormatError(f"{LOG_HEAD} of a batch is no head", expected="64 hexadecimal digits and a line feed")
    return text[:-1]


def _records_file(index: int) -> str:
    return f"records/{index // SHARD:05d}.jsonl"


def _manifest_file(index: int, serial: int) -> str:
    return f"manifests/{index // SHARD:05d}/{serial}.c2pa"
