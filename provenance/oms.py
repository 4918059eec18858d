"""OpenSSF Model Signing bundles over a folder, so that `model_signing verify key` accepts our releases.

The bundle's own root digest does not bind file names (model-signing-spec 1.0), so it is never what we anchor:
names and digests are compared one by one with the statement's subjects.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provenance.canonical import parse_json
from provenance.dsse import IN_TOTO, Envelope
from provenance.errors import FormatError, SignatureError
from provenance.files import read_file, write_file
from provenance.identity import Issuer

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"
MAX_BYTES = 256 * 1024**2


def sign_folder(folder: Path, issuer: Issuer) -> bytes:
    """Signs every file under a folder with the model_signing library and returns the bundle."""
    from model_signing.signing import Config

    return _signed(Config(), folder, issuer)


def sign_digests(name: str, files: Mapping[str, str], issuer: Issuer) -> bytes:
    """The bundle over a folder called ``name`` whose files (name to SHA-256 in hexadecimal) need not lie here."""
    from model_signing.signing import Config

    return _signed(Config().set_hashing_config(_Listed(files)), Path(name), issuer)


def _signed(config: Any, folder: Path, issuer: Issuer) -> bytes:
    with tempfile.TemporaryDirectory(prefix="prov-oms-") as scratch:
        # The library reads keys from files only: this one is encrypted under a secret that never leaves memory.
        secret = secrets.token_bytes(32).hex().encode()
        key = Path(scratch) / "key.pem"
        write_file(key, issuer.private_key_pem(secret), mode=0o600)
        bundle = Path(scratch) / "bundle.sig"
        config.use_elliptic_key_signer(private_key=key, password=secret).sign(folder, bundle)
        return read_file(bundle, limit=MAX_BYTES)


class _Listed:
    """In the place of the library's hashing: digests that are known already."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files

    def hash(self, model_path: Path) -> Any:
        from model_signing._hashing.hashing import Digest
        from model_signing.manifest import Manifest, SerializationType

        method = {"method": "files", "hash_type": "sha256", "allow_symlinks": False}
        serialisation = SerializationType.from_args(method)
        items = [
            serialisation.new_item(name, Digest("sha256", bytes.fromhex(digest)))
            for name, digest in self._files.items()
        ]
        return Manifest(model_path.name, items, serialisation)


def verify_bundle(
    bundle: bytes, key: EllipticCurvePublicKey, files: Mapping[str, str], what: str = "the bundle"
) -> None:
    """Checks that a bundle is signed by the key and lists exactly these files (name to SHA-256 in hexadecimal).

    Raises FormatError or SignatureError.
    """
    value = parse_json(bundle, what, limit=MAX_BYTES)
    if not isinstance(value, dict) or value.get("mediaType") != MEDIA_TYPE:
        raise FormatError(f"{what} is not a model signing bundle", expected=f"mediaType {MEDIA_TYPE}")
    envelope = Envelope.of_value(value.get("dsseEnvelope"), what)
    if envelope.payload_type != IN_TOTO:
        raise FormatError(f"{what} does not hold a statement", expected=IN_TOTO, found=envelope.payload_type[:100])
    listed = _resources(parse_json(envelope.verify(key, what), what, limit=MAX_BYTES), what)
    differing = sorted(name for name in listed.keys() | files.keys() if listed.get(name) != files.get(name))
    if differing:
        raise SignatureError(
            f"{what} signs other files than the statement does",
            expected="the same names and digests in both",
            found=", ".join(differing[:20]),
        )


def _resources(payload: Any, what: str) -> dict[str, str]:
    try:
        if payload["predicateType"] != PREDICATE_TYPE or payload["predicate"]["serialization"]["method"] != "files":
            raise FormatError(f"{what} is another kind of signature", expected=f"{PREDICATE_TYPE} over whole files")
        entries = payload["predicate"]["resources"]
        listed = {str(entry["name"]): str(entry["digest"]) for entry in entries if entry["algorithm"] == "sha256"}
    except (KeyError, TypeError) as error:
        raise FormatError(f"{what} is malformed", found=f"no {error}") from error
    if len(listed) != len(entries):
        raise FormatError(f"{what} names a file twice, or by another hash than SHA-256")
    return listed
