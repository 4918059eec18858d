"""The rounds of a federated training at the server: what everybody sends is checked, and its mean taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from provenance.canonical import Json, sha256_hex
from provenance.errors import ProvenanceError
from provenance.federated.contributions import require_update
from provenance.federated.statements import UPDATE_TYPE, Plan, Signed, Update
from provenance.trust import TrustStore
from training.config import TrainConfig
from training.federated.enrolling import Contributor
from training.federated.errors import ContributionRefused, ContributorLost, FederationError
from training.federated.masked_sum import MaskedSum, Member
from training.federated.server_link import all_or_none, at_once
from training.federated.settings import reach
from training.federated.terms import Terms
from training.federated.updates import (
    digest_of,
    largest,
    mean,
    moved,
    pack,
    require_within,
    shapes_of,
    unflatten,
    unpack,
)
from training.federated.wire import REFUSED, ROSTER, roster_to_bytes

if TYPE_CHECKING:
    import torch
    from flwr.common import FitRes

ROSTER_SECONDS = 300.0
# Who sent it, what it sent, and what it signed.
Answer = tuple[Contributor, "dict[str, torch.Tensor]", Signed]


@dataclass
class Rounds:
    """What came of the rounds so far."""

    weights: dict[str, torch.Tensor]
    remaining: list[Contributor]
    history: list[Json] = field(default_factory=list)
    updates: dict[str, list[bytes | None]] = field(default_factory=dict)
    left_out: list[Json] = field(default_factory=list)

    def close(self, number: int, update: Mapping[str, torch.Tensor], statements: Mapping[str, Signed]) -> None:
        """Takes the mean of a round, and notes what it was made of: ``statements`` by their datasets' digests."""
        began = sha256_hex(pack(self.weights))
        self.weights = moved(self.weights, update)
        for dataset, kept in self.updates.items():
            kept.append(statements[dataset].envelope if dataset in statements else None)
        told = [{"dataset": dataset, "statement": statements[dataset].digest} for dataset in sorted(statements)]
        result = sha256_hex(pack(self.weights))
        self.history.append({"round": number, "began_from": began, "result": result, "updates": told})


def all_rounds(
    weights: dict[str, torch.Tensor],
    config: TrainConfig,
    terms: Terms,
    plan: Plan,
    contributors: Sequence[Contributor],
    trust: TrustStore,
    note: Callable[[str], None],
) -> Rounds:
    """Lets all contributors meet and trains from these weights; raises FederationError, naming whoever is to blame."""
    roster = roster_to_bytes([each.signed for each in contributors])
    all_or_none(lambda each: each.peer.ask(ROSTER, ROSTER_SECONDS, roster=roster), contributors)
    rounds = Rounds(weights, [*contributors])
    rounds.updates = {each.dataset.digest: [] for each in contributors}
    for number in range(1, terms.rounds + 1):
        _Round(number, config, terms, plan, trust, rounds, note).run()
        note(f"round {number}/{terms.rounds}: the mean of {len(rounds.history[-1]['updates'])} updates")
    return rounds


