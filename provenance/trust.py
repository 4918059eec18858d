"""Whom a verifier believes: root certificates, named by their digest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from provenance.errors import FormatError, SignatureError
from provenance.faults import printable
from provenance.files import read_file
from provenance.home import Home

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

PEM_LIMIT = 1 << 20


@dataclass(frozen=True)
class TrustStore:
    """The roots that are believed; those known by their certificate are also in ``anchors_pem`` (for C2PA)."""

    roots: frozenset[str] = frozenset()
    anchors_pem: bytes = b""

    @classmethod
    def of_home(cls, home: Home) -> TrustStore:
        """The home's own root, and those its owner put into ``trust/*.pem``."""
        store = cls()
        files = [home.path / "identity" / "root.pem", *sorted((home.path / "trust").glob("*.pem"))]
        for path in files:
            if path.exists():
                store = store.with_pem(read_file(path, limit=PEM_LIMIT), str(path))
        return store

    def with_pem(self, pem: bytes | Path, what: str = "the trusted root") -> TrustStore:
        """The same store, believing also the self-signed roots of a PEM file; raises FormatError."""
        from provenance.certificates import certificate_digest, parse_certificates, to_pem

        if isinstance(pem, Path):
            pem, what = read_file(pem, limit=PEM_LIMIT), str(pem)
        roots = [c for c in parse_certificates(pem, what) if c.issuer == c.subject]
        if not roots:
            raise FormatError(f"{what} has no root certificate", expected="a self-signed certificate (root.pem)")
        digests = {certificate_digest(root) for root in roots}
        return TrustStore(self.roots | digests, self.anchors_pem + to_pem(*roots))

    def with_roots(self, digests: Iterable[str]) -> TrustStore:
        """The same store, believing also roots known only by digest, as the ledger's issuer registry gives them."""
        return TrustStore(self.roots | frozenset(digests), self.anchors_pem)


def home_and_files(files: Iterable[Path]) -> TrustStore:
    """What a command believes: the default home's trust store, if there is a home, and the roots in some PEM files."""
    path = Home.default_path()
    store = TrustStore.of_home(Home.open(path)) if (path / "home.json").exists() else TrustStore()
    for file in files:
        store = store.with_pem(file)
    return store


@dataclass(frozen=True)
class VerifiedIssuer:
    """Who signed: a chain that holds together, and whether its root is believed."""

    root_digest: str
    key_id: str
    public_key: EllipticCurvePublicKey
    name: str
    trusted: bool
    not_before: datetime
    not_after: datetime

    def require_trusted(self, what: str) -> None:
        """Raises SignatureError unless the root is believed."""
        if not self.trusted:
            raise SignatureError(
                f"{what} is signed by an issuer that is not trusted here",
                expected="a root in the trust store",
                found=f'"{self.name}", root {self.root_digest}',
                fix="if that digest is the one its owner published, trust it: --trust issuer.pem",
            )

    def require_valid_at(self, moment: datetime, what: str) -> None:
        """Raises SignatureError unless the certificates cover the moment of signing."""
        if not self.not_before <= moment <= self.not_after:
            raise SignatureError(
                f"{what} was signed outside its certificate's life",
                expected=f"between {self.not_before:%Y-%m-%d} and {self.not_after:%Y-%m-%d}",
                found=f"{moment:%Y-%m-%d}",
            )


def verify_chain(
    pem: bytes, trust: TrustStore, *, key_id: str | None = None, what: str = "the issuer"
) -> VerifiedIssuer:
    """Checks leaf and root in a PEM file, which may hold several chains: ``key_id`` picks the leaf, else the first.

    Raises FormatError or SignatureError. Being untrusted is not an error here: see ``VerifiedIssuer.trusted``.
    """
    from cryptography.exceptions import InvalidSignature

    from provenance import certificates

    known = certificates.parse_certificates(pem, what)
    leaf, key = _leaf(known, key_id, what)
    root = next((c for c in known if c.subject == leaf.issuer and _signed_by(leaf, c)), None)
    if root is None:
        raise SignatureError(f"{what}: the signing certificate's root is not in the file", expected="leaf, then root")
    try:
        root.verify_directly_issued_by(root)
    except (InvalidSignature, ValueError, TypeError) as error:
        raise SignatureError(f"{what}: the root certificate is not self-signed") from error
    _check_extensions(leaf, root, what)
    digest = certificates.certificate_digest(root)
    return VerifiedIssuer(
        root_digest=digest,
        key_id=certificates.key_id(key),
        public_key=key,
        name=printable(certificates.issuer_name(leaf)),
        trusted=digest in trust.roots,
        not_before=max(leaf.not_valid_before_utc, root.not_valid_before_utc),
        not_after=min(leaf.not_valid_after_utc, root.not_valid_after_utc),
    )


def _leaf(
    known: list[x509.Certificate], key_id: str | None, what: str
) -> tuple[x509.Certificate, EllipticCurvePublicKey]:
    from cryptography.hazmat.primitives.asymmetric import ec

    from provenance import certificates

    for certificate in known:
        key = certificate.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            if key_id is None:
                break
            continue
        if key_id is None or certificates.key_id(key) == key_id:
            return certificate, key
    raise SignatureError(
        f"{what}: there is no certificate for the signing key", expected=f"a P-256 key with id {key_id or '(any)'}"
    )


def _signed_by(leaf: x509.Certificate, root: x509.Certificate) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        leaf.verify_directly_issued_by(root)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _check_extensions(leaf: x509.Certificate, root: x509.Certificate, what: str) -> None:
    from cryptography import x509

    try:
        leaf_is_ca = leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        signs = leaf.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
        root_is_ca = root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        certifies = root.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except (x509.ExtensionNotFound, ValueError) as error:
        raise SignatureError(f"{what}: a certificate lacks its constraints", found=str(error)[:200]) from error
    if leaf_is_ca or not signs or not root_is_ca or not certifies:
        raise SignatureError(
            f"{what}: the certificates are not a signing certificate under a root",
            expected="a leaf that may sign documents only, under a root that may sign certificates",
        )
