"""What a calibration is made of: different pictures or prompts, what each scores, and a digest of the whole set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from safety.clip_filter import KIND as PICTURES
from safety.clip_filter import picture_scores
from safety.clip_model import BATCH, ClipModel
from safety.content import check_picture
from safety.errors import FilterError, PolicyError
from safety.policy import Concept, Policy
from safety.text_filter import SCORER as PROMPTS
from safety.text_filter import text_scores
from safety.zero_shot import concept_scorers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SCORERS = {"output": PICTURES, "prompt": PROMPTS}


@dataclass(frozen=True)
class Sample:
    """A picture (H, W, 3) uint8 or a prompt, and where it came from."""

    name: str
    content: Any

    @property
    def digest(self) -> str:
        """SHA-256 of the pixels with their shape, or of the text."""
        if isinstance(self.content, str):
            return hashlib.sha256(self.content.encode()).hexdigest()
        shape = f"{self.content.shape}\n".encode()
        return hashlib.sha256(shape + self.content.tobytes()).hexdigest()


@dataclass(frozen=True)
class ScoredSet:
    """Different inputs, one row each: names, digests, and scores (n,) by concept. ``repeated`` more were the same."""

    names: tuple[str, ...]
    digests: tuple[str, ...]
    scores: Mapping[str, NDArray[np.float64]]
    repeated: int

    def __len__(self) -> int:
        return len(self.names)


class SampleScorer:
    """Scores samples of one stage, pictures for ``output`` and prompts for ``prompt``, with one model."""

    def __init__(self, policy: Policy, clip: ClipModel, stage: str) -> None:
        """Raises PolicyError when no concept of the policy can be compared with such samples."""
        self.stage = stage
        self.scorer = SCORERS[stage]
        self.model_digest = clip.digest
        self._clip = clip
        self.concepts = _comparable(policy, stage)
        self._scorers = concept_scorers(clip, tuple(self.concepts.values()))

    def score(self, samples: Iterable[Sample]) -> ScoredSet:
        """Scores every different sample, in batches; raises FilterError naming what cannot be scored."""
        import numpy as np

        names: dict[str, str] = {}
        rows: list[dict[str, NDArray[np.float64]]] = []
        repeated = 0
        for batch in _batches(samples):
            fresh = {sample.digest: sample for sample in batch}
            fresh = {digest: sample for digest, sample in fresh.items() if digest not in names}
            repeated += len(batch) - len(fresh)
            if fresh:
                rows.append(self._scored(list(fresh.values())))
                names |= {digest: sample.name for digest, sample in fresh.items()}
        scores = {name: np.concatenate([row[name] for row in rows]) if rows else np.zeros(0) for name in self.concepts}
        return ScoredSet(tuple(names.values()), tuple(names), scores, repeated)

    def _scored(self, batch: Sequence[Sample]) -> dict[str, NDArray[np.float64]]:

        if self.stage == "prompt":
            return text_scores(self._clip, self._scorers, [sample.content for sample in batch])
        for sample in batch:
            try:
                check_picture(sample.content)
            except FilterError as error:
                raise FilterError(f"{sample.name}: {error.what}", fix="take it out of the set") from error
        return picture_scores(self._clip, self._scorers, [sample.content for sample in batch])


def set_digest(negatives: ScoredSet, positives: Mapping[str, ScoredSet]) -> str:
    """SHA-256 over one line for each input, sorted: ``negative DIGEST`` or ``positive CONCEPT DIGEST``."""
    lines = [f"negative {digest}\n" for digest in negatives.digests]
    lines += [f"positive {name} {digest}\n" for name, scored in positives.items() for digest in scored.digests]
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def require_apart(negatives: ScoredSet, positives: Mapping[str, ScoredSet]) -> None:
    """Raises PolicyError when an input is both a negative and a positive."""
    harmless = dict(zip(negatives.digests, negatives.names, strict=True))
    for concept, scored in positives.items():
        for digest, name in zip(scored.digests, scored.names, strict=True):
            if digest in harmless:
                raise PolicyError(
                    "the same input is on both sides",
                    expected="negatives that show none of the concepts",
                    found=f"{harmless[digest]} among the negatives and {name} among the positives of {concept}",
                    fix="take it out of one of them",
                )


def _comparable(policy: Policy, stage: str) -> dict[str, Concept]:
    found = {c.name: c for c in policy.at(stage) if c.prompts and c.anchors}
    if not found:
        raise PolicyError(
            f"{policy.name} has no concept that CLIP can compare at stage {stage}",
            expected=f"a concept with stage {stage}, prompts and anchors",
            fix="give another --policy or --stage",
        )
    return found


def _batches(samples: Iterable[Sample]) -> Iterator[list[Sample]]:
    rest = iter(samples)
    while batch := list(islice(rest, BATCH)):
        yield batch
