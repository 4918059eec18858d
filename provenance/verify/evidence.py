"""Where a verifier gets its evidence: a home's ledger and store, a bundle, or nowhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from provenance.batch import Inclusion, read_inclusion, read_issuer, read_manifest
from provenance.errors import Unavailable
from provenance.ledger.protocol import Batch, LedgerReader
from provenance.unixfs import BlockSource


class Evidence(Protocol):
    """What can be asked; each method raises Unavailable when there is no answer, which is never a verdict."""

    @property
    def reader(self) -> LedgerReader:
        """The ledger."""

    @property
    def store(self) -> BlockSource:
        """The blocks of releases."""

    @property
    def carries_data(self) -> bool:
        """Whether training pictures that were published can be expected here."""

    def inclusion(self, batch: Batch, serial: int) -> Inclusion:
        """A record with its proof."""

    def manifest(self, batch: Batch, serial: int) -> bytes:
        """The C2PA manifest store a picture was issued with."""

    def issuer_pem(self, batch: Batch) -> bytes:
        """The certificates of a batch's issuer."""


@dataclass(frozen=True)
class HomeEvidence:
    """A ledger and a block store."""

    reader: LedgerReader
    store: BlockSource
    carries_data: bool = True

    def inclusion(self, batch: Batch, serial: int) -> Inclusion:
        """A record with its proof, worked out from the batch."""
        return read_inclusion(self.store, batch, serial)

    def manifest(self, batch: Batch, serial: int) -> bytes:
        """The C2PA manifest store a picture was issued with."""
        return read_manifest(self.store, batch, serial)

    def issuer_pem(self, batch: Batch) -> bytes:
        """The certificates of a batch's issuer."""
        return read_issuer(self.store, batch)


@dataclass(frozen=True)
class NoEvidence:
    """Neither a home nor a bundle: whatever needs a ledger cannot be answered."""

    reason: str = "there is no ledger to ask"

    @property
    def reader(self) -> LedgerReader:
        raise self._unavailable()

    @property
    def store(self) -> BlockSource:
        raise self._unavailable()

    @property
    def carries_data(self) -> bool:
        return False

    def inclusion(self, batch: Batch, serial: int) -> Inclusion:
        raise self._unavailable()

    def manifest(self, batch: Batch, serial: int) -> bytes:
        raise self._unavailable()

    def issuer_pem(self, batch: Batch) -> bytes:
        raise self._unavailable()

    def _unavailable(self) -> Unavailable:
        return Unavailable(
            f"this picture has traces that only a ledger can confirm, and {self.reason}",
            expected="a home (`prov init`, PROV_HOME) on the picture's ledger, or a bundle",
            fix="ask whoever made the picture for its bundle, then: prov verify IMAGE --bundle FILE --trust ROOT.pem",
        )
