"""What the mark has in common with invisible-watermark, and what it does not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from safety.watermark.dwt_dct_svd import DwtDctSvd, _low_band, _package, largest_singular_values

Pictures = Callable[..., np.ndarray]
STEP = 40.0


def marked_with_bits(picture: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    mark = DwtDctSvd()
    bits = np.random.default_rng(seed).integers(0, 2, mark.positions(*picture.shape[:2])).astype(np.uint8)
    return mark.write(picture, bits, STEP), bits


def test_the_packages_own_decoder_reads_every_block_we_write(texture_of: Pictures) -> None:
    marked, bits = marked_with_bits(texture_of(1, 256))
    decoder = _package().EmbedDwtDctSvd(wmLen=len(bits), scales=[STEP, 0, 0])
    read = decoder.decode(np.ascontiguousarray(marked[..., ::-1]))
    assert np.mean(read == bits) > 0.999


def test_we_read_what_the_packages_own_encoder_writes(texture_of: Pictures) -> None:
    bits = np.random.default_rng(2).integers(0, 2, 1024)
    encoder = _package().EmbedDwtDctSvd(bits.tolist(), len(bits), [STEP, 0, 0])
    picture = texture_of(2, 256) // 2 + 64
    theirs = encoder.encode(np.ascontiguousarray(picture[..., ::-1]))[..., ::-1]
    soft = next(DwtDctSvd().readings(theirs))
    assert np.mean((soft > 0) == bits) > 0.98


def test_the_packages_block_rule_is_ours(texture_of: Pictures) -> None:
    band = _low_band(texture_of(3, 256))
    package = _package().EmbedDwtDctSvd(wmLen=1024, scales=[STEP, 0, 0])
    scores = package.decode_frame(band, STEP, [[] for _ in range(1024)])
    ours = largest_singular_values(band) % STEP > STEP / 2
    assert np.array_equal(ours, [score[0] == 1 for score in scores])


def test_we_do_not_inherit_the_swapped_details_of_the_package(texture_of: Pictures) -> None:
    picture = texture_of(4, 256) // 2 + 64
    bits = np.random.default_rng(0).integers(0, 2, 1024).astype(np.uint8)
    encoder = _package().EmbedDwtDctSvd(bits.tolist(), len(bits), [STEP, 0, 0])
    theirs = encoder.encode(np.ascontiguousarray(picture[..., ::-1]))[..., ::-1]
    ours = DwtDctSvd().write(picture, bits, STEP)

    def error(other: np.ndarray) -> float:
        return float(np.mean((picture.astype(float) - other) ** 2))

    assert error(ours) < error(theirs) / 3


def test_every_bit_of_a_clean_picture_is_right(texture_of: Pictures, scene_of: Pictures) -> None:
    for picture in (texture_of(5, 256), scene_of(5)):
        marked, bits = marked_with_bits(picture)
        assert np.mean((next(DwtDctSvd().readings(marked)) > 0) == bits) > 0.995


@pytest.mark.parametrize("colour", [(200, 220, 240), (34, 38, 78), (250, 212, 46)])
def test_flat_areas_stay_flat_within_a_block(colour: tuple[int, int, int]) -> None:
    marked, _ = marked_with_bits(np.full((64, 64, 3), colour, np.uint8))
    tiles = marked.reshape(8, 8, 8, 8, 3)
    assert (tiles.max(axis=(1, 3)) == tiles.min(axis=(1, 3))).all()


def test_no_reading_is_left_uncounted(scene_of: Pictures) -> None:
    mark = DwtDctSvd()
    for picture in (scene_of(6), np.zeros((256, 256, 3), np.uint8), np.full((256, 256, 3), 255, np.uint8)):
        assert len(list(mark.readings(picture))) <= mark.hypotheses
