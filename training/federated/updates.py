"""Adapter weights and updates as they travel: safetensors, checked before anything is made of them, and their mean."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from provenance.canonical import sha256_hex
from provenance.errors import ProvenanceError
from provenance.tensors import read_header
from training.federated.errors import FederationError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

Tensors = Mapping[str, "torch.Tensor"]


def pack(tensors: Tensors) -> bytes:
    """Tensors as a safetensors file in float32; the same tensors give the same bytes."""
    from safetensors.torch import save

    data: bytes = save({name: tensor.detach().cpu().float().contiguous() for name, tensor in sorted(tensors.items())})
    return data


def unpack(data: bytes, shapes: Mapping[str, tuple[int, ...]], what: str) -> dict[str, torch.Tensor]:
    """Reads such a file; raises FederationError unless it holds exactly these finite float32 tensors."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        header = read_header(data, what)
        tensors: dict[str, torch.Tensor] = load(data)
    except ProvenanceError as error:
        raise FederationError(error.what, expected=error.expected, found=error.found) from error
    except SafetensorError as error:
        raise FederationError(f"{what} is not a safetensors file", found=str(error)[:200]) from error
    found = {name: tensor.shape for name, tensor in header.tensors.items()}
    if found != dict(shapes) or any(tensor.dtype != "F32" for tensor in header.tensors.values()):
        differing = sorted(name for name in found.keys() | shapes.keys() if found.get(name) != shapes.get(name))
        raise FederationError(
            f"{what} has other layers than this training",
            expected=f"{len(shapes)} tensors of float32 in the shapes of the adapter",
            found=", ".join(f"{name[:80]} {found.get(name, 'missing')}" for name in differing[:3]) or "another type",
        )
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise FederationError(f"{what} holds numbers that are not finite", found=name)
    return tensors


def shapes_of(tensors: Tensors) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor by name."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def largest(tensors: Tensors) -> float:
    """The largest absolute value in any of them."""
    return max(float(tensor.detach().abs().max()) for tensor in tensors.values() if tensor.numel())


def require_within(update: Tensors, reach: float, what: str) -> None:
    """Raises FederationError when an update goes further than the agreed settings can take anybody."""
    found = largest(update)
    if found > reach:
        raise FederationError(
            f"{what} goes further than the agreed training can",
            expected=f"at most {reach:.6g} in any weight",
            found=f"{found:.6g}",
        )


def flatten(update: Tensors) -> NDArray[np.float64]:
    """All values of an update, in order of name, as one vector."""
    import numpy as np

    return np.concatenate([update[name].detach().cpu().double().numpy().ravel() for name in sorted(update)])


def unflatten(vector: NDArray[Any], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """The reverse of ``flatten``, in float32."""
    import math

    import torch

    tensors, start = {}, 0
    for name in sorted(shapes):
        size = math.prod(shapes[name])
        tensors[name] = torch.from_numpy(vector[start : start + size].astype("float32")).reshape(shapes[name])
        start += size
    return tensors


def mean(updates: Sequence[tuple[Tensors, int]]) -> dict[str, torch.Tensor]:
    """The mean of updates, each weighted by its number of items, by Flower's FedAvg (arXiv:1602.05629), in float64."""
    from flwr.server.strategy.aggregate import aggregate

    (vector,) = aggregate([([flatten(update)], items) for update, items in updates])
    return unflatten(vector, shapes_of(updates[0][0]))


def moved(weights: Tensors, update: Tensors) -> dict[str, torch.Tensor]:
    """Weights after an update."""
    return {name: weights[name] + update[name] for name in sorted(weights)}


def commit(data: bytes) -> tuple[str, bytes]:
    """A commitment to some bytes, and the salt that opens it: SHA-256 of salt and bytes.

    Without the salt, whoever has the pictures could train anew and see whether an update was made of them.
    """
    salt = secrets.token_bytes(32)
    return opening(salt, data), salt


def opening(salt: bytes, data: bytes) -> str:
    """The commitment that a salt and some bytes open."""
    return sha256_hex(salt + data)


def digest_of(parts: Sequence[bytes]) -> str:
    """The SHA-256 of several parts, each after its length in 8 bytes, big-endian."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()
