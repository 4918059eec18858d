"""The figures as Markdown: targets met or not, every attack, every kind of picture, costs."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.watermark.cost import ALIGNED, EMBED, GEOMETRY, TIMED, UNMARKED, slope
from benchmarks.watermark.figures import Rate
from benchmarks.watermark.scope import GROUP_TARGETS
from benchmarks.watermark.suite import GROUPS, group_of, suite
from benchmarks.watermark.summary import Summary
from benchmarks.watermark.systems import RIVA_GAN, RIVA_GAN_32

LEAST_PSNR, LEAST_SSIM = 42.0, 0.985
MOST_MS = {EMBED: 40.0, ALIGNED: 40.0, GEOMETRY: 400.0}
LEAST_RATIO, MOST_SLOPE = 10.0, 1.1
ONE_IN_A_MILLION = -6.0


def pooled(of_set: Summary, attacks: Sequence[str]) -> Rate | None:
    """The exact-payload rate over some attacks together, None where none was run."""
    found = [of_set[name] for name in attacks if name in of_set]
    return Rate(sum(one["exact"] for one in found), sum(one["n"] for one in found)) if found else None


def targets(summary: Summary, name: str, main: str) -> Iterator[str]:
    """Each target of the default backend, what was measured, and whether it is met."""
    figures = summary["systems"][name]
    yield from row("target", "wanted", f"measured, `{name}`", "met")
    yield rule("lrrl")
    quality = figures["quality"].get(main)
    if quality:
        yield from _at_least("mean PSNR", quality["psnr"], LEAST_PSNR, "{:.2f} dB", quality["n"])
        yield from _at_least("mean SSIM", quality["ssim"], LEAST_SSIM, "{:.4f}", quality["n"])
    for group, wanted in GROUP_TARGETS.items():
        found = pooled(figures["readings"].get(main, {}), group_of(group))
        if found:
            met = "yes" if found.share >= wanted else "**no**"
            yield from row(f"exact payload, {group}", f"≥ {wanted:.0%}", written(found), met)
    timing = figures["timing"]
    for kind, most in MOST_MS.items():
        if timing:
            met = "yes" if timing[kind] <= most else "**no**"
            yield from row(f"{kind}, 512²", f"≤ {most:g} ms", f"{timing[kind]:.1f} ms", met)
    for kind, ratio in ratios(summary, name).items():
        met = "yes" if ratio >= LEAST_RATIO else "**no**"
        yield from row(f"{kind}, against `{RIVA_GAN_32}`", f"≥ {LEAST_RATIO:g} ×", f"{ratio:.0f} ×", met)
    for kind in (EMBED, ALIGNED):
        grown = growth(figures["cost"], kind)
        if grown is not None:
            met = "yes" if grown <= MOST_SLOPE else "**no**"
            largest = max(map(int, figures["cost"]))
            yield from row(f"{kind}: cost ∝ pixels^", f"≤ {MOST_SLOPE:g}", f"{grown:.2f} up to {largest}²", met)


def ratios(summary: Summary, name: str) -> dict[str, float]:
    """How many times faster than rivaGan, 32 bits as its package uses it, in the same run."""
    own = summary["systems"][name]["timing"]
    other = summary["systems"].get(RIVA_GAN_32, {}).get("timing", {})
    if not own or not other or name in (RIVA_GAN, RIVA_GAN_32):
        return {}
    return {kind: other[kind] / own[kind] for kind in (EMBED, ALIGNED, GEOMETRY, UNMARKED)}


def growth(cost: Summary, kind: str) -> float | None:
    """The exponent of cost against pixels, from 512 × 512 up."""
    points = [(float(side) ** 2, figures[kind]) for side, figures in cost.items() if int(side) >= 512]
    return slope(points) if len(points) > 1 else None


def attacks(summary: Summary, main: str, thresholds: dict[str, float]) -> Iterator[str]:
    """Every attack, all systems side by side."""
    names = [name for name in summary["systems"] if main in summary["systems"][name]["readings"]]
    yield from row("attack", *(f"`{name}`" for name in names))
    yield rule("l" + "r" * len(names))
    for attack in suite():
        cells = [_cell(summary["systems"][name]["readings"][main].get(attack), thresholds.get(name)) for name in names]
        if any(cells):
            yield from row(attack, *cells)


def groups(summary: Summary) -> Iterator[str]:
    """Exact-payload rates of the attack groups, by kind of picture."""
    yield from row("pictures", "backend", "PSNR mean (least)", "SSIM mean (least)", "unattacked", *GROUPS)
    yield rule("ll" + "r" * (3 + len(GROUPS)))
    kinds = list(dict.fromkeys(kind for of in summary["systems"].values() for kind in of["readings"]))
    for kind in kinds:
        for name, figures in summary["systems"].items():
            readings, quality = figures["readings"].get(kind), figures["quality"].get(kind)
            if not readings:
                continue
            rates = [pooled(readings, ["none"]), *(pooled(readings, group_of(group)) for group in GROUPS)]
            seen = (
                (
                    f"{quality['psnr']:.2f} ({quality['psnr_least']:.2f})",
                    f"{quality['ssim']:.4f} ({quality['ssim_least']:.4f})",
                )
                if quality
                else ("refused", "")
            )
            yield from row(kind, f"`{name}`", *seen, *(f"{rate.hits}/{rate.n}" if rate else "" for rate in rates))


def costs(summary: Summary) -> Iterator[str]:
    """Milliseconds at 512 × 512, and against pixels."""
    timed = {name: of for name, of in summary["systems"].items() if of["timing"]}
    if timed:
        yield from row("512 × 512, median ms", *TIMED, f"{EMBED} vs `{RIVA_GAN_32}`", f"{ALIGNED} vs `{RIVA_GAN_32}`")
        yield rule("l" + "r" * (len(TIMED) + 2))
        for name, of in timed.items():
            faster = ratios(summary, name)
            against = (f"{faster[kind]:.1f} ×" if kind in faster else "" for kind in (EMBED, ALIGNED))
            yield from row(f"`{name}`", *(f"{of['timing'][kind]:.1f}" for kind in TIMED), *against)
        yield ""
    scaled = {name: of["cost"] for name, of in summary["systems"].items() if of["cost"]}
    sides = sorted({int(side) for cost in scaled.values() for side in cost})
    if sides:
        yield from row("ms against pixels", "", *(f"{side}²" for side in sides), "exponent from 512²")
        yield rule("ll" + "r" * (len(sides) + 1))
        for name, cost in scaled.items():
            for kind in (EMBED, ALIGNED, UNMARKED):
                times = [f"{cost[str(side)][kind]:,.0f}" if str(side) in cost else "" for side in sides]
                grown = growth(cost, kind)
                yield from row(f"`{name}`", kind, *times, "" if grown is None else f"{grown:.2f}")


def written(rate: Rate) -> str:
    """As in ``97.1 % of 280 (94.4–98.5)``."""
    low, high = rate.interval
    return f"{rate.share:.1%} of {rate.n} ({100 * low:.1f}–{100 * high:.1f})"


def row(*cells: str) -> Iterator[str]:
    """One line of a table."""
    yield f"| {' | '.join(cells)} |"


def rule(alignment: str) -> str:
    """The line under a table's head: ``l`` and ``r`` for each column."""
    return f"|{'|'.join('---' if side == 'l' else '---:' for side in alignment)}|"


def detected(readings: Summary, threshold: float) -> Rate | None:
    """The share of pictures whose p-value is at most 10^threshold, None where a system has no p-values."""
    logarithms = readings["log10p"]
    return None if logarithms is None else Rate(sum(value <= threshold for value in logarithms), len(logarithms))


def _cell(readings: Any, threshold: float | None) -> str:
    if readings is None:
        return ""
    exact = Rate(readings["exact"], readings["n"])
    low, high = exact.interval
    cell = f"{exact.hits}/{exact.n} ({100 * low:.0f}–{100 * high:.0f})"
    rigorous = detected(readings, ONE_IN_A_MILLION)
    if rigorous is None:
        return cell
    cell += f" · {rigorous.hits}"
    empirical = None if threshold is None else detected(readings, threshold)
    cell += f" · {empirical.hits if empirical else '–'}"
    return f"{cell} · {statistics.median(readings['log10p']):.1f}" + (
        f" · {readings['wrong']} wrong" * bool(readings["wrong"])
    )


def _at_least(what: str, value: float, least: float, form: str, n: int) -> Iterator[str]:
    met = "yes" if value >= least else "**no**"
    yield from row(f"{what}, {n} pictures", f"≥ {form.format(least)}", form.format(value), met)
