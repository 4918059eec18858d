"""A signed policy: the file, the canonical JSON that decisions name, and a statement about both.

::

    policy.yaml         as its author wrote it
    policy.json         canonical JSON; its SHA-256 is the policy's digest
    policy.dsse.json    in-toto statement over both, predicate ``urn:prov:signed-policy:v1``
    issuer.pem, issuer.pub.pem
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from provenance.canonical import sha256_hex
from provenance.dsse import IN_TOTO, Envelope
from provenance.errors import FormatError, SignatureError
from provenance.files import read_file
from provenance.identity import Issuer
from provenance.manifest import CHAIN, read_statement
from provenance.moments import format_moment, parse_moment, utc_now
from provenance.signing import PUBLIC_KEY, staged
from provenance.statement import Statement
from provenance.trust import TrustStore, VerifiedIssuer
from safety.policy import MAX_BYTES, Policy

PREDICATE_TYPE = "urn:prov:signed-policy:v1"
SOURCE, CANONICAL, STATEMENT = "policy.yaml", "policy.json", "policy.dsse.json"


@dataclass(frozen=True)
class SignedPolicy:
    """A policy whose signature holds, and who signed it when."""

    policy: Policy
    issuer: VerifiedIssuer
    created: str


def sign_policy(path: Path, release: Path, issuer: Issuer) -> Policy:
    """Checks a policy file and writes it, signed, as a new folder; raises PolicyError or UsageError."""
    source = read_file(path, limit=MAX_BYTES)
    policy = Policy.parse(source, str(path))
    statement = Statement(
        {SOURCE: sha256_hex(source), CANONICAL: policy.digest},
        PREDICATE_TYPE,
        {"name": policy.name, "version": policy.version, "created": format_moment(utc_now())},
    )
    files = {
        SOURCE: source,
        CANONICAL: policy.canonical,
        STATEMENT: Envelope.sign(statement.to_bytes(), IN_TOTO, issuer).to_json(),
        CHAIN: issuer.certificates_pem,
        PUBLIC_KEY: issuer.public_key_pem,
    }
    with staged(release) as folder:
        for name, data in files.items():
            (folder / name).write_bytes(data)
    return policy


def verify_policy(release: Path, trust: TrustStore) -> SignedPolicy:
    """Opens a signed policy; raises a ProvenanceError when it is not trusted or not what was signed, or PolicyError.

    The statement must name the bytes of the file, and the canonical JSON that those bytes really give.
    """

    def read(name: str) -> bytes:
        return read_file(release / name)

    _, statement, issuer = read_statement(read, STATEMENT, PREDICATE_TYPE, trust)
    issuer.require_trusted(STATEMENT)
    match statement.predicate:
        case {"name": str(name), "version": int(version), "created": str(created)} if len(statement.predicate) == 3:
            issuer.require_valid_at(parse_moment(created, STATEMENT), STATEMENT)
        case _:
            raise FormatError(f"{STATEMENT} has a malformed claim", expected="name, version and created")
    source = read_file(release / SOURCE, limit=MAX_BYTES)
    found = {SOURCE: sha256_hex(source), CANONICAL: sha256_hex(read_file(release / CANONICAL, limit=4 * MAX_BYTES))}
    if statement.subjects != found:
        raise SignatureError(
            "the policy is not what was signed",
            expected=", ".join(f"{file} {digest[:16]}…" for file, digest in sorted(statement.subjects.items())),
            found=", ".join(f"{file} {digest[:16]}…" for file, digest in sorted(found.items())),
            fix="get it again from whoever signed it, or sign the new one: prov policy sign",
        )
    policy = Policy.parse(source, str(release / SOURCE))
    if policy.digest != found[CANONICAL] or (policy.name, policy.version) != (name, version):
        raise SignatureError(f"{STATEMENT} claims another policy than {SOURCE} holds", expected=policy.digest)
    return SignedPolicy(policy, issuer, created)
