"""The `rivaGan` mark: the neural network that invisible-watermark ships, carrying 64 bits instead of its 32.

The network (RivaGAN, Zhang et al., 2019) writes 32 bits into a picture of any size and reads them back as 32 real
numbers. Here a picture's four quarters carry 128 bits: the payload in a tail-biting convolutional code of rate 1/2,
permuted and inverted by the key, decoded softly. Nothing looks for a changed geometry: once cropped or turned, the
quarters are elsewhere.

What the package does around the network is kept but for two things: it truncates where rounding is meant, and it
imports torch. onnxruntime is needed (`pip install 'prov[rivagan]'`) and imported by the first call.
"""

from __future__ import annotations

import hashlib
import importlib.util
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from safety.errors import WatermarkError
from safety.watermark.detection import THRESHOLD, Detection
from safety.watermark.keys import PUBLIC_KEY
from safety.watermark.payload import check_payload
from safety.watermark.significance import p_value
from safety.watermark.tail_biting import CODED_BITS, decode, encode

if TYPE_CHECKING:
    from numpy.typing import NDArray

NATIVE_BITS = 32
SMALLEST_SIDE, SMALLEST_READ, MOST_PIXELS = 256, 32, 2048 * 2048
WEAKEST, STRONGEST = 0.25, 4.0
# The decoder's numbers reach ±90; beyond this one is sure enough.
SURE = 12.0
WEIGHTS = {
    "rivagan_encoder.onnx": "66bc7814fadac7d686105c8ab26c6cf2cc8e40deb83e67bb6ef5b9de9b8ece0d",
    "rivagan_decoder.onnx": "6b006690cf352fa50a91a0b6d6241dbcded0a9957969e2c0665cf9a7011b3880",
}


