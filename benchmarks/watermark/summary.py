"""Everything measured, as one JSON object: what the tables and plots are made from, and what is committed."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.watermark.cost import TIMED
from benchmarks.watermark.journal import Journal
from benchmarks.watermark.suite import suite
from benchmarks.watermark.systems import code_digest
from benchmarks.watermark.trials import QUALITY

Summary = dict[str, Any]
SUMMARY_FILE = "watermark.json"


def load(folder: Path) -> Summary:
    """The summary of earlier runs, or an empty one."""
    path = folder / SUMMARY_FILE
    summary: Summary = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return summary


def save(folder: Path, summary: Summary) -> None:
    """Writes the summary beside the tables made from it."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(summary, indent=1, sort_keys=True, ensure_ascii=False)
    (folder / SUMMARY_FILE).write_text(text + "\n", encoding="utf-8")


def of_trials(journal: Journal, systems: Sequence[str], sets: Iterable[str]) -> Summary:
    """What the journal holds for the code as it is: quality, readings, milliseconds, by system."""
    digests, wanted = {name: code_digest(name) for name in systems}, set(sets)
    current = [result for result in journal if digests.get(result["system"]) == result["digest"]]
    of_system: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for result in current:
        if result["kind"] in ("timing", "cost") or (result["kind"] == "trial" and result["set"] in wanted):
            of_system[result["system"]].append(result)
    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "systems": {name: _system(of_system[name]) for name in systems if of_system[name]},
        "order": [name for name in systems if of_system[name]],
    }


def _system(results: list[dict[str, Any]]) -> Summary:
    trials = [result for result in results if result["kind"] == "trial"]
    quality: dict[str, list[dict[str, Any]]] = defaultdict(list)
    readings: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for trial in trials:
        if trial["what"] != QUALITY:
            readings[trial["set"]][trial["what"]].append(trial)
        elif "psnr" in trial:
            quality[trial["set"]].append(trial)
    return {
        "quality": {kind: _quality(found) for kind, found in quality.items()},
        "readings": {
            kind: {name: _readings(found[name]) for name in suite() if name in found}
            for kind, found in readings.items()
        },
        "timing": _timing([result for result in results if result["kind"] == "timing"]),
        "cost": {
            result["picture"]: {kind: result[kind] for kind in TIMED if kind in result}
            for result in results
            if result["kind"] == "cost"
        },
    }


def _quality(trials: list[dict[str, Any]]) -> Summary:
    psnr, ssim = [trial["psnr"] for trial in trials], [trial["ssim"] for trial in trials]
    return {
        "n": len(trials),
        "psnr": round(statistics.mean(psnr), 2),
        "psnr_least": round(min(psnr), 2),
        "ssim": round(statistics.mean(ssim), 4),
        "ssim_least": round(min(ssim), 4),
    }


def _readings(trials: list[dict[str, Any]]) -> Summary:
    p_values = [trial["p"] for trial in trials]
    times = [trial["ms"] for trial in trials if "ms" in trial]
    return {
        "n": len(trials),
        "exact": sum(trial["exact"] for trial in trials),
        "wrong": sum(trial.get("wrong", False) for trial in trials),
        "log10p": None if None in p_values else sorted(round(math.log10(p), 1) for p in p_values),
        "ms": round(statistics.median(times), 1) if times else None,
    }


def _timing(results: list[dict[str, Any]]) -> Summary:
    if not results:
        return {}
    medians = {kind: round(statistics.median(result[kind] for result in results), 1) for kind in TIMED}
    return {"n": len(results), **medians}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
