"""Signed evaluations: figures of an adapter, beside its release, by whoever measured them.

::

    evaluation.json        the report: the claim, and behind it each prompt's scores and the pictures' digests
    evaluation.dsse.json   in-toto statement about the adapter's weights, predicate urn:prov:evaluation:v1: the claim,
                           and the digest of the report
    evaluation.pem         the signer's certificate and root

An evaluation comes after training and may be made by anybody, so it is a statement of its own: the training's
attestation stays as it was signed. It is about weights by their SHA-256, in whatever release they lie.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provenance.adapter import WEIGHTS, AdapterManifest
from provenance.byproducts import PREVIOUS, byproducts
from provenance.canonical import Json, canonical_json, parse_json, sha256_hex
from provenance.dsse import IN_TOTO, Envelope
from provenance.errors import AdapterError, FormatError
from provenance.evaluation_claim import Evaluation
from provenance.files import read_file
from provenance.identity import Issuer
from provenance.manifest import CHAIN, read_statement
from provenance.statement import Statement, is_digest
from provenance.trust import TrustStore, VerifiedIssuer

PREDICATE_TYPE = "urn:prov:evaluation:v1"
REPORT_TYPE = "urn:prov:evaluation-report:v1"
BYPRODUCT = "evaluation"
REPORT, ENVELOPE, CERTIFICATES = "evaluation.json", "evaluation.dsse.json", "evaluation.pem"
LIMIT, STATEMENT_LIMIT = 64 * 1024**2, 1 << 20

Read = Callable[[str], bytes]


@dataclass(frozen=True)
class SignedEvaluation:
    """A verified statement: the claim, who signed it, the statement's digest and the report's, SHA-256 in hex."""

    evaluation: Evaluation
    issuer: VerifiedIssuer
    digest: str
    report: str


def sign_evaluation(report: bytes, issuer: Issuer) -> dict[str, bytes]:
    """The statement about a report's claim and its certificates, by file name; raises FormatError."""
    evaluation = parse_report(report)
    claim: Json = {"evaluation": evaluation.value, "report": {"name": REPORT, "digest": {"sha256": sha256_hex(report)}}}
    statement = Statement({WEIGHTS: evaluation.weights}, PREDICATE_TYPE, claim)
    envelope = Envelope.sign(statement.to_bytes(), IN_TOTO, issuer)
    return {ENVELOPE: envelope.to_json(), CERTIFICATES: issuer.certificates_pem}


def verify_evaluation(read: Read, trust: TrustStore, *, weights: str, require_trusted: bool = True) -> SignedEvaluation:
    """Verifies a statement through ``read(name)``: signature, issuer, claim, and that it is about these weights.

    Raises a ProvenanceError, or whatever ``read`` raises for a file it cannot get.
    """

    def certificates_of_its_own(name: str) -> bytes:
        return read(CERTIFICATES if name == CHAIN else name)

    envelope, statement, issuer = read_statement(certificates_of_its_own, ENVELOPE, PREDICATE_TYPE, trust)
    if require_trusted:
        issuer.require_trusted(ENVELOPE)
    evaluation, report = _claim(statement.predicate)
    if statement.subjects != {WEIGHTS: evaluation.weights}:
        raise FormatError(f"{ENVELOPE} claims figures of other weights than it is about", expected=evaluation.weights)
    if evaluation.weights != weights:
        raise AdapterError(
            f"{ENVELOPE} is about another adapter",
            expected=f"weights {weights}",
            found=f"weights {evaluation.weights}",
            fix="evaluate this adapter: prov evaluate",
        )
    issuer.require_valid_at(evaluation.created, ENVELOPE)
    return SignedEvaluation(evaluation, issuer, envelope.digest, report)


def verify_evaluation_folder(folder: Path, trust: TrustStore, *, weights: str) -> SignedEvaluation | None:
    """Verifies the evaluation in a folder, None when there is none; a report beside it must be the one signed.

    Raises a ProvenanceError; half an evaluation is a FileRefused.
    """
    if not (folder / ENVELOPE).exists():
        return None
    signed = verify_evaluation(lambda name: read_file(folder / name, limit=STATEMENT_LIMIT), trust, weights=weights)
    if (folder / REPORT).exists():
        require_report(signed, read_file(folder / REPORT, limit=LIMIT))
    return signed


def carried_evaluation(release: Path, trust: TrustStore, *, weights: str) -> dict[str, bytes]:
    """The files of an evaluation beside a release, verified, for its publication; empty when there is none.

    Raises what ``verify_evaluation`` raises: figures that do not verify are not published.
    """
    if not (release / ENVELOPE).exists():
        return {}
    files = {name: read_file(release / name, limit=STATEMENT_LIMIT) for name in (ENVELOPE, CERTIFICATES)}
    verify_evaluation(files.__getitem__, trust, weights=weights)
    return files


def evaluation_byproduct(evaluation: Evaluation, report: bytes) -> Json:
    """A claim as a byproduct of a training attestation, for ``add_byproduct``."""
    return {
        "name": BYPRODUCT,
        "digest": {"sha256": sha256_hex(report)},
        "mediaType": "application/json",
        "annotations": {"evaluation": evaluation.value},
    }


