from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from provenance.certificates import parse_certificates
from provenance.errors import FormatError, ProvenanceError, SignatureError, UsageError
from provenance.identity import Issuer
from provenance.policy_signature import CANONICAL, SOURCE, STATEMENT, sign_policy, verify_policy
from provenance.trust import TrustStore
from safety.errors import PolicyError
from safety.policy import DEFAULT_POLICY, STARTER_POLICY, Policy

OWN_FILES = {SOURCE, CANONICAL, STATEMENT, "issuer.pem", "issuer.pub.pem"}


@pytest.fixture
def trust(issuer: Issuer) -> TrustStore:
    return TrustStore().with_pem(issuer.root_pem)


@pytest.mark.parametrize("path", [STARTER_POLICY, DEFAULT_POLICY])
def test_the_policies_that_ship_can_be_signed_and_verified(
    path: Path, issuer: Issuer, trust: TrustStore, tmp_path: Path
) -> None:
    policy = sign_policy(path, tmp_path / "signed", issuer)
    assert {file.name for file in (tmp_path / "signed").iterdir()} == OWN_FILES
    found = verify_policy(tmp_path / "signed", trust)
    assert found.policy == policy == Policy.load(path)
    assert found.issuer.root_digest == issuer.root_digest
    envelope = json.loads((tmp_path / "signed" / STATEMENT).read_bytes())
    assert envelope["payloadType"] == "application/vnd.in-toto+json"


def test_the_statement_is_read_by_another_library(issuer: Issuer, tmp_path: Path) -> None:
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import SSlibKey

    sign_policy(STARTER_POLICY, tmp_path / "signed", issuer)
    envelope = Envelope.from_dict(json.loads((tmp_path / "signed" / STATEMENT).read_bytes()))
    leaf = parse_certificates(issuer.certificates_pem)[0]
    key = SSlibKey.from_crypto(leaf.public_key(), keyid=issuer.key_id)
    assert issuer.key_id in envelope.verify([key], 1)


def changed(name: str, edit: Callable[[bytes], bytes], release: Path) -> None:
    (release / name).write_bytes(edit((release / name).read_bytes()))


@pytest.mark.parametrize(
    ("name", "edit", "error"),
    [
        (SOURCE, lambda data: data.replace(b"cranium", b"craniums"), SignatureError),
        (SOURCE, lambda data: data + b"\n# a comment\n", SignatureError),
        (CANONICAL, lambda data: data.replace(b"cranium", b"craniums"), SignatureError),
        (STATEMENT, lambda data: data.replace(b'"sig":"M', b'"sig":"N'), ProvenanceError),
        (STATEMENT, lambda data: b"{}", FormatError),
        ("issuer.pem", lambda data: b"", ProvenanceError),
    ],
)
def test_anything_changed_after_signing_is_refused(
    name: str, edit: Callable[[bytes], bytes], error: type[Exception], issuer: Issuer, trust: TrustStore, tmp_path: Path
) -> None:
    sign_policy(STARTER_POLICY, tmp_path / "signed", issuer)
    changed(name, edit, tmp_path / "signed")
    with pytest.raises(error):
        verify_policy(tmp_path / "signed", trust)


def test_an_unknown_issuer_is_refused(issuer: Issuer, tmp_path: Path) -> None:
    sign_policy(STARTER_POLICY, tmp_path / "signed", issuer)
    with pytest.raises(SignatureError, match="not trusted"):
        verify_policy(tmp_path / "signed", TrustStore())


def test_a_signed_canonical_form_that_is_not_the_files_is_refused(
    issuer: Issuer, trust: TrustStore, tmp_path: Path
) -> None:
    from provenance.canonical import sha256_hex
    from provenance.dsse import IN_TOTO, Envelope
    from provenance.statement import Statement

    release = tmp_path / "signed"
    sign_policy(STARTER_POLICY, release, issuer)
    other = Policy.load(DEFAULT_POLICY)
    (release / CANONICAL).write_bytes(other.canonical)
    payload = json.loads(Envelope.parse((release / STATEMENT).read_bytes()).payload)
    subjects = {SOURCE: sha256_hex((release / SOURCE).read_bytes()), CANONICAL: other.digest}
    statement = Statement(subjects, payload["predicateType"], payload["predicate"])
    (release / STATEMENT).write_bytes(Envelope.sign(statement.to_bytes(), IN_TOTO, issuer).to_json())
    with pytest.raises(SignatureError, match="another policy"):
        verify_policy(release, trust)


def test_a_policy_with_faults_is_not_signed(issuer: Issuer, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("type: nothing")
    with pytest.raises(PolicyError):
        sign_policy(tmp_path / "policy.yaml", tmp_path / "signed", issuer)
    assert not (tmp_path / "signed").exists()


def test_nothing_is_written_over(issuer: Issuer, tmp_path: Path) -> None:
    sign_policy(STARTER_POLICY, tmp_path / "signed", issuer)
    with pytest.raises(UsageError, match="already there"):
        sign_policy(STARTER_POLICY, tmp_path / "signed", issuer)
