"""Disturbs pictures as they are on their way through the world: turned, bent, cut, blurred, compressed, grey."""

from __future__ import annotations

import io
import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

COMPRESSED, TURNED, BENT, LIT, GREYED, BLURRED, NOISY, COVERED = 0.3, 0.7, 0.4, 0.5, 0.4, 0.6, 0.4, 0.15


def disturb(pictures: NDArray[np.uint8], rng: np.random.Generator) -> tuple[Tensor, NDArray[np.bool_]]:
    """Network input (N, 3, S, S) in [-1, 1] of pictures (N, S, S, 3) uint8, and which lost their colour (N,)."""
    pieces = [_compress(picture, rng) if rng.random() < COMPRESSED else picture for picture in pictures]
    values = torch.from_numpy(np.stack(pieces)).permute(0, 3, 1, 2).float().div(255)
    values = _turn(values, rng)
    values = _cover(values, rng)
    values, grey = _grey(_light(values, rng), rng)
    values = _noise(_blur(values, rng), rng)
    return values.clamp(0, 1).mul(2).sub(1).contiguous(memory_format=torch.channels_last), grey


def to_input(pictures: NDArray[np.uint8]) -> Tensor:
    """Network input (N, 3, S, S) in [-1, 1] of pictures (N, S, S, 3) uint8 as they are."""
    values = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float().div(127.5).sub(1)
    return values.contiguous(memory_format=torch.channels_last)


def _compress(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=int(rng.integers(35, 96)))
    return np.asarray(Image.open(file).convert("RGB"))


def _some(count: int, part: float, rng: np.random.Generator) -> Tensor:
    """Ones for about a part of the pictures and zeros for the others, (N, 1, 1, 1)."""
    return torch.from_numpy((rng.random(count) < part).astype(np.float32)).view(-1, 1, 1, 1)


def _amounts(count: int, low: float, high: float, rng: np.random.Generator) -> Tensor:
    return torch.from_numpy(rng.uniform(low, high, count).astype(np.float32)).view(-1, 1, 1, 1)


def _turn(values: Tensor, rng: np.random.Generator) -> Tensor:
    """Mirrors half of the pictures; leans, scales, stretches, shifts and bends most of them, the edge repeated."""
    count = len(values)
    moved = (rng.random(count) < TURNED).astype(np.float64)
    angle = moved * np.clip(rng.normal(0, math.radians(10), count), -0.5, 0.5)
    zoom = np.exp(moved * rng.uniform(math.log(0.8), math.log(1.35), count))
    stretch = np.exp(moved * rng.uniform(-0.15, 0.15, count))
    mirror = np.where(rng.random(count) < 0.5, -1.0, 1.0)
    shift = moved[:, None] * rng.uniform(-0.15, 0.15, (count, 2))
    cos, sin = np.cos(angle), np.sin(angle)
    rows = np.stack(
        [
            np.stack([mirror * zoom * stretch * cos, -zoom * sin, shift[:, 0]], 1),
            np.stack([mirror * zoom * sin, zoom / stretch * cos, shift[:, 1]], 1),
        ],
        1,
    )
    grid = F.affine_grid(torch.from_numpy(rows.astype(np.float32)), list(values.shape), align_corners=False)
    grid = grid + _bends(count, values.shape[-1], rng)
    return F.grid_sample(values, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _bends(count: int, side: int, rng: np.random.Generator) -> Tensor:
    """Smooth displacements (N, S, S, 2), none for most: outlines as an unsteady hand, or a decoder, draws them."""
    coarse = torch.from_numpy(rng.normal(0, 0.03, (count, 2, 6, 6)).astype(np.float32)) * _some(count, BENT, rng)
    return F.interpolate(coarse, (side, side), mode="bicubic").permute(0, 2, 3, 1)


def _cover(values: Tensor, rng: np.random.Generator) -> Tensor:
    """Covers a small rectangle of some pictures with one colour."""
    side = values.shape[-1]
    for i in np.flatnonzero(rng.random(len(values)) < COVERED):
        height, width = (int(n) for n in rng.integers(side // 10, side // 4, 2))
        top, left = int(rng.integers(side - height)), int(rng.integers(side - width))
        colour = torch.from_numpy(rng.random(3).astype(np.float32)).view(3, 1, 1)
        values[int(i), :, top : top + height, left : left + width] = colour
    return values


def _light(values: Tensor, rng: np.random.Generator) -> Tensor:
    count = len(values)
    some = _some(count, LIT, rng)
    gain, lift = _amounts(count, 0.7, 1.2, rng), _amounts(count, -0.1, 0.1, rng)
    return values + some * ((values - 0.5) * gain + 0.5 + lift - values)


def _grey(values: Tensor, rng: np.random.Generator) -> tuple[Tensor, NDArray[np.bool_]]:
    """Takes the colour from some pictures, each by its own mixture of the three channels."""
    some = _some(len(values), GREYED, rng)
    mixture = torch.from_numpy(rng.dirichlet((2, 2, 2), len(values)).astype(np.float32)).view(-1, 3, 1, 1)
    grey = (values * mixture).sum(1, keepdim=True).expand_as(values)
    lost: NDArray[np.bool_] = some.view(-1).bool().numpy()
    return values + some * (grey - values), lost


def _blur(values: Tensor, rng: np.random.Generator) -> Tensor:
    """Softens some pictures, by a part of a binomial blur or as a smaller picture enlarged again."""
    count, side = len(values), values.shape[-1]
    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    square = (kernel[:, None] * kernel[None, :]).expand(3, 1, 5, 5)
    blurred = F.conv2d(F.pad(values, (2, 2, 2, 2), mode="replicate"), square, groups=3)
    smaller = F.interpolate(values, (side // 2, side // 2), mode="bilinear", antialias=True)
    enlarged = F.interpolate(smaller, (side, side), mode="bicubic")
    softer = torch.where(_some(count, 0.5, rng).bool(), blurred, enlarged)
    return values + _some(count, BLURRED, rng) * _amounts(count, 0.2, 1, rng) * (softer - values)


def _noise(values: Tensor, rng: np.random.Generator) -> Tensor:
    amount = _some(len(values), NOISY, rng) * _amounts(len(values), 0.01, 0.07, rng)
    return values + amount * torch.from_numpy(rng.standard_normal(values.shape, np.float32))