def attached_evaluation(made: AdapterManifest) -> SignedEvaluation | None:
    """The last claim that a training attestation carries, None when there is none.

    Raises FormatError when it is malformed, and AdapterError when it is about other weights, or another base.
    """
    found = [entry for entry in byproducts(made.predicate, BYPRODUCT) if entry["name"] == BYPRODUCT]
    if not found:
        return None
    match found[-1]:
        case {"digest": {"sha256": digest}, "annotations": {"evaluation": claim, **others}} if set(others) <= {
            PREVIOUS
        }:
            evaluation = Evaluation.of_value(claim, "the attached evaluation")
        case _:
            raise FormatError("the attached evaluation is malformed", expected="the claim, and its report's SHA-256")
    if evaluation.weights != made.weights_digest:
        raise AdapterError(
            "the attached evaluation is about another adapter", expected=made.weights_digest, found=evaluation.weights
        )
    attached = SignedEvaluation(evaluation, made.issuer, made.digest, str(digest))
    require_about(attached, dataset=made.dataset_digest, base=made.base_digest)
    return attached


def require_about(signed: SignedEvaluation, *, dataset: str, base: str) -> None:
    """Raises AdapterError unless figures are with the adapter's own base, and say so when against its own dataset.

    ``dataset`` and ``base`` are the digests that the adapter's statement names: a claim can say anything of them.
    """
    claim = signed.evaluation.value
    measured = claim["model"]["base"]["digest"]
    if measured != base:
        raise AdapterError("the figures were measured with another base", expected=base, found=measured)
    reference = claim["reference"]
    if reference["trained_on"] != (reference["digest"] == dataset):
        raise AdapterError(
            "the figures do not say rightly whether they are against the pictures that were trained on",
            expected=f"the truth about dataset {dataset}",
            found=f"trained_on {reference['trained_on']} of dataset {reference['digest']}",
            fix="evaluate this adapter anew: prov evaluate",
        )


def require_report(signed: SignedEvaluation, report: bytes) -> None:
    """Raises AdapterError unless a report is the one that was signed, and FormatError when it claims other figures."""
    found = sha256_hex(report)
    if found != signed.report:
        raise AdapterError(
            f"{REPORT} was changed after signing",
            expected=f"SHA-256 {signed.report}",
            found=found,
            fix="get it again from whoever evaluated the adapter",
        )
    if parse_report(report) != signed.evaluation:
        raise FormatError(f"{ENVELOPE} claims other figures than its report")


def parse_report(data: bytes) -> Evaluation:
    """Reads ``evaluation.json`` strictly, and gives its claim; raises FormatError."""
    value = parse_json(data, REPORT, limit=LIMIT)
    if not isinstance(value, dict) or set(value) != {"type", "evaluation", "prompts", "pictures"}:
        raise FormatError(f"{REPORT} is not an evaluation", expected="type, evaluation, prompts and pictures")
    if value["type"] != REPORT_TYPE:
        raise FormatError(f"{REPORT} is not an evaluation", expected=REPORT_TYPE, found=str(value["type"])[:100])
    if canonical_json(value) != data:
        raise FormatError(f"{REPORT} is not canonical JSON", expected="sorted keys, no spaces")
    evaluation = Evaluation.of_value(value["evaluation"], REPORT)
    pictures = value["pictures"]
    if not isinstance(pictures, dict) or not all(is_digest(digest) for digest in pictures.values()):
        raise FormatError(f"{REPORT} does not name its pictures", expected="each with its SHA-256")
    _check_prompts(value["prompts"], evaluation.value)
    return evaluation


def _check_prompts(value: Any, claim: Json) -> None:
    """Raises FormatError unless every prompt has its scores, and the prompts are those the claim is about."""
    if not isinstance(value, list) or not all(_is_prompt(entry) for entry in value):
        raise FormatError(f"{REPORT} has malformed prompts", expected="prompt, pictures, before and after")
    texts = [entry["prompt"] for entry in value]
    if len(set(texts)) != len(texts) or sha256_hex(canonical_json(texts)) != claim["prompts"]["digest"]:
        raise FormatError(f"{REPORT} has other prompts than its claim", expected=claim["prompts"]["digest"])
    if sum(entry["pictures"] for entry in value) != claim["compared"]:
        raise FormatError(f"{REPORT} counts other pictures than its claim", expected=f"{claim['compared']}")


def _is_prompt(entry: Any) -> bool:
    match entry:
        case {"prompt": str(), "pictures": int(count), "before": before, "after": after} if len(entry) == 4:
            if type(count) is not int or count < 0:
                return False
            return all(score is None if count == 0 else _is_score(score) for score in (before, after))
    return False


def _is_score(value: Any) -> bool:
    return type(value) in (int, float) and -100 <= value <= 100


def _claim(predicate: Json) -> tuple[Evaluation, str]:
    match predicate:
        case {"evaluation": claim, "report": {"name": str(name), "digest": {"sha256": digest}} as report} if (
            len(predicate) == 2 and len(report) == 2 and len(report["digest"]) == 1 and name == REPORT
        ):
            if is_digest(digest):
                return Evaluation.of_value(claim, ENVELOPE), str(digest)
    raise FormatError(f"{ENVELOPE} has a malformed claim", expected="evaluation, and report with its SHA-256")
