"""Drawing on Ray gives the very pictures that this process would draw; what lies about there is ciphertext."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import generation.finishing
import generation.on_ray
from generation.adapters import Adapter
from generation.easel import Plan
from generation.errors import GenerationError, GenerationInterrupted, SamplingFailed
from generation.means import Means
from generation.on_ray import Envelope, cluster, drawn_on_ray
from generation.order import generate
from generation.recipe import Recipe
from generation.request import GenerationRequest
from generation.wanted import Ask
from provenance.base import resolve_base
from provenance.errors import UsageError
from provenance.home import Home
from provenance.setup import set_up
from tests.generation.test_run_state import records, stopping_after

PROMPTS = ("a red fish", "a blue fish", "a green fish", "a white fish", "a black fish")
# Ray Data's own settings set what Ray Data itself calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.*", "ignore::FutureWarning:ray.*")

REQUEST = GenerationRequest(PROMPTS, seed=5, steps=1)
ON_RAY = Means(batch_size=2, on="ray")
ROOT = Path(generation.on_ray.__file__).resolve().parents[1]
WEIGHTS = bytes(range(256)) * 64


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return set_up(tmp_path_factory.mktemp("home") / "home", name="Test Studio").home


@pytest.fixture(scope="module")
def _ray() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if "ray" in sys.modules:
            # Some other test's doing. What strangers could do to it is not this test's concern.
            patch.setattr(generation.on_ray, "_require_token", lambda: None)
        for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_USAGE_STATS_ENABLED", "RAY_BACKEND_LOG_LEVEL"):
            patch.setenv(name, "")
            patch.delenv(name)
        with cluster(cores=2):
            yield


def recipe() -> Recipe:
    return Recipe(resolve_base("starter"), None, "dpmsolver++", 1.0, ON_RAY, marks_noise=True)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


@pytest.mark.usefixtures("_ray")
def test_pictures_are_those_of_this_process_and_a_stopped_run_goes_on_here(home: Home, tmp_path: Path) -> None:
    for name in ("here", "there"):
        shutil.copytree(home.path, tmp_path / name)
    here, there = Home.open(tmp_path / "here"), Home.open(tmp_path / "there")
    expected = generate(REQUEST, home=here, out=tmp_path / "drawn-here", means=Means(batch_size=2))
    out = tmp_path / "drawn-there"
    with pytest.MonkeyPatch.context() as patch:
        stop = stopping_after(3, generation.finishing.deliver_image)
        patch.setattr(generation.finishing, "deliver_image", stop)
        with pytest.raises(GenerationInterrupted):
            generate(REQUEST, home=there, out=out, resumable=True, means=ON_RAY)
    before = [record.serial for record in records(there)]
    assert before == [0, 1, 2]
    issue = generate(REQUEST, home=there, out=out, resumable=True, resume=True)
    assert [image.record.parameters["seed"] for image in issue.images] == [5, 6, 7, 8, 9]
    for image, other in list(zip(issue.images, expected.images, strict=True))[:3]:
        assert image.record.payload == other.record.payload
        assert np.abs(pixels(image.path) - pixels(other.path)).max() <= 2
    assert len(records(there)) == len(PROMPTS)


@pytest.mark.usefixtures("_ray")
def test_what_an_actor_meets_is_told_here() -> None:
    base = replace(resolve_base("starter"), digest="00" * 32)
    plan = Plan((Ask(0, "a fish", None, 1, 1, 3.0),), (0,), (0,))
    with pytest.raises(SamplingFailed, match="other files of the base"):
        list(drawn_on_ray([plan], replace(recipe(), base=base)))


def test_nothing_in_clear_is_handed_to_ray() -> None:
    envelope = Envelope(bytes(32))
    sealed = envelope.seal(replace(recipe(), adapter=Adapter(WEIGHTS)))
    assert WEIGHTS[:64] not in sealed
    assert b"starter" not in sealed
    assert envelope.open(sealed).adapter.weights == WEIGHTS
    assert sealed != envelope.seal(replace(recipe(), adapter=Adapter(WEIGHTS)))


@pytest.mark.parametrize("at", [0, 11, 12, -1])
def test_what_came_back_changed_is_refused(at: int) -> None:
    sealed = bytearray(Envelope(bytes(32)).seal(PROMPTS))
    sealed[at] ^= 1
    with pytest.raises(GenerationError, match="not what was sent"):
        Envelope(bytes(32)).open(bytes(sealed))


def test_without_ray_the_refusal_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    wanted = recipe()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match="Ray is not installed") as refusal:
        list(drawn_on_ray([], wanted))
    assert "prov[ray]" in str(refusal.value)


def test_a_ray_that_would_let_strangers_in_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    class NotRunning:
        @staticmethod
        def is_initialized() -> bool:
            return False

    monkeypatch.setitem(sys.modules, "ray", NotRunning)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(UsageError, match="keep strangers out"), cluster():
        pass


ASK_A_WORKER = """
import json, os
from generation.on_ray import cluster

def seen():
    import generation.on_ray, sys
    return generation.on_ray.__file__, os.environ.get("PROV_PASSPHRASE"), os.listdir("."), sys.path

with cluster(cores=1):
    import ray
    there = ray.get(ray.remote(seen).remote())
import generation.on_ray
here = generation.on_ray.__file__, os.environ.get("PROV_PASSPHRASE"), os.listdir("."), os.environ.get("PYTHONPATH")
print(json.dumps({"there": there, "here": here}))
"""


def test_what_ray_starts_knows_no_passphrase_and_imports_nothing_of_the_current_folder(tmp_path: Path) -> None:
    (tmp_path / "generation").mkdir()
    (tmp_path / "generation" / "__init__.py").write_text("raise SystemExit('a stranger ran')")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment = {**kept, "PROV_PASSPHRASE": "an open secret", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-P", "-c", ASK_A_WORKER]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    own = str(ROOT / "generation" / "on_ray.py")
    module, passphrase, folder, path = told["there"]
    assert (module, passphrase, folder) == (own, None, [])
    assert str(tmp_path) not in path
    assert told["here"] == [own, "an open secret", ["generation"], str(ROOT)]


def test_only_known_places_can_be_drawn_on() -> None:
    with pytest.raises(UsageError, match="nothing can be drawn on 'mars'"):
        Means(on="mars")
