"""How far two sets of pictures lie apart by their features: FID and KID, by torchmetrics, which is given the features.

FID: Heusel et al., arXiv:1706.08500. KID: Bińkowski et al., arXiv:1801.01401.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from generation.errors import GenerationError
from provenance.canonical import Json
from provenance.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KID_SUBSETS = 100
KID_SUBSET_LIMIT = 1000


@dataclass(frozen=True)
class Kid:
    """The mean over subsets of the unbiased estimate, and their standard deviation."""

    mean: float
    std: float

    def to_json(self) -> Json:
        """As plain values."""
        # Adding 0 makes a rounded -0 an 0.
        return {"mean": round(self.mean, 8) + 0.0, "std": round(self.std, 8)}


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


def _given(dimensions: int) -> Any:
    """A network for torchmetrics that gives back the features it is given."""
    import torch

    network = torch.nn.Identity()
    network.num_features = dimensions  # type: ignore[assignment]
    return network


def _tensor(rows: NDArray[np.float32]) -> Any:
    import torch

    return torch.from_numpy(rows).double()


def _double() -> Any:
    import torch

    return torch.float64


def _finite(name: str, value: float) -> float:
    if not math.isfinite(value):
        raise GenerationError(f"{name} is not a number", expected="finite features, more than one picture")
    return value
