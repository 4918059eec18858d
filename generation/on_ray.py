"""Drawing with Ray Data, on as many machines as a Ray cluster has: actors sample and do nothing else.

Licence, screening, watermark, signing and recording stay in the process that was asked. What lies in Ray's object store
may be spilled to disk, so it is ciphertext there (AES-256-GCM): weights, prompts, and pictures that nobody has
screened. The key of a run goes from actor to actor, and lies in Ray's control store with what made its actor: in memory
with Ray's own store, not with one that is kept in Redis.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import pickle
import secrets
import site
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import Any

from generation.easel import Pictures, Plan
from generation.errors import GenerationError, SamplingFailed, told
from generation.recipe import Recipe
from provenance.errors import ProvenanceError, UsageError

WINDOW = 4096
"""Pictures of one Ray Data execution; serials are reserved and models are loaded anew for each."""

SECRETS = ("PROV_PASSPHRASE",)
"""Variables of the environment that no other process is to inherit."""

_NONCE_BYTES = 12
_WHAT = b"prov on ray"


@dataclass(frozen=True)
class Envelope:
    """Pickled objects of one run under its key; what does not authenticate is never unpickled."""

    key: bytes

    def seal(self, value: Any) -> bytes:
        """An object as nonce and ciphertext."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + AESGCM(self.key).encrypt(nonce, pickle.dumps(value), _WHAT)

    def open(self, sealed: bytes) -> Any:
        """The object again; raises GenerationError for what was not sealed under this key."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            plain = AESGCM(self.key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _WHAT)
        except InvalidTag as error:
            raise GenerationError("what came through Ray is not what was sent", fix="check who else uses it") from error
        return pickle.loads(plain)


class KeyHolder:
    """The actor that knows the key of a run; small answers go from process to process, not through the object store."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def key(self) -> bytes:
        """The key."""
        return self._key


class Sampler:
    """The actor that draws: base and adapter are loaded once, whatever goes wrong is an answer."""

    def __init__(self, holder: Any, recipe: bytes) -> None:
        import ray

        self._envelope = Envelope(ray.get(holder.key.remote()))
        self._easel: Any = None
        self._fault: ProvenanceError | None = None
        try:
            self._easel = _loaded(self._envelope.open(recipe))
        except ProvenanceError as error:
            self._fault = error

    def __call__(self, rows: dict[str, Any]) -> dict[str, Any]:
        """Draws the plans of a batch of rows."""
        return {"number": rows["number"], "drawn": [self._envelope.seal(self._drawn(plan)) for plan in rows["plan"]]}

    def _drawn(self, plan: bytes) -> Pictures | ProvenanceError:
        if self._fault is not None:
            return self._fault
        try:
            pictures: Pictures = self._easel.draw(self._envelope.open(plan), Event())
        except ProvenanceError as error:
            return error
        return pictures


