"""What is done to pictures once they are drawn: watermark, screen, sign, record, write; or log, where one is blocked.

Marking and signing are done for several pictures of a batch at once, on threads. Deciding, recording and writing are
done one after the other, in the order of the request.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from generation.a1111 import parameters_of
from generation.easel import Pictures, Plan
from generation.errors import GenerationError
from generation.issue import Blocked, Issued, picture_path
from generation.making import Teller
from generation.run_state import RunState
from generation.screening import PromptKey
from generation.serials import Serials
from generation.wanted import Ask
from provenance.canonical import Json
from provenance.identity import Issuer
from provenance.issuing import FinishedImage, deliver_image, finish_image
from provenance.journal import Journal
from provenance.latent_entry import latent_entry
from provenance.placement import watermark_entry
from provenance.record import Origin
from safety.content import ContentFilter, screen_all_or_refuse
from safety.decision import Decision
from safety.log import BlockedLog
from safety.watermark import embed_verified

if TYPE_CHECKING:
    from numpy.typing import NDArray

HANDS = 4
"""How many threads mark and sign; two keep up with a GPU."""


@dataclass(frozen=True)
class Marked:
    """One marked picture (H, W, 3) that nobody has screened, and what its record will say of the mark."""

    ask: Ask
    serial: int
    picture: NDArray[np.uint8]
    watermark: Json


@dataclass(frozen=True)
class Writer:
    """Turns pictures that were screened into files with a history."""

    out: Path
    origin: Origin
    teller: Teller
    issuer: Issuer
    journal: Journal

    def finish(self, marked: Marked, decision: Decision) -> FinishedImage:
        """The signed file of a picture, in memory."""
        making = self.teller.making(marked.ask, decision, marked.watermark)
        height, width = marked.picture.shape[:2]
        return finish_image(
            marked.picture,
            picture_path(self.out, self.origin.stream, marked.serial),
            origin=self.origin,
            serial=marked.serial,
            making=replace(making, told=parameters_of(making, self.origin, (width, height))),
            issuer=self.issuer,
        )

    def deliver(self, finished: FinishedImage) -> Issued:
        """Records a file and then writes it."""
        try:
            deliver_image(finished, self.journal)
        except OSError as error:
            raise GenerationError(
                f"{finished.path} cannot be written",
                found=str(error),
                fix="make room, or choose another --out; its record stays, without a picture",
            ) from error
        return Issued(finished.path, finished.record)


@dataclass(frozen=True)
class Finisher:
    """Takes one batch after the other to its end; ``hands`` are threads."""

    content_filter: ContentFilter
    writer: Writer
    run: RunState
    log: BlockedLog
    key: PromptKey
    serials: Serials
    hands: Executor

    def finish(self, plan: Plan, pictures: Pictures) -> Iterator[tuple[int, Issued | None]]:
        """The index of each picture of a batch, and the picture unless it was blocked."""
        marked = list(self.hands.map(lambda at: _marked(plan, pictures, at), range(len(plan.asks))))
        # What is screened is what is delivered, mark included, so that anybody can screen it again. A filter looks at
        # copies: what it does to them is not delivered.
        screened = screen_all_or_refuse(self.content_filter, [one.picture.copy() for one in marked])
        finishing = [
            self.hands.submit(self.writer.finish, one, decision) if decision.allowed else None
            for one, decision in zip(marked, screened, strict=True)
        ]
        for one, decision, finished in zip(marked, screened, finishing, strict=True):
            index = one.ask.index
            if finished is not None:
                self.run.drawing(index, self.writer.origin.stream, one.serial)
                yield index, self.writer.deliver(finished.result())
            else:
                self.log.append(decision, hmac=self.key.name(one.ask.prompt))
                self.run.block(Blocked.by(decision, index))
                self.serials.put_back(one.serial)
                yield index, None


def _marked(plan: Plan, pictures: Pictures, at: int) -> Marked:
    delivered, detection = embed_verified(pictures.pictures[at], plan.payloads[at])
    latent = {} if pictures.nonces is None else {"latent": latent_entry(pictures.nonces[at])}
    return Marked(plan.asks[at], plan.serials[at], delivered, {**watermark_entry(detection), **latent})
