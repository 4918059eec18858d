"""Releases are accepted, and forged ones refused, by tools that share no code with us."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from provenance.dataset import sign_dataset
from provenance.dsse import Envelope
from provenance.identity import Issuer
from provenance.machine_captions import Mark, append_marks
from provenance.records import Captioner, caption_text


def model_signing(release: Path) -> subprocess.CompletedProcess[str]:
    arguments = ["verify", "key", str(release / "dataset"), "--signature", str(release / "dataset.sig")]
    arguments += ["--public_key", str(release / "issuer.pub.pem")]
    return subprocess.run(
        [sys.executable, "-m", "model_signing", *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def test_model_signing_verifies_a_release(release: Path) -> None:
    result = model_signing(release)
    assert result.returncode == 0, result.stderr


def test_model_signing_refuses_a_changed_release(release: Path) -> None:
    (release / "dataset" / "data" / "fish.png").write_bytes(b"x")
    assert model_signing(release).returncode != 0


def test_mlcroissant_validates_and_loads_the_description(release: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mlcroissant and what it imports are not warning-free
        import mlcroissant

        dataset = mlcroissant.Dataset(str(release / "dataset" / "croissant.json"))
        loaded = list(dataset.records("records"))
    assert not dataset.metadata.ctx.issues.errors
    assert not dataset.metadata.ctx.issues.warnings
    assert [row["records/caption"].decode() for row in loaded] == ["a white boat", "a red fish", "a blue whale é"]
    assert {row["records/licence"] for row in loaded} == {b"CC-BY-4.0"}


def test_mlcroissant_reads_which_model_wrote_captions(tmp_path: Path, pictures: Path, issuer: Issuer) -> None:
    for caption in pictures.glob("*.txt"):
        mark = Mark.about(f"{caption.stem}.png", caption_text(caption.read_text()), Captioner("hf:o/blip@1", "ab" * 32))
        append_marks(pictures, [mark])
    sign_dataset(pictures, tmp_path / "release", issuer=issuer, licence="CC-BY-4.0", holder="Ada Example")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlcroissant

        dataset = mlcroissant.Dataset(str(tmp_path / "release" / "dataset" / "croissant.json"))
        loaded = list(dataset.records("records"))
    assert not dataset.metadata.ctx.issues.errors
    assert not dataset.metadata.ctx.issues.warnings
    assert loaded
    assert f"sha256 {'ab' * 32}" in str(dataset.metadata.machine_annotation_tools)


def test_mlcroissant_command_accepts_the_description(release: Path) -> None:
    program = Path(sys.executable).with_name("mlcroissant")
    if not program.exists():
        pytest.skip("the mlcroissant command is not beside this Python")
    result = subprocess.run(
        [program, "validate", "--jsonld", release / "dataset" / "croissant.json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_securesystemslib_verifies_the_statement_and_in_toto_reads_it(release: Path, issuer: Issuer) -> None:
    from in_toto_attestation.v1.statement import Statement
    from securesystemslib.dsse import Envelope as ForeignEnvelope
    from securesystemslib.signer import SSlibKey

    data = (release / "dataset.dsse.json").read_bytes()
    public = (release / "issuer.pub.pem").read_text()
    key = SSlibKey(issuer.key_id, "ecdsa", "ecdsa-sha2-nistp256", {"public": public})
    foreign = ForeignEnvelope.from_dict(json.loads(data))
    foreign.verify([key], 1)
    assert foreign.payload == Envelope.parse(data).payload

    from google.protobuf import json_format
    from in_toto_attestation.v1 import statement_pb2

    parsed = json_format.Parse(foreign.payload, statement_pb2.Statement())
    Statement.copy_from_pb(parsed).validate()
    assert len(parsed.subject) == 5
