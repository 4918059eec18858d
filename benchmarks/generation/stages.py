"""Each stage that comes after sampling, alone: milliseconds for one picture of a given side."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from provenance.credentials import ProvAssertion, SignedImage, sign_image, soft_binding_algorithm
from provenance.files import write_file
from provenance.fingerprint import fingerprint
from provenance.home import Home
from provenance.identity import Issuer, load_issuer
from provenance.issuing import encode_image
from provenance.journal import Journal
from provenance.ledger import open_ledger
from provenance.ledger.accounts import load_account
from provenance.placement import watermark_entry
from provenance.record import ImageRecord, Origin, build_record, pixels_digest
from safety.content import ContentFilter, screen_all_or_refuse
from safety.watermark import embed_verified

if TYPE_CHECKING:
    from numpy.typing import NDArray

PNG = "image/png"


@dataclass(frozen=True)
class Stages:
    """Medians in milliseconds of processor time, so that what else a machine does counts for nothing.

    ``record`` builds it from the delivered bytes. ``store`` makes it durable and ``write`` writes the file: these two
    wait for the disk, and are measured by the clock.
    """

    mark: float
    screen: float
    encode: float
    fingerprint: float
    sign: float
    record: float
    store: float
    write: float

    @property
    def total(self) -> float:
        """All of them, one after the other."""
        return float(sum(asdict(self).values()))


@dataclass(frozen=True)
class Desk:
    """What the stages work with: a home's journal and issuer, a stream of it, and a content filter."""

    home: Home
    journal: Journal
    issuer: Issuer
    origin: Origin
    content_filter: ContentFilter

    @classmethod
    def of(cls, home: Home, journal: Journal, content_filter: ContentFilter, base: str) -> Desk:
        """A desk with a stream of its own."""
        ledger, issuer = open_ledger(home), load_issuer(home)
        stream = ledger.open_stream(load_account(home), 0)
        journal.add_stream(stream)
        identity, namespace = ledger.identity, ledger.namespace
        ledger.close()
        origin = Origin(
            identity.chain_id, identity.contract, namespace, stream.stream, 0, None, None, base, issuer.root_digest
        )
        return cls(home, journal, issuer, origin, content_filter)

    def timed(self, pictures: list[NDArray[np.uint8]], out: Path) -> Stages:
        """Takes pictures through every stage; the first is not counted."""
        laps = [self._taken_through(picture, out) for picture in pictures][1:]
        return Stages(**{name: statistics.median(lap[name] for lap in laps) for name in laps[0]})

    def _taken_through(self, picture: NDArray[np.uint8], out: Path) -> dict[str, float]:
        serial = self.journal.reserve(self.origin.stream)
        payload, clock = self.origin.payload(serial), _Clock()
        marked, detection = clock.lap("mark", lambda: embed_verified(picture, payload))
        (decision,) = clock.lap("screen", lambda: screen_all_or_refuse(self.content_filter, [marked]))
        encoded = clock.lap("encode", lambda: encode_image(marked, PNG))
        assertion = clock.lap(
            "fingerprint", lambda: ProvAssertion.of(self.origin, serial, pixels_digest(marked), fingerprint(marked))
        )
        signed = clock.lap("sign", lambda: self._signed(encoded, assertion, detection.backend, [decision]))
        record = clock.lap("record", lambda: self._record(signed, serial, decision, watermark_entry(detection)))
        clock.lap("store", lambda: self.journal.store(record, signed.manifest))
        clock.lap("write", lambda: write_file(out / f"{serial}.png", signed.data))
        return clock.taken

    def _signed(self, encoded: bytes, assertion: ProvAssertion, backend: str, decisions: list[Any]) -> SignedImage:
        return sign_image(
            encoded,
            PNG,
            issuer=self.issuer,
            assertion=assertion,
            soft_binding=soft_binding_algorithm(backend),
            title="picture.png",
            decisions=decisions,
        )

    def _record(self, signed: SignedImage, serial: int, decision: Any, watermark: dict[str, Any]) -> ImageRecord:
        return build_record(
            signed.data,
            origin=self.origin,
            serial=serial,
            manifest=signed.manifest,
            created="2026-01-01T00:00:00Z",
            generator="bench",
            prompt={"hmac": "00" * 32},
            parameters={},
            safety=(decision.to_json(),),
            watermark=watermark,
        )


class _Clock:
    """What each lap took, in milliseconds."""

    def __init__(self) -> None:
        self.taken: dict[str, float] = {}

    def lap(self, name: str, task: Callable[[], Any]) -> Any:
        now = time.perf_counter if name in ("store", "write") else time.process_time
        began = now()
        done = task()
        self.taken[name] = 1000 * (now() - began)
        return done
