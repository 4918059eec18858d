"""An attacker with 1 to 10,000 marked pictures of one issuer, without the key: what that is worth.

Three estimates: the mean residual; the mean power spectrum's excess over unmarked pictures; the mean residual folded at
the period that the mean autocorrelation shows. Each is held against the true pattern of new pictures, used to remove
the mark from marked ones, and added to clean ones to forge it. Patterns are subtracted to remove; with a spectrum the
frequencies that stand out are damped, and random phases are added to forge. A fourth knows only the band, which is
public: all directions damped alike, and noise added. What it achieves, no marked picture was needed for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

import safety.watermark
from benchmarks.watermark.gathering import HIGH_PASS, SECRET_KEY, Gathered, deviation_of, luma_of, serial, subject
from benchmarks.watermark.pool import performed
from benchmarks.watermark.quality import psnr
from benchmarks.watermark.summary import Summary
from benchmarks.watermark.threads import one_thread

if TYPE_CHECKING:
    from numpy.typing import NDArray

MEAN, SPECTRUM, FOLDED, BAND = "mean residual", "power spectrum", "folded", "band only"
# The attacker may change a picture more than the mark did.
CHANGES_DB = (42.0, 36.0)
# A lag counts as a period when it stands that many deviations above the other lags.
CLEAR, SHORTEST_PERIOD = 8.0, 16
USUAL_PERIOD = 128
DETECTED = 1e-6


@dataclass(frozen=True)
class Victim:
    """A new picture of the issuer: clean, marked, the number in it and the pattern, evened out, (S, S)."""

    clean: NDArray[np.uint8]
    marked: NDArray[np.uint8]
    number: int
    pattern: NDArray[np.float64]


@dataclass(frozen=True)
class Attempt:
    """One victim and one estimate, at one size of change."""

    system: str
    estimate: NDArray[np.float64]
    damping: NDArray[np.float64] | None
    change: float
    victim: Victim


@dataclass(frozen=True)
class Outcome:
    """What became of it."""

    change: float
    psnr: float
    still_read: bool
    forged: bool
    forged_p: float


def victims(name: str, side: int, count: int, after: int) -> list[Victim]:
    """Pictures that the attacker did not gather from."""
    found = []
    for number in range(after, after + count):
        clean = subject(number, side)
        marked = safety.watermark.embed(clean, serial(number), SECRET_KEY, backend=name)
        change = (luma_of(marked) - luma_of(clean)).astype(np.float64)
        level = np.sqrt(cv2.GaussianBlur(change**2, (0, 0), 8.0)) + 0.1
        found.append(Victim(clean, marked, serial(number), change / level))
    return found


def read_exactly(name: str, new: Sequence[Victim]) -> int:
    """How many of the marked pictures are read before anything is done to them."""
    return sum(safety.watermark.detect(v.marked, SECRET_KEY, backend=name).payload == v.number for v in new)


def tried(name: str, gathered: Gathered, new: Sequence[Victim], jobs: int = 1) -> Iterator[Summary]:
    """One row for each estimate."""
    lag, clearness = strongest_lag(gathered)
    period = lag if clearness >= CLEAR else USUAL_PERIOD
    estimates = {
        MEAN: gathered.residual,
        SPECTRUM: with_excess_spectrum(gathered),
        FOLDED: folded(gathered.residual, period),
        BAND: noise_like(gathered),
    }
    shares = standing_out(gathered)
    dampings = {SPECTRUM: shares, BAND: over_rings(shares)}
    for method, estimate in estimates.items():
        damping = dampings.get(method)
        attempts = [Attempt(name, estimate, damping, change, victim) for change in CHANGES_DB for victim in new]
        outcomes = list(performed(attempted, attempts, jobs))
        yield {
            "pictures": gathered.count,
            "estimate": method,
            "period": period if method == FOLDED else None,
            "lag": lag,
            "clearness": round(clearness, 1),
            "correlation": _mean_correlation(estimate, new, shifts=method == FOLDED),
            **{f"{change:g} dB": _worth([one for one in outcomes if one.change == change]) for change in CHANGES_DB},
            "victims": len(new),
        }


def strongest_lag(gathered: Gathered) -> tuple[int, float]:
    """The lag along either axis at which residuals resemble themselves most, and by how many deviations.

    From the mean autocorrelation of marked pictures, less that of unmarked ones.
    """
    side = gathered.residual.shape[0]
    excess = np.fft.irfft2((gathered.power - gathered.unmarked_power) / gathered.count, s=(side, side))
    deviation = 1.4826 * float(
        np.median(np.abs(excess[SHORTEST_PERIOD:-SHORTEST_PERIOD, SHORTEST_PERIOD:-SHORTEST_PERIOD]))
    )
    lags = np.arange(SHORTEST_PERIOD, side // 2 + 1)
    axes = np.stack([np.abs(excess[0, lags]), np.abs(excess[lags, 0])])
    _, best = np.unravel_index(int(np.argmax(axes)), axes.shape)
    return int(lags[best]), float(axes.max() / deviation) if deviation > 0 else 0.0


def with_excess_spectrum(gathered: Gathered) -> NDArray[np.float64]:
    """A pattern whose spectrum is what marked pictures have more than unmarked ones; its phases are random."""
    excess = np.sqrt(np.maximum(gathered.power - gathered.unmarked_power, 0.0) / gathered.count)
    return _with_random_phases(excess, gathered.residual.shape[0])


def standing_out(gathered: Gathered) -> NDArray[np.float64]:
    """(S, S/2+1) in [0, 1]: the mark's share of the power at each frequency, as a Wiener filter would take it."""
    return np.clip(1.0 - gathered.unmarked_power / np.maximum(gathered.power, 1e-12), 0.0, 1.0)


