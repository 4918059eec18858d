"""The dataset under the safety policy, before any weight is loaded: a signed report that fits, or a screening now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from provenance.canonical import Json
from provenance.faults import Faults
from provenance.screening.run import screen_dataset, screen_texts
from provenance.screening.screens import ScreeningChoice, Screens, open_screens
from provenance.screening.subjects import subjects_of_release
from safety.errors import SafetyError
from training.errors import DatasetBlocked, TrainingError

if TYPE_CHECKING:
    from provenance.manifest import DatasetManifest
    from provenance.screening.report import Screening

KEPT = "screening.jsonl"
MAKER, TRAINER = "maker", "trainer"


@dataclass(frozen=True)
class Screened:
    """A screening that nothing is blocked by, and whose it is: ``maker`` (signed with the dataset) or ``trainer``."""

    report: Screening
    by: str

    def to_json(self) -> Json:
        """What the training attestation says of it."""
        return {"by": self.by, **self.report.to_summary()}


def require_screened(
    manifest: DatasetManifest,
    base: str,
    choice: ScreeningChoice,
    *,
    device: str,
    work: Path,
    progress: Callable[[int, int], None],
    prompts: Sequence[str] = (),
) -> Screened:
    """Gives a report that blocks nothing, about every record and by exactly the rules that are asked for.

    A report that the maker signed is taken when policy, filters and model are the same and it knows every hash list and
    likeness check; otherwise the dataset is screened here, and what was found is kept in ``work`` until the training is
    done. ``prompts`` are further texts that the model is trained under, held against the same rules as captions. Raises
    DatasetBlocked naming files and concepts, TrainingError when a filter cannot be loaded, or
    ScreeningInterrupted.
    """
    try:
        screens = open_screens(choice, base, device)
        _refuse_prompts(prompts, screens)
        screened = _screened(manifest, screens, work, progress)
    except SafetyError as error:
        raise TrainingError(
            f"the dataset cannot be screened, so nothing is trained on it: {error.what}",
            expected=error.expected,
            found=error.found,
            fix=error.fix or "give a policy whose filter loads with --policy",
        ) from error
    _refuse_blocked(screened)
    return screened


def _screened(
    manifest: DatasetManifest, screens: Screens, work: Path, progress: Callable[[int, int], None]
) -> Screened:
    signed = manifest.screening
    if signed is not None and not screens.rules.missing_from(signed.rules):
        # That it is about exactly these records was verified with the dataset.
        return Screened(signed, MAKER)
    was_there = work.exists()
    report = screen_dataset(subjects_of_release(manifest), screens, kept=work / KEPT, progress=progress)
    if report.blocked:
        _leave_nothing(work, was_there)
    return Screened(report, TRAINER)


def _leave_nothing(work: Path, was_there: bool) -> None:
    (work / KEPT).unlink(missing_ok=True)
    if not was_there:
        work.rmdir()


def _refuse_prompts(prompts: Sequence[str], screens: Screens) -> None:
    faults = Faults()
    for number, decision in enumerate(screen_texts(prompts, screens), start=1):
        if not decision.allowed:
            faults.add(f"prompt {number}", f"{decision.rule} ({decision.reason})")
    faults.refuse(
        DatasetBlocked,
        f"the safety policy blocks {len(faults)} of the prompts that the base is to draw a prior for",
        fix="take them out of `prior_prompts`",
    )


def _refuse_blocked(screened: Screened) -> None:
    faults, rules = Faults(), screened.report.rules
    for item in screened.report.blocked:
        faults.add(item.path, "; ".join(dict.fromkeys(f"{f.rule} ({f.reason})" for f in item.findings)))
    whose = "the report that its maker signed" if screened.by == MAKER else "the safety policy"
    faults.refuse(
        DatasetBlocked,
        f"{whose} blocks {len(faults)} of {len(screened.report.items)} pictures "
        f"({rules.policy_name} version {rules.policy_version}, {rules.policy[:16]}…)",
        fix="take these files out and sign the dataset again; `prov dataset screen` shows every score",
    )
