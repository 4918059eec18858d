"""Collects what the layers say while a picture is verified, and weighs it into a verdict."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from provenance.errors import ProvenanceError, Unavailable
from provenance.verify.report import LAYERS, Layer, Report, Status, Verdict

_GRAVEST_FIRST = (Verdict.TAMPERED, Verdict.COPIED, Verdict.REVOKED, Verdict.UNKNOWN)


class Findings:
    """Layers and facts so far; a layer that failed keeps its first failure."""

    def __init__(self, image: str) -> None:
        self._image = image
        self._layers: dict[str, Layer] = {}
        self._against: set[Verdict] = set()
        self.facts: dict[str, Any] = {}

    def ok(self, name: str, detail: str, *checked: str) -> None:
        """A layer that holds."""
        self._set(Layer(name, Status.OK, detail, checked))

    def absent(self, name: str, detail: str) -> None:
        """A layer that is not there, which by itself is no contradiction."""
        self._set(Layer(name, Status.ABSENT, detail))

    def skipped(self, name: str, detail: str) -> None:
        """A layer that was not looked at, and why."""
        self._set(Layer(name, Status.SKIPPED, detail))

    def fails(self, name: str, verdict: Verdict, detail: str, *checked: str) -> None:
        """A layer that speaks for ``verdict``: tampered, copied, revoked, or unknown (nothing can be concluded)."""
        self._against.add(verdict)
        status = Status.SKIPPED if verdict is Verdict.UNKNOWN else Status.FAILED
        if self._layers.get(name) is None or self._layers[name].status is not Status.FAILED:
            self._layers[name] = Layer(name, status, detail, checked)

    @contextmanager
    def tampered_if_refused(self, name: str) -> Iterator[None]:
        """Turns a refusal of what is read inside into a contradiction; what cannot answer stays unanswered.

        Once a contradiction is proven, no missing answer can undo it, so then it only leaves its layer open.
        """
        try:
            yield
        except Unavailable as error:
            if Verdict.TAMPERED not in self._against:
                raise
            self.skipped(name, f"not checked: {error.what}")
        except ProvenanceError as error:
            found = f" (found {error.found})" if error.found else ""
            self.fails(name, Verdict.TAMPERED, f"{error.what}{found}")

    def holds(self, name: str) -> bool:
        """Whether a layer came out well."""
        layer = self._layers.get(name)
        return layer is not None and layer.status is Status.OK

    def report(self, otherwise: Verdict) -> Report:
        """The gravest verdict that a layer speaks for, or ``otherwise`` when none does."""
        verdict = next((v for v in _GRAVEST_FIRST if v in self._against), otherwise)
        reached = "not reached"
        layers = tuple(self._layers.get(name, Layer(name, Status.SKIPPED, reached)) for name in LAYERS)
        return Report(self._image, verdict, layers, self.facts)

    def _set(self, layer: Layer) -> None:
        known = self._layers.get(layer.name)
        if known is None or known.status is not Status.FAILED:
            self._layers[layer.name] = layer
