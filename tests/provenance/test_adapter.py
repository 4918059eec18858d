from __future__ import annotations

import copy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from provenance.adapter import AdapterManifest, sign_adapter, verify_adapter, verify_adapter_files
from provenance.canonical import sha256_hex
from provenance.dataset import sign_dataset, verify_dataset, verify_dataset_files
from provenance.errors import AdapterError, FormatError, ProvenanceError, SignatureError
from provenance.home import Home
from provenance.identity import Issuer, create_issuer, load_issuer, renew_issuer
from provenance.manifest import DatasetManifest
from provenance.moments import format_moment, utc_now
from provenance.trust import TrustStore

ASSETS = Path(__file__).parents[1] / "assets" / "dataset"
WEIGHTS = save({"lora.down": np.ones((2, 4), np.float32), "lora.up": np.zeros((4, 2), np.float32)})


def predicate(dataset_digest: str) -> dict[str, Any]:
    return {
        "buildDefinition": {
            "buildType": "urn:prov:lora-training:v1",
            "externalParameters": {"name": "sea", "rank": 4},
            "internalParameters": {},
            "resolvedDependencies": [
                {"name": "dataset", "digest": {"sha256": dataset_digest}},
                {"name": "base", "uri": "starter", "digest": {"sha256": "b" * 64}},
                {"name": "code", "digest": {"sha256": "c" * 64}},
            ],
        },
        "runDetails": {
            "builder": {"id": "urn:prov:trainer:v1"},
            "metadata": {"startedOn": format_moment(utc_now()), "finishedOn": format_moment(utc_now())},
        },
    }


@pytest.fixture
def dataset(release: Path, trust: TrustStore) -> DatasetManifest:
    return verify_dataset(release, trust)


@pytest.fixture
def unsigned(tmp_path: Path) -> Path:
    """A folder with weights and settings that nobody signed yet."""
    folder = tmp_path / "adapter-release"
    (folder / "adapter" / "samples").mkdir(parents=True)
    (folder / "adapter" / "adapter.safetensors").write_bytes(WEIGHTS)
    (folder / "adapter" / "config.json").write_text('{"rank": 4}')
    (folder / "adapter" / "samples" / "fish.png").write_bytes(b"not checked as a picture")
    return folder


@pytest.fixture
def signed(unsigned: Path, issuer: Issuer, dataset: DatasetManifest) -> Path:
    sign_adapter(unsigned, issuer=issuer, predicate=predicate(dataset.digest), dataset=dataset)
    return unsigned


def test_adapter_says_what_it_was_made_from(signed: Path, trust: TrustStore, dataset: DatasetManifest) -> None:
    manifest = verify_adapter(signed, trust)
    assert manifest.weights_digest == sha256_hex(WEIGHTS)
    assert manifest.dataset_digest == dataset.digest
    assert (manifest.base_id, manifest.base_digest) == ("starter", "b" * 64)
    assert manifest.predicate["buildDefinition"]["externalParameters"] == {"name": "sea", "rank": 4}
    assert manifest.read("adapter.safetensors") == WEIGHTS
    assert manifest.issuer.trusted


def test_release_carries_the_datasets_statement_and_records_without_pictures(
    signed: Path, trust: TrustStore, dataset: DatasetManifest
) -> None:
    assert verify_adapter(signed, trust).dataset == verify_dataset_files(
        lambda name: (signed / name).read_bytes(), trust, with_data=False
    )
    assert not (signed / "dataset" / "data").exists()


def test_release_verifies_without_a_dataset_beside_it(unsigned: Path, issuer: Issuer, trust: TrustStore) -> None:
    manifest = sign_adapter(unsigned, issuer=issuer, predicate=predicate("d" * 64))
    assert (manifest.dataset, manifest.dataset_digest) == (None, "d" * 64)
    assert verify_adapter(unsigned, trust) == manifest


