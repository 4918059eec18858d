"""The memorisation audit: whether a model gives back the pictures it was trained on, and how hard their captions pull.

Distances to training pictures, calibrated leave-one-out: Meehan, Chaudhuri, Dasgupta, arXiv:2004.05675; extraction of
training pictures: Carlini et al., arXiv:2301.13188; the score norm: arXiv:2407.21720.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from generation.audit.captions import paraphrase, spread_evenly
from generation.audit.drawing import Draw, Drawn, Progress, Studio, require_guidance
from generation.audit.memorisation_pictures import sheet, spaces_png
from generation.audit.model import AuditedModel
from generation.audit.neighbours import leave_one_out, nearest
from generation.audit.pull import Pull, compare, pull_of
from generation.audit.report import Audit, report_of
from generation.audit.shares import holm
from generation.audit.training_pictures import TrainingPictures, look_at, require_trained_on
from generation.audit.verdict import SAMPLE_LEVEL, VERDICT_LEVEL, Space, judge, spread_of
from generation.errors import GenerationError
from provenance.canonical import Json
from safety.intervals import clopper_pearson

if TYPE_CHECKING:
    from provenance.manifest import DatasetManifest

KIND = "memorisation"
SPACES = ("latents", "clip")
MOST_LEFT_OUT = 4096


@dataclass(frozen=True)
class Asked:
    """What is asked: training captions, each ``count`` times in its own words and once in others; and controls."""

    captions: tuple[str, ...]
    controls: tuple[str, ...]
    count: int
    seed: int

    @property
    def trained(self) -> list[Draw]:
        """The draws of training captions, caption by caption; the last of each is paraphrased."""
        draws: list[Draw] = []
        for caption in self.captions:
            words = [caption] * self.count + [paraphrase(caption)]
            draws += [Draw(text, self.seed + len(draws) + place) for place, text in enumerate(words)]
        return draws

    @property
    def untrained(self) -> list[Draw]:
        """The draws of controls, with seeds that follow those of the training captions."""
        first = self.seed + len(self.trained)
        texts = [caption for caption in self.controls for _ in range(self.count)]
        return [Draw(text, first + place) for place, text in enumerate(texts)]


def audit_memorisation(
    model: AuditedModel,
    manifest: DatasetManifest,
    studio: Studio,
    *,
    captions: int,
    count: int,
    seed: int,
    controls: Callable[[Sequence[str], int], Sequence[str]],
    progress: Callable[[str], Progress],
) -> Audit:
    """Draws training captions, finds the training picture nearest to each sample, and says which are copies.

    At most ``captions`` captions are asked, ``count`` times each; ``controls`` gives captions like them that were not
    trained on. Raises GenerationError when the dataset is not the one trained on, PromptBlocked, SamplingFailed,
    FilterError, or what reading the dataset raises.
    """
    require_guidance(studio.how)
    require_trained_on(model, manifest)
    every = [record.caption for record in manifest.records]
    chosen = spread_evenly(every, captions)
    asked = Asked(tuple(chosen), tuple(controls(every, len(chosen))), count, seed)
    draws = asked.trained
    drawn = studio.draw(model, draws, progress("drawing training captions"))
    other = studio.draw(model, asked.untrained, progress("drawing other captions"))
    before = other_before = None
    if model.adapter is not None:
        before = studio.draw(model.alone, draws, progress("the same by the base alone"))
        other_before = studio.draw(model.alone, asked.untrained, progress("the others by the base alone"))
    pictures = look_at(model, manifest, studio.clip, progress("looking at training pictures"))
    own = ~_paraphrased(asked) & ~drawn.blocked
    if not own.any():
        raise GenerationError("the safety policy blocks every picture of the training captions", fix="see the policy")
    spaces = {name: _judged(name, pictures, drawn, before, own, asked) for name in SPACES}
    pull = _pull(asked, drawn, other, before, other_before)
    shown = {
        "distances.png": spaces_png(spaces, pull, model.name),
        "worst-pairs.png": sheet(model.name, pictures, drawn, own, spaces),
    }
    found = _found(asked, manifest, pictures, drawn, own, spaces, pull, attested=model.adapter is not None)
    seeds = {"first": str(seed), "count": len(draws) + len(asked.untrained)}
    report = report_of(KIND, model, studio, seeds, found, shown)
    return Audit(report, _summary(report), shown)


def _numbers(asked: Asked) -> list[int]:
    """Each sample's caption, by number."""
    return [number for number in range(len(asked.captions)) for _ in range(asked.count + 1)]


def _paraphrased(asked: Asked) -> np.ndarray:
    """Which samples (S,) are of other words than a caption's own."""
    return np.asarray(np.arange(len(asked.trained)) % (asked.count + 1) == asked.count)


