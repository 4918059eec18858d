"""What a contributor keeps for itself, to show later what it signed and, if it ever must, what it added.

::

    federated/<first 16 digits of the plan's digest>/plan.json, enrolment.json, adapter.json   signed envelopes
    federated/<…>/round-NNNN.json                                                              its own updates'
    federated/<…>/salts.json     by round, what opens the commitments of a secure aggregation; for nobody else's eyes
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from provenance.canonical import canonical_json
from provenance.files import write_file


@dataclass
class Kept:
    """The folder of one training, made when the first thing is kept."""

    folder: Path
    _salts: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, home: Path, plan: str) -> Kept:
        """Below a home, by the digest of the plan."""
        return cls(home / "federated" / plan[:16])

    def envelope(self, name: str, data: bytes) -> None:
        """Keeps a signed statement."""
        self._write(f"{name}.json", data)

    def salt(self, number: int, salt: bytes) -> None:
        """Keeps what opens the commitment of a round, before that is sent."""
        self._salts[str(number)] = salt.hex()
        self._write("salts.json", canonical_json(self._salts))

    def _write(self, name: str, data: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_file(self.folder / name, data, mode=0o600)
