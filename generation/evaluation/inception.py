"""Features of Inception v3, from weights that the caller has as safetensors.

Two layouts, told apart by the number of classes:

- 1008: the network of the Fréchet Inception Distance (Heusel et al., arXiv:1706.08500) under the names that
  torch-fidelity and pytorch-fid use, such as ``Mixed_5b.branch_pool.bn.running_mean``. Its average pools leave the
  border out of the mean, and the last block pools by maximum.
- 1000: torchvision's own ``inception_v3``, trained on ImageNet; FID figures of others do not come from it.

Pictures are brought to 299 × 299 by bilinear interpolation with antialiasing, as torchmetrics does it. Features are the
2048 means before the classifier.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from generation.errors import GenerationError
from provenance.canonical import sha256_hex
from provenance.evaluation_warnings import FID_FEATURES
from provenance.files import read_file
from provenance.tensors import read_header

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

DIMENSIONS, SIDE, BATCH = 2048, 299, 8
FID_CLASSES, IMAGENET_CLASSES = 1008, 1000
NAMES = {FID_CLASSES: FID_FEATURES, IMAGENET_CLASSES: "inception-imagenet"}
DTYPES = ("F32", "F16", "BF16")
MAX_BYTES = 1 << 29
_BORDERED = ("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e", "Mixed_7b")
_PEAKED = "Mixed_7c"
_UNUSED = ("AuxLogits.",)
_COUNTER = ".num_batches_tracked"


@dataclass(frozen=True)
class Inception:
    """A loaded network: ``digest`` is the SHA-256 of its weights' file, ``name`` its layout."""

    name: str
    digest: str
    device: str
    _network: Any = field(repr=False, compare=False)
    dimensions: int = DIMENSIONS

    def features(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Features (N, 2048) of N pictures (H, W, 3) uint8 of any sizes; raises GenerationError when not finite."""
        import torch

        found = [np.zeros((0, self.dimensions), np.float32)]
        for start in range(0, len(pictures), BATCH):
            batch = torch.cat([self._input(picture) for picture in pictures[start : start + BATCH]])
            with torch.inference_mode():
                found.append(self._network(batch).cpu().numpy())
        rows = np.concatenate(found)
        if not np.isfinite(rows).all():
            raise GenerationError("the Inception network gives features that are not numbers", fix="check its weights")
        return rows

    def _input(self, picture: NDArray[np.uint8]) -> Tensor:
        """One picture as (1, 3, 299, 299) float32 in the range of its layout."""
        import torch

        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].to(self.device, torch.float32)
        resized = torch.nn.functional.interpolate(
            pixels, size=(SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True
        )
        middle = 128.0 if self.name == NAMES[FID_CLASSES] else 127.5
        return (resized - middle) / middle


def open_inception(path: Path, device: str = "cpu") -> Inception:
    """Loads a network from a safetensors file; raises FormatError or GenerationError for anything but its weights."""
    import safetensors.torch
    import torch

    data = read_file(path, limit=MAX_BYTES)
    header = read_header(data, str(path))
    odd = sorted({tensor.dtype for tensor in header.tensors.values()} - {*DTYPES, "I64"})
    if odd:
        raise _refused(path, "tensors of " + ", ".join(DTYPES), ", ".join(odd))
    weights = {name: tensor for name, tensor in safetensors.torch.load(data).items() if not name.startswith(_UNUSED)}
    classes = weights["fc.weight"].shape[0] if "fc.weight" in weights else 0
    if classes not in NAMES:
        raise _refused(path, f"fc.weight of {FID_CLASSES} or {IMAGENET_CLASSES} classes", f"{classes} classes")
    network = _network(int(classes))
    _require_fit(path, network.state_dict(), weights)
    if not all(bool(torch.isfinite(tensor).all()) for tensor in weights.values() if tensor.is_floating_point()):
        raise _refused(path, "finite numbers", "NaN or infinity")
    network.load_state_dict({name: tensor.float() for name, tensor in weights.items()}, strict=False)
    network.fc = torch.nn.Identity()
    return Inception(
        NAMES[int(classes)], sha256_hex(data), device, network.eval().requires_grad_(False).float().to(device)
    )


def _network(classes: int) -> Any:
    import torch
    from torchvision.models.inception import Inception3

    with torch.random.fork_rng(devices=[]):
        network = Inception3(num_classes=classes, aux_logits=False, transform_input=False, init_weights=False)
    if classes == FID_CLASSES:
        pool = torch.nn.functional
        for name in _BORDERED:
            _replace_pool(getattr(network, name), lambda x: pool.avg_pool2d(x, 3, 1, 1, count_include_pad=False))
        _replace_pool(getattr(network, _PEAKED), lambda x: pool.max_pool2d(x, 3, 1, 1))
    return network


def _replace_pool(block: Any, pool: Callable[[Tensor], Tensor]) -> None:
    """Gives a block's pooled branch its input through another pool than the one torchvision's code calls."""
    held: list[Tensor] = []
    block.register_forward_pre_hook(lambda _, given: held.append(given[0]))
    block.branch_pool.register_forward_pre_hook(lambda _, given: (pool(held.pop()),))


def _require_fit(path: Path, expected: dict[str, Any], found: dict[str, Any]) -> None:
    needed = {name for name in expected if not name.endswith(_COUNTER)}
    missing, strange = sorted(needed - set(found)), sorted(set(found) - set(expected))
    if missing or strange:
        told = [f"{name} missing" for name in missing[:3]] + [f"{name} unknown" for name in strange[:3]]
        raise _refused(path, "the tensors of Inception v3", ", ".join(told))
    for name in sorted(needed):
        if found[name].shape != expected[name].shape:
            raise _refused(path, f"{name} of shape {tuple(expected[name].shape)}", f"{tuple(found[name].shape)}")


def _refused(path: Path, expected: str, found: str) -> GenerationError:
    return GenerationError(
        f"{path} does not hold an Inception v3 network",
        expected=expected,
        found=found,
        fix="convert its state dict: safetensors.torch.save_file(state, FILE)",
    )