@dataclass(frozen=True)
class _Round:
    number: int
    config: TrainConfig
    terms: Terms
    plan: Plan
    trust: TrustStore
    rounds: Rounds
    note: Callable[[str], None]

    def run(self) -> None:
        """Asks everybody, checks what they send, and takes the mean."""
        data = pack(self.rounds.weights)
        bound = reach(self.config, self.number, self.terms.rounds, largest(self.rounds.weights))
        if self.terms.secure:
            self._secure(data, bound)
        else:
            self._plain(data, bound)

    def _plain(self, data: bytes, bound: float) -> None:
        asked = [*self.rounds.remaining]
        if len(asked) == self.terms.least:
            # Nobody can be spared, so nobody else's work is waited for when one fails.
            answers = [*all_or_none(lambda each: self._checked(each, data, bound), asked)]
        else:
            answers = self._spared(asked, data, bound)
        update = mean([(update, contributor.items) for contributor, update, _ in answers])
        self.rounds.close(self.number, update, {c.dataset.digest: signed for c, _, signed in answers})

    def _spared(self, asked: list[Contributor], data: bytes, bound: float) -> list[Answer]:
        taken = []
        for contributor, answer in zip(
            asked, at_once(lambda each: self._checked(each, data, bound), asked), strict=True
        ):
            if isinstance(answer, ContributorLost | ContributionRefused):
                self._leave_out(contributor, answer)
            else:
                taken.append(answer)
        if len(taken) < self.terms.least:
            told = "".join(f"\n    - {each['reason']}" for each in self.rounds.left_out)
            raise FederationError(
                f"only {len(taken)} of {self.terms.contributors} contributors are left in round {self.number}",
                expected=f"at least {self.terms.least}",
                found=f"left out:{told}",
                fix="begin again without those",
            )
        return taken

    def _checked(self, contributor: Contributor, data: bytes, bound: float) -> Answer:
        answer: FitRes = contributor.peer.train([data], self.terms.round_time, round=self.number)
        what = f"the update of {contributor.peer.name}"
        try:
            if len(answer.parameters.tensors) != 1:
                raise FederationError(f"{what} is missing", expected="one safetensors file")
            (file,) = answer.parameters.tensors
            signed = self._verified(contributor, answer.metrics.get("statement"), sha256_hex(file), data, what)
            update = unpack(file, shapes_of(self.rounds.weights), what)
            require_within(update, bound, what)
        except ProvenanceError as error:
            raise _by_name(error, what) from error
        return contributor, update, signed

    def _verified(self, contributor: Contributor, envelope: object, digest: str, data: bytes, what: str) -> Signed:
        if not isinstance(envelope, bytes):
            raise FederationError(f"{what} is not signed")
        signed = Signed(envelope, contributor.signed.chain)
        statement, signer = signed.verify(UPDATE_TYPE, self.trust, what)
        if signer.key_id != contributor.issuer.key_id:
            raise FederationError(f"{what} is signed by another key than the enrolment")
        update = Update.of(statement, what)
        began = sha256_hex(data)
        enrolled = contributor.signed.digest
        require_update(update, contributor.enrolment, enrolled, self.number, began, self.plan.aggregation, what)
        if update.update != digest:
            raise FederationError(f"{what} is not what was signed", expected=update.update, found=digest)
        return signed

    def _leave_out(self, contributor: Contributor, why: FederationError) -> None:
        reason = why.what + (f" ({why.found})" if why.found else "")
        self.note(f"round {self.number}: left out: {reason}")
        self.rounds.remaining.remove(contributor)
        self.rounds.left_out.append({"dataset": contributor.dataset.digest, "round": self.number, "reason": reason})
        contributor.peer.dismiss(REFUSED, reason=why.what)

    def _secure(self, data: bytes, bound: float) -> None:
        numbered = dict(enumerate(self.rounds.remaining, start=1))
        statements: dict[str, Signed] = {}

        def check(number: int, masked: list[bytes], envelope: object) -> None:
            contributor = numbered[number]
            what = f"the masked update of {contributor.peer.name}"
            try:
                signed = self._verified(contributor, envelope, digest_of(masked), data, what)
            except ProvenanceError as error:
                raise _by_name(error, what) from error
            statements[contributor.dataset.digest] = signed

        shapes = shapes_of(self.rounds.weights)
        members = {n: Member(n, c.peer, c.items, c.signed.chain) for n, c in numbered.items()}
        size = sum(tensor.numel() for tensor in self.rounds.weights.values())
        vector = MaskedSum(members, self.number, size, bound, self.terms.round_time, check).mean(data)
        self.rounds.close(self.number, unflatten(vector, shapes), statements)


def _by_name(error: ProvenanceError, what: str) -> ContributionRefused:
    told = error.what if what in error.what else f"{what}: {error.what}"
    return ContributionRefused(told, expected=error.expected, found=error.found)