def noise_like(gathered: Gathered) -> NDArray[np.float64]:
    """Noise in the band of the excess, the same in all directions: nothing of the key."""
    excess = np.maximum(gathered.power - gathered.unmarked_power, 0.0)
    return _with_random_phases(np.sqrt(over_rings(excess)), gathered.residual.shape[0])


def over_rings(spectrum: NDArray[np.float64]) -> NDArray[np.float64]:
    """(S, S/2+1): every value replaced by the mean of those as far from zero frequency."""
    side = spectrum.shape[0]
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    rings = np.minimum((radius * side).astype(int), side // 2)
    means = np.bincount(rings.ravel(), weights=spectrum.ravel()) / np.bincount(rings.ravel())
    return np.asarray(means[rings])


def folded(residual: NDArray[np.float64], period: int) -> NDArray[np.float64]:
    """The mean over all shifts by whole periods, laid out again over the picture."""
    side = residual.shape[0]
    rows, columns = np.arange(side) % period, np.arange(side) % period
    place = rows[:, None] * period + columns[None]
    counts = np.maximum(np.bincount(place.ravel(), minlength=period * period), 1)
    mean = np.bincount(place.ravel(), weights=residual.ravel(), minlength=period * period) / counts
    return np.asarray(mean[place])


def _with_random_phases(magnitudes: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    white = np.fft.rfft2(np.random.default_rng(7).standard_normal((side, side)))
    return np.fft.irfft2(magnitudes * white / np.maximum(np.abs(white), 1e-9), s=(side, side))


def attempted(attempt: Attempt) -> Outcome:
    """Removes the mark from the marked picture and forges one in the clean one, and reads both."""
    victim, change = attempt.victim, attempt.change
    with one_thread():
        if attempt.damping is None:
            removed = _added(victim.marked, -attempt.estimate, change)
        else:
            removed = _damped(victim.marked, attempt.damping, change)
        left = safety.watermark.detect(removed, SECRET_KEY, backend=attempt.system)
        forged = _added(victim.clean, attempt.estimate, change)
        found = safety.watermark.detect(forged, SECRET_KEY, backend=attempt.system)
    return Outcome(
        change, psnr(victim.marked, removed), left.payload == victim.number, found.payload is not None, found.p_value
    )


def _worth(outcomes: Sequence[Outcome]) -> Summary:
    return {
        "psnr": round(float(np.mean([outcome.psnr for outcome in outcomes])), 1),
        "exact after": sum(outcome.still_read for outcome in outcomes),
        "forged payload": sum(outcome.forged for outcome in outcomes),
        "forged detected": sum(outcome.forged_p < DETECTED for outcome in outcomes),
        "least p": min(outcome.forged_p for outcome in outcomes),
    }


def _mean_correlation(estimate: NDArray[np.float64], new: Sequence[Victim], *, shifts: bool) -> float:
    return round(float(np.mean([_correlation(estimate, victim.pattern, shifts=shifts) for victim in new])), 4)


def _correlation(estimate: NDArray[np.float64], pattern: NDArray[np.float64], *, shifts: bool) -> float:
    a, b = estimate - estimate.mean(), pattern - pattern.mean()
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    if size == 0:
        return 0.0
    if not shifts:
        return float(np.sum(a * b)) / size
    # A folded tile may have its origin anywhere: the best of all shifts is what the attacker could hope for.
    return float(np.max(np.abs(np.fft.irfft2(np.fft.rfft2(a) * np.conj(np.fft.rfft2(b)), s=a.shape)))) / size


def _added(pixels: NDArray[np.uint8], estimate: NDArray[np.float64], change_db: float) -> NDArray[np.uint8]:
    """The estimate, stronger where the picture is busy as the mark is, at that PSNR before clipping."""
    luma = luma_of(pixels)
    shaped = estimate * np.sqrt(deviation_of(luma - cv2.GaussianBlur(luma, (0, 0), HIGH_PASS)))
    return _changed(pixels, shaped, change_db, most=np.inf)


def _damped(pixels: NDArray[np.uint8], shares: NDArray[np.float64], change_db: float) -> NDArray[np.uint8]:
    """The frequencies damped by their shares, at most wholly, at that PSNR or better."""
    luma = luma_of(pixels).astype(np.float64)
    standing = np.fft.irfft2(shares * np.fft.rfft2(luma - luma.mean()), s=luma.shape)
    return _changed(pixels, -standing, change_db, most=1.0)


def _changed(
    pixels: NDArray[np.uint8], change: NDArray[np.float64], change_db: float, *, most: float
) -> NDArray[np.uint8]:
    level = float(np.sqrt(np.mean(change**2)))
    factor = min(255 * 10 ** (-change_db / 20) / level, most) if level > 0 else 0.0
    changed: NDArray[np.uint8] = np.clip(np.rint(pixels + factor * change[..., None]), 0, 255).astype(np.uint8)
    return changed
