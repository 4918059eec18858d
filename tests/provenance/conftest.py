"""A home, an issuer, and a small folder of pictures to sign."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from PIL import Image, ImageDraw

from provenance.dataset import sign_dataset
from provenance.home import Home
from provenance.identity import Issuer, create_issuer
from provenance.trust import TrustStore

# A busy machine is slow, not wrong.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

ASSETS = Path(__file__).parents[1] / "assets" / "dataset"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.create(tmp_path / "home")


@pytest.fixture
def issuer(home: Home) -> Issuer:
    return create_issuer(home, "Ada Example")


@pytest.fixture
def trust(issuer: Issuer, home: Home) -> TrustStore:
    return TrustStore.of_home(home)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three pictures of three kinds, with captions beside them, one in a folder of its own."""
    folder = tmp_path / "pictures"
    (folder / "sea").mkdir(parents=True)
    for name, colour in (("fish.png", "red"), ("boat.jpg", "white"), ("sea/whale é.webp", "blue")):
        picture = Image.new("RGB", (64, 48), "grey")
        ImageDraw.Draw(picture).ellipse((8, 8, 56, 40), fill=colour)
        picture.save(folder / name)
        (folder / name).with_suffix(".txt").write_text(f"a {colour} {Path(name).stem}\n", encoding="utf-8")
    return folder


@pytest.fixture
def release(tmp_path: Path, pictures: Path, issuer: Issuer) -> Path:
    """The pictures, signed."""
    sign_dataset(pictures, tmp_path / "release", issuer=issuer, licence="CC-BY-4.0", holder="Ada Example")
    return tmp_path / "release"