def drawn_on_ray(plans: Iterable[Plan], recipe: Recipe) -> Generator[tuple[Plan, Pictures], None, None]:
    """Every plan with its pictures, in order; raises what an actor met, in its place, or SamplingFailed.

    Ray's own settings say where: ``RAY_ADDRESS`` names a cluster, without it one is started here, for this process.
    """
    _require_ray()
    waiting = iter(plans)
    with cluster():
        import ray

        envelope = Envelope(secrets.token_bytes(32))
        holder = ray.remote(num_cpus=0)(KeyHolder).remote(envelope.key)
        arguments = {"holder": holder, "recipe": envelope.seal(recipe)}
        while window := list(islice(waiting, max(1, WINDOW // recipe.means.batch_size))):
            try:
                yield from _window(window, envelope, arguments)
            except ray.exceptions.RayError as error:
                raise SamplingFailed("Ray stopped drawing", found=told(error), fix="see what Ray says of it") from error


def _window(
    plans: list[Plan], envelope: Envelope, arguments: dict[str, Any]
) -> Generator[tuple[Plan, Pictures], None, None]:
    import ray.data

    rows = [{"number": number, "plan": envelope.seal(plan)} for number, plan in enumerate(plans)]
    actors, resources = _share(len(plans))
    drawing = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        Sampler,
        batch_size=1,
        fn_constructor_kwargs=arguments,
        compute=ray.data.ActorPoolStrategy(size=actors),
        **resources,
    )
    for number, row in enumerate(drawing.iter_rows()):
        if row["number"] != number:
            raise SamplingFailed("Ray gave batches in another order", expected=f"{number}", found=f"{row['number']}")
        drawn = envelope.open(row["drawn"])
        if isinstance(drawn, ProvenanceError):
            raise drawn
        yield plans[number], drawn


def _share(plans: int) -> tuple[int, dict[str, Any]]:
    """How many actors, and what each takes: a GPU where there are any, else a core, one of which is left to Ray."""
    import ray

    there = ray.cluster_resources()
    gpus, cores = int(there.get("GPU", 0)), int(there.get("CPU", 1))
    if gpus:
        return min(plans, gpus), {"num_gpus": 1}
    return min(plans, max(1, cores - 1)), {"num_cpus": 1}


def _loaded(recipe: Recipe) -> Any:
    from generation.loading import load_pipeline
    from generation.sampling import sample
    from provenance.base import base_digest

    if not recipe.base.folder.is_dir():
        raise SamplingFailed(
            "a machine of the Ray cluster has no such base",
            expected=f"{recipe.base.id} at the same path on every machine",
            fix="put it on a shared file system, or name it by its hub id after fetching it everywhere",
        )
    if (found := base_digest(recipe.base.folder)) != recipe.base.digest:
        raise SamplingFailed(
            "a machine of the Ray cluster has other files of the base", expected=recipe.base.digest, found=found
        )
    return recipe.easel(load_pipeline, sample)


@contextmanager
def cluster(cores: int | None = None) -> Iterator[None]:
    """Ray for the time of a run: the one that is there already, the one of ``RAY_ADDRESS``, or one of its own.

    Ray listens on every network of a machine, and who reaches it can run anything there. One of its own takes none but
    whoever knows its token, inherits no secret and imports nothing from the current folder; ``cores`` is how many of
    the machine's it may use. Raises UsageError when Ray was imported before that could be said to it.
    """
    own = not _is_running()
    if own and not os.environ.get("RAY_ADDRESS"):
        _require_token()
    with _started(cores) if own else nullcontext():
        _set_up_ray_data()
        yield


@contextmanager
def _started(cores: int | None) -> Iterator[None]:
    import ray

    with TemporaryDirectory(prefix="prov-ray-") as empty:
        with _apart(empty):
            ray.init(num_cpus=cores, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        try:
            yield
        finally:
            ray.shutdown()


@contextmanager
def _apart(empty: str) -> Iterator[None]:
    """This process in an empty folder and without its secrets, while it starts others.

    They inherit its environment, and Ray has them import from what is the current folder then. What is ours they are
    to import from where it was imported here.
    """
    here = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    before = {name: os.environ.pop(name, None) for name in (*SECRETS, "PYTHONPATH")}
    path = [*_own_path(), *filter(None, [before["PYTHONPATH"]])]
    try:
        if path:
            os.environ["PYTHONPATH"] = os.pathsep.join(path)
        os.chdir(empty)
        yield
    finally:
        os.fchdir(here)
        os.close(here)
        os.environ.pop("PYTHONPATH", None)
        os.environ |= {name: value for name, value in before.items() if value is not None}


def _own_path() -> list[str]:
    own = str(Path(__file__).resolve().parents[1])
    # What is in PYTHONPATH goes before the standard library, which installed packages must not; they are found anyway.
    return [] if own in {str(Path(each).resolve()) for each in site.getsitepackages()} else [own]


def _set_up_ray_data() -> None:
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True


def _is_running() -> bool:
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def _require_token() -> None:
    if os.environ.get("RAY_AUTH_MODE") == "token":
        return
    if "ray" in sys.modules:
        raise UsageError(
            "Ray was imported before it could be told to keep strangers out",
            expected="RAY_AUTH_MODE=token and RAY_AUTH_TOKEN in the environment, or a Ray that is running",
            fix="set them, or call ray.init first",
        )
    os.environ |= {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_BACKEND_LOG_LEVEL": "fatal",  # what matters is raised
    }


def _require_ray() -> None:
    # Not by importing it: what is set before counts.
    if importlib.util.find_spec("ray") is None or importlib.util.find_spec("pyarrow") is None:
        raise UsageError(
            "Ray is not installed", expected="the extra `ray`", fix="pip install 'prov[ray]', or leave out --on ray"
        )
