"""The resolution world, built once, and a service over it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_socket

from tests.web.resolution_world import ResolutionWorld, build_resolution_world, copied, serving


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> ResolutionWorld:
    """The world of tests that change nothing."""
    return build_resolution_world(tmp_path_factory.mktemp("resolution"))


@pytest.fixture
def own_world(world: ResolutionWorld, tmp_path: Path) -> ResolutionWorld:
    """A world that a test may damage."""
    return copied(world, tmp_path / "world")


@pytest.fixture(scope="module")
def url(world: ResolutionWorld) -> Iterator[str]:
    """A service over the maker's home."""
    pytest_socket.socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)
    with serving(world.maker) as address:
        yield address
