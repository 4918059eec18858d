"""Taking part in a federated training with one's own signed dataset, from the first screening to the last round."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from provenance.base import BaseModel
from provenance.canonical import Json
from provenance.errors import UsageError
from provenance.home import Home
from provenance.identity import Issuer
from provenance.screening.screens import ScreeningChoice
from provenance.trust import TrustStore
from training.federated.addresses import Reaching
from training.federated.client import Contribution
from training.federated.client_link import stay_connected
from training.federated.errors import FederationUnavailable
from training.federated.joining import Proposal
from training.federated.local import Trainer, local_training
from training.federated.privacy_floor import PrivacyFloor
from training.lora import Progress, check_choices
from training.screening import require_screened
from training.setup import device_of

if TYPE_CHECKING:
    from provenance.manifest import DatasetManifest


def take_part(
    manifest: DatasetManifest,
    base: BaseModel,
    reaching: Reaching,
    *,
    home: Home,
    issuer: Issuer,
    trust: TrustStore,
    any_peers: bool = False,
    floor: PrivacyFloor | None = None,
    screening: ScreeningChoice = ScreeningChoice(),
    patience: float = 86400.0,
    note: Callable[[str], None],
    progress: Callable[[Progress], None] = lambda _: None,
) -> Json:
    """Contributes a verified dataset to the training of a server, and gives what came of it.

    The dataset is screened here, by the policy of who contributes it; its pictures never leave. With a
    ``floor``, a plan that is less private is refused. Raises TrainingError,
    DatasetBlocked, SignatureError, UsageError, ServerRefused, FederationUnavailable or FederationInterrupted.
    """
    check_choices(manifest)
    if manifest.issuer.root_digest != issuer.root_digest:
        raise UsageError(
            "only whoever signed a dataset can contribute it",
            expected=f'a dataset signed by "{issuer.name}", root {issuer.root_digest}',
            found=f'"{manifest.issuer.name}", root {manifest.issuer.root_digest}',
            fix="sign the pictures yourself: `prov dataset sign`",
        )
    work = Path(tempfile.mkdtemp(prefix=".federated-", dir=home.path))
    with ExitStack() as resources:
        resources.callback(shutil.rmtree, work, ignore_errors=True)

        def prepare(proposal: Proposal) -> tuple[Json, Trainer]:
            config = proposal.config
            screened = require_screened(
                manifest,
                base.id,
                screening,
                device=device_of(config),
                work=work,
                progress=lambda done, total: progress(Progress("screening", done, total)),
                prompts=config.prior_prompts,
            )
            trainer = resources.enter_context(
                local_training(
                    manifest,
                    base,
                    config,
                    proposal.plan.rounds,
                    work,
                    lambda done, total: progress(Progress("reading", done, total)),
                    lambda done, total, loss: progress(Progress("training", done, total, loss)),
                )
            )
            return screened.to_json(), trainer

        contribution = Contribution(manifest, base, issuer, trust, any_peers, prepare, home.path, note, floor)
        stay_connected(reaching, contribution, lambda: contribution.finished is not None, patience)
    if contribution.finished is None:
        raise FederationUnavailable("the server ended without a finished adapter")
    return contribution.finished
