"""The order of the checks: the picture alone, then ledger and record, then what was decided on it, then lineage."""

from __future__ import annotations

from pathlib import Path

from provenance.trust import TrustStore
from provenance.verify.decided import Rederive, check_decisions
from provenance.verify.evidence import Evidence
from provenance.verify.findings import Findings
from provenance.verify.history import Anchor, check_binding, compare_picture, find_anchor, read_record
from provenance.verify.lineage import check_lineage
from provenance.verify.report import Report, Verdict
from provenance.verify.trace import DeepReader, open_picture, read_trace


def verify_with(
    path: Path,
    evidence: Evidence,
    trust: TrustStore,
    deep: DeepReader | None = None,
    rederive: Rederive | None = None,
) -> Report:
    """Verifies one picture with the evidence given; see ``provenance.verify.verify_image``.

    ``rederive`` decides again on a picture whose record holds decisions (``provenance.rederivation``).
    """
    picture = open_picture(path)
    findings = Findings(str(path))
    trace = read_trace(picture, trust, findings, deep)
    payload = trace.followed
    if payload is None:
        return findings.report(Verdict.UNKNOWN)

    anchor: Anchor | None = None
    with findings.tampered_if_refused("ledger"):
        anchor = find_anchor(trace, payload, evidence, findings)
    if anchor is None:
        return findings.report(Verdict.UNKNOWN)

    record, trusted = None, False
    with findings.tampered_if_refused("record"):
        record = read_record(anchor, evidence, findings)
    if record is None:
        return findings.report(Verdict.UNKNOWN)
    compare_picture(picture, trace, record, findings)
    with findings.tampered_if_refused("binding"):
        trusted = check_binding(picture, trace, record, anchor, evidence, trust, findings)
    decisions = check_decisions(record, findings)
    if rederive is not None and decisions and findings.holds("picture"):
        with findings.tampered_if_refused("safety"):
            rederive(picture, record, decisions, findings)
    check_lineage(record, anchor.stream, evidence, trust, findings)
    return findings.report(Verdict.AUTHENTIC if trusted else Verdict.RECOVERED)
