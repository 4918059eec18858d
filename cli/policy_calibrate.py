"""`prov policy calibrate`: thresholds from pictures or prompts of one's own, with what can be claimed of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import emit, note, progress, refusals
from cli.policy_options import BaseOption, JsonOption, PolicyOption

if TYPE_CHECKING:
    from safety.calibration_report import Outcome
    from safety.calibration_scores import Sample, SampleScorer, ScoredSet

STAGES = ("output", "prompt")


def calibrate(
    negatives: Annotated[
        Path, typer.Option(help="Folder of harmless pictures, or with --stage prompt a file of prompts, one a line.")
    ],
    positives: Annotated[
        Path, typer.Option(help="Folder with one folder of pictures, or one .txt of prompts, for each concept.")
    ],
    out: Annotated[Path, typer.Option(help="New folder for the new policy, its figures and its curves.")],
    concept: Annotated[
        str | None, typer.Option(help="All positives show this concept; no folders by concept then.")
    ] = None,
    stage: Annotated[str, typer.Option(help="output for pictures, prompt for prompts.")] = "output",
    target_fpr: Annotated[float, typer.Option(help="Share of harmless inputs that each concept may block.")] = 0.01,
    confidence: Annotated[float, typer.Option(help="Confidence of that claim.")] = 0.95,
    policy: PolicyOption = None,
    base: BaseOption = "starter",
    device: Annotated[str, typer.Option(help="Where the model runs: cpu, cuda, …")] = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Set a policy's thresholds so that harmless inputs are blocked at most at a rate that their number can show.

    Example: prov policy calibrate --negatives harmless --positives forbidden --out calibrated
    """
    with refusals():
        from provenance.errors import UsageError
        from provenance.signing import staged
        from safety.calibration import negatives_needed
        from safety.calibration_plot import plot_roc
        from safety.calibration_report import calibrate_policy
        from safety.calibration_scores import SampleScorer
        from safety.content import open_policy_model
        from safety.policy import open_policy

        if stage not in STAGES:
            raise UsageError(f"--stage is {stage!r}", expected=" or ".join(STAGES))
        negatives_needed(target_fpr, confidence)
        rules = open_policy(policy, base)
        sources = _positive_sources(positives, concept, stage)
        with staged(out) as folder:
            scorer = SampleScorer(rules, open_policy_model(rules, base, device), stage)
            _require_known(sources, scorer)
            harmless = _scored(scorer, negatives, "negatives")
            shown = {name: _scored(scorer, source, f"positives of {name}") for name, source in sources.items()}
            outcome = calibrate_policy(rules, scorer, harmless, shown, target=target_fpr, confidence=confidence)
            (folder / "policy.yaml").write_bytes(outcome.policy_yaml)
            (folder / "calibration.json").write_text(json.dumps(outcome.report, indent=1, sort_keys=True) + "\n")
            for name, fit in outcome.fits.items():
                path = folder / f"roc-{name}.png"
                plot_roc(name, fit, harmless.scores[name], shown[name].scores[name], path)
    emit(_summary(outcome), "\n".join([*_lines(outcome), f"written to {out}"]), as_json=as_json)


def _positive_sources(positives: Path, concept: str | None, stage: str) -> dict[str, Path]:
    """Where the positives of each concept are."""
    from provenance.errors import UsageError

    if concept is not None:
        return {concept: positives}
    entries = sorted(positives.iterdir()) if positives.is_dir() else []
    if stage == "prompt":
        found = {entry.stem: entry for entry in entries if entry.suffix == ".txt"}
    else:
        found = {entry.name: entry for entry in entries if entry.is_dir()}
    if not found:
        raise UsageError(
            f"{positives} does not say which concepts its positives show",
            expected="a file CONCEPT.txt for each concept" if stage == "prompt" else "a folder for each concept",
            fix="name them so, or give --concept",
        )
    return found


def _require_known(sources: dict[str, Path], scorer: SampleScorer) -> None:
    from provenance.errors import UsageError

    unknown = sorted(set(sources) - set(scorer.concepts))
    if unknown:
        raise UsageError(
            f"the policy cannot compare {', '.join(unknown)} at stage {scorer.stage}",
            expected=f"concepts among {', '.join(scorer.concepts)}",
            found=", ".join(str(sources[name]) for name in unknown),
        )


