"""Content Credentials: what is written is read back, by us and by the C2PA library alone."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import c2pa
import numpy as np
import pytest
from PIL import Image

from provenance.credentials import (
    SOURCE_TYPE,
    ProvAssertion,
    SignedImage,
    read_credentials,
    sign_image,
    soft_binding_algorithm,
)
from provenance.errors import CredentialsError
from provenance.issuing import encode_image
from provenance.record import Origin, pixels_digest

ORIGIN = Origin(7, "0x" + "ab" * 20, 0x87, 3, 1, "11" * 32, "22" * 32, "33" * 32, "44" * 32)
PICTURE = np.random.default_rng(1).integers(0, 255, (64, 48, 3), dtype=np.uint8)
EARLIER = ProvAssertion.of(ORIGIN, 5, pixels_digest(PICTURE))
ASSERTION = replace(
    EARLIER,
    fingerprint="01" * 40,
    size={"width": 48, "height": 64},
    placement={"a": 0.5, "b": -0.0006543, "c": 0.0, "d": 0.4999123, "left": 17.0, "top": 511.9375, "period": 512},
)
MEDIA_TYPES = ("image/png", "image/jpeg", "image/webp")


def signed(issuer, media_type: str = "image/png") -> SignedImage:
    return sign_image(
        encode_image(PICTURE, media_type),
        media_type,
        issuer=issuer,
        assertion=ASSERTION,
        soft_binding=soft_binding_algorithm("dwtDctSvd"),
        title="picture",
    )


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_credentials_read_back_as_trusted_under_the_root_alone(issuer, media_type: str) -> None:
    data = signed(issuer, media_type).data
    read = read_credentials(data, media_type, issuer.root_pem)
    assert read.state == "trusted"
    assert read.assertion == ASSERTION
    assert read.soft_binding == ("org.prov.dwtdctsvd.2", ASSERTION.payload)
    assert read.source_type == SOURCE_TYPE
    assert read.issuer_name == "Ada Example"
    assert read_credentials(data, media_type).state == "untrusted"


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_pixels_stay_as_they_are(issuer, media_type: str) -> None:
    before = np.asarray(Image.open(io.BytesIO(encode_image(PICTURE, media_type))).convert("RGB"))
    after = np.asarray(Image.open(io.BytesIO(signed(issuer, media_type).data)).convert("RGB"))
    assert np.array_equal(before, after)


def test_a_foreign_reader_finds_action_binding_and_assertion(issuer) -> None:
    data = signed(issuer).data
    with c2pa.Context() as context, c2pa.Reader("image/png", io.BytesIO(data), context=context) as reader:
        manifest = reader.get_active_manifest()
    assertions = {entry["label"]: entry["data"] for entry in manifest["assertions"]}
    actions = assertions["c2pa.actions.v2"]["actions"]
    assert [action["action"] for action in actions] == ["c2pa.created", "c2pa.watermarked.bound"]
    assert actions[0]["digitalSourceType"] == SOURCE_TYPE
    assert assertions["c2pa.soft-binding"]["blocks"][0]["value"] == ASSERTION.payload
    assert assertions["org.prov.image"] == ASSERTION.to_json()
    assert not [label for label in assertions if "thumbnail" in label]


def test_the_manifest_store_by_itself_dates_other_encodings_of_the_pixels(issuer) -> None:
    other = encode_image(PICTURE, "image/jpeg")
    manifest = signed(issuer).manifest
    read = read_credentials(other, "image/jpeg", issuer.root_pem, manifest=manifest)
    assert read.state == "trusted"
    assert read.assertion == ASSERTION
    broken = manifest.replace(b"trainedAlgorithmicMedia", b"trainedAlgorithmicFilms")
    assert read_credentials(other, "image/jpeg", issuer.root_pem, manifest=broken).state == "invalid"
    assert read_credentials(other, "image/jpeg", manifest=b"nothing").state == "invalid"


def test_a_picture_without_credentials_has_none() -> None:
    for media_type in MEDIA_TYPES:
        assert read_credentials(encode_image(PICTURE, media_type), media_type).state == "absent"


def test_a_changed_byte_is_invalid(issuer) -> None:
    data = bytearray(signed(issuer).data)
    data[-30] ^= 1
    read = read_credentials(bytes(data), "image/png", issuer.root_pem)
    assert read.state == "invalid"
    assert read.failures == ("assertion.dataHash.mismatch",)


@pytest.mark.parametrize(
    "change",
    [
        {"payload": "xyz"},
        {"token": -1},
        {"token": True},
        {"pixels": None},
        {"contract": "0xAB"},
        {"extra": 1},
        {"fingerprint": "xyz"},
        {"size": {"width": 48}},
        {"size": {"width": 48, "height": 0}},
        {"size": [48, 64]},
        {"placement": {"a": 0.5}},
        {"placement": [0.5, 0, 0, 0.5, 1, 1, 512]},
    ],
)
def test_a_malformed_assertion_is_refused(change: dict) -> None:
    with pytest.raises(CredentialsError):
        ProvAssertion.parse(ASSERTION.to_json() | change)


@pytest.mark.parametrize("value", [None, [], "text", {}, {"payload": 1}])
def test_another_kind_of_assertion_is_refused(value: object) -> None:
    with pytest.raises(CredentialsError):
        ProvAssertion.parse(value)


def test_an_assertion_of_earlier_versions_is_read_without_fingerprint_size_and_placement() -> None:
    assert not {"fingerprint", "size", "placement"} & set(EARLIER.to_json())
    assert ProvAssertion.parse(EARLIER.to_json()) == EARLIER


def test_an_assertion_survives_json() -> None:
    without = replace(ASSERTION, adapter=None, dataset=None)
    assert ProvAssertion.parse(json.loads(json.dumps(without.to_json()))) == without


def test_what_is_no_picture_cannot_be_signed(issuer) -> None:
    with pytest.raises(CredentialsError, match="credentials cannot be written into"):
        sign_image(
            b"not a picture", "image/png", issuer=issuer, assertion=ASSERTION, soft_binding="x", title="picture.png"
        )


def test_a_signer_that_fails_leaves_an_error_and_no_file() -> None:
    class Broken:
        certificates_pem = b"nothing"

        def sign(self, data: bytes) -> bytes:
            raise ValueError("no key")

    with pytest.raises(CredentialsError):
        signed(Broken())
