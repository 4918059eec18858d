"""What a picture was made from stays in its credentials, with its own history, whatever that is worth."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import c2pa
import numpy as np
import pytest

import provenance.ingredient
from provenance.c2pa_context import context
from provenance.credentials import (
    COMPOSITE_TYPE,
    SOURCE_TYPE,
    Credentials,
    ProvAssertion,
    SignedImage,
    read_credentials,
    sign_image,
    soft_binding_algorithm,
)
from provenance.errors import CredentialsError
from provenance.home import Home
from provenance.identity import Issuer, create_issuer
from provenance.ingredient import Ingredient, require_usable
from provenance.issuing import encode_image
from provenance.record import Origin, pixels_digest

ORIGIN = Origin(7, "0x" + "ab" * 20, 0x87, 3, 1, "11" * 32, "22" * 32, "33" * 32, "44" * 32)
INPUT = np.random.default_rng(1).integers(0, 255, (64, 48, 3), dtype=np.uint8)
OUTPUT = 255 - INPUT
PNG = "image/png"


def signed(issuer: Issuer, ingredient: Ingredient | None, pixels: Any = OUTPUT, serial: int = 5) -> SignedImage:
    return sign_image(
        encode_image(pixels, PNG),
        PNG,
        issuer=issuer,
        assertion=ProvAssertion.of(ORIGIN, serial, pixels_digest(pixels)),
        soft_binding=soft_binding_algorithm("pixel"),
        title="picture",
        ingredient=ingredient,
    )


def with_assertions(issuer: Issuer, pixels: Any, *assertions: dict[str, Any]) -> bytes:
    """A picture by somebody else's hand, with assertions of their choice."""
    created = {
        "label": "c2pa.actions.v2",
        "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": SOURCE_TYPE}]},
    }
    manifest = {"title": "theirs", "format": PNG, "assertions": [created, *assertions]}
    out = io.BytesIO()
    algorithm = c2pa.C2paSigningAlg.ES256
    with (
        context() as unfetched,
        c2pa.Builder(json.dumps(manifest), context=unfetched) as builder,
        c2pa.Signer.from_callback(issuer.sign, algorithm, issuer.certificates_pem.decode()) as signer,
    ):
        builder.sign(signer, PNG, io.BytesIO(encode_image(pixels, PNG)), out)
    return out.getvalue()


def read(image: SignedImage, issuer: Issuer) -> tuple[Credentials, dict[str, Any]]:
    """What we read of it, and what a foreign reader does."""
    with context(issuer.root_pem) as unfetched, c2pa.Reader(PNG, io.BytesIO(image.data), context=unfetched) as reader:
        report = json.loads(reader.json())
    return read_credentials(image.data, PNG, issuer.root_pem), report


@pytest.mark.parametrize(("kept", "source_type"), [(False, SOURCE_TYPE), (True, COMPOSITE_TYPE)])
def test_a_picture_made_from_another_was_opened_and_edited_and_not_created(
    issuer: Issuer, kept: bool, source_type: str
) -> None:
    image = signed(issuer, Ingredient(encode_image(INPUT, PNG), PNG, kept))
    credentials, report = read(image, issuer)
    assert credentials.state == "trusted"
    assert credentials.source_type == source_type
    active = report["manifests"][report["active_manifest"]]
    (actions,) = (a["data"]["actions"] for a in active["assertions"] if a["label"].startswith("c2pa.actions"))
    assert [action["action"] for action in actions] == ["c2pa.opened", "c2pa.edited", "c2pa.watermarked.bound"]
    (parent,) = active["ingredients"]
    assert parent["relationship"] == "parentOf"
    assert actions[0]["parameters"]["ingredients"][0]["url"].endswith(parent["label"])


@pytest.mark.parametrize("media_type", ["image/jpeg", "image/webp"])
def test_an_input_of_another_kind_of_file_is_a_parent_too(issuer: Issuer, media_type: str) -> None:
    ingredient = Ingredient(encode_image(INPUT, media_type), media_type, False)
    require_usable(ingredient)
    assert read(signed(issuer, ingredient), issuer)[0].state == "trusted"


