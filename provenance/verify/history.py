"""From a payload to its anchored record: stream, batch, proof, and whether the record is about this picture."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from provenance.canonical import sha256_hex
from provenance.credentials import Credentials, ProvAssertion, read_credentials
from provenance.decisions import claim_of, read_decisions
from provenance.errors import LedgerLookupError, RecordError
from provenance.ledger.protocol import Batch, Stream
from provenance.likeness import Issued, Kind, likeness
from provenance.moments import format_moment
from provenance.record import ImageRecord, parse_record
from provenance.trust import TrustStore, verify_chain
from provenance.verify.evidence import Evidence
from provenance.verify.findings import Findings
from provenance.verify.report import Verdict
from provenance.verify.trace import Picture, Trace
from safety.watermark import Payload


@dataclass(frozen=True)
class Anchor:
    """Where a payload stands on the ledger, and which issuers the stream's holder vouches for."""

    payload: Payload
    stream: Stream
    batch: Batch
    vouched: frozenset[str]


def find_anchor(trace: Trace, payload: Payload, evidence: Evidence, findings: Findings) -> Anchor | None:
    """The batch that covers a payload; None, with the reason noted, when this ledger has none."""
    reader = evidence.reader
    identity = reader.identity
    here = f"chain {identity.chain_id}, contract {identity.contract}"
    claim = trace.claim
    if claim is not None and (claim.chain_id, claim.contract) != (identity.chain_id, identity.contract):
        findings.fails(
            "ledger",
            Verdict.UNKNOWN,
            f"made on another ledger (chain {claim.chain_id}, contract {claim.contract}); this one is {here}",
        )
        return None
    if payload.namespace != reader.namespace:
        findings.fails(
            "ledger",
            Verdict.UNKNOWN,
            f"the watermark belongs to another ledger (namespace {payload.namespace}; {here} has {reader.namespace})",
        )
        return None
    if trace.claim is None and trace.credentials.state not in ("absent", "invalid"):
        findings.fails(
            "credentials",
            Verdict.TAMPERED,
            f'credentials by "{trace.credentials.issuer_name}" do not speak of the watermark that the picture carries',
        )
    try:
        stream = reader.stream(payload.stream)
    except LedgerLookupError:
        findings.fails("ledger", Verdict.TAMPERED, f"stream {payload.stream} was never opened on {here}")
        return None
    batch = reader.batch_covering(payload.stream, payload.serial)
    if batch is None:
        findings.fails(
            "ledger",
            Verdict.UNKNOWN,
            f"serial {payload.serial} of stream {payload.stream} is not anchored yet; its holder runs `prov anchor`",
        )
        return None
    moment = _moment(batch.anchored_at)
    findings.ok(
        "ledger",
        f"stream {stream.stream} of {stream.holder}, anchored {moment}",
        here,
        f"serials {batch.first} to {batch.first + batch.count - 1} of the stream",
        f"transaction {batch.transaction}, block {batch.block}",
    )
    head = reader.head()
    findings.facts |= {
        "ledger": {
            "chain_id": identity.chain_id,
            "contract": identity.contract,
            "as_of": _moment(head.timestamp),
            "block": head.block,
        },
        "holder": stream.holder,
        "anchored": {"at": moment, "transaction": batch.transaction, "block": batch.block},
    }
    return Anchor(payload, stream, batch, reader.issuers(stream.holder, batch.anchored_at))


def read_record(anchor: Anchor, evidence: Evidence, findings: Findings) -> ImageRecord:
    """The anchored record of a payload; raises RecordError when it is not that, or what the evidence raises."""
    inclusion = evidence.inclusion(anchor.batch, anchor.payload.serial)
    inclusion.check(anchor.batch, anchor.payload.serial)
    record = parse_record(inclusion.record)
    if not isinstance(record, ImageRecord):
        raise RecordError(f"serial {anchor.payload.serial} was anchored as void: no picture was issued under it")
    identity = evidence.reader.identity
    expected = {
        "payload": anchor.payload.hex,
        "chain_id": identity.chain_id,
        "contract": identity.contract,
        "token": anchor.stream.token,
    }
    for name, value in expected.items():
        if getattr(record, name) != value:
            raise RecordError(
                f"the record's {name} is not the ledger's", expected=f"{value}", found=f"{getattr(record, name)}"
            )
    findings.ok(
        "record",
        record.id,
        f"leaf {inclusion.index} of {anchor.batch.count} under root {anchor.batch.root}",
    )
    findings.facts |= {
        "created": record.created,
        "generator": record.generator,
        "prompt": record.prompt.get("text"),
        "base": record.base,
        "record": record.id,
        "drawn_from": _input_of(record),
    }
    return record


def _input_of(record: ImageRecord) -> str | None:
    """The picture that this one was drawn from, by digest and by the mark it carried, in the words of its record."""
    match record.parameters.get("input"):
        case {"sha256": str(digest), **more}:
            left = ", where a mask left it" if isinstance(more.get("mask"), str) else ""
            payload = more.get("payload")
            marked = f", which carried the mark {payload[:16]}" if isinstance(payload, str) else ""
            return f"sha256 {digest[:64]}{left}{marked}"
    return None


def compare_picture(picture: Picture, trace: Trace, record: ImageRecord, findings: Findings) -> None:
    """Whether the record was written for this picture or what is left of it, by perceptual fingerprint."""
    placement = trace.placement(str(record.watermark["backend"]))
    found = likeness(picture.pixels, placement, Issued.of_record(record))
    same_record = trace.claim is not None and trace.claim.record == record.id
    verdicts = {
        Kind.OTHER: Verdict.TAMPERED if same_record else Verdict.COPIED,
        Kind.EXTENDED: Verdict.TAMPERED,
        Kind.UNCLEAR: Verdict.UNKNOWN,
    }
    if found.kind is Kind.SAME:
        findings.ok("picture", found.detail)
    else:
        findings.fails("picture", verdicts[found.kind], found.detail)


