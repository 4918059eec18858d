"""What a training held in its hands, as SHA-256: tensors by name, a batch, and the state of the random generators."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from provenance.canonical import canonical_json, sha256_hex

if TYPE_CHECKING:
    import torch

    from training.batch import Batch


def tensors_digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """The SHA-256 of tensors by name: for each, sorted by name, ``["name","dtype",[shape]]`` in JSON and its bytes.

    Bytes are those of the machine's memory in row-major order; -0.0 and 0.0 are different, as are two NaNs.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(canonical_json([name, str(tensors[name].dtype).removeprefix("torch."), [*tensors[name].shape]]))
        digest.update(_bytes(tensors[name]))
    return digest.hexdigest()


def batch_tensors(batch: Batch) -> dict[str, torch.Tensor]:
    """Everything a step reads, on the CPU: noisy latents, times, target, embeddings, places, weights, masks."""
    tensors = {
        "noisy": batch.noisy,
        "times": batch.times,
        "target": batch.target,
        "embeddings": batch.embeddings,
        "pooled": batch.pooled,
        "time_ids": batch.time_ids,
        "weights": batch.weights,
        "mask": batch.mask,
    }
    return {name: tensor.detach().cpu() for name, tensor in tensors.items() if tensor is not None}


def random_digest(device: str) -> str:
    """The digest of the global generators' states, which dropout draws from: the CPU's, and the accelerator's."""
    import torch

    states = [torch.get_rng_state()]
    if device != "cpu":
        states.append(torch.get_device_module(device).get_rng_state())
    return sha256_hex(b"".join(_bytes(state) for state in states))


def _bytes(tensor: torch.Tensor) -> Any:
    import torch

    # Byte views, because numpy has no bfloat16.
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
