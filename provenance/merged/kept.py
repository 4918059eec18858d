"""The file that a merge keeps of one parent.

::

    adapter/merge/parent-NN.json   its statement and certificates, its dataset's statement and records, without
                                   pictures, and what its own release keeps of contributors and parents

It lies below ``adapter/``, so the merge's own statement signs it too, and is published in clear.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from provenance.canonical import canonical_json, parse_json
from provenance.errors import FormatError
from provenance.federated.contributions import FOLDER as FEDERATED
from provenance.screening.report import SCREENING

TYPE = "urn:prov:merge-parent:v1"
FOLDER = "merge/"
KEYS = {"type", "issuer", "statement", "dataset", "kept"}
MAX_BYTES = 256 * 1024**2


@dataclass(frozen=True)
class KeptParent:
    """The files that a merge keeps of one parent: ``dataset`` by name in its release, ``kept`` below ``adapter/``."""

    chain: bytes
    statement: bytes
    dataset: Mapping[str, bytes]
    kept: Mapping[str, bytes]

    def to_bytes(self) -> bytes:
        """The file ``parent-NN.json``."""
        return canonical_json(
            {
                "type": TYPE,
                "issuer": self.chain.decode(),
                "statement": self.statement.decode(),
                "dataset": {name: data.decode() for name, data in self.dataset.items()},
                "kept": {name: data.decode() for name, data in self.kept.items()},
            }
        )

    @classmethod
    def parse(cls, data: bytes, what: str) -> KeptParent:
        """Reads the file without trusting it; raises FormatError."""
        value = parse_json(data, what, limit=MAX_BYTES)
        match value:
            case {
                "type": "urn:prov:merge-parent:v1",
                "issuer": str(chain),
                "statement": str(statement),
                "dataset": dict(dataset),
                "kept": dict(kept),
            } if set(value) == KEYS and all(isinstance(text, str) for text in (*dataset.values(), *kept.values())):
                return cls(
                    chain.encode(),
                    statement.encode(),
                    {name: text.encode() for name, text in dataset.items()},
                    {name: text.encode() for name, text in kept.items()},
                )
        raise FormatError(f"{what} is not a parent of a merge", expected=TYPE)


def parent_name(number: int) -> str:
    """The file of the ``number``-th parent, from 1, below ``adapter/``."""
    return f"{FOLDER}parent-{number:02}.json"


def is_kept(name: str) -> bool:
    """Whether a file below a parent's ``adapter/`` is kept with it: who contributed, its parents, how it was screened.

    A report of the maker's own is the dataset's, and is kept with that.
    """
    return name.startswith((FEDERATED, FOLDER)) or name == SCREENING
