"""How far two sets of pictures lie apart by their features: FID, KID and CMMD.

FID: Heusel et al., arXiv:1706.08500. KID: Bińkowski et al., arXiv:1801.01401. CMMD: Jayasumana et al.,
arXiv:2401.09603. The first two are torchmetrics', which is given the features; it has no CMMD.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from generation.errors import GenerationError
from provenance.canonical import Json
from provenance.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

KID_SUBSETS = 100
KID_SUBSET_LIMIT = 1000
SIGMA, SCALE = 10.0, 1000.0
CHUNK = 1024


@dataclass(frozen=True)
class Kid:
    """The mean over subsets of the unbiased estimate, and their standard deviation."""

    mean: float
    std: float

    def to_json(self) -> Json:
        """As plain values."""
        return {"mean": round(self.mean, 8), "std": round(self.std, 8)}


@dataclass(frozen=True)
class Cmmd:
    """The squared discrepancy × 1000: as the authors' code has it, with the diagonals, and without them."""

    biased: float
    unbiased: float

    def to_json(self) -> Json:
        """As plain values."""
        return {"biased": round(self.biased, 6), "unbiased": round(self.unbiased, 6)}


def require_torchmetrics() -> None:
    """Raises UsageError when torchmetrics is not installed, before anything is drawn."""
    try:
        import torchmetrics  # noqa: F401
    except ModuleNotFoundError as error:
        raise UsageError(
            "FID and KID need torchmetrics", found=str(error), fix="pip install 'prov[evaluate]'"
        ) from error


def fid(reference: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    """The Fréchet distance of the Gaussians fitted to two sets of features, (M, D) and (N, D), M and N at least 2.

    With fewer rows than dimensions the fitted covariances are singular: the distance is then finite, and too large.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=_given(reference.shape[1]), normalize=True)
    metric.set_dtype(_double())
    for rows, real in ((reference, True), (found, False)):
        metric.update(_tensor(rows), real=real)
    return _finite("FID", float(metric.compute()))


def kid(reference: NDArray[np.float32], found: NDArray[np.float32], seed: int) -> Kid:
    """The unbiased squared discrepancy under the cubic kernel, over random subsets of two sets of features.

    Subsets hold half of the smaller set, at most 1000 rows: a subset that is the whole set would have no spread.
    """
    import torch
    from torchmetrics.image.kid import KernelInceptionDistance

    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        # It says that it keeps all features, which are here already.
        warnings.filterwarnings("ignore", message="Metric `Kernel Inception Distance` will save all")
        torch.manual_seed(seed % 2**63)
        metric = KernelInceptionDistance(
            feature=_given(reference.shape[1]), subsets=KID_SUBSETS, subset_size=kid_subset(len(reference), len(found))
        )
        for rows, real in ((reference, True), (found, False)):
            metric.update(_tensor(rows), real=real)
        mean, std = metric.compute()
    return Kid(_finite("KID", float(mean)), _finite("KID", float(std)))


def kid_subset(first: int, second: int) -> int:
    """How many rows of each set a KID subset holds."""
    return max(2, min(KID_SUBSET_LIMIT, min(first, second) // 2))


def cmmd(reference: NDArray[np.float32], found: NDArray[np.float32]) -> Cmmd:
    """1000 × the squared discrepancy of CLIP directions, (M, D) and (N, D), under a Gaussian kernel with σ = 10."""
    with _one_kind_of_rounding():
        own, other, across = (_kernel_sum(a, b) for a, b in ((reference,) * 2, (found,) * 2, (reference, found)))
    m, n = len(reference), len(found)
    biased = own / m**2 + other / n**2 - 2 * across / (m * n)
    # The kernel of a row with itself is 1.
    unbiased = (own - m) / (m * (m - 1)) + (other - n) / (n * (n - 1)) - 2 * across / (m * n)
    return Cmmd(_finite("CMMD", SCALE * biased), _finite("CMMD", SCALE * unbiased))


def _kernel_sum(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """The sum of the kernel over all pairs of rows, by chunks, so that no whole matrix is in memory."""
    second = second.astype(np.float64)
    squares, total = np.square(second).sum(axis=1), []
    for start in range(0, len(first), CHUNK):
        rows = first[start : start + CHUNK].astype(np.float64)
        distances = np.square(rows).sum(axis=1)[:, None] + squares - 2 * rows @ second.T
        total.append(float(np.exp(-np.maximum(distances, 0) / (2 * SIGMA**2)).sum()))
    return math.fsum(total)


@contextmanager
def _one_kind_of_rounding() -> Iterator[None]:
    with np.errstate(all="raise", under="ignore"):
        try:
            yield
        except FloatingPointError as error:
            raise GenerationError("the features are no numbers to reckon with", found=str(error)) from error


def _given(dimensions: int) -> Any:
    """A network for torchmetrics that gives back the features it is given."""
    import torch

    network = torch.nn.Identity()
    network.num_features = dimensions  # type: ignore[assignment]
    return network


def _tensor(rows: NDArray[np.float32]) -> Any:
    import torch

    return torch.from_numpy(rows.astype(np.float64))


def _double() -> Any:
    import torch

    return torch.float64


def _finite(name: str, value: float) -> float:
    if not math.isfinite(value):
        raise GenerationError(f"{name} is not a number", expected="finite features, more than one picture")
    return value
