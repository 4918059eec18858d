"""The second soft binding, of the mark in the initial noise, beside that of the pixels."""

from __future__ import annotations

import numpy as np
import pytest

from provenance.credentials import ProvAssertion, named_bindings, read_credentials, sign_image, soft_binding_algorithm
from provenance.issuing import encode_image
from provenance.latent_entry import LATENT_ALGORITHM, is_latent_entry, latent_entry
from provenance.record import Origin, pixels_digest
from safety.watermark.latent import LATENT_BACKEND
from safety.watermark.latent_keys import NONCES

ORIGIN = Origin(7, "0x" + "ab" * 20, 0x87, 3, 1, "11" * 32, "22" * 32, "33" * 32, "44" * 32)
PICTURE = np.random.default_rng(1).integers(0, 255, (64, 48, 3), dtype=np.uint8)


@pytest.mark.parametrize("media_type", ["image/png", "image/jpeg", "image/webp"])
@pytest.mark.parametrize("latent", [True, False])
def test_both_layers_are_named_with_one_payload(issuer, media_type: str, latent: bool) -> None:
    assertion = ProvAssertion.of(ORIGIN, 5, pixels_digest(PICTURE), "01" * 40, size={"width": 48, "height": 64})
    pixel = soft_binding_algorithm("pixel")
    signed = sign_image(
        encode_image(PICTURE, media_type),
        media_type,
        issuer=issuer,
        assertion=assertion,
        soft_binding=pixel,
        title="picture",
        latent_binding=latent,
    )
    read = read_credentials(signed.data, media_type, issuer.root_pem)
    assert read.state == "trusted"
    assert read.soft_binding == (pixel, assertion.payload)
    assert read.latent_binding == ((LATENT_ALGORITHM, assertion.payload) if latent else None)
    named = {pixel, LATENT_ALGORITHM} if latent else {pixel}
    assert set(named_bindings(signed.manifest)) == {(algorithm, assertion.payload) for algorithm in named}


def test_the_names_of_the_layer_agree() -> None:
    assert soft_binding_algorithm(LATENT_BACKEND) == LATENT_ALGORITHM
    assert is_latent_entry(latent_entry(NONCES - 1))
    assert not is_latent_entry(latent_entry(NONCES))


@pytest.mark.parametrize("value", [None, 5, {}, {"alg": LATENT_ALGORITHM}, {"alg": "x", "nonce": 1}, {"nonce": -1}])
def test_anything_else_is_no_entry(value: object) -> None:
    assert not is_latent_entry(value)
