from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from cli.dataset import app
from provenance.home import Home
from provenance.identity import Issuer, create_issuer
from tests.training.tiny_blip import save_tiny_blip


@pytest.fixture
def issuer() -> Issuer:
    return create_issuer(Home.create(Home.default_path()), "Ada Example")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (16, 16), "red").save(folder / "fish.png")
    (folder / "fish.txt").write_text("a red fish")
    return folder


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_signed_folder_verifies(pictures: Path, issuer: Issuer, tmp_path: Path) -> None:
    rights = ("--license", "cc-by-4.0", "--holder", "Ada")
    code, out, err = run("sign", pictures, *rights, "--out", tmp_path / "release", "--json")
    assert code == 0, err
    signed = json.loads(out)
    assert (signed["pictures"], signed["licences"], signed["name"]) == (1, ["CC-BY-4.0"], "pictures")
    code, out, _ = run("verify", tmp_path / "release", "--json")
    assert (code, json.loads(out)) == (0, signed)
    assert "intact" in run("verify", tmp_path / "release")[1]


def test_release_lies_beside_the_folder_by_default(pictures: Path, issuer: Issuer) -> None:
    assert run("sign", pictures, "--licence", "MIT", "--holder", "Ada")[0] == 0
    assert (pictures.parent / "pictures-signed" / "dataset.dsse.json").exists()


def test_consent_and_training_choice_go_into_every_record(pictures: Path, issuer: Issuer, tmp_path: Path) -> None:
    rights = ("--license", "MIT", "--holder", "Ada", "--consent", "contract", "--consent-uri", "https://example.org/c")
    assert run("sign", pictures, *rights, "--training", "constrained", "--out", tmp_path / "release")[0] == 0
    record = json.loads((tmp_path / "release" / "dataset" / "records.jsonl").read_text())
    assert record["consent"] == {"basis": "contract", "uri": "https://example.org/c"}
    assert record["training_mining"] == "constrained"


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        (("--holder", "Ada"), 1, "has no licence"),
        (("--license", "Mine", "--holder", "Ada"), 1, "SPDX"),
        (("--license", "MIT", "--holder", "Ada", "--consent", "vibes"), 1, "consent basis"),
        (("--license", "MIT", "--holder", "Ada", "--training", "maybe"), 1, "training_mining"),
        (("--license", "MIT", "--holder", "Ada", "--consent-uri", "x"), 2, "--consent"),
    ],
)
def test_bad_rights_are_refused(
    options: tuple[str, ...], code: int, reason: str, pictures: Path, issuer: Issuer, tmp_path: Path
) -> None:
    found, out, err = run("sign", pictures, *options, "--out", tmp_path / "release")
    assert (found, out) == (code, "")
    assert reason in err
    assert not (tmp_path / "release").exists()


def test_home_is_needed_to_sign_but_not_to_verify(
    pictures: Path, issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("sign", pictures, "--license", "MIT", "--holder", "Ada", "--out", tmp_path / "release")
    monkeypatch.setenv("PROV_HOME", str(tmp_path / "nowhere"))
    code, _, err = run("sign", pictures, "--license", "MIT", "--holder", "Ada", "--out", tmp_path / "other")
    assert code == 3
    assert "prov init" in err
    code, _, err = run("verify", tmp_path / "release")
    assert code == 1
    assert "--trust" in err
    assert run("verify", tmp_path / "release", "--trust", tmp_path / "release" / "issuer.pem")[0] == 0


def test_changed_release_is_refused(pictures: Path, issuer: Issuer, tmp_path: Path) -> None:
    run("sign", pictures, "--license", "MIT", "--holder", "Ada", "--out", tmp_path / "release")
    (tmp_path / "release" / "dataset" / "data" / "fish.png").write_bytes(b"x")
    code, out, err = run("verify", tmp_path / "release")
    assert (code, out) == (1, "")
    assert "data/fish.png" in err


def test_verifying_imports_nothing_heavy(pictures: Path, issuer: Issuer, tmp_path: Path) -> None:
    run("sign", pictures, "--license", "MIT", "--holder", "Ada", "--out", tmp_path / "release")
    program = (
        "import sys; from pathlib import Path; from provenance.adapter import verify_adapter;"
        "from provenance.dataset import verify_dataset; from provenance.trust import home_and_files;"
        "verify_dataset(Path(sys.argv[1]), home_and_files([]));"
        "heavy = {'torch', 'diffusers', 'transformers', 'peft', 'open_clip', 'web3', 'eth', 'c2pa', 'model_signing',"
        " 'sigstore', 'numpy', 'cv2', 'scipy'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "release"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert result.stdout.strip() == "[]"


def test_captions_are_written_beside_pictures_and_signed_as_a_model_s(
    issuer: Issuer, tmp_path: Path, pictures: Path
) -> None:
    model = save_tiny_blip(tmp_path / "tiny")
    Image.new("RGB", (40, 40), "blue").save(pictures / "sea.png")
    code, out, err = run("caption", pictures, "--model", model, "--prefix", "sks, ", "--max-length", "6", "--json")
    assert code == 0, err
    made = json.loads(out)
    assert (made["written"], made["kept"], made["model"]) == (["sea.png"], ["fish.png"], "local:tiny")
    assert (pictures / "sea.txt").read_text().startswith("sks, ")
    assert run("sign", pictures, "--license", "MIT", "--holder", "Ada", "--out", tmp_path / "release")[0] == 0
    lines = (tmp_path / "release" / "dataset" / "records.jsonl").read_text().splitlines()
    fish, sea = (json.loads(line) for line in lines)
    assert "caption_by" not in fish
    assert sea["caption_by"] == {"model": "local:tiny", "sha256": made["model_sha256"]}


def test_a_captioning_model_that_is_none_is_refused(pictures: Path, tmp_path: Path) -> None:
    code, _, err = run("caption", pictures, "--model", tmp_path)
    assert code == 1
    assert "is not a captioning model" in err
