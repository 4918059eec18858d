"""A model that writes captions: BLIP (arXiv:2201.12086), from a folder or from the hub, from safetensors alone."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provenance.canonical import canonical_json, parse_json, sha256_hex
from provenance.errors import BaseRefused, UsageError
from provenance.hub import hub_snapshot
from provenance.records import Captioner
from training.setup import is_present

if TYPE_CHECKING:
    from PIL.Image import Image

DEFAULT = "Salesforce/blip-image-captioning-base"
BEAMS = 3
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w./-]+)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


@dataclass(frozen=True)
class CaptionModel:
    """A captioning model where it lies on this machine, and who it is to others."""

    folder: Path
    identity: Captioner


@dataclass(frozen=True)
class Blip:
    """A loaded model at work; ``max_length`` is in tokens."""

    model: Any
    processor: Any
    max_length: int

    @classmethod
    def load(cls, found: CaptionModel, device: str, max_length: int) -> Blip:
        """Loads the model in float32; never from the network or a pickle. Raises BaseRefused, or UsageError.

        ``device`` is cpu, cuda or mps.
        """
        import torch
        import transformers
        from transformers import BlipForConditionalGeneration, BlipProcessor

        transformers.utils.logging.disable_progress_bar()
        if device not in ("cpu", "cuda", "mps") or not is_present(device):
            raise UsageError(
                f"this machine has no {device[:20]} device", expected="cpu, or cuda or mps where there is one"
            )
        options = {"local_files_only": True}
        try:
            model = BlipForConditionalGeneration.from_pretrained(
                found.folder, use_safetensors=True, dtype=torch.float32, **options
            )
            processor = BlipProcessor.from_pretrained(found.folder, **options)
        except Exception as error:  # whatever the files make transformers stumble on
            raise BaseRefused(
                f"{found.identity.model} cannot be loaded",
                expected="a whole BLIP captioning model in the transformers layout",
                found=" ".join(str(error).split())[:200],
                fix="get its files again, or name another model with --model",
            ) from error
        return cls(model.to(device).eval(), processor, max_length)

    def describe(self, pictures: Sequence[Image]) -> list[str]:
        """One caption for each RGB picture, by beam search: the same picture beside the same others has the same."""
        import torch

        inputs = self.processor(images=list(pictures), return_tensors="pt").to(self.model.device)
        with torch.no_grad():
            tokens = self.model.generate(**inputs, max_length=self.max_length, num_beams=BEAMS, do_sample=False)
        return [text.strip() for text in self.processor.batch_decode(tokens, skip_special_tokens=True)]


def resolve_captioner(name: str) -> CaptionModel:
    """Finds the model a name means, a folder or a hub id ``owner/name[@revision]``; raises BaseRefused or -Unavailable.

    A hub model is fetched if the hub answers, else the copy already on this machine is used.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        folder = path.resolve()
        return _described(f"local:{folder.name}", folder)
    if not _HUB_ID.fullmatch(name):
        raise BaseRefused(
            "the captioning model cannot be found",
            expected="a folder in the transformers layout, or a hub id such as owner/name",
            found=name,
            fix="check the path or the hub id",
        )
    repository, _, revision = name.partition("@")
    wanted = ("*.json", "*.txt", "model.safetensors", "model-*-of-*.safetensors")
    fix = "check the id and the network, or give a folder with --model"
    folder = hub_snapshot(repository, revision or None, wanted, "captioning model", fix)
    commit = folder.name if _COMMIT.fullmatch(folder.name) else revision or "main"
    return _described(f"hf:{repository}@{commit}", folder)


def _described(identifier: str, folder: Path) -> CaptionModel:
    """Checks what kind of model it is, and digests its files as the digest of a base does."""
    config = folder / "config.json"
    kind = parse_json(config.read_bytes(), str(config), limit=1 << 20) if config.is_file() else None
    if not isinstance(kind, dict) or kind.get("model_type") != "blip":
        found = kind.get("model_type") if isinstance(kind, dict) else "no config.json"
        raise BaseRefused(f"{folder} is not a captioning model", expected="a BLIP model", found=str(found)[:80])
    files = sorted(path for path in folder.iterdir() if path.is_file())
    weights = [path for path in files if _WEIGHTS.fullmatch(path.name)]
    if not weights:
        pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
        raise BaseRefused(
            f"{folder} has no weights in safetensors",
            expected="model.safetensors",
            found=pickles[0] if pickles else "none",
            fix="use the safetensors release of this model, or convert it with `model.save_pretrained(FOLDER)`",
        )
    texts = [path for path in files if path.suffix in (".json", ".txt") and path not in weights]
    listing = [{"name": path.name, "sha256": _digest(path)} for path in sorted([*weights, *texts])]
    return CaptionModel(folder, Captioner(identifier, sha256_hex(canonical_json(listing))))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
