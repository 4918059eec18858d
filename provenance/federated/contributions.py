"""What an adapter's release keeps of each contributor to it, and how that is verified.

::

    adapter/federated/plan.json             the server's signed plan
    adapter/federated/contributor-NN.json   one contributor: its dataset's statement and records, without pictures, its
                                            enrolment, and what it signed in each round

All of it is below ``adapter/``, so the adapter's own statement signs it too, and it is published in clear.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from provenance.canonical import Json, canonical_json, parse_json
from provenance.errors import AdapterError, FormatError
from provenance.federated.statements import (
    ENROLMENT_TYPE,
    PLAN_TYPE,
    UPDATE_TYPE,
    Enrolment,
    Plan,
    Signed,
    Update,
)
from provenance.federated.told import require_promised, require_told
from provenance.manifest import DatasetManifest, verify_dataset_files
from provenance.training_statement import dependencies, dependency
from provenance.trust import TrustStore, VerifiedIssuer

TYPE = "urn:prov:contribution:v1"
PLAN_KEYS, KEYS = {"envelope", "issuer"}, {"type", "issuer", "dataset", "enrolment", "updates"}
FOLDER = "federated/"
PLAN = FOLDER + "plan.json"
BYPRODUCT = "federated"
DEPENDENCY = "dataset:"
MAX_BYTES = 256 * 1024**2

Read = Callable[[str], bytes]


@dataclass(frozen=True)
class Contribution:
    """One contributor: the files of its dataset's release by name, what it signed, and an update for each round.

    An update is None in a round that its sender was left out of.
    """

    chain: bytes
    dataset: Mapping[str, bytes]
    enrolment: bytes
    updates: tuple[bytes | None, ...]

    def to_bytes(self) -> bytes:
        """The file ``contributor-NN.json``."""
        return canonical_json(
            {
                "type": TYPE,
                "issuer": self.chain.decode(),
                "dataset": {name: data.decode() for name, data in self.dataset.items()},
                "enrolment": self.enrolment.decode(),
                "updates": [None if update is None else update.decode() for update in self.updates],
            }
        )

    @classmethod
    def parse(cls, data: bytes, what: str) -> Contribution:
        """Reads the file without trusting it; raises FormatError."""
        value = parse_json(data, what, limit=MAX_BYTES)
        match value:
            case {
                "type": "urn:prov:contribution:v1",
                "issuer": str(chain),
                "dataset": dict(dataset),
                "enrolment": str(enrolment),
                "updates": [*updates],
            } if (
                set(value) == KEYS
                and all(isinstance(text, str) for text in dataset.values())
                and all(update is None or isinstance(update, str) for update in updates)
            ):
                return cls(
                    chain.encode(),
                    {name: text.encode() for name, text in dataset.items()},
                    enrolment.encode(),
                    tuple(None if update is None else update.encode() for update in updates),
                )
        raise FormatError(f"{what} is not a contribution", expected=TYPE)


def contribution_name(number: int) -> str:
    """The file of the ``number``-th contributor, from 1, below ``adapter/``."""
    return f"{FOLDER}contributor-{number:02}.json"


def plan_bytes(plan: Signed) -> bytes:
    """The file ``plan.json``."""
    return canonical_json({"envelope": plan.envelope.decode(), "issuer": plan.chain.decode()})


def verify_dataset_parts(parts: Mapping[str, bytes], trust: TrustStore, what: str) -> DatasetManifest:
    """Verifies a dataset without its pictures, whose files came from elsewhere; its issuer need not be trusted."""

    def read(name: str) -> bytes:
        if name not in parts:
            raise FormatError(
                f"{what} lacks a file of its dataset", expected=name, found=", ".join(sorted(parts))[:200]
            )
        return parts[name]

    return verify_dataset_files(read, trust, with_data=False, require_trusted=False)


def verify_contributors(
    predicate: Json, files: Mapping[str, str], read: Read, trust: TrustStore, issuer: VerifiedIssuer
) -> tuple[DatasetManifest, ...]:
    """Verifies what every contributor to an adapter signed, and gives their datasets; none for an ordinary training.

    ``files`` are those below ``adapter/``, which ``read`` reads as they were signed, and ``issuer`` is who signed them.
    Checked are all signatures, that this issuer made the plan, that whoever enrols a dataset signed it, that
    every statement is of this plan, dataset, base and settings, that in each round all began from the weights that the
    round before gave, and that the adapter's statement is of the plan's base and settings, lists these datasets and
    these updates and no others, and repeats what was enrolled of screening and privacy. Raises FormatError,
    SignatureError or AdapterError.
    """
    listed = [entry for entry in dependencies(predicate) if str(entry.get("name", "")).startswith(DEPENDENCY)]
    present = sorted(name for name in files if name.startswith(FOLDER))
    if not listed and not present:
        return ()
    expected = sorted([PLAN, *(contribution_name(number) for number in range(1, len(listed) + 1))])
    if present != expected:
        raise AdapterError(
            "the adapter does not keep the statements of all who contributed to it",
            expected=", ".join(expected),
            found=", ".join(present) or "none of them",
        )
    plan = _read_plan(read(PLAN), trust, issuer)
    if len(listed) != plan[0].contributors:
        raise AdapterError("the plan was for another number of contributors", expected=str(plan[0].contributors))
    _require_terms(predicate, plan[0])
    history = _History.of(predicate, plan)
    datasets, enrolments = [], []
    for number, entry in enumerate(listed, start=1):
        name = contribution_name(number)
        contribution = Contribution.parse(read(name), name)
        dataset, enrolment = _verify_one(contribution, plan, history, trust, name)
        if entry.get("name") != f"{DEPENDENCY}{number}" or entry.get("digest") != {"sha256": dataset.digest}:
            raise AdapterError(
                "the adapter's statement names another contributor's dataset",
                expected=f"{DEPENDENCY}{number} with SHA-256 {dataset.digest}",
                found=str(entry)[:200],
            )
        datasets.append(dataset)
        enrolments.append(enrolment)
    history.require_all_seen()
    require_told(predicate, enrolments)
    return tuple(datasets)


def _read_plan(data: bytes, trust: TrustStore, issuer: VerifiedIssuer) -> tuple[Plan, str]:
    value = parse_json(data, PLAN, limit=MAX_BYTES)
    if not isinstance(value, dict) or set(value) != PLAN_KEYS or not all(isinstance(v, str) for v in value.values()):
        raise FormatError(f"{PLAN} is not a signed plan", expected="envelope and issuer")
    signed = Signed(value["envelope"].encode(), value["issuer"].encode())
    statement, planner = signed.verify(PLAN_TYPE, trust, PLAN)
    # What contributors sign names the plan, not the weights: in a release of anybody else it would vouch for what its
    # signers never saw. The root is compared, as a key may be renewed between plan and release.
    if planner.root_digest != issuer.root_digest:
        raise AdapterError(
            "the adapter is signed by somebody else than the plan that its contributors enrolled in",
            expected=f'"{planner.name}", root {planner.root_digest}',
            found=f'"{issuer.name}", root {issuer.root_digest}',
            fix="get the release from whoever made the plan",
        )
    return Plan.of(statement, PLAN), signed.digest


def _require_terms(predicate: Json, plan: Plan) -> None:
    """What a reader sees of base and settings, privacy among them, is what contributors agreed to."""
    base = dependency(predicate, "base")["digest"]["sha256"]
    match predicate:
        case {"buildDefinition": {"externalParameters": {"config": config, "config_digest": digest}}}:
            if (base, config, digest) == (plan.base, plan.config, plan.config_digest):
                return
    raise AdapterError(
        "the adapter's statement names another base or other settings than the plan",
        expected=f"base {plan.base}, settings {plan.config_digest}",
        found=f"base {base}",
    )


def _verify_one(
    contribution: Contribution, plan: tuple[Plan, str], history: _History, trust: TrustStore, name: str
) -> tuple[DatasetManifest, Enrolment]:
    proposed, digest = plan
    dataset = verify_dataset_parts(contribution.dataset, trust, name)
    signed = Signed(contribution.enrolment, contribution.chain)
    statement, signer = signed.verify(ENROLMENT_TYPE, trust, f"{name}, enrolment")
    require_own(dataset, signer, name)
    enrolment = Enrolment.of(statement, name)
    agreed = (digest, dataset.digest, len(dataset.records), proposed.base, proposed.config_digest)
    if (enrolment.plan, enrolment.dataset, enrolment.items, enrolment.base, enrolment.config) != agreed:
        raise AdapterError(f"{name} enrolled in another training, or with another dataset")
    require_promised(proposed, enrolment, f"{name}, enrolment,")
    if len(contribution.updates) != proposed.rounds:
        raise AdapterError(f"{name} is about another number of rounds", expected=str(proposed.rounds))
    for number, envelope in enumerate(contribution.updates, start=1):
        if envelope is None:
            continue
        what = f"{name}, round {number}"
        sent = Signed(envelope, contribution.chain)
        statement, sender = sent.verify(UPDATE_TYPE, trust, what)
        update = Update.of(statement, what)
        require_update(update, enrolment, signed.digest, number, history.began_from(number), proposed.aggregation, what)
        if sender.key_id != signer.key_id:
            raise AdapterError(f"{what} is signed by another key than the enrolment", expected=signer.key_id)
        history.see(number, dataset.digest, sent.digest)
    return dataset, enrolment


def require_own(dataset: DatasetManifest, signer: VerifiedIssuer, what: str) -> None:
    """Raises AdapterError unless a dataset was signed under the root of whoever enrols it.

    A dataset's statement is public: else anybody could enrol it, and its signer would be told as a contributor.
    """
    if dataset.issuer.root_digest != signer.root_digest:
        raise AdapterError(
            f"{what} enrols a dataset that somebody else signed",
            expected=f'a dataset signed by "{signer.name}", root {signer.root_digest}',
            found=f'"{dataset.issuer.name}", root {dataset.issuer.root_digest}',
            fix="whoever contributes pictures signs them: `prov dataset sign`",
        )


def require_update(
    update: Update, enrolment: Enrolment, enrolment_digest: str, number: int, began_from: str, way: str, what: str
) -> None:
    """Raises AdapterError unless an update is of this enrolment, this round, and began from these global weights."""
    wanted: Json = {
        "plan": enrolment.plan,
        "enrolment": enrolment_digest,
        "dataset": enrolment.dataset,
        "items": enrolment.items,
        "base": enrolment.base,
        "config": enrolment.config,
        "round": number,
        "began_from": began_from,
        "aggregation": way,
    }
    differing = [key for key, value in wanted.items() if getattr(update, key) != value]
    if differing:
        raise AdapterError(
            f"{what} is signed for another {' and '.join(differing)}",
            expected=", ".join(f"{key} {wanted[key]}" for key in differing),
            found=", ".join(f"{key} {getattr(update, key)}" for key in differing),
        )


class _History:
    """The rounds as the adapter's statement tells them; what is seen in contributions is struck off."""

    def __init__(self, rounds: Sequence[Json]) -> None:
        self._began = [str(each["began_from"]) for each in rounds]
        self._left = [{str(u["dataset"]): str(u["statement"]) for u in each["updates"]} for each in rounds]

    @classmethod
    def of(cls, predicate: Json, plan: tuple[Plan, str]) -> _History:
        """Reads the byproduct ``federated``; raises FormatError or AdapterError."""
        proposed, digest = plan
        try:
            products = predicate["runDetails"]["byproducts"]
            (told,) = [entry["annotations"] for entry in products if entry["name"] == BYPRODUCT]
            rounds = told["rounds"]
            chained = [rounds[0]["began_from"], *(each["result"] for each in rounds[:-1])]
            history = cls(rounds)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise FormatError(
                "the adapter's statement does not tell its rounds", expected=f'one byproduct "{BYPRODUCT}"'
            ) from error
        if (told["plan"], len(rounds), told["aggregation"]) != (digest, proposed.rounds, proposed.aggregation):
            raise AdapterError("the adapter's statement tells the rounds of another plan", expected=f"plan {digest}")
        if history._began != chained:
            raise AdapterError("a round began from other weights than the round before gave")
        return history

    def began_from(self, number: int) -> str:
        """The weights that a round, from 1, began from."""
        return self._began[number - 1]

    def see(self, number: int, dataset: str, statement: str) -> None:
        """Strikes off one update; raises AdapterError when it is not told of."""
        if self._left[number - 1].pop(dataset, None) != statement:
            raise AdapterError(f"the adapter's statement does not tell of this update in round {number}")

    def require_all_seen(self) -> None:
        """Raises AdapterError when the statement tells of updates that nobody signed."""
        for number, left in enumerate(self._left, start=1):
            if left:
                raise AdapterError(
                    f"round {number} has updates that no contributor's statement is kept for", found=", ".join(left)
                )
