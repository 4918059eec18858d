"""The two certificates of an issuer: a root of its own, and a leaf that C2PA accepts as a signer.

The leaf follows the C2PA 2.x certificate profile: X.509 v3, P-256, not a CA, critical digitalSignature,
emailProtection, authority and subject key identifiers.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from provenance.canonical import sha256_hex
from provenance.errors import FormatError, IdentityError

ROOT_LIFETIME = timedelta(days=3652)
LEAF_LIFETIME = timedelta(days=365)
CLOCK_SKEW = timedelta(minutes=5)
MAX_NAME = 64
MAX_CHAIN_BYTES = 1 << 20
MAX_CERTIFICATES = 16


def create_root(key: ec.EllipticCurvePrivateKey, name: str, now: datetime) -> x509.Certificate:
    """A self-signed root for 10 years that may only sign leaves."""
    subject = _subject(name, f"{name} root"[:MAX_NAME])
    builder = _builder(subject, subject, key.public_key(), now, now + ROOT_LIFETIME)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(signs_certificates=True), critical=True)
    return builder.sign(key, hashes.SHA256())


def create_leaf(
    key: ec.EllipticCurvePublicKey, root_key: ec.EllipticCurvePrivateKey, root: x509.Certificate, now: datetime
) -> x509.Certificate:
    """A signing certificate for 365 days, in the name of its root."""
    end = min(now + LEAF_LIFETIME, root.not_valid_after_utc)
    name = issuer_name(root)
    builder = _builder(_subject(name, name), root.subject, key, now, end)
    root_id = root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(root_id), critical=False
    )
    return builder.sign(root_key, hashes.SHA256())


def issuer_name(certificate: x509.Certificate) -> str:
    """The organisation a certificate names."""
    names = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return str(names[0].value) if names else ""


def parse_certificates(pem: bytes, what: str = "the certificates") -> list[x509.Certificate]:
    """Reads 1 to 16 PEM certificates; raises FormatError."""
    try:
        if len(pem) > MAX_CHAIN_BYTES:
            raise ValueError("too large")
        certificates = x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise FormatError(f"{what} cannot be read", expected="PEM certificates", found=str(error)[:200]) from error
    if len(certificates) > MAX_CERTIFICATES:
        raise FormatError(f"{what} has too many certificates", expected=f"at most {MAX_CERTIFICATES}")
    return certificates


def to_pem(*certificates: x509.Certificate) -> bytes:
    """Certificates as PEM, one after the other."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def certificate_digest(certificate: x509.Certificate) -> str:
    """SHA-256 of a certificate's DER in hexadecimal: how roots are named in trust stores and on the ledger."""
    return sha256_hex(certificate.public_bytes(Encoding.DER))


def key_id(key: ec.EllipticCurvePublicKey) -> str:
    """SHA-256 of a public key's DER in hexadecimal."""
    return sha256_hex(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def public_pem(key: ec.EllipticCurvePublicKey) -> bytes:
    """A public key as PEM, as `model_signing verify key` reads it."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _subject(organisation: str, common: str) -> x509.Name:
    if not organisation.strip() or not organisation.isprintable() or len(organisation) > MAX_NAME:
        raise IdentityError(
            "the issuer's name does not fit a certificate",
            expected=f"1 to {MAX_NAME} printable characters",
            found=f"{len(organisation)} characters",
            fix="give a shorter --name",
        )
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation), x509.NameAttribute(NameOID.COMMON_NAME, common)]
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, start: datetime, end: datetime
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(start - CLOCK_SKEW).not_valid_after(end)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