def _judged(
    name: str, pictures: TrainingPictures, drawn: Drawn, before: Drawn | None, own: np.ndarray, asked: Asked
) -> Space:
    rows, points, numbers = getattr(drawn, name), getattr(pictures, name), _numbers(asked)
    compared = drawn if before is None else before
    spread = spread_of(getattr(compared, name), numbers, compared.blocked | _paraphrased(asked))
    reference = leave_one_out(points, pictures.kinds, MOST_LEFT_OUT)
    return judge(nearest(rows, points), reference, spread, numbers, own)


def _pull(asked: Asked, drawn: Drawn, other: Drawn, before: Drawn | None, other_before: Drawn | None) -> Pull:
    own = ~_paraphrased(asked)
    numbers = [number for number in range(len(asked.captions)) for _ in range(asked.count)]
    others = np.repeat(np.arange(len(asked.controls)), asked.count).tolist()
    return compare(
        pull_of(drawn.norms[own], numbers, None if before is None else before.norms[own]),
        pull_of(other.norms, others, None if other_before is None else other_before.norms),
        asked.seed,
    )


def _found(
    asked: Asked,
    manifest: DatasetManifest,
    pictures: TrainingPictures,
    drawn: Drawn,
    own: np.ndarray,
    spaces: dict[str, Space],
    pull: Pull,
    *,
    attested: bool,
) -> Json:
    corrected = dict(zip(spaces, holm([space.p for space in spaces.values()]), strict=True))
    return {
        "dataset": {"digest": manifest.digest, "items": len(manifest.records), "attested": attested},
        "captions": list(asked.captions),
        "controls": list(asked.controls),
        "samples_per_caption": asked.count,
        "blocked": int(drawn.blocked.sum()),
        "levels": {"sample": SAMPLE_LEVEL, "verdict": VERDICT_LEVEL},
        "spread_of": "base alone" if attested else "the model itself",
        "memorised": min(corrected.values()) <= VERDICT_LEVEL,
        "spaces": {name: _space(space, own, corrected[name], pictures) for name, space in spaces.items()},
        "score_norm": pull.to_json(),
        "samples": [_sample(n, asked, drawn, own, spaces, pictures) for n in range(len(drawn.blocked))],
    }


def _space(space: Space, own: np.ndarray, corrected: float, pictures: TrainingPictures) -> Json:
    copied, n = int(space.copied[own].sum()), int(own.sum())
    interval = clopper_pearson(copied, n)
    return {
        "copied": copied,
        "samples": n,
        "interval": [round(interval.low, 6), round(interval.high, 6)],
        "captions_copied": space.captions_copied,
        "captions": space.captions,
        "p": space.p,
        "p_corrected": corrected,
        "nearest_median": round(float(np.median(space.nearest.distance[own])), 6),
        "leave_one_out_median": _median(space.reference),
        "spread_median": _median(space.spread),
        "pictures_given_back": sorted(
            {pictures.manifest.records[int(i)].path for i in space.nearest.index[own & space.copied]}
        ),
    }


def _sample(
    number: int, asked: Asked, drawn: Drawn, own: np.ndarray, spaces: dict[str, Space], pictures: TrainingPictures
) -> Json:
    place = number // (asked.count + 1)
    sample: Json = {
        "caption": place,
        "seed": str(asked.seed + number),
        "paraphrased": number % (asked.count + 1) == asked.count,
        "blocked": bool(drawn.blocked[number]),
        "score_norm": round(float(drawn.norms[number].mean()), 6),
    }
    if sample["blocked"]:
        return sample
    for name, space in spaces.items():
        sample[name] = {
            "nearest": pictures.manifest.records[int(space.nearest.index[number])].path,
            "distance": round(float(space.nearest.distance[number]), 6),
            "rank": round(float(space.rank[number]), 6),
            "spread_rank": round(float(space.spread_rank[number]), 6),
            "copied": bool(space.copied[number]),
        }
    return sample


def _median(values: np.ndarray) -> float | None:
    return round(float(np.median(values)), 6) if len(values) else None


def _summary(report: Json) -> Json:
    kept = ("clip", "policy", "seeds", "sampling", "blocked", "levels", "spread_of", "memorised", "samples_per_caption")
    without_names = {
        name: {key: value for key, value in space.items() if key != "pictures_given_back"}
        for name, space in report["spaces"].items()
    }
    pull = {key: report["score_norm"][key] for key in ("auc", "p", "trained_mean", "control_mean")}
    return {**{key: report[key] for key in kept}, "spaces": without_names, "score_norm": pull}
