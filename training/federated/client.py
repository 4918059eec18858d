"""One contributor to a federated training: its pictures stay here; what leaves is signed, and kept here too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from provenance.base import BaseModel
from provenance.canonical import Json, sha256_hex
from provenance.federated.statements import Enrolment, Signed, Update
from provenance.identity import Issuer
from provenance.manifest import CHAIN, DatasetManifest
from provenance.moments import format_moment, utc_now
from provenance.trust import TrustStore
from training.federated.errors import ServerRefused
from training.federated.joining import Members, Proposal, meet, read_finished, read_plan
from training.federated.keeping import Kept
from training.federated.local import Trainer
from training.federated.masked_client import MaskedRound
from training.federated.privacy_floor import PrivacyFloor, told_privacy
from training.federated.settings import reach
from training.federated.updates import commit, digest_of, flatten, largest, pack, unpack
from training.federated.wire import (
    DONE,
    PLAN,
    REFUSED,
    ROSTER,
    Scalars,
    bytes_from,
    roster_from_bytes,
    signed_from,
    signed_scalars,
    texts_to_bytes,
    whole_number,
)
from training.private.accounting import stated_privacy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WEIGHTS = "the weights that the server sent"
# Makes ready what a proposal asks for: how the dataset was screened, and what trains on it.
Prepare = Callable[[Proposal], tuple[Json, Trainer]]


@dataclass(frozen=True)
class _Joined:
    """What was agreed with the server, and what is at work because of it."""

    proposal: Proposal
    enrolment: Enrolment
    digest: str
    trainer: Trainer
    kept: Kept


@dataclass
class Contribution:
    """Answers a server, message by message; ``home`` is where what was signed is kept.

    With a ``floor``, a plan that is less private is refused before anything is screened or sent.
    """

    manifest: DatasetManifest
    base: BaseModel
    issuer: Issuer
    trust: TrustStore
    any_peers: bool
    prepare: Prepare
    home: Path
    note: Callable[[str], None]
    floor: PrivacyFloor | None = None
    finished: Json | None = None
    _joined: _Joined | None = None
    _members: Members | None = None
    _masked: MaskedRound | None = None
    _pending: tuple[str, str] = ("", "")
    _signed: list[str] = field(default_factory=list)

    def answer(self, kind: str, values: Scalars) -> Scalars:
        """Answers a message; raises ServerRefused, SignatureError or what ``prepare`` raises."""
        match kind:
            case "plan":
                return self._enrol(signed_from(values, PLAN, "the plan"))
            case "roster":
                self._meet(roster_from_bytes(bytes_from(values, ROSTER, "the list"), "the list of contributors"))
            case "done":
                self._finish(signed_from(values, "statement", "the adapter's statement"))
            case "refused":
                reason = str(values.get("reason"))[:2000].replace("\n", "; ")
                raise ServerRefused("the server ended this contribution", found=reason)
            case _:
                expected = f"{PLAN}, {ROSTER}, {DONE} or {REFUSED}"
                raise ServerRefused("the server asks for something unknown", expected=expected, found=kind[:80])
        return {}

    def train(self, weights: list[bytes], values: Scalars) -> tuple[list[bytes], int, Scalars]:
        """Answers a round, or a stage of one in a secure aggregation: files, number of items, and what is signed."""
        joined = self._require_joined()
        if self._members is None:
            raise ServerRefused("the server begins before all have met")
        number = whole_number(values, "round", "the round")
        if joined.proposal.is_masked:
            return [], joined.enrolment.items, self._stage(joined, self._members, number, values)
        if len(weights) != 1:
            raise ServerRefused("the server did not send the weights to begin from")
        self._require_next(number)
        (began,) = weights
        file = pack(joined.trainer.train(unpack(began, joined.trainer.shapes, WEIGHTS), number))
        signed = self._sign(joined, number, sha256_hex(began), sha256_hex(file), None)
        return [file], joined.enrolment.items, {"statement": signed.envelope}

    def _enrol(self, signed: Signed) -> Scalars:
        if self._joined is not None:
            raise ServerRefused("the server changes its plan")
        proposal = read_plan(signed, self.trust, self.base)
        plan, config = proposal.plan, proposal.config
        self.note(
            f'"{proposal.server.name}" plans "{plan.name}": {plan.rounds} rounds of {config.steps // plan.rounds} '
            f"steps, {plan.contributors} contributors, {plan.aggregation} aggregation"
        )
        self.note(f"it plans {told_privacy(config)}")
        if self.floor is not None:
            self.floor.require(config)
        screening, trainer = self.prepare(proposal)
        enrolment = Enrolment(
            created=format_moment(utc_now()),
            plan=signed.digest,
            dataset=self.manifest.digest,
            items=len(self.manifest.records),
            base=plan.base,
            config=plan.config_digest,
            screening=screening,
            privacy=stated_privacy(config, len(self.manifest.records)) if config.dp_epsilon else None,
        )
        own = Signed.by(self.issuer, enrolment.to_statement())
        kept = Kept.of(self.home, signed.digest)
        kept.envelope("plan", signed.envelope)
        kept.envelope("enrolment", own.envelope)
        self._joined = _Joined(proposal, enrolment, own.digest, trainer, kept)
        parts = {name: self.manifest.read_part(name) for name in (*self.manifest.part_names, CHAIN)}
        return {**signed_scalars(own, "enrolment"), "dataset": texts_to_bytes(parts)}

    def _meet(self, roster: tuple[Signed, ...]) -> None:
        joined = self._require_joined()
        self._members = meet(joined.proposal, roster, joined.digest, self.trust, any_peers=self.any_peers)
        self.note("taking part: " + ", ".join(f'"{name}"' for name in self._members.names.values()))

    def _stage(self, joined: _Joined, members: Members, number: int, values: Scalars) -> Scalars:
        """One stage of SecAgg+; in the third, the masked vectors that leave are what is signed."""
        if self._masked is None or self._masked.is_over:
            self._require_next(number)
            self._masked = MaskedRound(members, number, self.issuer, lambda data: self._work(joined, number, data))
        if self._masked.number != number:
            raise ServerRefused("the server goes to another round", expected=f"round {self._masked.number}")
        reply, masked = self._masked.answer(bytes_from(values, "secagg", "the round"))
        if not masked:
            return {"secagg": reply}
        began, commitment = self._pending
        signed = self._sign(joined, number, began, digest_of(masked), commitment)
        return {"secagg": reply, "statement": signed.envelope}

    def _work(self, joined: _Joined, number: int, began: bytes) -> tuple[NDArray[np.float64], int, float]:
        weights = unpack(began, joined.trainer.shapes, WEIGHTS)
        update = joined.trainer.train(weights, number)
        commitment, salt = commit(pack(update))
        joined.kept.salt(number, salt)
        self._pending = (sha256_hex(began), commitment)
        proposal = joined.proposal
        bound = reach(proposal.config, number, proposal.plan.rounds, largest(weights))
        return flatten(update), joined.enrolment.items, bound

    def _sign(self, joined: _Joined, number: int, began: str, update: str, commitment: str | None) -> Signed:
        enrolment = joined.enrolment
        statement = Update(
            created=format_moment(utc_now()),
            plan=enrolment.plan,
            enrolment=joined.digest,
            dataset=enrolment.dataset,
            items=enrolment.items,
            base=enrolment.base,
            config=enrolment.config,
            round=number,
            began_from=began,
            aggregation=joined.proposal.plan.aggregation,
            update=update,
            commitment=commitment,
        ).to_statement()
        signed = Signed.by(self.issuer, statement)
        joined.kept.envelope(f"round-{number:04}", signed.envelope)
        self._signed.append(signed.digest)
        return signed

    def _finish(self, signed: Signed) -> None:
        joined = self._require_joined()
        contributed = (self.manifest.digest, *self._signed)
        finished = read_finished(signed, joined.proposal, self.trust, contributed)
        joined.kept.envelope("adapter", signed.envelope)
        self.finished = finished | {
            "contributors": joined.proposal.plan.contributors,
            "dataset": self.manifest.digest,
            "kept": str(joined.kept.folder),
            "name": joined.proposal.plan.name,
            "rounds": len(self._signed),
        }

    def _require_joined(self) -> _Joined:
        if self._joined is None:
            raise ServerRefused("the server begins without a plan")
        return self._joined

    def _require_next(self, number: int) -> None:
        following = len(self._signed) + 1
        if number != following or number > self._require_joined().proposal.plan.rounds:
            raise ServerRefused("the server asks for a round out of turn", expected=str(following), found=str(number))
