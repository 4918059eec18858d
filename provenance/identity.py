"""The issuer of a home: a P-256 key that signs datasets, adapters and images, under a root of its own.

::

    identity/root.key.pem     the root's key; only `prov init` reads it, so it may be kept elsewhere
    identity/root.pem         the root's certificate: what others trust
    identity/issuer.key.pem   the signing key
    identity/issuer.pem       the signing certificate, then the root
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from provenance import certificates
from provenance.certificates import certificate_digest, issuer_name, parse_certificates, public_pem, to_pem
from provenance.errors import IdentityError
from provenance.files import read_file, write_file
from provenance.home import Home
from provenance.moments import utc_now

KEY_LIMIT = 1 << 16


@dataclass(frozen=True)
class Issuer:
    """A signing key with its certificates; the key is never printed."""

    name: str
    key_id: str
    certificates_pem: bytes
    root_digest: str
    _key: ec.EllipticCurvePrivateKey = field(repr=False, compare=False)

    def sign(self, data: bytes) -> bytes:
        """An ECDSA P-256 signature over SHA-256 of the data, in DER."""
        return self._key.sign(data, ec.ECDSA(hashes.SHA256()))

    def private_key_pem(self, passphrase: bytes | None = None) -> bytes:
        """The key as PKCS8 PEM, for libraries that sign by themselves (c2pa, model_signing); never log it."""
        return _key_pem(self._key, passphrase)

    @property
    def public_key_pem(self) -> bytes:
        """The public key as PEM."""
        return public_pem(self._key.public_key())

    @property
    def root_pem(self) -> bytes:
        """The root certificate as PEM: what others put in their trust store."""
        return to_pem(parse_certificates(self.certificates_pem)[-1])


def create_issuer(home: Home, name: str, passphrase: str | None = None) -> Issuer:
    """Makes the root and the signing key, or opens them when they are there; a half-made identity is completed."""
    folder = _folder(home)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if (folder / "issuer.pem").exists():
        return load_issuer(home, passphrase)
    if not (folder / "root.pem").exists():
        root_key = ec.generate_private_key(ec.SECP256R1())
        root = certificates.create_root(root_key, name, utc_now())
        _write_key(folder / "root.key.pem", root_key, passphrase)
        write_file(folder / "root.pem", to_pem(root))
    return renew_issuer(home, passphrase)


def renew_issuer(home: Home, passphrase: str | None = None) -> Issuer:
    """Makes a new signing key and certificate under the same root, so that trust given to the root goes on."""
    folder = _folder(home)
    root = parse_certificates(read_file(folder / "root.pem", limit=KEY_LIMIT), "the root certificate")[0]
    root_key = _read_key(folder / "root.key.pem", passphrase)
    if root_key.public_key() != root.public_key():
        raise IdentityError(
            f"{folder / 'root.key.pem'} is not the key of root.pem", fix="restore both from the same backup"
        )
    if root.not_valid_after_utc <= utc_now():
        raise IdentityError("the root certificate has expired", fix="make a new home with `prov init`")
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = certificates.create_leaf(key.public_key(), root_key, root, utc_now())
    _write_key(folder / "issuer.key.pem", key, passphrase)
    write_file(folder / "issuer.pem", to_pem(leaf, root))
    return load_issuer(home, passphrase)


def load_issuer(home: Home, passphrase: str | None = None) -> Issuer:
    """Opens the signing key; raises IdentityError when it is missing, locked, expired or not the certificate's."""
    folder = _folder(home)
    if not (folder / "issuer.pem").exists():
        raise IdentityError(f"there is no issuer in {folder}", fix="run `prov init`")
    chain = parse_certificates(read_file(folder / "issuer.pem", limit=KEY_LIMIT), str(folder / "issuer.pem"))
    key = _read_key(folder / "issuer.key.pem", passphrase)
    leaf, root = chain[0], chain[-1]
    if key.public_key() != leaf.public_key():
        raise IdentityError("the signing key is not the key of its certificate", fix="run `prov init --renew`")
    if leaf.not_valid_after_utc <= utc_now():
        raise IdentityError(
            "the signing certificate has expired",
            expected="a certificate that is valid today",
            found=f"valid until {leaf.not_valid_after_utc:%Y-%m-%d}",
            fix="run `prov init --renew`",
        )
    return Issuer(
        issuer_name(leaf), certificates.key_id(key.public_key()), to_pem(leaf, root), certificate_digest(root), key
    )


def _folder(home: Home) -> Path:
    return home.path / "identity"


def _read_key(path: Path, passphrase: str | None) -> ec.EllipticCurvePrivateKey:
    data = read_file(path, limit=KEY_LIMIT)
    locked = b"ENCRYPTED" in data
    if locked and passphrase is None:
        raise IdentityError(f"{path} is locked", expected="a passphrase", fix="set PROV_PASSPHRASE")
    try:
        key = load_pem_private_key(data, passphrase.encode() if locked and passphrase else None)
    except ValueError as error:
        raise IdentityError(
            f"{path} cannot be opened", expected="a PKCS8 key and its passphrase", fix="check PROV_PASSPHRASE"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise IdentityError(f"{path} is not a P-256 key", expected="P-256 (C2PA, OMS and DSSE all accept it)")
    return key


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey, passphrase: str | None) -> None:
    write_file(path, _key_pem(key, passphrase.encode() if passphrase else None), mode=0o600)


def _key_pem(key: ec.EllipticCurvePrivateKey, passphrase: bytes | None) -> bytes:
    encryption: KeySerializationEncryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
