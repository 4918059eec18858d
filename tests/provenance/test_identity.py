from __future__ import annotations

import io
import json
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from PIL import Image

from provenance import certificates, identity
from provenance.errors import IdentityError
from provenance.home import Home
from provenance.identity import Issuer, create_issuer, load_issuer, renew_issuer
from provenance.moments import utc_now


def test_issuer_is_kept_and_found_again(home: Home) -> None:
    issuer = create_issuer(home, "Ada Example")
    assert load_issuer(home) == issuer
    assert issuer.name == "Ada Example"


def test_creating_twice_harms_nothing(home: Home) -> None:
    issuer = create_issuer(home, "Ada Example")
    files = {path.name: path.read_bytes() for path in (home.path / "identity").iterdir()}
    assert create_issuer(home, "Eve") == issuer
    assert {path.name: path.read_bytes() for path in (home.path / "identity").iterdir()} == files


def test_half_made_identity_is_completed_under_its_root(home: Home) -> None:
    first = create_issuer(home, "Ada Example")
    for name in ("issuer.key.pem", "issuer.pem"):
        (home.path / "identity" / name).unlink()
    assert create_issuer(home, "Ada Example").root_digest == first.root_digest


def test_renewal_keeps_the_root_and_changes_the_key(home: Home) -> None:
    first = create_issuer(home, "Ada Example")
    second = renew_issuer(home)
    assert (first.root_digest, first.name) == (second.root_digest, second.name)
    assert first.key_id != second.key_id


def test_keys_are_for_their_owner_only(home: Home) -> None:
    create_issuer(home, "Ada Example")
    for name in ("root.key.pem", "issuer.key.pem"):
        assert stat.S_IMODE((home.path / "identity" / name).stat().st_mode) == 0o600


def test_key_is_not_in_the_text_of_an_issuer(issuer: Issuer) -> None:
    assert "key=" not in repr(issuer).replace("_key=", "key=")
    assert "PRIVATE" not in repr(issuer)


def test_locked_keys_open_with_their_passphrase_only(home: Home) -> None:
    issuer = create_issuer(home, "Ada Example", "correct horse")
    for name in ("root.key.pem", "issuer.key.pem"):
        assert b"ENCRYPTED" in (home.path / "identity" / name).read_bytes()
    assert load_issuer(home, "correct horse") == issuer
    for passphrase in (None, "wrong"):
        with pytest.raises(IdentityError, match="PROV_PASSPHRASE"):
            load_issuer(home, passphrase)


def test_home_without_an_issuer_says_what_to_run(home: Home) -> None:
    with pytest.raises(IdentityError, match="prov init"):
        load_issuer(home)


def test_key_of_another_certificate_is_refused(home: Home, tmp_path: Path) -> None:
    create_issuer(home, "Ada Example")
    other = Home.create(tmp_path / "other")
    create_issuer(other, "Eve")
    key = (other.path / "identity" / "issuer.key.pem").read_bytes()
    (home.path / "identity" / "issuer.key.pem").write_bytes(key)
    with pytest.raises(IdentityError, match="--renew"):
        load_issuer(home)
    assert renew_issuer(home).name == "Ada Example"


def test_expired_certificate_asks_for_renewal(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    create_issuer(home, "Ada Example")
    monkeypatch.setattr(identity, "utc_now", lambda: utc_now() + timedelta(days=366))
    with pytest.raises(IdentityError, match="prov init --renew"):
        load_issuer(home)
    assert renew_issuer(home).name == "Ada Example"


def test_leaf_never_outlives_its_root() -> None:
    key, root_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = certificates.create_root(root_key, "Ada", utc_now())
    late = root.not_valid_after_utc - timedelta(days=10)
    leaf = certificates.create_leaf(key.public_key(), root_key, root, late)
    assert leaf.not_valid_after_utc == root.not_valid_after_utc


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\u202eb", "a" * 65])
def test_name_that_does_not_fit_a_certificate_is_refused(home: Home, name: str) -> None:
    with pytest.raises(IdentityError, match="--name"):
        create_issuer(home, name)


def test_leaf_has_what_c2pa_asks_of_a_signer(issuer: Issuer) -> None:
    leaf = certificates.parse_certificates(issuer.certificates_pem)[0]
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [purpose.dotted_string for purpose in purposes] == ["1.3.6.1.5.5.7.3.4"]
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc <= timedelta(days=366)


def test_c2pa_trusts_a_picture_signed_under_the_root_and_no_other(issuer: Issuer) -> None:
    import c2pa

    picture, signed = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(picture, "PNG")
    picture.seek(0)
    action = {
        "action": "c2pa.created",
        "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
    }
    definition = {
        "claim_generator_info": [{"name": "prov"}],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
    }
    info = c2pa.C2paSignerInfo(b"es256", issuer.certificates_pem, issuer.private_key_pem(), None)
    with c2pa.Signer.from_info(info) as signer, c2pa.Builder(json.dumps(definition)) as builder:
        builder.sign(signer, "image/png", picture, signed)

    def state(anchors: str | None) -> tuple[str, list[str]]:
        signed.seek(0)
        settings = {"verify": {"remote_manifest_fetch": False}}
        if anchors is not None:
            settings["trust"] = {"trust_anchors": anchors}
        with c2pa.Context.from_dict(settings) as context, c2pa.Reader("image/png", signed, context=context) as reader:
            result = json.loads(reader.json())
        return result["validation_state"], [status["code"] for status in result.get("validation_status", [])]

    assert state(issuer.root_pem.decode()) == ("Trusted", [])
    assert state(None) == ("Valid", ["signingCredential.untrusted"])
