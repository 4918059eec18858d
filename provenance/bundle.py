"""A bundle: everything `prov verify` needs for one picture, in one CARv1 file, so that it verifies offline.

The first root is a folder::

    bundle.dsse.json   DSSE envelope by the bundle's maker over the SHA-256 of ledger.json, and what is inside
    issuer.pem         the maker's certificates: leaf, then root
    ledger.json        the ledger's logs about the picture's stream, token and licence
    record.json        the image record
    proof.json         its place in the batch, and the Merkle path to the anchored root
    manifest.c2pa      the C2PA manifest store the picture was issued with
    batch-issuer.pem   certificates of the picture's issuer

The second root, if the picture was made with an adapter, is its published release; blocks of training pictures are
only carried on request. A ledger cannot be proven without asking it, so the reader must trust the maker's root.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from provenance.batch import Inclusion
from provenance.canonical import canonical_json, parse_json, sha256_hex
from provenance.car import car_bytes
from provenance.cid import DAG_PB, Cid, as_cid
from provenance.dsse import Envelope
from provenance.errors import FormatError, ProvenanceError, RecordError, SignatureError, Unavailable
from provenance.files import read_file, write_file
from provenance.ledger.protocol import Batch, LedgerReader
from provenance.ledger.snapshot import Snapshot, take_snapshot
from provenance.moments import format_moment, utc_now
from provenance.stores import MemoryStore, add_tree
from provenance.trust import TrustStore, verify_chain
from provenance.unixfs import BlockSource, graph_blocks, read_path
from provenance.unixfs.dagpb import Node

TYPE = "urn:prov:bundle:v1"
PAYLOAD_TYPE = "application/vnd.prov.bundle+json"
MAX_BYTES = 2 * 1024**3
STATEMENT, CHAIN, LEDGER = "bundle.dsse.json", "issuer.pem", "ledger.json"
RECORD, PROOF, MANIFEST, BATCH_CHAIN = "record.json", "proof.json", "manifest.c2pa", "batch-issuer.pem"


class BundleSigner(Protocol):
    """Whoever signs a bundle: a P-256 key and its certificates, leaf first."""

    @property
    def key_id(self) -> str: ...

    @property
    def certificates_pem(self) -> bytes: ...

    def sign(self, data: bytes) -> bytes: ...


@dataclass(frozen=True)
class BundleEvidence:
    """A bundle that was opened and whose maker is trusted."""

    reader: LedgerReader
    store: BlockSource
    carries_data: bool
    stream: int
    serial: int
    _files: dict[str, bytes]

    def inclusion(self, batch: Batch, serial: int) -> Inclusion:
        """The record with its proof; raises Unavailable for another picture's."""
        self._require(batch, serial)
        proof = parse_json(self._files[PROOF], PROOF)
        match proof:
            case {"index": int(index), "path": [*path]} if len(proof) == 2 and len(path) <= 64:
                try:
                    nodes = tuple(bytes.fromhex(node) for node in path)
                except (TypeError, ValueError) as error:
                    raise RecordError("the bundle's Merkle proof is malformed", found=str(error)) from error
                return Inclusion(self._files[RECORD], index, nodes)
            case _:
                raise RecordError("the bundle's Merkle proof is malformed", expected="index and path")

    def manifest(self, batch: Batch, serial: int) -> bytes:
        """The C2PA manifest store the picture was issued with."""
        self._require(batch, serial)
        return self._files[MANIFEST]

    def issuer_pem(self, batch: Batch) -> bytes:
        """The certificates of the picture's issuer."""
        return self._files[BATCH_CHAIN]

    def _require(self, batch: Batch, serial: int) -> None:
        if (batch.stream, serial) != (self.stream, self.serial):
            raise Unavailable(
                "the bundle is about another picture",
                expected=f"stream {batch.stream}, serial {serial}",
                found=f"stream {self.stream}, serial {self.serial}",
                fix="use the bundle that was made for this picture",
            )


