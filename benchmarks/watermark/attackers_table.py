"""The attacker's bench as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.watermark.attackers import BAND, CHANGES_DB, SPECTRUM
from benchmarks.watermark.summary import Summary
from benchmarks.watermark.tables import row, rule


def lines(attackers: Summary) -> Iterator[str]:
    """For each system one table: what each estimate is worth after so many pictures."""
    for name, of in attackers["systems"].items():
        rows = of["rows"]
        yield (
            f"`{name}`, {of['side']} × {of['side']}, one secret key, one stream, serials counting up; drawn scenes and "
            f"cuts of photographs in turn. Tried on {rows[0]['victims']} new pictures, of which {of['exact before']} "
            "are read exactly before. `correlation`: of the estimate with a new picture's own pattern (marked − "
            f"original). `{SPECTRUM}`: frequencies that stand out over unmarked pictures, damped to remove, with "
            f"random phases to forge. `{BAND}`: the public band alone, for which no marked picture is needed: "
            "all directions damped alike, noise added. Removal: pictures still read exactly after it. Forgery: "
            "added to clean pictures, payloads returned / p < 1e-6 (least p)."
        )
        yield ""
        heads = [f"{what}, {change:g} dB" for change in CHANGES_DB for what in ("read after removal", "forged")]
        yield from row("pictures", "estimate", "correlation", *heads, "strongest lag (deviations)")
        yield rule("rl" + "r" * (2 + len(heads)))
        for one in rows:
            cells = []
            for change in CHANGES_DB:
                at = one[f"{change:g} dB"]
                cells.append(f"{at['exact after']}/{one['victims']} at {at['psnr']:.1f} dB")
                cells.append(f"{at['forged payload']} / {at['forged detected']} ({at['least p']:.0e})")
            yield from row(
                f"{one['pictures']:,}",
                one["estimate"] + (f" at {one['period']}" if one["period"] else ""),
                f"{one['correlation']:+.3f}",
                *cells,
                f"{one['lag']} ({one['clearness']:.1f})",
            )
        yield ""
