"""Three contributors, each with a home, an issuer and a signed dataset of its own; and a server that trusts them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from provenance.base import BaseModel
from provenance.trust import TrustStore
from tests.training.federated.parties import QUICK, SIZES, Party, make_party
from training.federated.flower import require_flower

require_flower()

from tests.training.federated.world import World  # noqa: E402
from training.federated.server import Beginning  # noqa: E402


@pytest.fixture(scope="session")
def contributors(tmp_path_factory: pytest.TempPathFactory) -> tuple[Party, ...]:
    return tuple(make_party(tmp_path_factory.mktemp(name), name, count) for name, count in SIZES.items())


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Party:
    return make_party(tmp_path_factory.mktemp("server"), "Server")


@pytest.fixture(scope="session")
def everybody(contributors: Sequence[Party], server: Party) -> TrustStore:
    return TrustStore(frozenset(party.issuer.root_digest for party in (*contributors, server)))


@pytest.fixture(scope="session")
def beginning(sd1_base: BaseModel) -> dict[str, torch.Tensor]:
    """The weights that a federated training of the settings ``QUICK`` begins with."""
    return Beginning.of(sd1_base, QUICK).weights


@pytest.fixture
def world(
    sd1_base: BaseModel, server: Party, everybody: TrustStore, beginning: dict[str, torch.Tensor], tmp_path: Path
) -> World:
    shapes = {name: tuple(tensor.shape) for name, tensor in beginning.items()}
    return World(sd1_base, QUICK, server, everybody, tmp_path, shapes)
