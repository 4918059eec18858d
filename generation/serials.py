"""Serials of one run: reserved before anything is drawn, since the payload is part of the initial noise."""

from __future__ import annotations

from types import TracebackType

from provenance.journal import Journal


class Serials:
    """Reserves serials of one stream, takes back those of pictures that were never written, and voids what is left.

    A crash leaves its serials reserved; the journal voids them at the next anchoring.
    """

    def __init__(self, journal: Journal, stream: int) -> None:
        self._journal = journal
        self._stream = stream
        self._taken: set[int] = set()
        self._returned: list[int] = []

    def take(self, count: int) -> list[int]:
        """The next serials: returned ones first, then newly reserved ones; raises RecordError when there are none."""
        serials = [self._returned.pop(0) for _ in range(min(count, len(self._returned)))]
        while len(serials) < count:
            serial = self._journal.reserve(self._stream)
            self._taken.add(serial)
            serials.append(serial)
        return serials

    def put_back(self, serial: int) -> None:
        """Returns the serial of a picture that will never be written, for another picture of this run."""
        self._returned.append(serial)

    def __enter__(self) -> Serials:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for serial in sorted(self._taken):
            if self._journal.record(self._stream, serial) is None:
                self._journal.void(self._stream, serial)
