"""Whether marked noise and marked pictures can be told from plain ones, and whether they vary as much.

Classifiers are cross-validated on balanced samples; 50 % is chance. The noise is that of one key and consecutive
serials of one stream, the case in which anything that repeats would show.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.latent.starter import FIRST_PAYLOAD, SMALL_SHAPE
from generation.latent_mark import noise_of_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDS = 5
Z95 = 1.959964


@dataclass(frozen=True)
class Accuracy:
    """How often a classifier tells marked from plain in data it has not seen, with Wilson's 95 % interval."""

    name: str
    right: int
    count: int

    @property
    def share(self) -> float:
        """The accuracy."""
        return self.right / self.count

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's interval."""
        share, n = self.share, self.count
        centre = (share + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
        half = Z95 / (1 + Z95**2 / n) * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n * n))
        return centre - half, centre + half


def noise_samples(count: int) -> tuple[NDArray[np.float32], NDArray[np.float32], list[int]]:
    """``count`` marked and as many plain noises, (count, n) each, and the nonces of the marked ones."""
    payloads, seeds = [FIRST_PAYLOAD + i for i in range(count)], list(range(count))
    marked = noise_of_shape(SMALL_SHAPE, payloads, seeds)
    plain = np.random.default_rng(987_654).standard_normal((count, math.prod(SMALL_SHAPE)), dtype=np.float32)
    return marked.latents.reshape(count, -1), plain, list(marked.nonces)


def noise_accuracies(marked: NDArray[np.float32], plain: NDArray[np.float32]) -> list[Accuracy]:
    """Classifiers on the values, on their absolute values, and on products of random pairs of them."""
    pairs = np.random.default_rng(5).integers(0, marked.shape[1], (2, 4096))
    return [
        accuracy("noise: values", marked, plain),
        accuracy("noise: absolute values", np.abs(marked), np.abs(plain)),
        accuracy("noise: products of 4,096 pairs", *(x[:, pairs[0]] * x[:, pairs[1]] for x in (marked, plain))),
    ]


@dataclass(frozen=True)
class Shared:
    """Correlations between noises that share a nonce, in standard deviations of those between independent noises."""

    mean: float
    spread: float
    pairs: int


def shared_nonces(marked: NDArray[np.float32], nonces: Sequence[int]) -> Shared:
    """How noises that share a nonce by chance correlate; there must be such pairs, as in a thousand noises."""
    by_nonce: dict[int, list[int]] = {}
    for index, nonce in enumerate(nonces):
        by_nonce.setdefault(nonce, []).append(index)
    pairs = [pair for group in by_nonce.values() for pair in combinations(group, 2)]
    correlations = [float(marked[a] @ marked[b]) / math.sqrt(marked.shape[1]) for a, b in pairs]
    return Shared(float(np.mean(correlations)), float(np.sqrt(np.mean(np.square(correlations)))), len(pairs))


def picture_accuracy(marked: Sequence[NDArray[np.uint8]], plain: Sequence[NDArray[np.uint8]]) -> Accuracy:
    """A classifier on the pictures' principal components, at an eighth of their size."""
    return accuracy("pictures", *(np.stack([_small(p) for p in pictures]) for pictures in (marked, plain)))


def accuracy(name: str, marked: NDArray[np.floating], plain: NDArray[np.floating]) -> Accuracy:
    """Logistic regression on whitened principal components, five folds; both samples have the same size."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline

    features = np.concatenate([marked, plain])
    labels = np.repeat([1, 0], [len(marked), len(plain)])
    components = min(64, len(labels) // 4)
    model = make_pipeline(PCA(components, whiten=True, random_state=0), LogisticRegression(C=0.1))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    guesses = cross_val_predict(model, features, labels, cv=folds)
    return Accuracy(name, int((guesses == labels).sum()), len(labels))


def diversity(pictures: Sequence[NDArray[np.uint8]]) -> tuple[float, float]:
    """The mean distance (root mean square, 0 to 255) between pictures of one prompt, and its bootstrap error."""
    small = np.stack([_small(p) for p in pictures])
    distances = np.sqrt(((small[:, None] - small[None]) ** 2).mean(axis=2))
    rng = np.random.default_rng(3)
    return _mean_distance(distances, np.arange(len(small))), float(
        np.std([_mean_distance(distances, rng.integers(0, len(small), len(small))) for _ in range(400)])
    )


def _mean_distance(distances: NDArray[np.floating], chosen: NDArray[np.integer]) -> float:
    picked = distances[np.ix_(chosen, chosen)]
    different = chosen[:, None] != chosen[None]
    return float(picked[different].mean())


def _small(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    height, width = (side // 8 for side in picture.shape[:2])
    blocks = picture[: height * 8, : width * 8].reshape(height, 8, width, 8, 3).mean(axis=(1, 3))
    small: NDArray[np.float64] = blocks.ravel()
    return small
