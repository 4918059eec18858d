"""What an adapter's statement repeats of its contributors' enrolments, so that its readers need not open them."""

from __future__ import annotations

from collections.abc import Sequence

from provenance.canonical import Json
from provenance.errors import AdapterError
from provenance.federated.statements import Enrolment, Plan

SCREENED, PRIVATE = "screening", "privacy"
BY = "contributors"


def told_of_contributors(enrolments: Sequence[Enrolment]) -> list[Json]:
    """The byproducts that repeat, by dataset, how each was screened and, if any keeps to one, each one's privacy."""
    screenings = {each.dataset: each.screening for each in enrolments}
    privacies = {each.dataset: each.privacy for each in enrolments}
    told: list[Json] = [{"name": SCREENED, "annotations": {"by": BY, "screenings": screenings}}]
    if any(privacies.values()):
        told.append({"name": PRIVATE, "annotations": {"by": BY, "privacies": privacies}})
    return told


def require_promised(plan: Plan, enrolment: Enrolment, what: str) -> None:
    """Raises AdapterError unless an enrolment promises the privacy that the plan's settings ask for, and none else."""
    wanted = {"epsilon": plan.config.get("dp_epsilon"), "delta": plan.config.get("dp_delta")}
    promised = {name: (enrolment.privacy or {}).get(name) for name in wanted}
    if promised != wanted if wanted["epsilon"] else enrolment.privacy is not None:
        raise AdapterError(
            f"{what} is for another privacy", expected=str(wanted)[:200], found=str(enrolment.privacy)[:200]
        )


def require_told(predicate: Json, enrolments: Sequence[Enrolment]) -> None:
    """Raises AdapterError unless a statement tells of screening and privacy what was enrolled, once, and no more."""
    listed: list[object] = []
    match predicate:
        case {"runDetails": {"byproducts": [*found]}}:
            listed = found
    for name in (SCREENED, PRIVATE):
        wanted = [entry for entry in told_of_contributors(enrolments) if entry["name"] == name]
        said = [entry for entry in listed if isinstance(entry, dict) and entry.get("name") == name]
        if said != wanted:
            raise AdapterError(
                f"the adapter's statement tells of another {name} than its contributors signed",
                expected=str(wanted)[:500],
                found=str(said)[:500],
            )
