"""Null decisions: what the detector says where the key it is given wrote nothing.

Two series. Random keys over real pictures, half of which carry a mark under another key: this is what the p-value
promises, since its randomness is in the key. And unmarked pictures, in many views, under the true key, which is what a
verifier meets. For the pixel layer a third one shows the tail that the p-values are made from: see ``uncharged``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

import safety.watermark
from benchmarks.watermark.attacks import crop, flip, jpeg, rotate, scale
from benchmarks.watermark.figures import upper_bound
from benchmarks.watermark.journal import Journal, key_of
from benchmarks.watermark.pictures import Picture
from benchmarks.watermark.pool import performed
from benchmarks.watermark.summary import Summary
from benchmarks.watermark.systems import PIXEL, RIVA_GAN, RIVA_GAN_32, code_digest
from benchmarks.watermark.threads import one_thread
from benchmarks.watermark.trials import payload_of
from benchmarks.watermark.uncharged import tails
from provenance.errors import UsageError
from safety.watermark.backend import backend
from safety.watermark.riva_gan import RivaGan
from safety.watermark.significance import SMALLEST

if TYPE_CHECKING:
    from numpy.typing import NDArray

RANDOM_KEYS, TRUE_KEY, UNCHARGED = "random keys", "true key", "uncharged"
# One decision in so many is made on another view of a picture under the true key, each a whole detection.
TRUE_KEY_ONE_IN = 1000
UNCHARGED_ONE_IN = 10
KEYS_A_UNIT, KEYS_A_UNIT_ONE_BY_ONE, VIEWS_A_UNIT = 500, 20, 10
BINS_A_DECADE = 4
THRESHOLDS = (1e-3, 1e-6, 1e-9)
TAILS = (0.1, 1e-2, 1e-3, 1e-4, 1e-5)


@runtime_checkable
class ManyKeyed(Protocol):
    """A backend that reads one picture under many keys for little more than the cost of one."""

    def p_values(self, image: NDArray[np.uint8], keys: Sequence[bytes]) -> Sequence[float]: ...


@dataclass(frozen=True)
class Unit:
    """Some decisions on one picture."""

    system: str
    digest: str
    series: str
    picture: Picture
    number: int
    decisions: int

    @property
    def key(self) -> dict[str, str]:
        """The names by which its result is found again."""
        return {
            "kind": "null",
            "system": self.system,
            "digest": self.digest,
            "set": self.series,
            "picture": self.picture.name,
            "pixels": "",
            "what": f"{self.number}: {self.decisions}",
        }


def plan(name: str, pictures: Sequence[Picture], decisions: int) -> list[Unit]:
    """Units that make up that many decisions, over all pictures in turn; raises UsageError without p-values."""
    if name == RIVA_GAN_32:
        raise UsageError(f"{name} has no p-values, so it makes no null decisions", expected="another backend")
    views = max(1, decisions // TRUE_KEY_ONE_IN)
    keys = decisions - views
    at_once = KEYS_A_UNIT if isinstance(_reader(name), ManyKeyed) else KEYS_A_UNIT_ONE_BY_ONE
    digest, uncharged = code_digest(name), decisions // UNCHARGED_ONE_IN if name == PIXEL else 0
    every = ((RANDOM_KEYS, keys, at_once), (TRUE_KEY, views, VIEWS_A_UNIT), (UNCHARGED, uncharged, at_once))
    return [
        Unit(name, digest, series, pictures[number % len(pictures)], number, some)
        for series, whole, each in every
        for number, some in enumerate(_shares(whole, each))
    ]


def run(units: Sequence[Unit], journal: Journal, jobs: int, progress: Callable[[int, int], None]) -> None:
    """Makes the decisions that the journal does not have."""
    pending = [unit for unit in units if key_of(unit.key) not in journal]
    total, done = sum(unit.decisions for unit in pending), 0
    for result in performed(perform, pending, jobs):
        journal.add([result])
        done += result["decisions"]
        progress(done, total)


def perform(unit: Unit) -> dict[str, Any]:
    """The decisions of one unit, as a histogram of p-values."""
    with one_thread():
        p_values = SERIES[unit.series](unit)
    p_values = [max(p, SMALLEST) for p in p_values]
    bins = Counter(math.ceil(BINS_A_DECADE * math.log10(p)) for p in p_values)
    return {
        **unit.key,
        "decisions": len(p_values),
        "bins": {str(edge): count for edge, count in sorted(bins.items())},
        "below": [sum(p < threshold for p in p_values) for threshold in THRESHOLDS],
        "tails": [sum(p <= tail for p in p_values) for tail in TAILS],
        "smallest": min(p_values),
    }


def of_journal(journal: Journal, units: Sequence[Unit]) -> Summary:
    """The histogram of some units of one system, both series of decisions together and apart, and the tail's own."""
    keys = {key_of(unit.key) for unit in units}
    results = [result for result in journal if key_of(result) in keys]
    series = {kind: [result for result in results if result["set"] == kind] for kind in (RANDOM_KEYS, TRUE_KEY)}
    made = {"series": {kind: _summed(found) for kind, found in series.items() if found}}
    tail = [result for result in results if result["set"] == UNCHARGED]
    if tail:
        at_most = [sum(result["tails"][place] for result in tail) for place in range(len(TAILS))]
        made["uncharged"] = {**_summed(tail), "tails": dict(zip(map(str, TAILS), at_most, strict=True))}
    return {**_summed([result for found in series.values() for result in found]), **made}


