"""What every statement of an adapter says, whatever it came of: a training, a federated training or a merge."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from provenance.canonical import Json
from provenance.errors import FormatError
from provenance.moments import parse_moment
from provenance.statement import is_digest

PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
STATEMENT = "adapter.dsse.json"
WEIGHTS = "adapter.safetensors"


def dependencies(predicate: Json) -> list[Json]:
    """Every resolvedDependency that is an object; none where the predicate has no list of them."""
    try:
        entries: Any = predicate["buildDefinition"]["resolvedDependencies"]
        return [entry for entry in entries if isinstance(entry, dict)]
    except (KeyError, TypeError):
        return []


def dependency(predicate: Json, name: str) -> Json:
    """The one resolvedDependency of a name, which has a SHA-256; raises FormatError."""
    found = [entry for entry in dependencies(predicate) if entry.get("name") == name]
    match found:
        case [{"digest": {"sha256": digest}}] if is_digest(digest):
            return dict(found[0])
    raise FormatError(
        f"{STATEMENT} does not say which {name} was used", expected=f'one resolvedDependency "{name}" with its SHA-256'
    )


def finished(predicate: Json) -> datetime:
    """When an adapter was made; raises FormatError, also when dataset, base or code are not named."""
    for name in ("dataset", "base", "code"):
        dependency(predicate, name)
    match predicate:
        case {"runDetails": {"metadata": {"finishedOn": str(moment)}}}:
            return parse_moment(moment, STATEMENT)
        case _:
            raise FormatError(
                f"{STATEMENT} does not say when training ended", expected="runDetails.metadata.finishedOn"
            )