def test_the_history_of_an_input_is_kept_and_was_validated(issuer: Issuer) -> None:
    theirs = signed(issuer, None, INPUT, serial=4)
    credentials, report = read(signed(issuer, Ingredient(theirs.data, PNG, False)), issuer)
    assert credentials.state == "trusted"
    (parent,) = report["manifests"][report["active_manifest"]]["ingredients"]
    assert parent["active_manifest"] in report["manifests"]
    codes = {entry["code"] for entry in parent["validation_results"]["activeManifest"]["success"]}
    assert {"claimSignature.validated", "assertion.dataHash.match"} <= codes


def test_a_history_by_a_stranger_takes_no_trust_away_and_gives_none(issuer: Issuer, tmp_path: Path) -> None:
    stranger = create_issuer(Home.create(tmp_path / "stranger"), "Stranger")
    image = signed(issuer, Ingredient(signed(stranger, None, INPUT).data, PNG, False))
    assert read_credentials(image.data, PNG, issuer.root_pem).state == "trusted"
    assert read_credentials(image.data, PNG, stranger.root_pem).state == "untrusted"


def test_a_history_that_is_broken_is_kept_with_its_failure(issuer: Issuer) -> None:
    data = bytearray(signed(issuer, None, INPUT).data)
    data[-30] ^= 1
    credentials, report = read(signed(issuer, Ingredient(bytes(data), PNG, False)), issuer)
    assert credentials.state == "trusted"
    (parent,) = report["manifests"][report["active_manifest"]]["ingredients"]
    failures = {entry["code"] for entry in parent["validation_results"]["activeManifest"]["failure"]}
    assert "assertion.dataHash.mismatch" in failures


def test_a_history_changed_after_it_was_signed_over_is_found(issuer: Issuer) -> None:
    theirs = signed(issuer, None, INPUT, serial=4)
    image = signed(issuer, Ingredient(theirs.data, PNG, False))
    name = f"prov-{ORIGIN.payload(4):016x}".encode()
    broken = image.manifest.replace(name, name[::-1])
    assert broken != image.manifest
    assert read_credentials(image.data, PNG, issuer.root_pem, manifest=broken).state == "invalid"


@pytest.mark.parametrize("prefix", ["cawg", "c2pa"])
@pytest.mark.parametrize(("use", "usable"), [("notAllowed", False), ("constrained", False), ("allowed", True)])
def test_what_an_input_says_of_its_use_as_an_input_is_kept_to(
    issuer: Issuer, prefix: str, use: str, usable: bool
) -> None:
    entries = {f"{prefix}.ai_inference": {"use": use}, f"{prefix}.data_mining": {"use": "notAllowed"}}
    theirs = with_assertions(issuer, INPUT, {"label": f"{prefix}.training-mining", "data": {"entries": entries}})
    ingredient = Ingredient(theirs, PNG, False)
    if usable:
        require_usable(ingredient)
        return
    with pytest.raises(CredentialsError, match="do not allow its use") as refusal:
        require_usable(ingredient)
    assert refusal.value.found == f"ai_inference {use}"


@pytest.mark.parametrize(("use", "usable"), [("notAllowed", False), ("allowed", True)])
def test_what_a_picture_says_holds_for_what_was_edited_from_it(issuer: Issuer, use: str, usable: bool) -> None:
    choice = {"label": "cawg.training-mining", "data": {"entries": {"cawg.ai_inference": {"use": use}}}}
    first = Ingredient(with_assertions(issuer, INPUT, choice), PNG, False)
    second = Ingredient(signed(issuer, first, serial=6).data, PNG, False)
    third = Ingredient(signed(issuer, second, INPUT, serial=7).data, PNG, False)
    for edited in (second, third):
        if usable:
            require_usable(edited)
            continue
        with pytest.raises(CredentialsError, match="do not allow its use"):
            require_usable(edited)


def test_a_history_too_large_to_be_carried_on_is_refused(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = signed(issuer, None, INPUT).data
    monkeypatch.setattr(provenance.ingredient, "MAX_STORE_BYTES", 1000)
    with pytest.raises(CredentialsError, match="too large to be carried on"):
        require_usable(Ingredient(theirs, PNG, False))


def test_a_store_that_is_no_c2pa_is_refused(issuer: Issuer) -> None:
    data = signed(issuer, None, INPUT).data
    at = data.index(b"caBX")
    with pytest.raises(CredentialsError):
        require_usable(Ingredient(data[: at + 40] + b"\xff" * 60 + data[at + 100 :], PNG, False))
