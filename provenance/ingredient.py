"""A picture that another was made from, as an ingredient of its credentials: kept with its own history.

Whoever signed that history, and whether it still holds, is written beside it (C2PA 2.2, 9.4 and 18.16). What the
picture's maker says there about its use as an input is kept to.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provenance.c2pa_context import context
from provenance.canonical import Json
from provenance.errors import CredentialsError

if TYPE_CHECKING:
    import c2pa

MAX_STORE_BYTES = 4 * 1024**2
TITLE = "input"
"""What an ingredient is called: file names can give away what nobody meant to publish."""

_LABEL = "input"
_CHOICES = ("cawg.training-mining", "c2pa.training-mining")
_ENTRIES = ("cawg.ai_inference", "c2pa.ai_inference")


@dataclass(frozen=True)
class Ingredient:
    """The bytes of a whole PNG, JPEG or WebP file; ``kept`` when part of its pixels are still in the new picture."""

    data: bytes
    media_type: str
    kept: bool

    def add_to(self, builder: c2pa.Builder) -> None:
        """Makes it the parent of what is being signed."""
        parent = {"title": TITLE, "format": self.media_type, "relationship": "parentOf", "label": _LABEL}
        builder.add_ingredient(parent, self.media_type, io.BytesIO(self.data))

    def opened(self) -> Json:
        """The action that names it."""
        return {"action": "c2pa.opened", "parameters": {"ingredientIds": [_LABEL]}}


def require_usable(ingredient: Ingredient) -> None:
    """Raises CredentialsError for a history that is no C2PA or too large to be carried on, or that forbids the use."""
    import c2pa

    archive = io.BytesIO()
    try:
        with context() as unfetched, c2pa.Builder(json.dumps({"title": TITLE}), context=unfetched) as builder:
            ingredient.add_to(builder)
            builder.to_archive(archive)
        report = _report(ingredient)
    except c2pa.C2paError as error:
        raise CredentialsError(
            "the input picture's Content Credentials cannot be read, so they cannot be carried on",
            found=str(error)[:200],
            fix="export the picture again without them",
        ) from error
    if archive.tell() > MAX_STORE_BYTES:
        raise CredentialsError(
            "the input picture's Content Credentials are too large to be carried on",
            expected=f"at most {MAX_STORE_BYTES} bytes",
            found=f"{archive.tell()} bytes",
            fix="use the picture without its thumbnails, or an earlier version of it",
        )
    if (choice := _choice(report)) is not None:
        raise CredentialsError(
            "the input picture's Content Credentials do not allow its use as an input to a model",
            expected="ai_inference allowed, or nothing said of it",
            found=f"ai_inference {choice}",
            fix="ask who made it, or take another picture",
        )


def _report(ingredient: Ingredient) -> Json:
    import c2pa

    with context() as unfetched:
        reader = c2pa.Reader.try_create(ingredient.media_type, io.BytesIO(ingredient.data), context=unfetched)
        if reader is None:
            return {}
        with reader:
            report: Json = json.loads(reader.json())
            return report


def _choice(report: Json) -> str | None:
    """What the picture or one that it was edited from says of inference, when that is not plainly allowed.

    CAWG training and data mining 1.1. A store is at most ``MAX_STORE_BYTES``, and each of its manifests is read once.
    """
    manifests = report.get("manifests") or {}
    waiting, seen = [report.get("active_manifest")], set()
    while waiting:
        label = waiting.pop()
        if label in seen or not isinstance(manifest := manifests.get(label), dict):
            continue
        seen.add(label)
        if (choice := _own_choice(manifest)) is not None:
            return choice
        parents = (each for each in manifest.get("ingredients") or [] if each.get("relationship") == "parentOf")
        waiting += [each.get("active_manifest") for each in parents]
    return None


def _own_choice(manifest: Json) -> str | None:
    uses = [
        _use(entries.get(name))
        for assertion in manifest.get("assertions", [])
        if str(assertion.get("label", "")).startswith(_CHOICES) and isinstance(assertion.get("data"), dict)
        for entries in [assertion["data"].get("entries") or {}]
        for name in _ENTRIES
    ]
    return next((use for use in uses if use not in (None, "allowed")), None)


def _use(entry: Any) -> str | None:
    if entry is None:
        return None
    return str(entry.get("use"))[:40] if isinstance(entry, dict) else "unreadable"