def test_dataset_of_another_issuer_keeps_its_own_certificates(
    unsigned: Path, issuer: Issuer, trust: TrustStore, pictures: Path, tmp_path: Path
) -> None:
    eve = create_issuer(Home.create(tmp_path / "eve"), "Eve")
    dataset = sign_dataset(pictures, tmp_path / "eves", issuer=eve, licence="MIT", holder="Eve")
    manifest = sign_adapter(unsigned, issuer=issuer, predicate=predicate(dataset.digest), dataset=dataset)
    assert manifest.issuer.name == "Ada Example"
    assert manifest.dataset is not None
    assert (manifest.dataset.issuer.name, manifest.dataset.issuer.trusted) == ("Eve", False)
    both = trust.with_pem(eve.root_pem)
    assert verify_dataset_files(lambda name: (unsigned / name).read_bytes(), both, with_data=False).issuer.trusted


def test_adapter_signed_after_a_renewal_carries_both_certificates(
    unsigned: Path, home: Home, dataset: DatasetManifest, trust: TrustStore
) -> None:
    renew_issuer(home)
    sign_adapter(unsigned, issuer=load_issuer(home), predicate=predicate(dataset.digest), dataset=dataset)
    manifest = verify_adapter(unsigned, trust)
    assert manifest.dataset is not None
    assert manifest.dataset.issuer.key_id != manifest.issuer.key_id


def test_dataset_other_than_the_one_trained_on_is_refused(
    unsigned: Path, signed: Path, issuer: Issuer, dataset: DatasetManifest, trust: TrustStore
) -> None:
    with pytest.raises(AdapterError, match="names another dataset"):
        sign_adapter(unsigned, issuer=issuer, predicate=predicate("d" * 64), dataset=dataset)
    files = {str(path.relative_to(signed)): path.read_bytes() for path in signed.rglob("*") if path.is_file()}
    manifest = verify_adapter_files(files.__getitem__, trust, dataset=dataset)
    assert isinstance(manifest, AdapterManifest)
    with pytest.raises(AdapterError, match="another dataset"):
        sign_adapter(unsigned, issuer=issuer, predicate=predicate("d" * 64))
    with pytest.raises(AdapterError, match="another dataset"):
        verify_adapter(signed, trust)


def test_untrusted_adapter_is_refused_unless_asked_for(signed: Path) -> None:
    with pytest.raises(SignatureError, match="not trusted"):
        verify_adapter(signed, TrustStore())
    assert not verify_adapter(signed, TrustStore(), require_trusted=False).issuer.trusted


