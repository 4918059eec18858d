"""The server of a federated training: plan, contributors, rounds, and a signed adapter that says who gave what."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from provenance.adapter import STATEMENT, AdapterManifest
from provenance.base import BaseModel
from provenance.errors import ProvenanceError, UsageError
from provenance.federated.statements import PLAIN, SECURE, Plan, Signed
from provenance.files import read_file
from provenance.identity import Issuer
from provenance.manifest import CHAIN
from provenance.moments import format_moment, utc_now
from provenance.trust import TrustStore
from training.config import TrainConfig
from training.federated.addresses import Listening
from training.federated.enrolling import Gathering
from training.federated.errors import FederationInterrupted
from training.federated.release import Finished, write_federated_release
from training.federated.rounds import all_rounds
from training.federated.server_link import Door, Peer, at_once, open_door
from training.federated.settings import require_federable
from training.federated.terms import Terms
from training.federated.wire import DONE, REFUSED

if TYPE_CHECKING:
    import torch


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
            rounds = all_rounds(begun.weights, config, terms, plan, contributors, trust, note)
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


def _tell_all(door: Door, kind: str, **values: str | bytes) -> None:
    door.closed = True
    at_once(lambda proxy: Peer(proxy, "").dismiss(kind, **values), [*door.all().values()])
