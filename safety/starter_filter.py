"""The content filter of the starter world: a small classifier that knows its objects, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from safety.content import check_picture, decide
from safety.decision import Decision
from safety.errors import FilterError
from safety.policy import Policy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class ObjectClassifier(Protocol):
    """Probabilities (N, labels) of pictures (N, H, W, 3) uint8; ``labels`` names the columns."""

    @property
    def labels(self) -> tuple[str, ...]: ...

    def object_probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]: ...


class StarterContentFilter:
    """Blocks when the classes of a concept together are likelier than its threshold."""

    def __init__(self, policy: Policy, classifier: ObjectClassifier | None = None, digest: str | None = None) -> None:
        """Loads the shipped classifier unless one is given; raises FilterError when that fails or lacks a label."""
        if classifier is None:
            classifier, digest = _load()
        self.policy = policy
        self.digest = self.model_digest = digest or ""
        self._classifier = classifier
        self._labels = tuple(classifier.labels)
        for concept in policy.concepts:
            missing = sorted(set(concept.labels) - set(self._labels))
            if missing:
                raise FilterError(
                    f"the classifier has no class for {concept.name}",
                    expected=f"labels among {', '.join(self._labels)}",
                    found=", ".join(missing),
                )

    def screen(self, image: NDArray[np.uint8], stage: str = "output") -> Decision:
        """Scores one picture; raises FilterError when the classifier does not give probabilities."""
        import numpy as np

        check_picture(image)
        answer = np.asarray(self._classifier.object_probabilities(image[None]), dtype=np.float64)
        if answer.shape != (1, len(self._labels)) or not np.isfinite(answer).all():
            raise FilterError("the classifier gave no probabilities", found=f"shape {answer.shape}")
        if (answer < 0).any() or abs(answer.sum() - 1) > 1e-3:
            raise FilterError("the classifier's probabilities do not add up to 1", found=f"{answer.sum():g}")
        shares = dict(zip(self._labels, answer[0].tolist(), strict=True))
        scores = {c.name: min(1.0, sum(shares[label] for label in c.labels)) for c in self.policy.at(stage)}
        return decide(self, stage, scores)

    def screen_batch(self, images: Sequence[NDArray[np.uint8]], stage: str = "output") -> list[Decision]:
        """Scores pictures one by one; raises as ``screen`` does."""
        return [self.screen(image, stage) for image in images]


def _load() -> tuple[ObjectClassifier, str]:
    try:
        from safety.starter import classifier

        weights = classifier.WEIGHTS.read_bytes()
        return classifier.load_classifier(weights), hashlib.sha256(weights).hexdigest()
    except Exception as error:
        raise FilterError(
            "the starter content filter cannot be loaded; nothing is generated without it",
            found=f"{type(error).__name__}: {error}",
            fix="install the package again",
        ) from error
