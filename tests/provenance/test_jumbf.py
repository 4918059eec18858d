"""Manifest stores taken apart: the labels the C2PA library gives, and nothing but whole boxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.credentials import ProvAssertion, named_bindings, sign_image, soft_binding_algorithm
from provenance.errors import CredentialsError, FormatError
from provenance.issuing import encode_image
from provenance.jumbf import parse_manifest_store
from provenance.record import Origin

ORIGIN = Origin(7, "0x" + "ab" * 20, 0x87, 3, 1, "11" * 32, "22" * 32, "33" * 32, "44" * 32)
ASSERTION = ProvAssertion.of(ORIGIN, 5, "55" * 32, "01" * 40)
ALGORITHM = soft_binding_algorithm("dwtDctSvd")


@pytest.fixture
def manifest(issuer) -> bytes:
    image = encode_image(np.zeros((8, 8, 3), np.uint8), "image/png")
    return sign_image(
        image, "image/png", issuer=issuer, assertion=ASSERTION, soft_binding=ALGORITHM, title="picture"
    ).manifest


def test_a_manifest_is_named_after_its_payload(manifest: bytes) -> None:
    store = parse_manifest_store(manifest)
    assert len(store.manifests) == 1
    assert store.active.startswith("urn:c2pa:")
    assert store.active.endswith(":prov-8700000030000005")
    assert named_bindings(manifest) == ((ALGORITHM, "8700000030000005"),)


def test_the_last_manifest_is_the_active_one_and_stands_alone(manifest: bytes) -> None:
    store = parse_manifest_store(manifest)
    assert store.only_active() == manifest
    first = manifest[8 + len(store.description) :].replace(store.active.encode(), b"z" * len(store.active))
    body = store.description + first + store.manifests[0][1]
    both = (len(body) + 8).to_bytes(4, "big") + b"jumb" + body
    assert [label for label, _ in parse_manifest_store(both).manifests] == ["z" * len(store.active), store.active]
    assert parse_manifest_store(both).only_active() == manifest


def test_a_store_cut_anywhere_is_refused(manifest: bytes) -> None:
    for length in (0, 1, 8, 38, 39, 60, len(manifest) - 1):
        with pytest.raises(FormatError, match="not a C2PA manifest store"):
            parse_manifest_store(manifest[:length])
    with pytest.raises(FormatError):
        parse_manifest_store(manifest + manifest)


@given(st.binary(max_size=200))
def test_no_bytes_crash_it(data: bytes) -> None:
    for body in (data, b"jumb" + data, len(data).to_bytes(4, "big") + b"jumb" + data[8:]):
        with pytest.raises(FormatError):
            parse_manifest_store(body)


def test_what_is_no_manifest_names_no_bindings() -> None:
    for data in (b"", b"nothing", bytes(100)):
        with pytest.raises(CredentialsError):
            named_bindings(data)
