"""Where faults are put: a home, a content filter, a policy and a request of one test, and the list of all faults."""

from __future__ import annotations

import re
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from generation.order import Issue, generate
from generation.request import GenerationRequest
from provenance.home import Home

PROMPT = "a red fish in the desert"
CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
# PNG and WebP anywhere in a file, JPEG at its start: three bytes alone are in any large file.
_PICTURE = re.compile(rb"\x89PNG\r\n\x1a\n|RIFF....WEBP|\A\xff\xd8\xff", re.DOTALL)


@dataclass
class Site:
    """One test's own copies of everything; all of it, temporary files too, lies under ``root``."""

    root: Path
    home: Home
    model: Path
    pipeline: Any
    picture: NDArray[np.uint8]
    patch: pytest.MonkeyPatch
    request: dict[str, Any] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        return self.root / "out"

    @property
    def log(self) -> Path:
        return self.home.path / "safety.log"

    @property
    def policy(self) -> Path:
        return self.root / "policy.yaml"

    @property
    def weights(self) -> Path:
        return self.own_model() / WEIGHTS

    @property
    def config(self) -> Path:
        return self.own_model() / CONFIG

    def own_model(self) -> Path:
        """The content filter's model as a folder of this test alone, which may be damaged."""
        own = self.root / "model"
        if not own.exists():
            shutil.copytree(self.model, own)
            self.change_policy(lambda policy: policy["filter"].update(model=f"local-dir:{own}"))
        return own

    def change_policy(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Rewrites the policy file with its values changed in place."""
        value = yaml.safe_load(self.policy.read_bytes())
        change(value)
        self.policy.write_text(yaml.safe_dump(value))

    def generate(self) -> Issue:
        """Runs the request as it stands."""
        asked: dict[str, Any] = {"prompts": (PROMPT,), "seed": 5, "steps": 1, "policy": self.policy, **self.request}
        return generate(GenerationRequest(**asked), home=self.home, out=self.out)

    def files_with_pictures(self) -> list[Path]:
        """Every file of the test, hidden and temporary ones too, that holds a PNG, a JPEG or a WebP."""
        files = (path for path in self.root.rglob("*") if path.is_file() and not path.is_symlink())
        return [path for path in files if _PICTURE.search(path.read_bytes())]


@dataclass(frozen=True)
class Fault:
    """One fault: what puts it in place, what the message must say, and what must be on record afterwards.

    ``logged`` counts the entries of the blocked log, None where the log itself is broken. ``recorded`` counts image
    records: 1 where the disk fails between the record and its picture.
    """

    inject: Callable[[Site], None]
    says: tuple[str, ...]
    logged: int | None
    recorded: int

    @property
    def name(self) -> str:
        return self.inject.__name__


FAULTS: list[Fault] = []


def fault(
    *says: str, logged: int | None = 0, recorded: int = 0
) -> Callable[[Callable[[Site], None]], Callable[[Site], None]]:
    """Adds a function to the list of faults, with words that its message must hold."""

    def add(inject: Callable[[Site], None]) -> Callable[[Site], None]:
        FAULTS.append(Fault(inject, says, logged, recorded))
        return inject

    return add


def raising(error: BaseException) -> Callable[..., Any]:
    """A function that takes anything and raises."""

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


def while_disk_is_full(function: Callable[..., Any], room: int = 0) -> Callable[..., Any]:
    """The same function, while no file of this process can grow beyond ``room`` bytes."""

    @wraps(function)
    def cramped(*given: Any, **named: Any) -> Any:
        with full_disk(room):
            return function(*given, **named)

    return cramped


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """Every write beyond ``room`` bytes fails with the system's own error, also for root."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
