"""The evaluation of an adapter, from its verified parts to a report: drawn twice, compared, told with its limits."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from generation.audit.captions import spread_evenly
from generation.audit.drawing import Draw, Progress
from generation.audit.model import AuditedModel
from generation.audit.report import Audit
from generation.errors import GenerationError
from generation.evaluation import clip_scores, cmmd, plots
from generation.evaluation.clip_scores import scores
from generation.evaluation.distances import KID_SUBSETS, fid, kid, kid_subset, require_torchmetrics
from generation.evaluation.drawing import Gallery, Seen
from generation.evaluation.reference import Reference, look_at
from generation.schedulers import usual_scheduler
from provenance.canonical import Json, canonical_json, sha256_hex
from provenance.evaluation import REPORT, REPORT_TYPE, parse_report
from provenance.evaluation_claim import TYPE, Evaluation
from provenance.evaluation_warnings import due_warnings
from provenance.moments import format_moment, utc_now
from provenance.signing import staged

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from provenance.manifest import DatasetManifest

FEWEST = 4
VERSIONS = ("numpy", "torch", "torchmetrics", "diffusers", "open_clip_torch")


@dataclass(frozen=True)
class Asked:
    """What is drawn: ``count`` pictures, prompt after prompt in turn; ``source`` says where the prompts are from."""

    prompts: tuple[str, ...]
    source: str
    count: int
    seed: int

    @classmethod
    def of_captions(cls, captions: Sequence[str], count: int, seed: int) -> Asked:
        """Asks the distinct captions of a dataset, evenly chosen where there are more than pictures."""
        return cls(tuple(spread_evenly(captions, count)), "captions", count, seed)

    @property
    def draws(self) -> list[Draw]:
        """The draws; the i-th has seed ``seed + i``, with the adapter and without."""
        return [Draw(self.prompts[i % len(self.prompts)], self.seed + i) for i in range(self.count)]


@dataclass(frozen=True)
class Evaluated:
    """A finished evaluation: the report's bytes, its claim, and PNGs by name."""

    report: bytes
    evaluation: Evaluation
    pictures: Mapping[str, bytes]

    def write(self, out: Path, further: Mapping[str, bytes]) -> None:
        """Writes the report, its pictures and further files as a new folder."""
        with staged(out) as staging:
            for name, data in {**self.pictures, REPORT: self.report, **further}.items():
                (staging / name).write_bytes(data)


