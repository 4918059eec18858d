"""What is measured: the backends of `safety.watermark`, and rivaGan as its own package uses it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

import safety.watermark
from provenance.errors import Unavailable, UsageError
from safety.errors import WatermarkError
from safety.watermark.backend import backend
from safety.watermark.detection import Detection
from safety.watermark.riva_gan import RivaGan
from safety.watermark.significance import SMALLEST

if TYPE_CHECKING:
    from numpy.typing import NDArray

PIXEL, DWT_DCT_SVD, RIVA_GAN, RIVA_GAN_32 = "pixel", "dwtDctSvd", "rivaGan", "rivaGan32"
DEFAULT_SYSTEMS = (PIXEL, DWT_DCT_SVD, RIVA_GAN)
LIBRARIES = ("numpy", "scipy", "opencv-python", "pillow", "invisible-watermark", "onnxruntime")


@dataclass(frozen=True)
class Reading:
    """What a system read, held against what was written; ``p_value`` None where a system has no such thing.

    ``exact``: it returned the payload that was written; ``wrong``: it returned another.
    """

    exact: bool
    wrong: bool
    p_value: float | None


class System(Protocol):
    """Something that writes a number into a picture and reads it back."""

    @property
    def name(self) -> str: ...

    @property
    def slow(self) -> bool:
        """Whether one reading takes seconds, so that it is run on fewer pictures."""

    @property
    def largest_side(self) -> int:
        """The largest square, by side, at which its cost is measured."""

    def embed(self, pixels: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
        """A marked copy; raises WatermarkError when the picture cannot carry it."""

    def read(self, pixels: NDArray[np.uint8], number: int) -> Reading:
        """What is read where ``number`` may have been written; a refusal to read is a reading of nothing."""


@dataclass(frozen=True)
class Registered:
    """A backend by the name it has in `safety.watermark`, with the public key."""

    name: str
    slow: bool = False
    largest_side: int = 8192

    def embed(self, pixels: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
        """At the default strength."""
        return safety.watermark.embed(pixels, number, backend=self.name)

    def read(self, pixels: NDArray[np.uint8], number: int) -> Reading:
        """The product's decision: a payload only below p = 1e-9."""
        try:
            found = safety.watermark.detect(pixels, backend=self.name)
        except WatermarkError:
            return Reading(exact=False, wrong=False, p_value=1.0)
        return judged(found, number)


class RivaGanPayload:
    """64 bits by rivaGan: a code over the four quarters of a picture, as the backend of that name writes it."""

    name, slow, largest_side = RIVA_GAN, True, 1024

    def __init__(self) -> None:
        self._mark = RivaGan(threads=1)

    def embed(self, pixels: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
        """At the default strength."""
        return self._mark.embed(pixels, number)

    def read(self, pixels: NDArray[np.uint8], number: int) -> Reading:
        """The decision by its exact p-value."""
        try:
            return judged(self._mark.detect(pixels), number)
        except WatermarkError:
            return Reading(exact=False, wrong=False, p_value=1.0)


class RivaGan32:
    """rivaGan as invisible-watermark uses it: 32 bits over the whole picture, no code, no p-value.

    ``exact`` when all 32 bits are right; it never says that there is no mark, so ``wrong`` is not counted.
    """

    name, slow, largest_side = RIVA_GAN_32, True, 1024

    def __init__(self) -> None:
        self._mark = RivaGan(threads=1)

    def embed(self, pixels: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
        """The number's lowest 32 bits."""
        return self._mark.write_native(pixels, number & 0xFFFFFFFF)

    def read(self, pixels: NDArray[np.uint8], number: int) -> Reading:
        """All 32 bits or nothing."""
        return Reading(self._mark.read_native(pixels) == number & 0xFFFFFFFF, wrong=False, p_value=None)


def judged(found: Detection, number: int) -> Reading:
    """A detection held against the number that was written."""
    return Reading(
        exact=found.payload == number,
        wrong=found.payload not in (None, number),
        p_value=max(float(found.p_value), SMALLEST),
    )


@cache
def system(name: str) -> System:
    """The system of a name; raises UsageError naming those there are, WatermarkError where one cannot be had."""
    if name in (PIXEL, DWT_DCT_SVD):
        backend(name)
        return Registered(name)
    if name in (RIVA_GAN, RIVA_GAN_32):
        if importlib.util.find_spec("onnxruntime") is None:
            raise Unavailable("rivaGan needs onnxruntime", fix="pip install 'prov[bench]', or leave rivaGan out")
        return RivaGanPayload() if name == RIVA_GAN else RivaGan32()
    raise UsageError(
        f"there is no watermark backend {name!r} to measure",
        expected=", ".join((PIXEL, DWT_DCT_SVD, RIVA_GAN, RIVA_GAN_32)),
    )


def chosen(names: str) -> tuple[str, ...]:
    """The systems of a list with commas, the first being the one whose targets are told; raises on unknown ones."""
    found = tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    for name in found:
        system(name)
    return found


@cache
def code_digest(name: str) -> str:
    """Sixteen hex digits that change with anything a result of this system may depend on."""
    here, mark = Path(__file__).parent, Path(safety.watermark.__file__).parent
    files = [here / f"{module}.py" for module in ("attacks", "suite", "pictures", "drawn", "quality", "systems")]
    if name in (RIVA_GAN, RIVA_GAN_32):
        files += [mark / "riva_gan.py", mark / "significance.py"]
    else:
        own = "dwt_dct_svd.py" if name == DWT_DCT_SVD else "pixel/**/*.py"
        shared = [path for path in mark.glob("*.py") if path.name not in ("dwt_dct_svd.py", "riva_gan.py")]
        files += sorted({*shared, *mark.glob(own)})
    digest = hashlib.sha256(name.encode())
    for path in files:
        digest.update(path.read_bytes())
    for library in LIBRARIES:
        digest.update(_version(library).encode())
    return digest.hexdigest()[:16]


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
