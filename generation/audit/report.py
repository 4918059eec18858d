"""An audit's result: a report, its pictures, and the summary of it that a training attestation carries.

::

    OUT/report.json   canonical JSON; its SHA-256 names the audit
    OUT/*.png         plots and sheets, by digest in the report
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from generation.audit.drawing import Studio
from generation.audit.model import AuditedModel
from provenance.canonical import Json, canonical_json, sha256_hex
from provenance.moments import format_moment, utc_now
from provenance.signing import staged

TYPE = "urn:prov:audit:v1"
REPORT = "report.json"


@dataclass(frozen=True)
class Audit:
    """A finished audit: ``report`` is what was found, ``summary`` what of it an attestation carries, PNGs by name."""

    report: Json
    summary: Json
    pictures: Mapping[str, bytes]

    @property
    def digest(self) -> str:
        """The SHA-256 of ``report.json``."""
        return sha256_hex(canonical_json(self.report))

    def write(self, out: Path, work: Path) -> None:
        """Writes the report and its pictures as a new folder, and deletes what was kept to go on from."""
        with staged(out) as staging:
            for name, data in self.pictures.items():
                (staging / name).write_bytes(data)
            (staging / REPORT).write_bytes(canonical_json(self.report))
        shutil.rmtree(work, ignore_errors=True)

    def byproduct(self) -> Json:
        """The audit as an SLSA byproduct: a resource descriptor with the report's digest and the summary."""
        return {
            "name": f"audit/{self.report['audit']}",
            "digest": {"sha256": self.digest},
            "mediaType": "application/json",
            "annotations": self.summary,
        }


def report_of(
    kind: str, model: AuditedModel, studio: Studio, seeds: Json, found: Json, pictures: Mapping[str, bytes]
) -> Json:
    """A report: what every audit says of its model and means, and then what this one found."""
    return {
        "type": TYPE,
        "audit": kind,
        "created": format_moment(utc_now()),
        "model": model.to_json(),
        "clip": studio.clip.digest,
        "policy": studio.policy.digest,
        "sampling": {"scheduler": "dpmsolver++", "steps": studio.how.steps, "guidance": studio.how.guidance},
        "seeds": seeds,
        "pictures": {name: sha256_hex(data) for name, data in sorted(pictures.items())},
        **found,
    }