def _summed(results: Sequence[dict[str, Any]]) -> Summary:
    decisions = sum(result["decisions"] for result in results)
    histogram: Counter[str] = Counter()
    for result in results:
        histogram.update(result["bins"])
    below = [sum(result["below"][place] for result in results) for place in range(len(THRESHOLDS))]
    return {
        "decisions": decisions,
        "pictures": len({result["picture"] for result in results}),
        "histogram": dict(sorted(histogram.items(), key=lambda entry: int(entry[0]))),
        "below": {f"{threshold:g}": count for threshold, count in zip(THRESHOLDS, below, strict=True)},
        "bound": {
            f"{threshold:g}": upper_bound(count, decisions) for threshold, count in zip(THRESHOLDS, below, strict=True)
        },
        "smallest": min(result["smallest"] for result in results),
    }


def _under_random_keys(unit: Unit) -> list[float]:
    rng = np.random.default_rng((1, unit.number))
    keys = [rng.bytes(16) for _ in range(unit.decisions)]
    pixels, reader = unit.picture.load(), _reader(unit.system)
    if unit.number // 2 % 2:
        pixels = reader.embed(pixels, payload_of(unit.picture.name))
    if isinstance(reader, ManyKeyed):
        return [float(p) for p in reader.p_values(pixels, keys)]
    return [float(reader.detect(pixels, key).p_value) for key in keys]


def _uncharged(unit: Unit) -> list[float]:
    rng = np.random.default_rng((3, unit.number))
    return tails(unit.picture.load(), [rng.bytes(16) for _ in range(unit.decisions)])


def _of_views(unit: Unit) -> list[float]:
    rng = np.random.default_rng((2, unit.number))
    whole, reader = unit.picture.load(), _reader(unit.system)
    return [float(reader.detect(view).p_value) for view in _views(whole, unit.decisions, rng)]


def _views(whole: NDArray[np.uint8], count: int, rng: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    """Other pictures out of one: cropped, resized, turned, mirrored and compressed at random."""
    for _ in range(count):
        view = crop(whole, rng, area=rng.uniform(0.5, 0.95))
        view = scale(view, rng, x=max(rng.uniform(0.7, 1.6), 260 / min(view.shape[:2])))
        if rng.random() < 0.5:
            view = flip(view, rng, axis=int(rng.integers(2)))
        if rng.random() < 0.3:
            view = rotate(view, rng, degrees=rng.uniform(-45, 45))
        yield jpeg(view, rng, quality=int(rng.integers(40, 96)))


class _Reader(Protocol):
    def embed(self, image: NDArray[np.uint8], payload: int) -> NDArray[np.uint8]: ...

    def detect(self, image: NDArray[np.uint8], key: bytes | None = None) -> safety.watermark.Detection: ...


@dataclass(frozen=True)
class _OneByOne:
    name: str

    def embed(self, image: NDArray[np.uint8], payload: int) -> NDArray[np.uint8]:
        return safety.watermark.embed(image, payload, backend=self.name)

    def detect(self, image: NDArray[np.uint8], key: bytes | None = None) -> safety.watermark.Detection:
        return safety.watermark.detect(image, key, backend=self.name)


@dataclass(frozen=True)
class _AtOnce(_OneByOne):
    many: ManyKeyed

    def p_values(self, image: NDArray[np.uint8], keys: Sequence[bytes]) -> Sequence[float]:
        return self.many.p_values(image, keys)


def _reader(name: str) -> _Reader:
    if name == RIVA_GAN:
        return RivaGan(threads=1)
    registered = backend(name)
    return _AtOnce(name, registered) if isinstance(registered, ManyKeyed) else _OneByOne(name)


SERIES: dict[str, Callable[[Unit], list[float]]] = {
    RANDOM_KEYS: _under_random_keys,
    TRUE_KEY: _of_views,
    UNCHARGED: _uncharged,
}


def _shares(whole: int, each: int) -> list[int]:
    return [min(each, whole - start) for start in range(0, whole, each)]
