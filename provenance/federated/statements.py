"""What the parties of a federated training sign: the server its plan, each contributor that it takes part and each
update it sends.

Every statement is an in-toto Statement v1 in a DSSE envelope by its signer's P-256 issuer key:

==========================================  ==========================================================================
``urn:prov:federated-plan:v1``              by the server; subjects ``base`` and ``config``; settings, rounds, parties
``urn:prov:federated-enrolment:v1``         by a contributor; subject ``dataset``; to which plan, how it was screened
``urn:prov:federated-update:v1``            by a contributor; subject ``update``; in which round, from which weights
==========================================  ==========================================================================

The digest of a plan is the SHA-256 of its statement, which holds a random session: what one session's contributors
sign cannot be used in another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from provenance.canonical import Json
from provenance.dsse import IN_TOTO, Envelope
from provenance.errors import FormatError
from provenance.identity import Issuer
from provenance.manifest import CHAIN, read_statement
from provenance.moments import parse_moment
from provenance.statement import Statement, is_digest
from provenance.trust import TrustStore, VerifiedIssuer

PLAN_TYPE = "urn:prov:federated-plan:v1"
ENROLMENT_TYPE = "urn:prov:federated-enrolment:v1"
UPDATE_TYPE = "urn:prov:federated-update:v1"
PLAIN, SECURE = "plain", "secure"
MAX_CONTRIBUTORS, MAX_ROUNDS = 100, 10_000


@dataclass(frozen=True)
class Plan:
    """What the server proposes: base and settings (by digest, and in full), ``rounds``, and how many take part."""

    session: str
    created: str
    name: str
    base_id: str
    base: str
    config_digest: str
    config: Json
    rounds: int
    contributors: int
    aggregation: str

    def to_statement(self) -> Statement:
        """The statement that the server signs."""
        predicate = {
            "session": self.session,
            "created": self.created,
            "name": self.name,
            "base": self.base_id,
            "config": self.config,
            "rounds": self.rounds,
            "contributors": self.contributors,
            "aggregation": self.aggregation,
        }
        return Statement({"base": self.base, "config": self.config_digest}, PLAN_TYPE, predicate)

    @classmethod
    def of(cls, statement: Statement, what: str) -> Plan:
        """Reads a plan strictly; raises FormatError. That the settings have their digest is for others to check."""
        match statement.predicate, statement.subjects:
            case (
                {
                    "session": str(session),
                    "created": str(created),
                    "name": str(name),
                    "base": str(base_id),
                    "config": dict(config),
                    "rounds": int(rounds),
                    "contributors": int(contributors),
                    "aggregation": "plain" | "secure" as aggregation,
                },
                {"base": base, "config": config_digest},
            ) if (
                len(statement.predicate) == 8
                and len(statement.subjects) == 2
                and is_digest(session)
                and name.isprintable()
                and base_id.isprintable()
                and 1 <= rounds <= MAX_ROUNDS
                and 2 <= contributors <= MAX_CONTRIBUTORS
            ):
                return cls(
                    session, created, name, base_id, base, config_digest, config, rounds, contributors, aggregation
                )
        raise FormatError(f"{what} is not the plan of a federated training", expected=PLAN_TYPE)


@dataclass(frozen=True)
class Enrolment:
    """A contributor's word to take part in a plan with a dataset of ``items`` pictures, and how that was screened.

    ``privacy`` is the privacy that it keeps to in a differentially private training, else None.
    """

    created: str
    plan: str
    dataset: str
    items: int
    base: str
    config: str
    screening: Json
    privacy: Json | None

    def to_statement(self) -> Statement:
        """The statement that the contributor signs."""
        predicate = {
            "created": self.created,
            "plan": self.plan,
            "items": self.items,
            "base": self.base,
            "config": self.config,
            "screening": self.screening,
            "privacy": self.privacy,
        }
        return Statement({"dataset": self.dataset}, ENROLMENT_TYPE, predicate)

    @classmethod
    def of(cls, statement: Statement, what: str) -> Enrolment:
        """Reads an enrolment strictly; raises FormatError."""
        match statement.predicate, statement.subjects:
            case (
                {
                    "created": str(created),
                    "plan": plan,
                    "items": int(items),
                    "base": base,
                    "config": config,
                    "screening": dict(screening),
                    "privacy": dict() | None as privacy,
                },
                {"dataset": dataset},
            ) if (
                len(statement.predicate) == 7
                and len(statement.subjects) == 1
                and items > 0
                and all(map(is_digest, (plan, base, config)))
            ):
                return cls(created, plan, dataset, items, base, config, screening, privacy)
        raise FormatError(f"{what} is not an enrolment", expected=ENROLMENT_TYPE)


@dataclass(frozen=True)
class Update:
    """A contributor's word on what it sends in one round: ``update`` is the SHA-256 of what leaves it.

    That is the safetensors file of its update, or, in a secure aggregation, its masked vector; ``commitment`` then is
    the SHA-256 of a secret salt and the file, by which the contributor can show later what it added. ``began_from`` is
    the SHA-256 of the file of global weights it was given.
    """

    created: str
    plan: str
    enrolment: str
    dataset: str
    items: int
    base: str
    config: str
    round: int
    began_from: str
    aggregation: str
    update: str
    commitment: str | None

    def to_statement(self) -> Statement:
        """The statement that the contributor signs."""
        predicate = {
            "created": self.created,
            "plan": self.plan,
            "enrolment": self.enrolment,
            "dataset": self.dataset,
            "items": self.items,
            "base": self.base,
            "config": self.config,
            "round": self.round,
            "began_from": self.began_from,
            "aggregation": self.aggregation,
            "commitment": self.commitment,
        }
        return Statement({"update": self.update}, UPDATE_TYPE, predicate)

    @classmethod
    def of(cls, statement: Statement, what: str) -> Update:
        """Reads an update's statement strictly; raises FormatError."""
        match statement.predicate, statement.subjects:
            case (
                {
                    "created": str(created),
                    "plan": plan,
                    "enrolment": enrolment,
                    "dataset": dataset,
                    "items": int(items),
                    "base": base,
                    "config": config,
                    "round": int(number),
                    "began_from": began_from,
                    "aggregation": "plain" | "secure" as aggregation,
                    "commitment": commitment,
                },
                {"update": update},
            ) if (
                len(statement.predicate) == 11
                and len(statement.subjects) == 1
                and all(map(is_digest, (plan, enrolment, dataset, base, config, began_from)))
                and (is_digest(commitment) if aggregation == SECURE else commitment is None)
            ):
                return cls(
                    created,
                    plan,
                    enrolment,
                    dataset,
                    items,
                    base,
                    config,
                    number,
                    began_from,
                    aggregation,
                    update,
                    commitment,
                )
        raise FormatError(f"{what} is not the statement of an update", expected=UPDATE_TYPE)


@dataclass(frozen=True)
class Signed:
    """A statement as it travels: its envelope, and the certificates of whoever signed it."""

    envelope: bytes
    chain: bytes

    @classmethod
    def by(cls, issuer: Issuer, statement: Statement) -> Signed:
        """Signs a statement."""
        return cls(Envelope.sign(statement.to_bytes(), IN_TOTO, issuer).to_json(), issuer.certificates_pem)

    @property
    def digest(self) -> str:
        """The SHA-256 of the statement, which is not verified by this."""
        return Envelope.parse(self.envelope).digest

    def verify(self, predicate_type: str, trust: TrustStore, what: str) -> tuple[Statement, VerifiedIssuer]:
        """Checks signature, certificates and their life; raises SignatureError or FormatError.

        Whether the signer is trusted is left to the caller.
        """
        files: dict[str, bytes] = {what: self.envelope, CHAIN: self.chain}
        _, statement, issuer = read_statement(files.__getitem__, what, predicate_type, trust)
        created: Any = statement.predicate.get("created")
        issuer.require_valid_at(parse_moment(created, what), what)
        return statement, issuer
