"""A whole federated training inside one process: the server and its contributors in threads, over real gRPC."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from provenance.adapter import AdapterManifest
from provenance.base import BaseModel
from provenance.canonical import Json
from provenance.trust import TrustStore
from training.config import TrainConfig
from training.federated.addresses import Listening, Reaching
from training.federated.client import Contribution
from training.federated.client_link import stay_connected
from training.federated.server import serve
from training.federated.terms import Terms


@dataclass(frozen=True)
class Steady:
    """Trains in no time: moves every weight by a little that depends on the round and on who it is."""

    shapes: Mapping[str, tuple[int, ...]]
    step: float = 0.001

    def train(self, weights: Mapping[str, torch.Tensor], number: int) -> dict[str, torch.Tensor]:
        return {name: torch.full(shape, self.step * number) for name, shape in self.shapes.items()}


@dataclass
class World:
    """Runs a server and contributors to their ends, and keeps what came of each: a result or an error."""

    base: BaseModel
    config: TrainConfig
    server: Any
    trust: TrustStore
    folder: Path
    shapes: Mapping[str, tuple[int, ...]]
    notes: list[str] = field(default_factory=list)
    ended: dict[str, Json | BaseException] = field(default_factory=dict)

    def run(
        self,
        terms: Terms,
        contributions: Mapping[str, Callable[[], Contribution]],
        *,
        before: Mapping[str, Callable[[], Contribution]] | None = None,
        reached: Callable[[Contribution, Reaching], Any] | None = None,
        listening: Listening | None = None,
    ) -> AdapterManifest:
        """Gives the server's adapter, or raises what it raised, when all contributors have ended too.

        Those of ``before`` come first, one by one, and must have ended when the others come.
        """
        opened: Future[str] = Future()
        take_part = reached or _take_part
        with ThreadPoolExecutor(2 + len(contributions)) as pool:
            serving = pool.submit(
                serve,
                self.base,
                self.config,
                terms,
                self.folder / "release",
                listening=listening or Listening.of("127.0.0.1:0", None, None),
                issuer=self.server.issuer,
                trust=self.trust,
                note=self.notes.append,
                opened=opened.set_result,
            )
            serving.add_done_callback(lambda done: opened.cancel())
            reaching = Reaching.of(opened.result(timeout=600), False, None)
            for name, make in (before or {}).items():
                self._note(name, pool.submit(_take_part, make(), reaching))
            taking = {name: pool.submit(take_part, make(), reaching) for name, make in contributions.items()}
            for name, each in taking.items():
                self._note(name, each)
            return serving.result(timeout=600)

    def _note(self, name: str, taking: Future[Json]) -> None:
        error = taking.exception(timeout=600)
        self.ended[name] = error if error is not None else taking.result()

    def contribution(self, party: Any, **changes: Any) -> Contribution:
        """A contribution that trains in no time."""
        trainer = changes.pop("trainer", None) or Steady(self.shapes)
        settings: dict[str, Any] = {
            "manifest": party.manifest(),
            "base": self.base,
            "issuer": party.issuer,
            "trust": self.trust,
            "any_peers": False,
            "prepare": lambda _: ({"by": "maker"}, trainer),
            "home": self.folder / party.name,
            "note": lambda _: None,
        }
        kind = changes.pop("kind", Contribution)
        made: Contribution = kind(**(settings | changes))
        return made


def _take_part(contribution: Contribution, reaching: Reaching) -> Json:
    stay_connected(reaching, contribution, lambda: contribution.finished is not None, 600.0)
    assert contribution.finished is not None
    return contribution.finished
