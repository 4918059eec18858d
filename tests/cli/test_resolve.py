"""`prov resolve serve` as a process of its own: it answers, refuses other machines, and stops when it is told to."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.web.asking import ALGORITHM
from tests.web.resolution_world import ResolutionWorld, build_resolution_world

runner = CliRunner()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> ResolutionWorld:
    return build_resolution_world(tmp_path_factory.mktemp("resolve"))


@pytest.fixture
def world(built: ResolutionWorld, monkeypatch: pytest.MonkeyPatch) -> ResolutionWorld:
    monkeypatch.setenv("PROV_HOME", str(built.maker.path))
    return built


@contextmanager
def serving(*options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "cli.main", "resolve", "serve", "--port", "0", "--json", *options]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env={**os.environ}) as process:
        assert process.stdout is not None
        try:
            said = json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")
            assert set(said) == {"url", "chain_id", "contract"}
            yield said["url"], process
        finally:
            process.kill()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_manifests_and_stops_by_itself(world: ResolutionWorld, ending: signal.Signals) -> None:
    value = base64.b64encode(world.payload("fish.png").encode()).decode()
    query = urlencode({"alg": ALGORITHM, "value": value})
    with serving() as (url, process):
        with urllib.request.urlopen(f"{url}/matches/byBinding?{query}", timeout=30) as response:
            (match,) = json.load(response)["matches"]
        with urllib.request.urlopen(f"{url}/manifests/{match['manifestId']}", timeout=30) as response:
            assert response.headers["Content-Type"] == "application/c2pa"
            assert response.read() == world.manifests["fish.png"]
        process.send_signal(ending)
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_it_stops_even_before_it_was_asked_anything(world: ResolutionWorld) -> None:
    with serving("--host", "localhost") as (url, process):
        assert url.startswith("http://localhost:")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::"])
def test_it_listens_to_other_machines_only_when_allowed(world: ResolutionWorld, host: str) -> None:
    refused = runner.invoke(app, ["resolve", "serve", "--host", host, "--port", "0"])
    assert refused.exit_code == 2
    assert "is reached from other machines" in refused.stderr
    assert "--allow-remote" in refused.stderr


def test_a_port_in_use_is_wrong_usage(world: ResolutionWorld) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = runner.invoke(app, ["resolve", "serve", "--port", str(taken.getsockname()[1])])
    assert refused.exit_code == 2
    assert "cannot be listened on" in refused.stderr


def test_without_a_home_there_is_nothing_to_serve() -> None:
    refused = runner.invoke(app, ["resolve", "serve", "--port", "0"])
    assert refused.exit_code == 3
    assert "prov init" in refused.stderr
