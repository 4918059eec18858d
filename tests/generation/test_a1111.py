"""What pictures tell other tools of their making: in AUTOMATIC1111's form, within the signed bytes, and no secrets."""

from __future__ import annotations

import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from generation.making import GENERATOR
from generation.order import generate
from generation.request import GenerationRequest
from generation.schedulers import SCHEDULERS
from provenance.a1111 import parameters_text
from provenance.credentials import read_credentials
from provenance.home import Home
from provenance.issuing import encode_image
from provenance.setup import set_up
from tests.generation.conftest import Published

PROMPT = "a red fish, in the desert: (dry:1.2)"
REQUEST = GenerationRequest((PROMPT,), seed=7, steps=2, negative="a blue boat, rain")


@pytest.fixture(scope="module")
def _home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return set_up(tmp_path_factory.mktemp("home") / "home", name="Test Studio").home


@pytest.fixture
def home(_home: Home, tmp_path: Path) -> Home:
    shutil.copytree(_home.path, tmp_path / "home")
    return Home.open(tmp_path / "home")


def read_parameters(text: str) -> tuple[str, str, dict[str, str]]:
    """Prompt, negative prompt and settings as tools read them: the last line, if it holds three settings or more."""
    setting = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
    *lines, last = text.strip().split("\n")
    found = setting.findall(last)
    assert len(found) >= 3
    prompt: list[str] = []
    negative: list[str] = []
    place = 0
    for line in lines:
        if line.startswith("Negative prompt:"):
            place, line = 1, line.removeprefix("Negative prompt:")
        (negative if place else prompt).append(line.strip())
    values = {key: json.loads(value) if value.startswith('"') else value for key, value in found}
    return "\n".join(prompt), "\n".join(negative), values


def chunk_of(path: Path) -> str:
    with Image.open(path) as picture:
        return str(picture.info["parameters"])


def credentials_of(data: bytes, home: Home) -> str:
    return read_credentials(data, "image/png", (home.path / "identity" / "root.pem").read_bytes()).state


def test_what_is_written_is_read_back_by_the_rule_of_others() -> None:
    text = parameters_text(
        "two\r\nlines\x00, ü 魚", 'no "rain"', [("Steps", 20), ("Model", 'C:\\a, "b"'), ("Size", "8x8")]
    )
    prompt, negative, settings = read_parameters(text)
    assert (prompt, negative) == ("two\nlines, ü 魚", 'no "rain"')
    assert settings == {"Steps": "20", "Model": 'C:\\a, "b"', "Size": "8x8"}


def test_a_picture_tells_its_settings_and_no_secret_prompt(home: Home, tmp_path: Path) -> None:
    (image,) = generate(REQUEST, home=home, out=tmp_path / "out").images
    prompt, negative, settings = read_parameters(chunk_of(image.path))
    assert (prompt, negative) == ("", "")
    guidance = image.record.parameters["guidance"]
    assert settings == {
        "Steps": "2", "Sampler": "DPM++ 2M", "CFG scale": f"{guidance:g}", "Seed": "7", "Size": "256x256",
        "Model": image.record.parameters["base"], "Version": "prov 0.1.0",
    }  # fmt: skip


def test_prompts_in_clear_come_first_and_an_input_gives_its_strength(home: Home, tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (256, 256, 3), np.uint8)).save(tmp_path / "in.png")
    asked = replace(REQUEST, clear_prompt=True, image=tmp_path / "in.png", strength=0.5, scheduler="euler-a")
    (image,) = generate(asked, home=home, out=tmp_path / "out").images
    prompt, negative, settings = read_parameters(chunk_of(image.path))
    assert (prompt, negative) == (PROMPT, REQUEST.negative)
    assert (settings["Denoising strength"], settings["Sampler"]) == ("0.5", "Euler a")


def test_a_picture_names_its_adapter_by_the_digest_of_its_weights(published: Published, tmp_path: Path) -> None:
    asked = GenerationRequest((PROMPT,), model=str(published.token), seed=7, steps=2)
    (image,) = generate(asked, home=published.home, out=tmp_path / "out").images
    assert image.record.weights is not None
    told = read_parameters(chunk_of(image.path))[2]["Lora hashes"]
    assert told == f"token-{published.token}: {image.record.weights[:12]}"


def test_the_samples_of_a_training_tell_their_prompt(published: Published) -> None:
    from provenance.adapter import WEIGHTS
    from provenance.canonical import sha256_hex
    from training.config import TrainConfig
    from training.samples import sample_parameters

    weights = sha256_hex((published.adapter / "adapter" / WEIGHTS).read_bytes())
    text = sample_parameters("a fish", (64, 64), "starter", "rockets", weights, TrainConfig())
    prompt, _, settings = read_parameters(text)
    assert (prompt, settings["Steps"], settings["Size"]) == ("a fish", "25", "64x64")
    assert settings["Version"] == GENERATOR.replace("/", " ")
    assert settings["Lora hashes"] == f"rockets: {weights[:12]}"


def test_the_signature_covers_what_is_told(home: Home, tmp_path: Path) -> None:
    (image,) = generate(REQUEST, home=home, out=tmp_path / "out").images
    data = image.path.read_bytes()
    assert credentials_of(data, home) == "trusted"
    assert data.count(b"Steps: 2") == 1
    assert credentials_of(data.replace(b"Steps: 2", b"Steps: 3"), home) == "invalid"


@pytest.mark.parametrize("media_type", ["image/jpeg", "image/webp"])
def test_other_formats_have_the_bytes_they_had(media_type: str) -> None:
    picture = np.random.default_rng(2).integers(0, 256, (64, 64, 3), np.uint8)
    assert encode_image(picture, media_type, "Steps: 2") == encode_image(picture, media_type)
    plain = encode_image(picture, "image/png")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode_image(picture, "image/png", "魚")))), picture)
    assert encode_image(picture, "image/png", "魚") != plain


def test_every_scheduler_is_told_by_a_name_that_other_tools_know() -> None:
    known = {"DPM++ 2M", "DPM++ 2M Karras", "DPM++ 2M SDE", "DDIM", "Euler", "Euler a", "Heun", "UniPC", "LCM"}
    assert {one.elsewhere for one in SCHEDULERS.values()} == known