def _scored(scorer: SampleScorer, source: Path, label: str) -> ScoredSet:
    from provenance.errors import UsageError

    samples = _prompts(source) if scorer.stage == "prompt" else _pictures(source)
    total = len(samples)
    if total == 0:
        raise UsageError(f"{source} holds no {'prompts' if scorer.stage == 'prompt' else 'pictures'}")
    scored = scorer.score(_counted(samples, total, label))
    if scored.repeated:
        note(f"{label}: {scored.repeated} of {total} were the same as others, and count once")
    return scored


def _counted(samples: list[Any], total: int, label: str) -> Iterator[Sample]:
    show = progress(label)
    for done, load in enumerate(samples, 1):
        yield load()
        show(done, total)


def _pictures(folder: Path) -> list[Any]:
    """One loader for each picture under a folder."""
    from functools import partial

    from provenance.errors import UsageError
    from provenance.images import SUFFIXES

    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", expected="a folder of PNG, JPEG or WebP pictures")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    pictures = [path for path in files if path.suffix.lower() in SUFFIXES]
    if len(pictures) < len(files):
        note(f"{folder}: {len(files) - len(pictures)} files are no pictures by their names, and are left out")
    return [partial(_picture, path, path.relative_to(folder).as_posix()) for path in pictures]


def _picture(path: Path, name: str) -> Sample:
    import numpy as np

    from provenance.files import read_file
    from provenance.images import MAX_BYTES, decode_image
    from safety.calibration_scores import Sample

    return Sample(name, np.asarray(decode_image(read_file(path, limit=MAX_BYTES), str(path))))


def _prompts(file: Path) -> list[Any]:
    """One loader for each line of a file that is not blank."""
    from functools import partial

    from provenance.errors import UsageError
    from provenance.files import read_file
    from safety.calibration_scores import Sample
    from safety.policy import MAX_BYTES

    try:
        lines = read_file(file, limit=64 * MAX_BYTES).decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not a text file", expected="UTF-8, one prompt a line") from error
    return [partial(Sample, f"line {number}", text) for number, line in enumerate(lines, 1) if (text := line.strip())]


def _summary(outcome: Outcome) -> dict[str, Any]:
    """The report without its rows of scores, which stand in calibration.json."""
    concepts = {
        name: {key: value for key, value in of.items() if key != "scores"}
        for name, of in outcome.report["concepts"].items()
    }
    return outcome.report | {"concepts": concepts}


def _lines(outcome: Outcome) -> list[str]:
    report = outcome.report
    claim = f"at most {report['target_fpr']:.3g} blocked, {report['confidence']:.0%} confidence"
    lines = [f"{report['scorer']} on {report['negatives']['n']} negatives: {claim}"]
    for name, of in report["concepts"].items():
        warns = "" if of["warn"] is None else f"warns from {of['warn']:g}, "
        at_one = of["recall_at_fpr_1_percent"]
        lines += [
            f"{name}: {warns}blocks from {of['block']:g}",
            f"  {_rate(of['false_positives'])} of harmless inputs blocked, {_rate(of['recall'])} of positives found",
            f"  at 1 % false positives {_rate(at_one)} found; AUROC {of['auroc']:.4f}",
        ]
    family, target = report["together"], report["target_fpr"]
    if family["concepts"] > 1:
        lines += [
            f"{family['concepts']} concepts at {target:.3g} each may block up to {family['fpr_at_most']:.3g} together; "
            f"here {_rate(family['blocked'])}",
            f"  for {target:.3g} together, give --target-fpr {target / family['concepts']:.3g}",
        ]
    if report["not_calibrated"]:
        lines.append(f"not calibrated, no positives: {', '.join(report['not_calibrated'])}")
    return [
        *lines,
        f"policy {report['policy']['name']} version {report['policy']['version']}, digest {report['policy']['digest']}",
    ]


def _rate(rate: dict[str, Any]) -> str:
    low, high = rate["interval"]
    return f"{rate['share']:.2%} ({rate['hits']} of {rate['n']}; {low:.2%} to {high:.2%})"