@dataclass(frozen=True)
class RivaGan:
    """The backend; ``strength`` multiplies the network's own change, ``threads`` 0 leaves them to onnxruntime."""

    threads: int = 0

    name = "rivaGan"
    strengths: ClassVar[tuple[float, ...]] = (1.0, 1.5, 2.0)

    def embed(
        self, image: NDArray[np.uint8], payload: int, key: bytes | None = None, strength: float | None = None
    ) -> NDArray[np.uint8]:
        """A marked copy of an (H, W, 3) uint8 RGB picture of 256×256 to 2048×2048 pixels; raises WatermarkError."""
        pixels = _checked(image)
        check_payload(payload)
        order, mask = _layout(key)
        bits = np.empty(CODED_BITS, dtype=np.uint8)
        bits[order] = encode(payload)
        bits ^= mask
        marked = pixels.copy()
        for place, quarter in zip(_quarters(pixels), bits.reshape(-1, NATIVE_BITS), strict=True):
            marked[place] = self._write(pixels[place], quarter, 1.0 if strength is None else strength)
        return marked

    def detect(self, image: NDArray[np.uint8], key: bytes | None = None) -> Detection:
        """Reads the payload; one reading, so the p-value is the exact binomial tail times 2^64 payloads."""
        started = time.perf_counter()
        payload, agreeing = _decoded(self._heard(image), key)
        chance = p_value(agreeing, CODED_BITS, 1)
        return Detection(
            payload=payload if chance < THRESHOLD else None,
            p_value=chance,
            backend=self.name,
            milliseconds=1000 * (time.perf_counter() - started),
        )

    def p_values(self, image: NDArray[np.uint8], keys: Sequence[bytes]) -> list[float]:
        """What ``detect`` would say under each of many keys; the network reads the picture once."""
        heard = self._heard(image)
        return [p_value(_decoded(heard, key)[1], CODED_BITS, 1) for key in keys]

    def write_native(self, image: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
        """As the package writes: 32 bits, highest first, over the whole picture; no code, no key."""
        if not 0 <= number < 1 << NATIVE_BITS:
            raise WatermarkError("the number has more than 32 bits", expected="0 to 2^32 - 1", found=repr(number))
        bits = np.array([number >> place & 1 for place in range(NATIVE_BITS - 1, -1, -1)], dtype=np.uint8)
        return self._write(_checked(image), bits, 1.0)

    def read_native(self, image: NDArray[np.uint8]) -> int:
        """The 32 bits that the network reads, whether or not any were written."""
        return int("".join(str(int(value > 0)) for value in self._read(_checked(image, SMALLEST_READ))), 2)

    def _write(self, pixels: NDArray[np.uint8], bits: NDArray[np.uint8], strength: float) -> NDArray[np.uint8]:
        if not WEAKEST <= strength <= STRONGEST:
            raise WatermarkError(
                "the watermark's strength is out of range",
                expected=f"{WEAKEST:g} to {STRONGEST:g}, 1 being the network's own",
                found=repr(strength),
            )
        frame = _frame(pixels)
        (drawn,) = _network("rivagan_encoder.onnx", self.threads).run(
            None, {"frame": frame, "data": bits[None].astype(np.float32)}
        )
        changed = (frame + strength * (drawn - frame))[0, :, 0].transpose(1, 2, 0)[..., ::-1]
        marked: NDArray[np.uint8] = np.rint((np.clip(changed, -1.0, 1.0) + 1.0) * 127.5).astype(np.uint8)
        return marked

    def _heard(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        """(128,) what the network says of each place, positive for 1."""
        pixels = _checked(image)
        return np.concatenate([self._read(pixels[place]) for place in _quarters(pixels)])

    def _read(self, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        (heard,) = _network("rivagan_decoder.onnx", self.threads).run(None, {"frame": _frame(pixels)})
        return np.asarray(heard[0], dtype=np.float64)


def _decoded(heard: NDArray[np.float64], key: bytes | None) -> tuple[int, int]:
    """The likeliest payload, and how many of the 128 places say what it would have written."""
    order, mask = _layout(key)
    soft = (np.clip(heard / SURE, -1.0, 1.0) * (1.0 - 2.0 * mask))[order]
    payload = decode(soft)
    return payload, int(np.count_nonzero((soft > 0) == encode(payload).astype(bool)))


def _frame(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(1, 3, 1, H, W) float32 in [-1, 1], blue first, as the network was trained."""
    planes = pixels[..., ::-1].transpose(2, 0, 1)[None, :, None]
    return np.ascontiguousarray(planes, dtype=np.float32) / 127.5 - 1.0


def _quarters(pixels: NDArray[np.uint8]) -> list[tuple[slice, slice]]:
    middle, centre = pixels.shape[0] // 2, pixels.shape[1] // 2
    rows, columns = (slice(None, middle), slice(middle, None)), (slice(None, centre), slice(centre, None))
    return [(down, across) for down in rows for across in columns]


def _layout(key: bytes | None) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Where each coded bit goes, and which places are inverted: to whoever lacks the key, coin tosses."""
    if key is None:
        key = PUBLIC_KEY
    if not isinstance(key, bytes) or not key:
        raise WatermarkError("the watermark key is empty or not bytes", expected="at least one byte, or None")
    stream = hashlib.shake_256(b"urn:prov:watermark:riva-gan:v1\0" + key).digest(9 * CODED_BITS)
    words = np.frombuffer(stream[: 8 * CODED_BITS], dtype=">u8")
    mask = (np.frombuffer(stream[8 * CODED_BITS :], dtype=np.uint8) & 1).astype(np.uint8)
    return np.argsort(words, kind="stable").astype(np.int64), mask


def _checked(image: Any, smallest: int = SMALLEST_SIDE) -> NDArray[np.uint8]:
    shape, kind = getattr(image, "shape", None), getattr(image, "dtype", None)
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise WatermarkError(
            "this is not an RGB picture", expected="an (H, W, 3) array of uint8", found=f"shape {shape}, {kind}"
        )
    height, width = image.shape[:2]
    if min(height, width) < smallest or height * width > MOST_PIXELS:
        raise WatermarkError(
            "the picture is too small or too large for rivaGan",
            expected=f"sides of at least {smallest} and at most {MOST_PIXELS:,} pixels in all",
            found=f"{width} × {height}",
        )
    return image


@cache
def _network(file: str, threads: int) -> Any:
    if importlib.util.find_spec("onnxruntime") is None:
        raise WatermarkError("rivaGan needs onnxruntime", fix="pip install 'prov[rivagan]'")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    return onnxruntime.InferenceSession(_weights(file), options, providers=["CPUExecutionProvider"])


def _weights(file: str) -> bytes:
    # The package itself is not imported: its __init__ imports torch.
    parent = importlib.util.find_spec("imwatermark")
    folders = parent.submodule_search_locations if parent else None
    path = Path(folders[0]) / file if folders else None
    if path is None or not path.is_file():
        raise WatermarkError("invisible-watermark is not installed", fix="pip install invisible-watermark==0.2.0")
    weights = path.read_bytes()
    digest = hashlib.sha256(weights).hexdigest()
    if digest != WEIGHTS[file]:
        raise WatermarkError(
            f"{file} is not the network that marks are written with",
            expected=f"sha256 {WEIGHTS[file]}",
            found=digest,
            fix="pip install invisible-watermark==0.2.0",
        )
    return weights