def evaluate(
    model: AuditedModel,
    manifest: DatasetManifest,
    gallery: Gallery,
    asked: Asked,
    *,
    memorisation: Audit | None,
    progress: Callable[[str], Progress],
) -> Evaluated:
    """Draws with the adapter and with its base alone, and compares both with a dataset's pictures.

    ``memorisation`` is an audit of the same adapter, which goes into the report. Raises GenerationError for a base
    without an adapter and when nothing is left to compare; UsageError, PromptBlocked, SamplingFailed, FilterError, or
    what reading the dataset raises.
    """
    require_torchmetrics()
    if model.adapter is None:
        raise GenerationError(
            "there is no adapter to evaluate", expected="an adapter release or a token", found=f"the base {model.name}"
        )
    studio, extractor = gallery.studio, gallery.extractor
    after = gallery.draw(model, asked.draws, progress("drawing with the adapter"))
    before = gallery.draw(model.alone, asked.draws, progress("drawing the base alone"))
    reference = look_at(manifest, studio.clip, extractor, progress("looking at the dataset"))
    kept = ~(before.blocked | after.blocked)
    if kept.sum() < FEWEST:
        raise GenerationError(
            "too few pictures are left to compare",
            expected=f"{FEWEST} pairs that pass the safety policy",
            found=f"{int(kept.sum())} of {asked.count}",
            fix="ask for more with -n, or for other prompts",
        )
    places = np.arange(asked.count) % len(asked.prompts)
    groups = places[kept].tolist()
    texts = studio.clip.texts(asked.prompts)[places]
    first, second = (scores(seen.clip[kept], texts[kept]) for seen in (before, after))
    claim: Json = {
        "type": TYPE,
        "created": format_moment(utc_now()),
        "model": {
            "name": model.name,
            "weights": model.weights,
            "base": {"id": model.base.id, "digest": model.base.digest},
        },
        "reference": {
            "name": manifest.name,
            "digest": manifest.digest,
            "pictures": len(manifest.records),
            "trained_on": manifest.digest == model.dataset,
        },
        "prompts": {
            "source": asked.source,
            "distinct": len(asked.prompts),
            "digest": sha256_hex(canonical_json(list(asked.prompts))),
        },
        "features": {"name": extractor.name, "digest": extractor.digest, "dimensions": extractor.dimensions},
        "clip": studio.clip.digest,
        "policy": studio.policy.digest,
        "sampling": {
            "scheduler": usual_scheduler(model.base.family),
            "steps": studio.how.steps,
            "guidance": studio.how.guidance,
        },
        "seeds": {"first": str(asked.seed), "count": asked.count},
        "blocked": {"before": int(before.blocked.sum()), "after": int(after.blocked.sum())},
        "compared": int(kept.sum()),
        **_distances(reference, before, after, kept, asked.seed),
        "cmmd": cmmd.compare(reference.clip, before.clip[kept], after.clip[kept], groups).to_json(),
        "clip_score": clip_scores.compare(first, second, groups, asked.seed).to_json(),
        "memorisation": None if memorisation is None else _memorisation(memorisation),
        "device": _device(studio.clip.device),
        "versions": {name: version(name) for name in VERSIONS},
    }
    claim["warnings"] = due_warnings(claim)
    prompts = _by_prompt(asked, places[kept], first, second)
    pictures = {
        "figures.png": plots.figures_png(claim),
        "clip-scores.png": plots.scatter_png(prompts, model.name),
        "sheet.png": plots.sheet(
            f"{model.name}: base alone, with the adapter, and the nearest picture of {manifest.name}",
            [draw.prompt for draw in asked.draws],
            before,
            after,
            reference,
        ),
    }
    if memorisation is not None:
        pictures |= {f"memorisation-{name}": data for name, data in memorisation.pictures.items()}
    report = canonical_json(
        {
            "type": REPORT_TYPE,
            "evaluation": claim,
            "prompts": prompts,
            "pictures": {name: sha256_hex(data) for name, data in pictures.items()},
        }
    )
    # Nothing is written that its own reader would refuse.
    return Evaluated(report, parse_report(report), pictures)


def _distances(reference: Reference, before: Seen, after: Seen, kept: NDArray[np.bool_], seed: int) -> Json:
    rows = {"before": before.features[kept], "after": after.features[kept]}
    return {
        "fid": {name: round(fid(reference.features, found), 6) for name, found in rows.items()},
        "kid": {
            **{name: kid(reference.features, found, seed).to_json() for name, found in rows.items()},
            "subsets": KID_SUBSETS,
            "subset_size": kid_subset(len(reference.features), int(kept.sum())),
        },
    }


def _memorisation(audit: Audit) -> Json:
    wanted = ("copied", "samples", "captions_copied", "captions", "p_corrected")
    spaces = audit.report["spaces"]
    return {
        "memorised": audit.report["memorised"],
        "samples_per_caption": audit.report["samples_per_caption"],
        "report": audit.digest,
        "spaces": {name: {key: space[key] for key in wanted} for name, space in spaces.items()},
    }


def _by_prompt(
    asked: Asked, places: NDArray[np.int64], before: NDArray[np.float64], after: NDArray[np.float64]
) -> list[Json]:
    """Every prompt with its mean scores; a prompt all of whose pictures were blocked has none."""
    found = []
    for number, prompt in enumerate(asked.prompts):
        own = places == number
        means = [round(float(each[own].mean()), 6) if own.any() else None for each in (before, after)]
        found.append({"prompt": prompt, "pictures": int(own.sum()), "before": means[0], "after": means[1]})
    return found


def _device(device: str) -> str:
    if device.startswith("cuda"):
        import torch

        return str(torch.cuda.get_device_name())
    return f"{device} {platform.machine()}"
