"""The pictures of an audit: drawn, screened, measured and let go.

Nothing is drawn of a prompt that the policy blocks, and a picture that it blocks is counted, logged and never written.
What stays of the others is what an audit compares, and a small view of each for its sheet; no whole picture is kept,
because these carry no watermark and no history. What was measured lies beside the report until that is written, so that
a stopped audit goes on where it was.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from generation.audit.latents import latents_of
from generation.audit.model import AuditedModel
from generation.audit.score_norm import recorded_norms
from generation.errors import SamplingFailed
from generation.loading import load_pipeline
from generation.sampling import Sampling, sample
from generation.screening import PromptKey, screen_prompts
from provenance.canonical import Json, canonical_json, sha256_hex
from provenance.files import read_file, write_file
from provenance.home import Home
from safety.clip_model import ClipModel
from safety.content import ContentFilter, open_content_filter, screen_all_or_refuse
from safety.decision import ERROR_RULE
from safety.errors import FilterError
from safety.log import BlockedLog
from safety.policy import Policy

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH = 4
VIEW = 128
LAYOUT = "urn:prov:audit-drawn:v1"
ARRAYS = ("blocked", "clip", "latents", "norms", "views")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Draw:
    """One picture to draw: its prompt, and the seed of its initial noise."""

    prompt: str
    seed: int


@dataclass(frozen=True)
class Drawn:
    """What is kept of S pictures, in the order they were asked for.

    ``blocked`` (S,) bool says which the policy blocked: their other rows are zero. ``clip`` (S, D) are directions of
    length 1, ``latents`` (S, L) as in ``latents_of``, ``norms`` (S, steps) as in ``recorded_norms``, ``views``
    (S, 128, 128, 3) uint8.
    """

    blocked: NDArray[np.bool_]
    clip: NDArray[np.float32]
    latents: NDArray[np.float32]
    norms: NDArray[np.float32]
    views: NDArray[np.uint8]


class Studio:
    """Draws for audits under one policy, and looks at the pictures through one CLIP model."""

    def __init__(self, home: Home, policy: Policy, clip: ClipModel, base: str, how: Sampling, work: Path) -> None:
        """Loads the policy's content filter; ``work`` is the folder for what is measured already."""
        self.clip = clip
        self.policy = policy
        self.how = how
        self._base = base
        self._filter: ContentFilter = open_content_filter(policy, base, clip.device)
        self._key, self._log = PromptKey.of_home(home), BlockedLog(home.path / "safety.log")
        self._work = work

    def draw(self, model: AuditedModel, draws: Sequence[Draw], progress: Progress) -> Drawn:
        """Draws everything, or takes up what was measured before; raises PromptBlocked before anything is drawn."""
        self.require_allowed([each.prompt for each in draws])
        parts, pipeline = [], None
        for start in range(0, len(draws), BATCH):
            batch = draws[start : start + BATCH]
            path = self._work / f"{self._name(model, batch)}.npz"
            part = read_arrays(path, ARRAYS, len(batch))
            if part is None:
                pipeline = pipeline or load_pipeline(model.base, model.adapter)
                part = self._measured(pipeline, model, batch)
                write_arrays(path, part)
            parts.append(part)
            progress(start + len(batch), len(draws))
        return Drawn(**{name: np.concatenate([part[name] for part in parts]) for name in ARRAYS})

    def require_allowed(self, prompts: Sequence[str]) -> None:
        """Raises PromptBlocked at the first prompt that the policy blocks, once that is in the log."""
        screen_prompts(prompts, self.policy, self._key, self._log, self._base)

    def _measured(self, pipeline: Any, model: AuditedModel, batch: Sequence[Draw]) -> dict[str, NDArray[Any]]:
        prompts, seeds = [each.prompt for each in batch], [each.seed for each in batch]
        with recorded_norms(pipeline) as norms:
            pictures = sample(pipeline, prompts, seeds, self.how, model.base.output_scale)
        blocked = self.blocked(prompts, pictures)
        clip, latents = self.clip.images(pictures), latents_of(pipeline, pictures)
        views = np.stack([view_of(picture) for picture in pictures])
        for rows in (clip, latents, views):
            rows[blocked] = 0
        kept = (blocked, clip, latents, np.stack(norms, axis=1), views)
        return dict(zip(ARRAYS, kept, strict=True))

    def blocked(self, prompts: Sequence[str], pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.bool_]:
        """Which pictures (S,) the policy blocks, each put in the log; raises FilterError when the filter failed."""
        decisions = screen_all_or_refuse(self._filter, pictures)
        for prompt, decision in zip(prompts, decisions, strict=True):
            if not decision.allowed:
                self._log.append(decision, hmac=self._key.name(prompt))
            if decision.rule == ERROR_RULE:
                raise FilterError("a picture of this audit cannot be screened", found=decision.reason)
        return np.array([not decision.allowed for decision in decisions])

    def identity(self, model: AuditedModel) -> Json:
        """Everything but prompt and seed that decides what this studio draws with a model, and sees in it."""
        return {
            "base": model.base.digest,
            "weights": model.weights,
            "clip": self.clip.digest,
            "policy": self.policy.digest,
            "filter": self._filter.digest,
            "steps": self.how.steps,
            "guidance": repr(self.how.guidance),
        }

    def _name(self, model: AuditedModel, batch: Sequence[Draw]) -> str:
        """The SHA-256 of everything that decides what is measured of a batch."""
        draws = [[each.prompt, str(each.seed)] for each in batch]
        return sha256_hex(canonical_json({"layout": LAYOUT, **self.identity(model), "draws": draws}))


def view_of(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture (H, W, 3) as a small square view, (128, 128, 3) uint8: its middle, reduced by area."""
    from PIL import Image, ImageOps

    fitted = ImageOps.fit(Image.fromarray(picture), (VIEW, VIEW), Image.Resampling.BOX)
    return np.asarray(fitted, np.uint8)


def require_guidance(how: Sampling) -> None:
    """Raises SamplingFailed unless both predictions of a step exist, with the caption and without."""
    if how.guidance <= 1:
        raise SamplingFailed(
            "without guidance there is no unconditional prediction to compare with",
            expected="guidance above 1",
            found=f"{how.guidance:g}",
            fix="give --guidance 3, or what pictures of this model are usually drawn with",
        )


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Writes arrays by name as one file, whole or not at all."""
    data = io.BytesIO()
    np.savez(data, allow_pickle=False, **arrays)
    write_file(path, data.getvalue())


def read_arrays(path: Path, names: Sequence[str], size: int) -> dict[str, NDArray[Any]] | None:
    """The arrays of a file, each of ``size`` rows, or None when it is not there or not whole."""
    if not path.exists():
        return None
    try:
        with np.load(io.BytesIO(read_file(path)), allow_pickle=False) as kept:
            arrays = {name: kept[name] for name in names}
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile):
        return None
    return arrays if all(len(each) == size for each in arrays.values()) else None
