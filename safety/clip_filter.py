"""Zero-shot content filter on open_clip: each concept against its neutral anchors, in full precision."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from safety.content import check_picture, decide
from safety.decision import Decision
from safety.errors import FilterError
from safety.policy import Concept, Policy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KIND = "open_clip"
TEMPLATES = ("{}", "a photo of {}", "a drawing of {}", "a picture showing {}")
LARGEST_SCALE = 100.0


class OpenClipContentFilter:
    """Scores a concept by ``sigmoid(scale · (similarity to the concept - similarity to its nearest anchor))``.

    A concept is the mean of its prompts in four templates; every anchor is the mean of its four. 0.5 means that the
    picture is as close to the concept as to the nearest anchor.
    """

    def __init__(self, model: str, pretrained: str | None, policy: Policy) -> None:
        """Loads a model by name and weights, or ``local-dir:PATH``; raises FilterError when its weights are missing."""
        import torch

        self.policy = policy
        self._model, self._preprocess, tokenizer = _load(model, pretrained)
        self.digest = _state_digest(self._model)
        with torch.inference_mode():
            self._scale = min(float(self._model.logit_scale.exp()), LARGEST_SCALE)
            concepts = [c for c in policy.concepts if {"train", "output"} & set(c.stages)]
            self._features = {c.name: _features(self._model, tokenizer, c) for c in concepts}

    def screen(self, image: NDArray[np.uint8], stage: str = "output") -> Decision:
        """Scores one (H, W, 3) uint8 picture; raises FilterError for a picture or a model that gives no numbers."""
        import torch
        from PIL import Image

        check_picture(image)
        with torch.inference_mode():
            pixels = self._preprocess(Image.fromarray(image)).unsqueeze(0)
            seen = _unit(self._model.encode_image(pixels).float())[0]
            scores = {}
            for concept in self.policy.at(stage):
                wanted, anchors = self._features[concept.name]
                margin = seen @ wanted - (anchors @ seen).max()
                scores[concept.name] = float(torch.sigmoid(self._scale * margin))
        return decide(self.policy, KIND, stage, self.digest, scores)


def _load(model: str, pretrained: str | None) -> tuple[Any, Any, Any]:
    try:
        import open_clip

        # Without require_pretrained, missing weights give a random model and a mere warning.
        loaded, _, preprocess = open_clip.create_model_and_transforms(
            model, pretrained=pretrained, precision="fp32", device="cpu", require_pretrained=True
        )
        tokenizer = open_clip.get_tokenizer(model)
    except Exception as error:
        raise FilterError(
            "the open_clip content filter cannot be loaded; nothing is generated without it",
            expected=f"weights for {model}" + (f" ({pretrained})" if pretrained else ""),
            found=f"{type(error).__name__}: {error}".replace("\n", " ")[:300],
            fix="download the model once with the network on, or name a folder as local-dir:PATH in the policy",
        ) from error
    return loaded.float().eval(), preprocess, tokenizer


def _features(model: Any, tokenizer: Any, concept: Concept) -> tuple[Any, Any]:
    """The concept's direction (D,) and those of its anchors (anchors, D), all of length 1."""
    import torch

    def ensemble(texts: tuple[str, ...]) -> Any:
        tokens = tokenizer([template.format(text) for text in texts for template in TEMPLATES])
        return _unit(_unit(model.encode_text(tokens).float()).mean(dim=0))

    wanted = ensemble(concept.prompts)
    anchors = torch.stack([ensemble((anchor,)) for anchor in concept.anchors])
    if not bool(torch.isfinite(wanted).all() and torch.isfinite(anchors).all()):
        raise FilterError(f"the model gives no direction for {concept.name}")
    return wanted, anchors


def _unit(vectors: Any) -> Any:
    return vectors / vectors.norm(dim=-1, keepdim=True)


def _state_digest(model: Any) -> str:
    """SHA-256 over every tensor's name, shape and little-endian float32 bytes, by name: whatever file they came in."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().float().contiguous().numpy().astype("<f4").tobytes())
    return digest.hexdigest()
