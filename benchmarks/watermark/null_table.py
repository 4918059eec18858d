"""The null decisions as Markdown, and the thresholds that they give."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.watermark.null import BINS_A_DECADE, RANDOM_KEYS, TRUE_KEY
from benchmarks.watermark.summary import Summary
from benchmarks.watermark.tables import row, rule

FALSE_POSITIVES = 1e-3


def lines(null: Summary) -> Iterator[str]:
    """One row for each system and series."""
    yield (
        f"`{RANDOM_KEYS}`: keys that wrote nothing into the picture, half of the pictures being marked under another "
        f"key. `{TRUE_KEY}`: unmarked pictures, each decision on another crop, size, turn and compression of one. "
        "Every p-value that was computed is one decision. Where a backend reads a picture under many keys at once "
        "(`pixel`, `rivaGan`), it reads it as it lies, without a search, but its p-value is charged for the whole one; "
        f"`{TRUE_KEY}` is always the whole detection. Bounds are Clopper and Pearson's, one-sided, 95 %."
    )
    yield ""
    yield from row(
        "backend", "series", "decisions", "pictures", "p < 1e-3", "p < 1e-6", "p < 1e-9", "bound at 1e-6", "smallest"
    )
    yield rule("ll" + "r" * 7)
    for name, of in null["systems"].items():
        for kind, found in (("both", of), *of["series"].items()):
            yield from row(
                f"`{name}`",
                kind,
                f"{found['decisions']:,}",
                str(found["pictures"]),
                *(f"{found['below'][threshold]:,}" for threshold in ("0.001", "1e-06", "1e-09")),
                f"{found['bound']['1e-06']:.1e}",
                f"{found['smallest']:.1e}",
            )
    tails = [(name, of["uncharged"]) for name, of in null["systems"].items() if "uncharged" in of]
    if tails:
        at = sorted(tails[0][1]["tails"], key=float, reverse=True)
        yield ""
        yield (
            "Charged for 2^64 payloads and 64 readings, nearly every null p-value is 1. This is the tail before it is "
            "charged, of one payload named beforehand, under random keys: at most a share p may lie at p or below. It "
            "is a bound with a constant of 3.2, so about a third of that is to be expected."
        )
        yield ""
        yield from row("backend", "readings", *(f"tail ≤ {p}" for p in at), "smallest")
        yield rule("lr" + "r" * (len(at) + 1))
        for name, of in tails:
            shares = [f"{of['tails'][p]:,} ({of['tails'][p] / of['decisions']:.1e})" for p in at]
            yield from row(f"`{name}`", f"{of['decisions']:,}", *shares, f"{of['smallest']:.1e}")


def thresholds(null: Summary | None) -> dict[str, float]:
    """For each system the log10 of the largest p-value that at most one null decision in 1,000 stays below."""
    return {name: threshold(of) for name, of in null["systems"].items()} if null else {}


def threshold(of: Summary) -> float:
    """The upper edge, in log10, of the highest bin up to which lies at most 0.1 % of the decisions."""
    counts = {int(edge): count for edge, count in of["histogram"].items()}
    seen, edge = 0, min(*counts, 0) - 1
    while edge < -1 and seen + counts.get(edge + 1, 0) <= FALSE_POSITIVES * of["decisions"]:
        edge += 1
        seen += counts.get(edge, 0)
    return edge / BINS_A_DECADE
