"""in-toto Statement v1: which files (by name and SHA-256) a claim is about."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from provenance.canonical import Json, canonical_json, parse_json
from provenance.errors import FormatError, ProvenanceError
from provenance.names import check_name, collisions

TYPE = "https://in-toto.io/Statement/v1"
MAX_BYTES = 256 * 1024**2
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Statement:
    """Subjects (file name to SHA-256 in hexadecimal), the type of claim, and the claim."""

    subjects: dict[str, str]
    predicate_type: str
    predicate: Json

    def to_bytes(self) -> bytes:
        """The statement as canonical JSON, subjects in order of name: the bytes that are signed and anchored."""
        subjects = [{"digest": {"sha256": self.subjects[name]}, "name": name} for name in sorted(self.subjects)]
        return canonical_json(
            {"_type": TYPE, "predicate": self.predicate, "predicateType": self.predicate_type, "subject": subjects}
        )

    @classmethod
    def parse(cls, data: bytes, what: str = "the statement", *, predicate_type: str | None = None) -> Statement:
        """Reads a statement strictly: safe and distinct names, one SHA-256 each; raises FormatError."""
        value = parse_json(data, what, limit=MAX_BYTES)
        if not isinstance(value, dict) or set(value) != {"_type", "predicate", "predicateType", "subject"}:
            raise FormatError(f"{what} is not an in-toto statement", expected="type, subjects and one claim")
        if value["_type"] != TYPE:
            raise FormatError(f"{what} is not an in-toto statement", expected=TYPE, found=str(value["_type"])[:100])
        if predicate_type is not None and value["predicateType"] != predicate_type:
            found = str(value["predicateType"])[:100]
            raise FormatError(f"{what} makes another kind of claim", expected=predicate_type, found=found)
        if not isinstance(value["predicateType"], str) or not isinstance(value["predicate"], dict):
            raise FormatError(f"{what} has no claim", expected="predicateType as text, predicate as an object")
        return cls(_subjects(value["subject"], what), value["predicateType"], value["predicate"])


def is_digest(value: Any) -> bool:
    """Whether a value is a SHA-256 in lower-case hexadecimal."""
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _subjects(value: Any, what: str) -> dict[str, str]:
    if not isinstance(value, list) or not value:
        raise FormatError(f"{what} has no subjects", expected="at least one file")
    subjects: dict[str, str] = {}
    for entry in value:
        match entry:
            case {"name": str(name), "digest": {"sha256": digest, **others}, **extra} if not others and not extra:
                pass
            case _:
                raise FormatError(f"{what} has a malformed subject", expected="name and digest.sha256")
        if not is_digest(digest):
            raise FormatError(f"{what} has a malformed digest", expected="64 lower-case hexadecimal digits")
        try:
            check_name(name)
        except ProvenanceError as error:
            raise FormatError(f"{what} names an unsafe file: {error.what}") from error
        if name in subjects:
            raise FormatError(f"{what} names {name} twice", expected="every file once")
        subjects[name] = digest
    for first, second in collisions(subjects):
        raise FormatError(f"{what} has names that some systems take for one", found=f"{first} and {second}")
    return subjects