def make_bundle(
    image: Path,
    target: Path,
    *,
    reader: LedgerReader,
    store: BlockSource,
    trust: TrustStore,
    issuer: BundleSigner,
    with_data: bool = False,
) -> int:
    """Verifies a picture and writes all that was needed for it to one file; returns its size in bytes.

    Raises RecordError when the picture's history cannot be shown to be genuine, since then there is nothing to carry.
    """
    from provenance.verify.evidence import HomeEvidence
    from provenance.verify.findings import Findings
    from provenance.verify.report import Verdict
    from provenance.verify.trace import open_picture, read_trace
    from provenance.verify.verifier import verify_with

    recording = _Recording(store)
    evidence = HomeEvidence(reader, recording, carries_data=with_data)
    report = verify_with(image, evidence, trust)
    if report.verdict not in (Verdict.AUTHENTIC, Verdict.RECOVERED, Verdict.REVOKED):
        raise RecordError(
            f"{image} has no history that a bundle could carry",
            expected="a picture that verifies",
            found=f"{report.verdict.value}",
            fix=f"see `prov verify {image}`; new pictures need `prov anchor` first",
        )
    payload = read_trace(open_picture(image), trust, Findings(str(image))).followed
    batch = None if payload is None else reader.batch_covering(payload.stream, payload.serial)
    if payload is None or batch is None:
        raise RecordError(f"{image} changed while its bundle was made")
    inclusion = evidence.inclusion(batch, payload.serial)
    snapshot = take_snapshot(reader, payload.stream, payload.serial).to_bytes()
    token = reader.stream(payload.stream).token
    release = reader.token(token).cid if token else None
    statement = {
        "type": TYPE,
        "ledger": sha256_hex(snapshot),
        "stream": payload.stream,
        "serial": payload.serial,
        "release": release,
        "data_included": with_data,
        "created": format_moment(utc_now()),
    }
    files: dict[str, bytes | Path] = {
        STATEMENT: Envelope.sign(canonical_json(statement), PAYLOAD_TYPE, issuer).to_json(),
        CHAIN: issuer.certificates_pem,
        LEDGER: snapshot,
        RECORD: inclusion.record,
        PROOF: canonical_json({"index": inclusion.index, "path": [node.hex() for node in inclusion.path]}),
        MANIFEST: evidence.manifest(batch, payload.serial),
        BATCH_CHAIN: evidence.issuer_pem(batch),
    }
    carried = MemoryStore()
    root = add_tree(carried, files)
    blocks = dict(graph_blocks(carried, root))
    roots = [root]
    if release is not None:
        roots.append(as_cid(release))
        blocks |= recording.below(as_cid(release))
    data = car_bytes(roots, blocks.items())
    write_file(target, data)
    return len(data)


def open_bundle(path: Path, trust: TrustStore) -> BundleEvidence:
    """Reads a bundle and checks its maker's signature over the ledger it brings.

    Raises FormatError, BlockCorrupt or SignatureError when it is not whole, and Unavailable when its maker's root is
    not trusted: then nothing is known of the ledger.
    """
    store = MemoryStore()
    roots = store.put_car(io.BytesIO(read_file(path, limit=MAX_BYTES)))
    try:
        names = (STATEMENT, CHAIN, LEDGER, RECORD, PROOF, MANIFEST, BATCH_CHAIN)
        files = {name: read_path(store, roots[0], name, limit=64 * 1024**2) for name in names}
    except ProvenanceError as error:
        raise FormatError(
            f"{path} is not a whole bundle", expected="a file made by `prov bundle`", found=error.what
        ) from error
    envelope = Envelope.parse(files[STATEMENT], STATEMENT)
    issuer = verify_chain(files[CHAIN], trust, key_id=envelope.signatures[0].key_id, what="the bundle's issuer")
    statement = _parse_statement(envelope.verify(issuer.public_key, f"{path}: {STATEMENT}"), envelope.payload_type)
    if not issuer.trusted:
        raise Unavailable(
            f"{path} brings a copy of the ledger from someone who is not trusted here",
            expected="a bundle by a trusted root, or a home on the ledger itself",
            found=f'"{issuer.name}", root {issuer.root_digest}',
            fix="if that digest is the one its maker published: prov verify IMAGE --bundle FILE --trust ROOT.pem",
        )
    if sha256_hex(files[LEDGER]) != statement["ledger"]:
        raise SignatureError(
            f"{path}: {LEDGER} was changed after signing", expected=statement["ledger"], found=sha256_hex(files[LEDGER])
        )
    return BundleEvidence(
        reader=Snapshot.parse(files[LEDGER]).reader(),
        store=store,
        carries_data=statement["data_included"],
        stream=statement["stream"],
        serial=statement["serial"],
        _files=files,
    )


class _Recording:
    """Remembers the blocks that a verification read."""

    def __init__(self, store: BlockSource) -> None:
        self._store = store
        self._seen: dict[bytes, bytes] = {}

    def get(self, cid: Cid | str) -> bytes:
        data = self._store.get(cid)
        self._seen[as_cid(cid).digest] = data
        return data

    def below(self, root: Cid) -> dict[Cid, bytes]:
        """Those of the blocks below a root that were read, parents first."""
        found: dict[Cid, bytes] = {}
        waiting = [root]
        while waiting:
            cid = waiting.pop()
            data = self._seen.get(cid.digest)
            if data is not None and cid not in found:
                found[cid] = data
                waiting.extend(reversed(_children(cid, data)))
        return found


def _children(cid: Cid, data: bytes) -> list[Cid]:
    return [link.cid for link in Node.parse(data).links] if cid.codec == DAG_PB else []


def _parse_statement(payload: bytes, payload_type: str) -> dict[str, Any]:
    value = parse_json(payload, STATEMENT, limit=1 << 20)
    match value:
        case {
            "type": str(kind),
            "ledger": str(),
            "stream": int(),
            "serial": int(),
            "release": str() | None,
            "data_included": bool(),
            "created": str(),
        } if kind == TYPE and payload_type == PAYLOAD_TYPE and len(value) == 7:
            return dict(value)
        case _:
            raise FormatError(f"{STATEMENT} does not describe a bundle", expected=TYPE)
