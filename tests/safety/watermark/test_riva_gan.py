from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.watermark.pictures import small_photographs
from safety.errors import WatermarkError
from safety.watermark import riva_gan
from safety.watermark.riva_gan import RivaGan
from safety.watermark.significance import p_value

MARK = RivaGan(threads=1)
PAYLOAD = 0x5A0BADCAF0000001


@pytest.fixture(scope="module")
def original() -> np.ndarray:
    return small_photographs()[0].load()


@pytest.fixture(scope="module")
def marked(original: np.ndarray) -> np.ndarray:
    return MARK.embed(original, PAYLOAD)


def test_the_whole_payload_is_read_back(original: np.ndarray, marked: np.ndarray) -> None:
    found = MARK.detect(marked)
    assert found.payload == PAYLOAD
    assert found.p_value < 1e-9
    assert found.backend == "rivaGan"
    assert marked.shape == original.shape
    assert marked.dtype == np.uint8


def test_the_p_value_is_the_exact_tail_of_what_agreed(marked: np.ndarray) -> None:
    assert MARK.detect(marked).p_value in {p_value(agreeing, 128, 1) for agreeing in range(129)}


def test_light_compression_is_survived(marked: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(marked).save(tmp_path / "marked.jpg", quality=95)
    assert MARK.detect(np.asarray(Image.open(tmp_path / "marked.jpg"))).payload == PAYLOAD


def test_another_key_finds_nothing(marked: np.ndarray) -> None:
    found = MARK.detect(marked, b"another key")
    assert found.payload is None
    assert found.p_value > 1e-6


def test_an_unmarked_picture_has_no_payload(original: np.ndarray) -> None:
    assert MARK.detect(original).payload is None


def test_many_keys_at_once_say_what_each_says_alone(marked: np.ndarray) -> None:
    keys = [b"one", b"two", riva_gan.PUBLIC_KEY]
    assert MARK.p_values(marked, keys) == [MARK.detect(marked, key).p_value for key in keys]


def test_a_weaker_mark_changes_the_picture_less(original: np.ndarray, marked: np.ndarray) -> None:
    weaker = MARK.embed(original, PAYLOAD, strength=0.5)
    assert np.abs(weaker.astype(int) - original).mean() < 0.7 * np.abs(marked.astype(int) - original).mean()


def test_as_its_package_uses_it_32_bits_are_read(original: np.ndarray) -> None:
    assert MARK.read_native(MARK.write_native(original, 0xDEADBEEF)) == 0xDEADBEEF


def test_an_odd_size_is_kept(original: np.ndarray) -> None:
    wide = np.ascontiguousarray(np.pad(original, ((0, 1), (0, 31), (0, 0)), mode="reflect"))
    marked = MARK.embed(wide, PAYLOAD)
    assert marked.shape == (257, 287, 3)
    assert MARK.detect(marked).payload == PAYLOAD


@pytest.mark.parametrize("shape", [(255, 300, 3), (4096, 4096, 3), (256, 256), (256, 256, 4)])
def test_what_it_cannot_mark_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(WatermarkError, match="expected"):
        MARK.embed(np.zeros(shape, np.uint8), PAYLOAD)


@pytest.mark.parametrize("strength", [0.0, 5.0, float("nan")])
def test_a_strength_out_of_range_is_refused(original: np.ndarray, strength: float) -> None:
    with pytest.raises(WatermarkError, match="strength"):
        MARK.embed(original, PAYLOAD, strength=strength)


def test_an_empty_key_is_refused(original: np.ndarray) -> None:
    with pytest.raises(WatermarkError, match="key"):
        MARK.detect(original, b"")


def test_another_network_than_the_known_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(riva_gan.WEIGHTS, "rivagan_decoder.onnx", "0" * 64)
    with pytest.raises(WatermarkError, match="not the network"):
        riva_gan._weights("rivagan_decoder.onnx")


def test_torch_is_never_imported() -> None:
    script = (
        "import sys, numpy as np; from safety.watermark.riva_gan import RivaGan;"
        "assert 'onnxruntime' not in sys.modules;"
        "RivaGan(threads=1).read_native(np.zeros((64, 64, 3), np.uint8));"
        "print('torch' in sys.modules, 'onnxruntime' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "True"]
