from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.federate import app
from provenance.home import Home
from provenance.identity import create_issuer

CONFIG = 'steps = 4\nwarmup_steps = 1\nthreads = 1\ndevice = "cpu"\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    create_issuer(Home.create(Home.default_path()), "Server")
    (tmp_path / "train.toml").write_text(CONFIG)
    return tmp_path / "train.toml"


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stderr


def serve(config: Path, *more: object) -> tuple[int, str]:
    return run("server", "--name", "shared", "--config", config, "--rounds", 2, *more)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--listen", "0.0.0.0:9070"], "other machines are only served by TLS"),
        (["--listen", "here"], "not an address"),
        (["--clients", 2, "--secure-aggregation"], "a sum of two hides nothing"),
        (["--least", 2, "--secure-aggregation"], "nobody can be left out"),
        (["--least", 4], "a round and two contributors"),
        (["--rounds", 3], "`steps` are shared out over the rounds"),
        (["--name", "a/b"], "cannot be that of a folder"),
    ],
    ids=lambda value: str(value[0]) if isinstance(value, list) else "",
)
def test_what_cannot_be_served_is_refused_before_anything_is_loaded(
    config: Path, more: list[object], reason: str
) -> None:
    status, errors = serve(config, *more)
    assert status == 2
    assert reason in errors


def test_settings_that_a_federated_training_does_not_have_are_named(config: Path) -> None:
    config.write_text(CONFIG + "ema_decay = 0.9\n")
    status, errors = serve(config)
    assert status == 2
    assert "`ema_decay` has no meaning in a federated training" in errors


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("8", "--dp is not a list of privacy settings"),
        ("epsilon=0", "needs an epsilon above 0"),
        ("epsilon=8,clip=0.1", "the server's plan says where gradients are clipped"),
    ],
)
def test_what_is_no_bound_on_privacy_is_refused_before_anything_is_loaded(
    tmp_path: Path, text: str, reason: str
) -> None:
    create_issuer(Home.create(Home.default_path()), "Ada")
    status, errors = run("client", tmp_path, "--server", "127.0.0.1:9", "--dp", text)
    assert status == 2
    assert reason in errors


def test_flower_is_asked_for_by_name_when_it_is_missing(tmp_path: Path) -> None:
    """In a process of its own, where it cannot be imported."""
    script = (
        "import sys; sys.modules['flwr'] = None\n"
        "from cli.federate import app\n"
        f"app(['client', {str(tmp_path)!r}, '--server', '127.0.0.1:9'])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 3
    assert "pip install 'prov[federated]'" in result.stderr


def test_another_release_of_flower_is_refused_as_such(tmp_path: Path) -> None:
    script = (
        "import sys, flwr; sys.modules['flwr.compat.client.grpc_client.connection'] = None\n"
        "from cli.federate import app\n"
        f"app(['client', {str(tmp_path)!r}, '--server', '127.0.0.1:9'])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 3
    assert "this release of Flower is built in another way" in result.stderr


def test_flower_sends_no_telemetry_and_writes_nothing_into_the_home(tmp_path: Path) -> None:
    script = (
        "import flwr.supercore.telemetry\n"
        "from training.federated.flower import require_flower\n"
        "require_flower()\n"
        "import json, os\n"
        "import training.federated.server, training.federated.client_link\n"
        "from flwr.supercore import telemetry\n"
        "print(json.dumps([telemetry.FLWR_TELEMETRY_ENABLED, os.environ['FLWR_TELEMETRY_ENABLED'],"
        " os.listdir(os.environ['HOME'])]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={"HOME": str(tmp_path), "PATH": "", "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
    )
    assert json.loads(result.stdout) == ["0", "0", []]
