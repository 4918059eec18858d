"""One open_clip model in full precision: pictures and texts in, directions of length 1 out, under one digest."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safety.errors import FilterError
from safety.windows import require_windows, text_tokens

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

STARTER_MODEL = "starter"
STARTER_CLIP = Path(__file__).parent / "starter" / "clip"
PRECISION = "fp32"
LARGEST_SCALE = 100.0
BATCH = 32
_FOLDER = "local-dir:"
# The names that open_clip prefers to any pickle beside them.
_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors")


@dataclass(frozen=True)
class ClipModel:
    """A loaded model; every method raises FilterError when the towers do not give finite directions.

    ``digest`` is the SHA-256 over weights, tokenizer, architecture and preprocessing, whatever file they came in.
    ``scale`` is min(exp(logit_scale), 100). ``device`` is where the towers run.
    """

    digest: str
    scale: float
    device: str
    _model: Any = field(repr=False, compare=False)
    _preprocess: Any = field(repr=False, compare=False)
    _tokenizer: Any = field(repr=False, compare=False)

    def images(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Directions (N, D), of length 1, of N pictures (H, W, 3) uint8 of any sizes, through the model's own crop."""
        import torch
        from PIL import Image

        def inputs() -> Iterator[Any]:
            for start in range(0, len(pictures), BATCH):
                batch = pictures[start : start + BATCH]
                yield torch.stack([self._preprocess(Image.fromarray(picture)) for picture in batch])

        return self._directions(self._model.encode_image, inputs(), len(pictures))

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Directions (N, D), of length 1, of N texts; see ``windows`` for long ones."""
        batches = (self._tokenizer(list(texts[start : start + BATCH])) for start in range(0, len(texts), BATCH))
        return self._directions(self._model.encode_text, batches, len(texts))

    def windows(self, text: str) -> NDArray[np.float32]:
        """Directions (windows, D), of length 1, of windows that together hold every token of a text.

        Raises FilterError as ``windows_of`` does.
        """
        return self.windows_of([text])[0]

    def windows_of(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """For each text the directions (windows, D), of length 1, of windows that together hold every token of it.

        Raises FilterError when the tokenizer is not one whose ids can be cut anywhere (``windows.require_windows``).
        """
        import numpy as np
        import torch

        context = require_windows(self._model, self._tokenizer)
        tokens = [text_tokens(self._tokenizer, text, context) for text in texts]
        if not tokens:
            return []
        rows: Any = torch.cat(tokens)
        seen = self._directions(self._model.encode_text, iter(rows.split(BATCH)), len(rows))
        ends = np.cumsum([len(each) for each in tokens])
        return [seen[end - len(each) : end] for end, each in zip(ends, tokens, strict=True)]

    def _directions(self, tower: Any, batches: Iterator[Any], count: int) -> NDArray[np.float32]:
        import numpy as np
        import torch

        found = []
        with torch.inference_mode(), _full_precision(self.device):
            try:
                for batch in batches:
                    found.append(tower(batch.to(self.device)).float().cpu().numpy())
            except Exception as error:  # a model raises whatever its layers, its device or its memory do
                raise FilterError(
                    f"the model failed with {type(error).__name__}",
                    found=str(error).replace("\n", " ")[:300],
                    fix="give it more memory or another device, or check its files",
                ) from error
        vectors = np.concatenate(found) if found else np.zeros((0, 1), np.float32)
        if vectors.ndim != 2 or len(vectors) != count:
            raise FilterError(
                "the model's answer has the wrong shape",
                expected=f"({count}, D)",
                found=f"{vectors.shape}",
                fix="check the model's files",
            )
        return unit_rows(vectors)


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows (N, D) made 1 long; raises FilterError for a row that is not finite or points nowhere."""
    import numpy as np

    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or (lengths == 0).any():
        raise FilterError(
            "the model gives no direction", expected="finite numbers, not all zero", fix="check the model's weights"
        )
    return np.asarray(vectors / lengths, dtype=np.float32)


def open_clip_model(model: str, pretrained: str | None = None, device: str = "cpu") -> ClipModel:
    """Loads a model in fp32: ``starter``, ``local-dir:PATH``, ``hf-hub:owner/name``, or an open_clip name and its tag.

    Raises FilterError when its weights are missing, broken, no safetensors, or not those of its tokenizer. A model that
    was loaded before and has not changed on disk is given again.
    """
    name = f"{_FOLDER}{STARTER_CLIP}" if model == STARTER_MODEL else model
    try:
        return _loaded(name, pretrained, device, _files_of(name, pretrained))
    except Exception as error:
        told = error.found or error.what if isinstance(error, FilterError) else f"{type(error).__name__}: {error}"
        raise FilterError(
            "the open_clip model cannot be loaded; nothing is generated without it",
            expected=f"weights for {name}" + (f" ({pretrained})" if pretrained else ""),
            found=told.replace("\n", " ")[:300],
            fix="download the model once with the network on, or name a folder as local-dir:PATH in the policy",
        ) from error


def forget_models() -> None:
    """Lets go of the models that ``open_clip_model`` keeps."""
    _loaded.cache_clear()


