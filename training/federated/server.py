"""The server of a federated training: plan, contributors, rounds, and a signed adapter that says who gave what."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from provenance.adapter import STATEMENT, AdapterManifest
from provenance.base import BaseModel
from provenance.canonical import Json, sha256_hex
from provenance.errors import ProvenanceError, UsageError
from provenance.federated.contributions import require_update
from provenance.federated.statements import PLAIN, SECURE, UPDATE_TYPE, Plan, Signed, Update
from provenance.files import read_file
from provenance.identity import Issuer
from provenance.manifest import CHAIN
from provenance.moments import format_moment, utc_now
from provenance.trust import TrustStore
from training.config import TrainConfig
from training.federated.addresses import Listening
from training.federated.enrolling import Contributor, Gathering
from training.federated.errors import (
    ContributionRefused,
    ContributorLost,
    FederationError,
    FederationInterrupted,
)
from training.federated.masked_sum import MaskedSum, Member
from training.federated.release import Finished, write_federated_release
from training.federated.server_link import Door, Peer, at_once, open_door
from training.federated.settings import reach, require_federable
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
from training.federated.wire import DONE, REFUSED, ROSTER, roster_to_bytes

if TYPE_CHECKING:
    import torch
    from flwr.common import FitRes

MIN_MASKED = 3
ROSTER_SECONDS = 300.0


@dataclass(frozen=True)
class Terms:
    """How a federated training goes: at least ``least`` contributors must last to its end; times in seconds."""

    name: str
    rounds: int
    contributors: int
    least: int
    secure: bool
    waits: float = 3600.0
    round_time: float = 86400.0

    @classmethod
    def of(
        cls, name: str, rounds: int, contributors: int, least: int | None, secure: bool | None, **times: float
    ) -> Terms:
        """What a command says, checked; a secure aggregation unless it is declined or there are fewer than three.

        Raises UsageError.
        """
        if secure is None:
            secure = contributors >= MIN_MASKED and (least is None or least == contributors)
        wanted = contributors if least is None else least
        if rounds < 1 or contributors < 2 or not 2 <= wanted <= contributors:
            raise UsageError(
                "a federated training needs a round and two contributors",
                found=f"{rounds} rounds, {contributors} contributors, at least {wanted}",
            )
        if secure and contributors < MIN_MASKED:
            raise UsageError(
                "a sum of two hides nothing from either of them",
                expected=f"at least {MIN_MASKED} contributors for a secure aggregation",
                fix="take --no-secure-aggregation, where the server sees every update",
            )
        if secure and wanted != contributors:
            raise UsageError(
                "in a secure aggregation nobody can be left out",
                expected="--least not given",
                fix="take --no-secure-aggregation to go on without contributors that fail",
            )
        return cls(name, rounds, contributors, wanted, secure, **times)


@dataclass
class _Rounds:
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


def serve(
    base: BaseModel,
    config: TrainConfig,
    terms: Terms,
    release: Path,
    *,
    listening: Listening,
    issuer: Issuer,
    trust: TrustStore,
    note: Callable[[str], None],
    opened: Callable[[str], None] = lambda _: None,
) -> AdapterManifest:
    """Waits for contributors, trains with them, and writes a signed adapter release.

    ``opened`` is told the address it listens at. Raises FederationError, naming whoever is to blame, and leaves nothing
    running; contributors are told why.
    """
    require_federable(config, terms.rounds)
    if release.exists():
        raise UsageError(f"{release} is already there", fix="give another folder with --out")
    started = format_moment(utc_now())
    begun = Beginning.of(base, config)
    plan = Plan(
        session=secrets.token_hex(32),
        created=started,
        name=terms.name,
        base_id=base.id,
        base=base.digest,
        config_digest=config.digest,
        config=config.to_dict(),
        rounds=terms.rounds,
        contributors=terms.contributors,
        aggregation=SECURE if terms.secure else PLAIN,
    )
    signed = Signed.by(issuer, plan.to_statement())
    with open_door(listening) as (door, address):
        opened(address)
        try:
            contributors = Gathering(door, plan, signed, trust, note).wait(terms.waits)
            rounds = _train(begun, config, terms, plan, contributors, trust, note)
            finished = Finished(
                plan=plan,
                signed_plan=signed,
                started=started,
                side=begun.side,
                prediction=begun.prediction,
                weights=rounds.weights,
                contributors=contributors,
                history=tuple(rounds.history),
                updates={dataset: tuple(kept) for dataset, kept in rounds.updates.items()},
                left_out=tuple(rounds.left_out),
            )
            adapter = write_federated_release(release, finished, base, config, issuer)
        except ProvenanceError as error:
            _tell_all(door, REFUSED, reason=f"the training ended: {error.what}")
            raise
        except KeyboardInterrupt as error:
            _tell_all(door, REFUSED, reason="the training was stopped at the server")
            raise FederationInterrupted("stopped; nothing was released") from error
        except BaseException:
            _tell_all(door, REFUSED, reason="the server failed")
            raise
        _tell_all(door, DONE, statement=read_file(release / STATEMENT), statement_chain=read_file(release / CHAIN))
    return adapter


@dataclass(frozen=True)
class Beginning:
    """What base and settings begin with: the weights, the side of pictures in px, and what the base predicts."""

    weights: dict[str, torch.Tensor]
    side: int
    prediction: str

    @classmethod
    def of(cls, base: BaseModel, config: TrainConfig) -> Beginning:
        """Loads the base to see its layers; initial weights are drawn by the seed."""
        from training.families.opening import open_family
        from training.layers import add_adapter

        family = open_family(base, "cpu", config)
        parameters = add_adapter(family, config)
        weights = {name: parameter.detach().cpu().float().clone() for name, parameter in parameters.items()}
        return cls(weights, family.side, family.noising.prediction)


def _train(
    begun: Beginning,
    config: TrainConfig,
    terms: Terms,
    plan: Plan,
    contributors: Sequence[Contributor],
    trust: TrustStore,
    note: Callable[[str], None],
) -> _Rounds:
    roster = roster_to_bytes([each.signed for each in contributors])
    for met in at_once(lambda each: each.peer.ask(ROSTER, ROSTER_SECONDS, roster=roster), contributors):
        if isinstance(met, ContributorLost | ContributionRefused):
            raise met
    rounds = _Rounds(begun.weights, [*contributors])
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
    rounds: _Rounds
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
        answers = at_once(lambda each: self._checked(each, data, bound), asked)
        taken = []
        for contributor, answer in zip(asked, answers, strict=True):
            if isinstance(answer, ContributorLost | ContributionRefused):
                self._leave_out(contributor, answer)
            else:
                taken.append((contributor, *answer))
        if len(taken) < self.terms.least:
            told = "".join(f"\n    - {each['reason']}" for each in self.rounds.left_out)
            raise FederationError(
                f"only {len(taken)} of {self.terms.contributors} contributors are left in round {self.number}",
                expected=f"at least {self.terms.least}",
                found=f"left out:{told}",
                fix="begin again without those, or with --least",
            )
        update = mean([(update, contributor.items) for contributor, update, _ in taken])
        self.rounds.close(self.number, update, {c.dataset.digest: signed for c, _, signed in taken})

    def _checked(self, contributor: Contributor, data: bytes, bound: float) -> tuple[dict[str, torch.Tensor], Signed]:
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
            raise ContributionRefused(error.what, expected=error.expected, found=error.found) from error
        return update, signed

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

        def check(number: int, masked: list[bytes], envelope: bytes) -> None:
            contributor = numbered[number]
            what = f"the masked update of {contributor.peer.name}"
            try:
                signed = self._verified(contributor, envelope, digest_of(masked), data, what)
            except ProvenanceError as error:
                raise ContributionRefused(error.what, expected=error.expected, found=error.found) from error
            statements[contributor.dataset.digest] = signed

        shapes = shapes_of(self.rounds.weights)
        members = {n: Member(n, c.peer, c.items, c.signed.chain) for n, c in numbered.items()}
        size = sum(tensor.numel() for tensor in self.rounds.weights.values())
        vector = MaskedSum(members, self.number, size, bound, self.terms.round_time, check).mean(data)
        self.rounds.close(self.number, unflatten(vector, shapes), statements)


def _tell_all(door: Door, kind: str, **values: str | bytes) -> None:
    door.closed = True
    at_once(lambda proxy: Peer(proxy, "").dismiss(kind, **values), [*door.all().values()])