def check_binding(
    picture: Picture,
    trace: Trace,
    record: ImageRecord,
    anchor: Anchor,
    evidence: Evidence,
    trust: TrustStore,
    findings: Findings,
) -> bool:
    """Whether file, credentials and record name each other; true when the embedded credentials are intact and trusted.

    Raises RecordError when the credentials kept in the batch are not the record's.
    """
    # The batch brings the certificates; whether their root counts is for the trust store and the ledger to say.
    chain = evidence.issuer_pem(anchor.batch)
    signer = verify_chain(chain, trust.with_roots(anchor.vouched), what="the batch's issuer.pem")
    if signer.root_digest != record.issuer:
        raise RecordError(
            "the batch brings the certificates of another issuer than its record names",
            expected=f"root {record.issuer}",
            found=f"root {signer.root_digest}",
        )
    pem = _root_pem(chain, record.issuer) if signer.trusted else b""
    if pem:
        by = "the trust store" if record.issuer in trust.roots else "the stream's holder"
        findings.ok("issuer", f"root {record.issuer}, vouched for by {by}")
    else:
        findings.fails(
            "issuer",
            Verdict.UNKNOWN,
            f"neither the trust store nor the stream's holder vouches for root {record.issuer}",
        )
    claim = trace.claim
    if claim is not None:
        return _check_embedded(picture, trace, claim, record, pem, findings)
    manifest = evidence.manifest(anchor.batch, anchor.payload.serial)
    if sha256_hex(manifest) != record.manifest:
        raise RecordError(
            "the credentials kept in the batch are not the record's", expected=f"manifest {record.manifest}"
        )
    kept = read_credentials(picture.data, picture.media_type, pem, manifest=manifest)
    if kept.assertion is None or kept.state not in ("trusted", "expired", "untrusted"):
        raise RecordError("the credentials kept in the batch do not validate", found=", ".join(kept.failures))
    if difference := _difference(kept.assertion, record) or _other_decisions(kept, record):
        raise RecordError(f"the credentials kept in the batch name another {difference}")
    findings.ok("binding", "the credentials it was issued with are kept in the batch and agree with its record")
    return False


def _check_embedded(
    picture: Picture, trace: Trace, claim: ProvAssertion, record: ImageRecord, pem: bytes, findings: Findings
) -> bool:
    difference = _difference(claim, record) or _other_decisions(trace.credentials, record)
    digest = sha256_hex(picture.data)
    if difference is not None:
        findings.fails("binding", Verdict.TAMPERED, f"credentials and record name another {difference}")
    elif record.image.sha256 != digest:
        findings.fails(
            "binding",
            Verdict.TAMPERED,
            f"the file is not the one on record (sha256 {record.image.sha256}, found {digest})",
        )
    else:
        findings.ok("binding", "file, credentials and record name each other", f"sha256 {digest} is on record")
    credentials = read_credentials(picture.data, picture.media_type, pem) if pem else trace.credentials
    # After its end a certificate proves nothing by itself; but these very bytes were anchored while it was valid.
    dated = credentials.state == "expired" and bool(pem) and findings.holds("binding")
    if (pem and credentials.state == "trusted") or dated:
        findings.ok(
            "credentials", f'signed by "{credentials.issuer_name}", {credentials.generator}', *_checks(credentials)
        )
        findings.facts["issuer"] = {"name": credentials.issuer_name, "root": record.issuer}
        if trace.payload is None:
            findings.fails(
                "watermark",
                Verdict.TAMPERED,
                f"the credentials name watermark {claim.payload}, and the picture has none",
            )
        return True
    verdict = Verdict.UNKNOWN if trace.payload is None else Verdict.TAMPERED
    findings.fails(
        "credentials",
        verdict,
        f'signed by "{credentials.issuer_name}" under a root that neither the trust store nor the stream\'s holder '
        "vouches for",
    )
    return False


def _checks(credentials: Credentials) -> tuple[str, ...]:
    state = "its certificate has expired since; the ledger dates the file" if credentials.state == "expired" else ""
    return tuple(
        check for check in ("C2PA signature, certificate chain, assertions and data hash are valid", state) if check
    )


def _difference(claim: ProvAssertion, record: ImageRecord) -> str | None:
    expected = ProvAssertion.of(
        record.origin,
        record.serial,
        record.pixels,
        record.fingerprint,
        size={"width": record.image.width, "height": record.image.height},
        placement=record.watermark.get("placement"),
    ).to_json()
    return next((name for name, value in claim.to_json().items() if expected.get(name) != value), None)


def _other_decisions(credentials: Credentials, record: ImageRecord) -> str | None:
    """Manifests of earlier versions say nothing of decisions; what one says must be what the record says."""
    if credentials.decisions is None:
        return None
    same = claim_of(credentials.decisions) == claim_of(read_decisions(record.safety))
    return None if same else "decision of the safety filters"


def _moment(seconds: int) -> str:
    return format_moment(datetime.fromtimestamp(seconds, UTC))


def _root_pem(chain: bytes, digest: str) -> bytes:
    from provenance.certificates import certificate_digest, parse_certificates, to_pem

    return to_pem(*(c for c in parse_certificates(chain) if certificate_digest(c) == digest))