@lru_cache(maxsize=2)
def _loaded(name: str, pretrained: str | None, device: str, _files: tuple[Any, ...]) -> ClipModel:
    _require_safetensors(name, pretrained)
    model, preprocess, tokenizer, architecture = _read(name, pretrained, device)
    _require_own_tokenizer(model, tokenizer)
    _require_own_shapes(name, pretrained, model)
    scale = float(model.logit_scale.exp())
    if not (math.isfinite(scale) and scale > 0):
        raise FilterError("no scale", found=f"a logit scale of {scale}")
    digest = _digest(model, tokenizer, architecture)
    return ClipModel(digest, min(scale, LARGEST_SCALE), device, model, preprocess, tokenizer)


def _read(name: str, pretrained: str | None, device: str) -> tuple[Any, Any, Any, Any]:
    import open_clip

    with warnings.catch_warnings():
        # Weights under another activation than they were trained with score, but score nonsense.
        warnings.filterwarnings("error", message="QuickGELU mismatch")
        # Without require_pretrained, missing weights give a random model and a mere warning.
        model, _, preprocess = open_clip.create_model_and_transforms(
            name, pretrained=pretrained, precision=PRECISION, device=device, require_pretrained=True
        )
    tokenizer = open_clip.get_tokenizer(name)
    architecture = open_clip.get_model_config(name if ":" in name else name.replace("/", "-"))
    return model.float().eval().requires_grad_(False), preprocess, tokenizer, architecture


def _files_of(name: str, pretrained: str | None) -> tuple[Any, ...]:
    paths = sorted(Path(name.removeprefix(_FOLDER)).glob("*")) if name.startswith(_FOLDER) else []
    paths += [Path(pretrained)] if pretrained and Path(pretrained).is_file() else []
    states = [(path, path.stat()) for path in paths if path.exists()]
    return tuple((str(path), state.st_size, state.st_mtime_ns, state.st_ino) for path, state in states)


def _require_safetensors(name: str, pretrained: str | None) -> None:
    if name.startswith(_FOLDER):
        folder = Path(name.removeprefix(_FOLDER))
        if not any((folder / weights).is_file() for weights in _WEIGHTS):
            raise FilterError("no weights", found=f"{folder} holds none of {', '.join(_WEIGHTS)}")
    elif pretrained and Path(pretrained).is_file() and Path(pretrained).suffix != ".safetensors":
        raise FilterError("no safetensors", found=f"{pretrained} is not a safetensors file")


def _require_own_tokenizer(model: Any, tokenizer: Any) -> None:
    # A truncated vocabulary moves the end-of-text id, and every text then means something else.
    tower = model if hasattr(model, "vocab_size") else getattr(model, "text", None)
    rows, known = getattr(tower, "vocab_size", None), getattr(tokenizer, "vocab_size", None)
    if isinstance(rows, int) and isinstance(known, int) and rows != known:
        raise FilterError("another tokenizer", found=f"a tokenizer of {known} tokens for a text tower of {rows}")


def _require_own_shapes(name: str, pretrained: str | None, model: Any) -> None:
    """Raises FilterError for a file whose position embeddings open_clip stretched to fit another picture or text."""
    from safetensors import safe_open

    folder = Path(name.removeprefix(_FOLDER)) if name.startswith(_FOLDER) else None
    paths = [folder / weights for weights in _WEIGHTS] if folder else [Path(pretrained or "")]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return
    loaded = model.state_dict()
    with safe_open(path, "pt") as file:
        shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys() if key in loaded}  # noqa: SIM118
    for key, shape in shapes.items():
        if math.prod(shape) != loaded[key].numel():
            raise FilterError("stretched weights", found=f"{key} of shape {shape} for {tuple(loaded[key].shape)}")


@contextmanager
def _full_precision(device: str) -> Iterator[None]:
    """Neither a caller's autocast nor TF32 moves a score: TF32 keeps 10 bits, and is a GPU's usual way to convolve."""
    import torch

    matmul, convolution = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, convolution.allow_tf32
    matmul.allow_tf32 = convolution.allow_tf32 = False
    try:
        with torch.autocast(torch.device(device).type, enabled=False):
            yield
    finally:
        matmul.allow_tf32, convolution.allow_tf32 = before


def _digest(model: Any, tokenizer: Any, architecture: Any) -> str:
    """SHA-256 over the description, then every tensor's name, shape and little-endian float32 bytes, by name."""
    how = {
        "architecture": architecture,
        "preprocessing": getattr(model.visual, "preprocess_cfg", None),
        "tokenizer": _tokenizer_state(tokenizer),
    }
    digest = hashlib.sha256(json.dumps(how, sort_keys=True, default=str).encode() + b"\n")
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().float().contiguous().numpy().astype("<f4").tobytes())
    return digest.hexdigest()


def _tokenizer_state(tokenizer: Any) -> list[Any]:
    inner = getattr(tokenizer, "tokenizer", None)
    clean = getattr(getattr(tokenizer, "clean_fn", None), "__name__", None)
    if inner is not None:
        rules = (
            inner.backend_tokenizer.to_str()
            if hasattr(inner, "backend_tokenizer")
            else sorted(inner.get_vocab().items())
        )
    else:
        rules = [sorted(tokenizer.encoder.items()), [list(pair) for pair in tokenizer.bpe_ranks]]
    return [type(tokenizer).__name__, tokenizer.context_length, clean, rules]
