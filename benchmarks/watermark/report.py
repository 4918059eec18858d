"""`docs/watermark.md` and its pictures, made from the summary alone but for the amplified differences."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.watermark import attackers_table, null_table, plots, tables
from benchmarks.watermark.drawn import dark_pictures, flat_pictures, saturated_pictures, text_pages
from benchmarks.watermark.pictures import Picture, photographs
from benchmarks.watermark.suite import GROUPS, group_of, suite
from benchmarks.watermark.summary import Summary, save
from benchmarks.watermark.systems import RIVA_GAN, RIVA_GAN_32, system

PAGE, NOTES = "watermark.md", Path(__file__).parent / "notes.md"
ATTACKS, STRENGTH, NULL, DIFFERENCE = (
    f"watermark-{name}.png" for name in ("attacks", "strength", "null", "difference")
)


def publish(folder: Path, summary: Summary, *, look: bool) -> list[Path]:
    """Writes summary, page and plots; ``look`` also redraws the amplified differences with the backend as it is."""
    save(folder, summary)
    written = [folder / PAGE]
    if summary.get("systems"):
        plots.heat_map(summary, summary["main"], folder / ATTACKS)
        plots.curves(summary, summary["main"], folder / STRENGTH)
        written += [folder / ATTACKS, folder / STRENGTH]
        if look:
            plots.difference(system(default_system(summary)), looked_at(), folder / DIFFERENCE)
            written.append(folder / DIFFERENCE)
    if summary.get("null"):
        plots.null_histogram(summary["null"], folder / NULL)
        written.append(folder / NULL)
    (folder / PAGE).write_text("\n".join(page(summary, folder)) + "\n", encoding="utf-8")
    return written


def default_system(summary: Summary) -> str:
    """The system whose targets are told: the first that was asked for."""
    return str(summary["order"][0])


def looked_at() -> list[Picture]:
    """Where a mark would show first: two photographs, one flat, dark, saturated and printed picture each."""
    return [
        *photographs()[:2],
        flat_pictures()[1],
        flat_pictures()[4],
        dark_pictures()[1],
        saturated_pictures()[0],
        text_pages()[0],
    ]


def page(summary: Summary, folder: Path) -> Iterator[str]:
    """The lines of the page."""
    yield "# The watermark, measured"
    yield ""
    yield (
        "Written by `prov bench watermark` (with `--null N` and `--attackers` for their sections), from figures kept "
        "in [watermark.json](watermark.json). Every attack is a function in `benchmarks/watermark/attacks.py`, every "
        "strength in `suite.py`, every picture in `pictures.py` and `drawn.py`; all are deterministic."
    )
    if summary.get("systems"):
        yield from _main(summary, folder)
    if summary.get("null"):
        yield from ("", "## Null decisions", "")
        yield from null_table.lines(summary["null"])
        yield from ("", f"![Shares of null decisions by p-value]({NULL})")
    if summary.get("attackers"):
        yield from ("", "## An attacker with many marked pictures", "")
        yield from attackers_table.lines(summary["attackers"])
    if NOTES.exists():
        yield from ("", NOTES.read_text(encoding="utf-8").rstrip())


def _main(summary: Summary, folder: Path) -> Iterator[str]:
    main, first = summary["main"], default_system(summary)
    yield from ("", f"Measured on {summary['machine']}. Times are the processor's, on one thread.", "")
    yield from (f"## Targets: `{first}` on {main}", "")
    yield from tables.targets(summary, first, main)
    yield from ("", "## Cost", "")
    yield from tables.costs(summary)
    yield from (
        "",
        f"`{RIVA_GAN_32}` is rivaGan as its package uses it: 32 bits over the whole picture, no code and no p-value. "
        f"`{RIVA_GAN}` carries our 64 bits in the four quarters of the picture. Unmarked: a picture without a mark, "
        "for which everything is tried.",
        "",
        "## Kinds of pictures",
        "",
        "Pictures read exactly, of all attacks of a group together; "
        + "; ".join(f"{group}: {len(group_of(group))} attacks" for group in GROUPS)
        + ".",
        "",
    )
    yield from tables.groups(summary)
    yield from ("", "What each group is:", "")
    for group in GROUPS:
        yield f"- {group}: {'; '.join(group_of(group))}"
    if (folder / DIFFERENCE).exists():
        yield from ("", f"![Original, marked, and the difference × {plots.AMPLIFIED}]({DIFFERENCE})")
    yield from ("", f"## Every attack, on {main}", "")
    yield (
        "Each cell: pictures whose whole payload was read, of how many (Wilson's 95 % interval in percent) · those "
        "detected at p ≤ 1e-6 by the detector's own p-value · those detected at an empirical false-positive rate of "
        f"0.1 % (where null decisions were made) · median of log10 p. {len(suite()) - 1} attacks. `wrong` counts "
        "payloads that were returned and are not the one written. Crops of one photograph are not independent of each "
        "other, so true intervals are somewhat wider."
    )
    yield ""
    yield from tables.attacks(summary, main, null_table.thresholds(summary.get("null")))
    yield from (
        "",
        f"![Exact payload by attack and backend]({ATTACKS})",
        "",
        f"![Exact payload by strength]({STRENGTH})",
    )
