"""What a contributor looks at before it trusts a server: its plan, who else takes part, and the adapter at the end."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from provenance.adapter import PREDICATE_TYPE, WEIGHTS
from provenance.base import BaseModel
from provenance.canonical import Json
from provenance.federated.contributions import BYPRODUCT, DEPENDENCY
from provenance.federated.statements import ENROLMENT_TYPE, PLAN_TYPE, SECURE, Enrolment, Plan, Signed
from provenance.manifest import CHAIN, read_statement
from provenance.moments import parse_moment
from provenance.trust import TrustStore, VerifiedIssuer
from training.config import TrainConfig
from training.federated.errors import ServerRefused
from training.federated.settings import require_federable

_ADAPTER = "the adapter's statement"


@dataclass(frozen=True)
class Proposal:
    """A trusted server's plan, its settings, and who signed it; ``digest`` is the plan's."""

    plan: Plan
    config: TrainConfig
    server: VerifiedIssuer
    digest: str

    @property
    def is_masked(self) -> bool:
        """Whether updates are added up in a secure aggregation."""
        return self.plan.aggregation == SECURE


@dataclass(frozen=True)
class Members:
    """All contributors by number, from 1: each one's enrolment (a digest), key (its id) and name; and ours."""

    own: int
    enrolments: Mapping[int, str]
    keys: Mapping[int, str]
    names: Mapping[int, str]
    most_items: int

    @property
    def others(self) -> frozenset[int]:
        """Everybody else's numbers."""
        return frozenset(self.enrolments) - {self.own}


def read_plan(signed: Signed, trust: TrustStore, base: BaseModel) -> Proposal:
    """Raises SignatureError unless a trusted server signed it, and ServerRefused unless it is for this base."""
    statement, server = signed.verify(PLAN_TYPE, trust, "the plan")
    server.require_trusted("the plan")
    plan = Plan.of(statement, "the plan")
    config = TrainConfig.from_dict(plan.config, "the server's configuration")
    require_federable(config, plan.rounds)
    if config.digest != plan.config_digest:
        raise ServerRefused("the plan names the digest of other settings", expected=config.digest)
    if base.digest != plan.base:
        raise ServerRefused(
            "the server trains on another base",
            expected=f"{plan.base_id} {plan.base}",
            found=f"{base.id} {base.digest}",
            fix="give that base with --base",
        )
    return Proposal(plan, config, server, signed.digest)


def meet(proposal: Proposal, roster: tuple[Signed, ...], own: str, trust: TrustStore, *, any_peers: bool) -> Members:
    """Checks the enrolments of all contributors, of which ``own`` is the digest of one.

    In a secure aggregation all others must be trusted unless ``any_peers``: a server that made them up would see
    through the sum. Raises ServerRefused or SignatureError.
    """
    plan = proposal.plan
    if len(roster) != plan.contributors:
        raise ServerRefused("another number of contributors takes part", expected=str(plan.contributors))
    met = {}
    for number, signed in enumerate(roster, start=1):
        what = f"contributor {number}"
        statement, signer = signed.verify(ENROLMENT_TYPE, trust, what)
        enrolment = Enrolment.of(statement, what)
        if (enrolment.plan, enrolment.base, enrolment.config) != (proposal.digest, plan.base, plan.config_digest):
            raise ServerRefused(f"{what} enrolled in another training")
        if proposal.is_masked and not any_peers and signed.digest != own and not signer.trusted:
            raise ServerRefused(
                f'{what}, "{signer.name}", is not trusted here, and a server that made it up would see this update',
                expected="the roots of all contributors in the trust store",
                found=f"root {signer.root_digest}",
                fix="trust it with --trust, or give --any-peers",
            )
        met[number] = (signed.digest, signer, enrolment.items)
    if len({signer.root_digest for _, signer, _ in met.values()}) != len(met):
        raise ServerRefused("a contributor takes part twice")
    numbers = [number for number, (digest, _, _) in met.items() if digest == own]
    if len(numbers) != 1:
        raise ServerRefused("this contributor is not among those who take part")
    return Members(
        own=numbers[0],
        enrolments={number: digest for number, (digest, _, _) in met.items()},
        keys={number: signer.key_id for number, (_, signer, _) in met.items()},
        names={number: signer.name for number, (_, signer, _) in met.items()},
        most_items=max(items for _, _, items in met.values()),
    )


def read_finished(signed: Signed, proposal: Proposal, trust: TrustStore, contributed: Collection[str]) -> Json:
    """What came of it: digests of adapter and weights.

    Raises ServerRefused unless the adapter's statement, by the key that signed the plan, tells of all that was
    ``contributed``: the digests of the dataset and of every signed update.
    """
    files: dict[str, bytes] = {_ADAPTER: signed.envelope, CHAIN: signed.chain}
    envelope, statement, server = read_statement(files.__getitem__, _ADAPTER, PREDICATE_TYPE, trust)
    if server.key_id != proposal.server.key_id:
        raise ServerRefused("the adapter is signed by another key than the plan")
    try:
        predicate = statement.predicate
        listed = predicate["buildDefinition"]["resolvedDependencies"]
        told = {entry["digest"]["sha256"] for entry in listed if entry["name"].startswith(DEPENDENCY)}
        details = predicate["runDetails"]
        (product,) = [entry["annotations"] for entry in details["byproducts"] if entry["name"] == BYPRODUCT]
        told |= {update["statement"] for each in product["rounds"] for update in each["updates"]}
        finished = details["metadata"]["finishedOn"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ServerRefused("the adapter's statement does not tell who contributed what") from error
    server.require_valid_at(parse_moment(finished, _ADAPTER), _ADAPTER)
    missing = sorted(set(contributed) - told)
    if missing:
        raise ServerRefused(
            "the finished adapter does not tell of all that was contributed here",
            expected="this dataset and every signed update",
            found=f"without {', '.join(missing[:3])}",
        )
    return {"adapter": envelope.digest, "weights": statement.subjects.get(WEIGHTS)}
