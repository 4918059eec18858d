from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from provenance import certificates
from provenance.errors import FormatError, SignatureError
from provenance.home import Home
from provenance.identity import Issuer, create_issuer
from provenance.moments import utc_now
from provenance.trust import TrustStore, home_and_files, verify_chain


@pytest.fixture
def other(tmp_path: Path) -> Issuer:
    return create_issuer(Home.create(tmp_path / "other"), "Eve")


def test_own_root_is_trusted_and_another_is_not(home: Home, issuer: Issuer, other: Issuer) -> None:
    trust = TrustStore.of_home(home)
    assert verify_chain(issuer.certificates_pem, trust).trusted
    assert not verify_chain(other.certificates_pem, trust).trusted


def test_root_is_trusted_by_certificate_by_digest_or_by_the_trust_folder(home: Home, other: Issuer) -> None:
    by_pem = TrustStore().with_pem(other.root_pem)
    by_digest = TrustStore().with_roots([other.root_digest])
    (home.path / "trust").mkdir()
    (home.path / "trust" / "eve.pem").write_bytes(other.certificates_pem)
    for trust in (by_pem, by_digest, TrustStore.of_home(home)):
        assert verify_chain(other.certificates_pem, trust).trusted
    assert by_pem.anchors_pem == other.root_pem


def test_home_without_identity_trusts_nobody(tmp_path: Path) -> None:
    assert TrustStore.of_home(Home.create(tmp_path / "empty")) == TrustStore()
    assert home_and_files([]) == TrustStore()


def test_leaf_alone_cannot_be_trusted(issuer: Issuer) -> None:
    leaf = certificates.to_pem(certificates.parse_certificates(issuer.certificates_pem)[0])
    with pytest.raises(FormatError, match="self-signed"):
        TrustStore().with_pem(leaf)
    with pytest.raises(SignatureError, match="root is not in the file"):
        verify_chain(leaf, TrustStore())


def test_untrusted_issuer_is_refused_with_its_root(other: Issuer) -> None:
    with pytest.raises(SignatureError) as refusal:
        verify_chain(other.certificates_pem, TrustStore()).require_trusted("a.json")
    assert other.root_digest in str(refusal.value)
    assert "--trust" in str(refusal.value)


def test_leaf_of_one_issuer_under_the_root_of_another_is_refused(issuer: Issuer, other: Issuer) -> None:
    leaf = certificates.parse_certificates(other.certificates_pem)[0]
    with pytest.raises(SignatureError):
        verify_chain(certificates.to_pem(leaf) + issuer.root_pem, TrustStore())


def test_root_of_the_same_name_with_another_key_is_not_the_root(issuer: Issuer, tmp_path: Path) -> None:
    twin = create_issuer(Home.create(tmp_path / "twin"), issuer.name)
    leaf = certificates.parse_certificates(issuer.certificates_pem)[0]
    with pytest.raises(SignatureError, match="root is not in the file"):
        verify_chain(certificates.to_pem(leaf) + twin.root_pem, TrustStore())


def test_leaf_cannot_issue_another_leaf(home: Home, issuer: Issuer) -> None:
    leaf, root = certificates.parse_certificates(issuer.certificates_pem)
    key = ec.generate_private_key(ec.SECP256R1())
    from provenance.identity import _read_key

    leaf_key = _read_key(home.path / "identity" / "issuer.key.pem", None)
    forged = certificates.create_leaf(key.public_key(), leaf_key, leaf, utc_now())
    with pytest.raises(SignatureError):
        verify_chain(certificates.to_pem(forged, leaf, root), TrustStore.of_home(home))


def test_self_signed_certificate_without_a_root_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    root = certificates.create_root(key, "Ada", utc_now())
    with pytest.raises(SignatureError, match="signing certificate under a root"):
        verify_chain(certificates.to_pem(root), TrustStore())


def test_certificate_without_constraints_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Ada")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(utc_now()).not_valid_after(utc_now() + timedelta(days=1))
    with pytest.raises(SignatureError, match="lacks its constraints"):
        verify_chain(certificates.to_pem(builder.sign(key, hashes.SHA256())), TrustStore())


@pytest.mark.parametrize("pem", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_unreadable_certificates_are_refused(pem: bytes) -> None:
    with pytest.raises(FormatError, match="cannot be read"):
        verify_chain(pem, TrustStore())


def test_name_of_an_issuer_cannot_steer_a_terminal() -> None:
    key, root_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = certificates.create_root(root_key, "Ada", utc_now())
    hostile = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Ada\x1b[31m")])
    leaf = certificates.create_leaf(key.public_key(), root_key, root, utc_now())
    builder = x509.CertificateBuilder().subject_name(hostile).issuer_name(root.subject).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(utc_now()).not_valid_after(utc_now() + timedelta(days=1))
    for extension in leaf.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    chain = certificates.to_pem(builder.sign(root_key, hashes.SHA256()), root)
    assert verify_chain(chain, TrustStore()).name == "Ada\\x1b[31m"


def test_key_id_picks_one_of_several_chains(issuer: Issuer, other: Issuer) -> None:
    both = issuer.certificates_pem + other.certificates_pem
    assert verify_chain(both, TrustStore(), key_id=other.key_id).name == "Eve"
    assert verify_chain(both, TrustStore(), key_id=issuer.key_id).name == "Ada Example"
    with pytest.raises(SignatureError, match="no certificate for the signing key"):
        verify_chain(both, TrustStore(), key_id="0" * 64)


def test_signature_outside_the_certificates_life_is_refused(issuer: Issuer, trust: TrustStore) -> None:
    signer = verify_chain(issuer.certificates_pem, trust)
    signer.require_valid_at(utc_now(), "a.json")
    for moment in (utc_now() - timedelta(days=1), utc_now() + timedelta(days=366)):
        with pytest.raises(SignatureError, match="certificate's life"):
            signer.require_valid_at(moment, "a.json")
