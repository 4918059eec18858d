"""The pictures: photographs that ship inside scikit-image, scikit-learn and matplotlib, and what is drawn here.

Photographs are read as files from the installed packages, never through their loaders, which may download.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from provenance.errors import Unavailable, UsageError
from provenance.files import read_file
from provenance.images import MAX_BYTES, decode_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 512
SMALL_SIDE = 256
FOLDER_MEDIA = {".png", ".jpg", ".jpeg", ".webp"}


@dataclass(frozen=True)
class Picture:
    """One picture: ``load()`` gives (H, W, 3) uint8 RGB, the same bytes every time; ``set`` says what kind it is."""

    name: str
    set: str
    load: Callable[[], NDArray[np.uint8]]


@dataclass(frozen=True)
class Cut:
    """A square of a shipped photograph, at ``place`` (x, y in 0 to 1 of what is left over).

    ``native``: its own pixels; otherwise the short side is first brought to the square's, which for the larger
    photographs means the whole picture.
    """

    label: str
    package: str
    file: str
    place: tuple[float, float] = (0.5, 0.5)
    native: bool = False

    def load(self, side: int = SIDE) -> NDArray[np.uint8]:
        """(side, side, 3) uint8 RGB."""
        whole = _shipped(self.package, self.file)
        if not self.native:
            whole = resized_to(whole, side)
        top, left = (
            round((length - side) * share)
            for length, share in zip(whole.shape[:2], (self.place[1], self.place[0]), strict=True)
        )
        return np.ascontiguousarray(whole[top : top + side, left : left + side])


SKIMAGE, SKLEARN, MATPLOTLIB = "skimage", "sklearn", "matplotlib"
# Each photograph once before any second cut, so that a bounded run sees as many different ones as it can.
CUTS = (
    Cut("astronaut", SKIMAGE, "data/astronaut.png", native=True),
    Cut("china left", SKLEARN, "datasets/images/china.jpg", (0.0, 0.5)),
    Cut("coffee left", SKIMAGE, "data/coffee.png", (0.0, 0.5)),
    Cut("rocket left", SKIMAGE, "data/rocket.jpg", (0.0, 0.5)),
    Cut("camera", SKIMAGE, "data/camera.png", native=True),
    Cut("flower left", SKLEARN, "datasets/images/flower.jpg", (0.0, 0.5)),
    Cut("chelsea", SKIMAGE, "data/chelsea.png"),
    Cut("motorcycle left", SKIMAGE, "data/motorcycle_left.png", (0.0, 0.5)),
    Cut("grace hopper", MATPLOTLIB, "mpl-data/sample_data/grace_hopper.jpg", (0.5, 0.3), native=True),
    Cut("hubble part", SKIMAGE, "data/hubble_deep_field.jpg", (0.2, 0.2), native=True),
    Cut("retina part", SKIMAGE, "data/retina.jpg", (0.4, 0.5), native=True),
    Cut("ihc", SKIMAGE, "data/ihc.png", native=True),
    Cut("grass", SKIMAGE, "data/grass.png", native=True),
    Cut("gravel", SKIMAGE, "data/gravel.png", native=True),
    Cut("brick", SKIMAGE, "data/brick.png", native=True),
    Cut("moon", SKIMAGE, "data/moon.png", native=True),
    Cut("coins", SKIMAGE, "data/coins.png", (0.2, 0.5)),
    Cut("cell", SKIMAGE, "data/cell.png", native=True),
    Cut("clock", SKIMAGE, "data/clock_motion.png"),
    Cut("china right", SKLEARN, "datasets/images/china.jpg", (1.0, 0.5)),
    Cut("coffee right", SKIMAGE, "data/coffee.png", (1.0, 0.5)),
    Cut("rocket right", SKIMAGE, "data/rocket.jpg", (1.0, 0.5)),
    Cut("flower right", SKLEARN, "datasets/images/flower.jpg", (1.0, 0.5)),
    Cut("motorcycle right", SKIMAGE, "data/motorcycle_left.png", (1.0, 0.5)),
    Cut("hubble whole", SKIMAGE, "data/hubble_deep_field.jpg"),
    Cut("hubble part 2", SKIMAGE, "data/hubble_deep_field.jpg", (0.95, 0.95), native=True),
    Cut("retina whole", SKIMAGE, "data/retina.jpg"),
    Cut("retina part 2", SKIMAGE, "data/retina.jpg", (0.5, 0.15), native=True),
)


def photographs() -> list[Picture]:
    """The 28 cuts of 19 photographs, 512 × 512."""
    return [Picture(cut.label, "photographs", cut.load) for cut in CUTS]


def small_photographs() -> list[Picture]:
    """The whole cuts again, reduced to 256 × 256."""
    return [Picture(f"{cut.label} 256", "photographs 256²", partial(_reduced, cut)) for cut in CUTS[:12]]


def large_photographs() -> list[Picture]:
    """The two photographs that are larger than 1,000 pixels by nature, and some enlarged to 1536 × 1024."""
    own = (("hubble", "data/hubble_deep_field.jpg"), ("retina", "data/retina.jpg"))
    loads = [(name, partial(_whole, SKIMAGE, file)) for name, file in own]
    loads += [(cut.label.split()[0], partial(_whole, cut.package, cut.file, 1024)) for cut in CUTS[1:4]]
    return [Picture(f"{name} large", "photographs 1024²+", load) for name, load in loads]


def from_folder(folder: Path) -> list[Picture]:
    """Every PNG, JPEG and WebP picture of a folder, as it is; raises UsageError when there is none."""
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in FOLDER_MEDIA) if folder.is_dir() else []
    if not files:
        raise UsageError(f"no pictures in {folder}", expected="a folder with PNG, JPEG or WebP files")
    return [Picture(path.name, "your pictures", partial(_from_file, path)) for path in files]


def resized_to(pixels: NDArray[np.uint8], short_side: int) -> NDArray[np.uint8]:
    """Resized so that the short side is ``short_side``: averaged when smaller, cubic when larger."""
    height, width = pixels.shape[:2]
    factor = short_side / min(height, width)
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    size = (max(short_side, round(width * factor)), max(short_side, round(height * factor)))
    return np.asarray(cv2.resize(pixels, size, interpolation=how), dtype=np.uint8)


def _reduced(cut: Cut) -> NDArray[np.uint8]:
    return resized_to(cut.load(), SMALL_SIDE)


def _whole(package: str, file: str, short_side: int | None = None) -> NDArray[np.uint8]:
    whole = _shipped(package, file)
    return whole if short_side is None else resized_to(whole, short_side)


def _from_file(path: Path) -> NDArray[np.uint8]:
    return np.asarray(decode_image(read_file(path, limit=MAX_BYTES), path.name))


@cache
def _folder(package: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise Unavailable(
            f"the benchmark's photographs ship inside {package}, which is not installed",
            fix="pip install 'prov[bench]', or give pictures of your own with --images",
        )
    return Path(found.submodule_search_locations[0])


def _shipped(package: str, file: str) -> NDArray[np.uint8]:
    path = _folder(package) / file
    if not path.is_file():
        raise Unavailable(
            f"{package} does not ship {file}", fix="install the version that constraints.txt names: prov[bench]"
        )
    return np.asarray(Image.open(path).convert("RGB"))
