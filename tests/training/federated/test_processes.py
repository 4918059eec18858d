"""The command line, each party in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from provenance.adapter import verify_adapter
from provenance.base import BaseModel
from provenance.trust import TrustStore
from safety.policy import Policy
from tests.training.federated.parties import SIZES, Party
from tests.training.federated.world import World
from training.federated.addresses import Reaching
from training.federated.client_link import stay_connected
from training.federated.errors import FederationUnavailable

CONFIG = """
steps = 4
warmup_steps = 1
batch_size = 2
rank = 2
targets = ["to_q"]
learning_rate = 0.01
sample_count = 0
kohya = false
threads = 1
device = "cpu"
"""
SECONDS = 900


@pytest.fixture
def roots(contributors: Sequence[Party], server: Party, tmp_path: Path) -> list[str]:
    """What everybody trusts, as options."""
    options = []
    for party in (*contributors, server):
        path = tmp_path / f"{party.name}.pem"
        path.write_bytes(party.issuer.root_pem)
        options += ["--trust", str(path)]
    return options


@contextmanager
def prov(party: Party, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Runs a command in a party's home; whatever happens, it is over afterwards."""
    environment = {
        **os.environ,
        "PROV_HOME": str(party.home.path),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "FLWR_HOME": str(party.home.path / "flower"),
    }
    command = [sys.executable, "-m", "cli.main", "federate", *(str(argument) for argument in arguments)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@contextmanager
def serving(
    server: Party, base: BaseModel, roots: list[str], tmp_path: Path, *more: object
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server, and the address it says it waits at."""
    (tmp_path / "train.toml").write_text(CONFIG)
    with prov(
        server, "server", "--name", "shared", "--base", base.folder, "--config", tmp_path / "train.toml",
        "--rounds", 2, "--clients", 3, "--out", tmp_path / "shared", "--listen", "127.0.0.1:0", "--wait", SECONDS,
        "--json", *roots, *more,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        told = []
        for line in process.stderr:
            told.append(line)
            found = re.search(r"waiting for 3 contributors at (\S+)", line)
            if found:
                yield process, found.group(1)
                return
        raise AssertionError("".join(told))


@pytest.fixture
def policy(lenient_policy: Policy, tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_bytes(lenient_policy.canonical)
    return path


def test_three_parties_train_one_adapter_without_seeing_each_others_updates(
    contributors: Sequence[Party],
    server: Party,
    sd1_base: BaseModel,
    roots: list[str],
    policy: Path,
    tmp_path: Path,
) -> None:
    with serving(server, sd1_base, roots, tmp_path) as (process, address):
        with ExitStack() as running:
            options = ["--server", address, "--base", sd1_base.folder, "--policy", policy, "--json", *roots]
            taking = [running.enter_context(prov(party, "client", party.dataset, *options)) for party in contributors]
            taken = [each.communicate(timeout=SECONDS) for each in taking]
            printed, notes = process.communicate(timeout=SECONDS)
        assert [each.returncode for each in (process, *taking)] == [0, 0, 0, 0], (notes, taken)
    told = json.loads(printed)
    assert told["aggregation"] == "secure"
    assert {each["issuer"]: each["items"] for each in told["contributors"]} == SIZES
    adapter = verify_adapter(tmp_path / "shared", TrustStore(frozenset({server.issuer.root_digest})))
    assert told["digest"] == adapter.digest
    assert len(adapter.contributors) == 3
    assert f"prov model publish {tmp_path / 'shared'}" in notes
    for (out, err), party in zip(taken, contributors, strict=True):
        facts = json.loads(out)
        assert (facts["adapter"], facts["weights"], facts["rounds"]) == (adapter.digest, adapter.weights_digest, 2)
        assert facts["dataset"] == party.manifest().digest
        assert "training 4/4" in err
        # Nothing is left of what was made to train, and nothing of Flower's.
        assert not list(party.home.path.glob(".federated-*"))
        assert not (party.home.path / "flower").exists()


def test_contributors_end_by_themselves_when_the_server_dies(
    world: World, contributors: Sequence[Party], server: Party, sd1_base: BaseModel, roots: list[str], tmp_path: Path
) -> None:
    with serving(server, sd1_base, roots, tmp_path) as (process, address), ThreadPoolExecutor(1) as pool:
        contribution = world.contribution(contributors[0])
        reaching = Reaching.of(address, False, None)
        waiting = pool.submit(stay_connected, reaching, contribution, lambda: False, float(SECONDS))
        assert process.stderr is not None
        assert "takes part with 2 pictures" in process.stderr.readline()
        process.kill()
        error = waiting.exception(timeout=SECONDS)
    assert isinstance(error, FederationUnavailable)
    assert f"the server at {address} cannot be reached or went away" in str(error)
    assert not (tmp_path / "shared").exists()
