"""The sealed world, built once and copied for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.provenance.sealed_world import SealedWorld, build_sealed_world, copier


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> SealedWorld:
    return build_sealed_world(tmp_path_factory.mktemp("sealed"))


@pytest.fixture
def world(template: SealedWorld, tmp_path: Path) -> SealedWorld:
    """A copy that the test may change."""
    return copier(template)(tmp_path / "world")