def test_model_signing_verifies_the_adapter(signed: Path) -> None:
    arguments = ["verify", "key", str(signed / "adapter"), "--signature", str(signed / "adapter.sig")]
    arguments += ["--public_key", str(signed / "issuer.pub.pem")]
    result = subprocess.run(
        [sys.executable, "-m", "model_signing", *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("adapter/adapter.safetensors", "adapter.safetensors was changed"),
        ("adapter/config.json", "config.json was changed"),
        ("adapter/samples/fish.png", "samples/fish.png was changed"),
        ("adapter.dsse.json", "adapter.dsse.json"),
        ("adapter.sig", "adapter.sig"),
        ("dataset.dsse.json", "dataset.dsse.json"),
        ("dataset.sig", "dataset.sig"),
        ("dataset/records.jsonl", "records.jsonl is not what was signed"),
    ],
)
def test_changed_file_is_named(name: str, reason: str, signed: Path, trust: TrustStore) -> None:
    data = bytearray((signed / name).read_bytes())
    data[len(data) // 2] ^= 1
    (signed / name).write_bytes(bytes(data))
    with pytest.raises(ProvenanceError) as refusal:
        verify_adapter(signed, trust)
    assert reason in str(refusal.value)


def test_changed_certificate_is_refused(signed: Path, trust: TrustStore) -> None:
    data = bytearray((signed / "issuer.pem").read_bytes())
    data[40] ^= 1
    (signed / "issuer.pem").write_bytes(bytes(data))
    with pytest.raises(ProvenanceError, match=r"issuer\.pem"):
        verify_adapter(signed, trust)


def test_missing_extra_and_linked_files_are_named(signed: Path, trust: TrustStore, tmp_path: Path) -> None:
    (signed / "adapter" / "config.json").rename(tmp_path / "config.json")
    with pytest.raises(AdapterError, match=r"config\.json: is signed but missing"):
        verify_adapter(signed, trust)
    (signed / "adapter" / "config.json").symlink_to(tmp_path / "config.json")
    with pytest.raises(AdapterError, match=r"config\.json: is a symbolic link"):
        verify_adapter(signed, trust)
    (signed / "adapter" / "config.json").unlink()
    shutil.copy(tmp_path / "config.json", signed / "adapter" / "config.json")
    (signed / "adapter" / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(AdapterError, match=r"pytorch_model\.bin: is there but not signed"):
        verify_adapter(signed, trust)


def test_file_that_is_not_part_of_the_adapter_is_never_read(signed: Path, trust: TrustStore) -> None:
    manifest = verify_adapter(signed, trust)
    with pytest.raises(AdapterError, match="not part of the adapter"):
        manifest.read("../issuer.pem")
    (signed / "adapter" / "adapter.safetensors").write_bytes(WEIGHTS + b"x")
    with pytest.raises(AdapterError, match="changed after signing"):
        manifest.read("adapter.safetensors")


def test_folder_without_a_statement_is_refused(unsigned: Path, trust: TrustStore) -> None:
    with pytest.raises(AdapterError, match="not a signed adapter"):
        verify_adapter(unsigned, trust)


@pytest.mark.parametrize("asset", sorted(path.name for path in ASSETS.glob("*.safetensors")))
def test_bad_weights_are_never_signed(asset: str, unsigned: Path, issuer: Issuer) -> None:
    shutil.copy(ASSETS / asset, unsigned / "adapter" / "adapter.safetensors")
    with pytest.raises(FormatError, match=r"adapter\.safetensors"):
        sign_adapter(unsigned, issuer=issuer, predicate=predicate("d" * 64))
    assert not (unsigned / "adapter.dsse.json").exists()


def test_adapter_without_weights_is_never_signed(unsigned: Path, issuer: Issuer) -> None:
    (unsigned / "adapter" / "adapter.safetensors").rename(unsigned / "adapter" / "model.safetensors")
    with pytest.raises(AdapterError, match="no weights"):
        sign_adapter(unsigned, issuer=issuer, predicate=predicate("d" * 64))


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.pop("buildDefinition"),
        lambda p: p["buildDefinition"]["resolvedDependencies"].pop(0),
        lambda p: p["buildDefinition"]["resolvedDependencies"].pop(1),
        lambda p: p["buildDefinition"]["resolvedDependencies"].pop(2),
        lambda p: p["buildDefinition"]["resolvedDependencies"][0].update(digest={"sha256": "x"}),
        lambda p: p["buildDefinition"]["resolvedDependencies"][1].pop("uri"),
        lambda p: p["buildDefinition"]["resolvedDependencies"].append({"name": "base", "digest": {"sha256": "b" * 64}}),
        lambda p: p["runDetails"].pop("metadata"),
        lambda p: p["runDetails"]["metadata"].update(finishedOn="2026-01-01"),
        lambda p: p.update(buildDefinition=[]),
    ],
)
def test_statement_that_hides_its_inputs_is_refused(
    change: Change, unsigned: Path, issuer: Issuer, dataset: DatasetManifest
) -> None:
    changed = copy.deepcopy(predicate(dataset.digest))
    change(changed)
    with pytest.raises(FormatError, match=r"adapter\.dsse\.json"):
        sign_adapter(unsigned, issuer=issuer, predicate=changed)


def test_training_that_ended_outside_the_certificates_life_is_refused(unsigned: Path, issuer: Issuer) -> None:
    old = predicate("d" * 64)
    old["runDetails"]["metadata"]["finishedOn"] = "2020-01-01T00:00:00Z"
    with pytest.raises(SignatureError, match="certificate's life"):
        sign_adapter(unsigned, issuer=issuer, predicate=old)
