"""What every test shares: no network but loopback, and no settings of the person who runs them."""

from __future__ import annotations

from pathlib import Path

import pytest
import pytest_socket


@pytest.fixture(autouse=True)
def _loopback_only() -> None:
    pytest_socket.socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PROV_HOME", "PROV_PASSPHRASE", "PROV_ACCOUNT", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PROV_HOME", str(tmp_path / "prov-home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
