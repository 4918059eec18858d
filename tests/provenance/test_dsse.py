from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.dsse import IN_TOTO, Envelope, pae
from provenance.errors import FormatError, SignatureError
from provenance.home import Home
from provenance.identity import Issuer, create_issuer
from provenance.trust import TrustStore, verify_chain

ASSETS = Path(__file__).parents[1] / "assets" / "dataset"


def test_pae_is_the_one_of_the_specification() -> None:
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_signed_envelope_verifies_and_gives_its_payload(issuer: Issuer) -> None:
    key = verify_chain(issuer.certificates_pem, TrustStore()).public_key
    envelope = Envelope.parse(Envelope.sign(b"{}", IN_TOTO, issuer).to_json())
    assert envelope.verify(key) == b"{}"
    assert envelope.signatures[0].key_id == issuer.key_id


def test_changed_payload_type_or_key_fails(issuer: Issuer, tmp_path: Path) -> None:
    key = verify_chain(issuer.certificates_pem, TrustStore()).public_key
    other = create_issuer(Home.create(tmp_path / "other"), "Eve")
    envelope = Envelope.sign(b"{}", IN_TOTO, issuer)
    forged = (
        replace(envelope, payload=b"[]"),
        replace(envelope, payload_type="text/plain"),
        Envelope.sign(b"{}", IN_TOTO, other),
        replace(envelope, signatures=(replace(envelope.signatures[0], value=b"0"),)),
    )
    for envelope in forged:
        with pytest.raises(SignatureError, match="no valid signature"):
            envelope.verify(key)


def test_securesystemslib_verifies_our_envelope(issuer: Issuer) -> None:
    from securesystemslib.dsse import Envelope as ForeignEnvelope
    from securesystemslib.signer import SSlibKey

    key = SSlibKey(issuer.key_id, "ecdsa", "ecdsa-sha2-nistp256", {"public": issuer.public_key_pem.decode()})
    foreign = ForeignEnvelope.from_dict(json.loads(Envelope.sign(b'{"a":1}', IN_TOTO, issuer).to_json()))
    assert issuer.key_id in foreign.verify([key], 1)
    assert foreign.payload == b'{"a":1}'


@pytest.mark.parametrize(
    ("asset", "reason"),
    [
        ("unsigned", "not signed"),
        ("no-signature-field", "not a DSSE envelope"),
        ("not-base64", "not base64"),
        ("second-spelling", "second spelling"),
        ("number-payload", "not text"),
        ("repeated-key", "same key twice"),
        ("cut-off", "not valid JSON"),
    ],
)
def test_malformed_envelope_is_refused(asset: str, reason: str) -> None:
    with pytest.raises(FormatError) as refusal:
        Envelope.parse((ASSETS / f"{asset}.dsse.json").read_bytes(), asset)
    assert reason in str(refusal.value)
    assert asset in str(refusal.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["payload", "payloadType", "signatures", "x"]), json_values))
def test_arbitrary_json_is_parsed_or_refused(value: object) -> None:
    try:
        envelope = Envelope.parse(json.dumps(value).encode())
    except FormatError:
        return
    assert Envelope.parse(envelope.to_json()) == envelope
