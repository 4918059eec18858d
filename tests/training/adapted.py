"""Bases with an adapter of any kind on them, moved from where it began; and what it changes, as PEFT itself says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from provenance.base import BaseModel
from training.config import TrainConfig
from training.families.opening import open_family
from training.layers import add_adapter

KINDS = ("lora", "dora", "loha", "lokr")
# With convolutions of one and of nine px, a convolution's shortcut and layers of one vector for a whole picture.
UNET_TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "conv1", "conv_shortcut", "proj_in", "time_emb_proj")


def settings(base: BaseModel, kind: str, **changes: Any) -> TrainConfig:
    """Rank 4 and alpha 6, and rank 2 on text encoders."""
    targets = {} if base.family == "sd3" else {"targets": UNET_TARGETS}
    return TrainConfig(**{"kind": kind, "rank": 4, "alpha": 6.0, "text_encoder_rank": 2, **targets, **changes})


@dataclass(frozen=True)
class Adapted:
    """A base with an adapter whose every parameter was moved."""

    base: BaseModel
    config: TrainConfig
    family: Any
    parameters: dict[str, torch.nn.Parameter]

    @property
    def pipe(self) -> Any:
        return self.family.pipe

    def changes(self) -> dict[str, torch.Tensor]:
        """What each layer's weight becomes by PEFT's own merging, less what it was, by component and layer."""
        return {name: change for name, change in changes_by_peft(self.pipe)}


def adapted(base: BaseModel, kind: str, **changes: Any) -> Adapted:
    config = settings(base, kind, **changes)
    family = open_family(base, "cpu", config)
    parameters = add_adapter(family, config)
    moved = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in parameters.values():
            parameter += 0.1 * torch.randn(parameter.shape, generator=moved)
    for part in (family.denoiser, *family.text_encoders.values()):
        part.eval()
    return Adapted(base, config, family, parameters)


@cache
def adapted_once(base: BaseModel, kind: str) -> Adapted:
    """The same for all who only read it."""
    return adapted(base, kind)


def changes_by_peft(pipe: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Of every layer that PEFT has changed in a pipeline; text encoders' layers begin with ``text_model.``."""
    for component, part in pipe.components.items():
        if not isinstance(part, torch.nn.Module):
            continue
        for name, layer in part.named_modules():
            if hasattr(layer, "base_layer") and hasattr(layer, "merge"):
                before = layer.base_layer.weight.detach().clone()
                layer.merge()
                change = layer.base_layer.weight.detach() - before
                layer.unmerge()
                yield f"{component}.{old_name(component, name)}", change


def plain_layers(pipe: Any) -> dict[str, torch.nn.Module]:
    """The matrices and convolutions of a pipeline that has no adapter, by component and layer."""
    return {
        f"{component}.{old_name(component, name)}": module
        for component, part in pipe.components.items()
        if isinstance(part, torch.nn.Module)
        for name, module in part.named_modules()
        if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d))
    }


def old_name(component: str, name: str) -> str:
    """A layer's name as files of adapters have it: transformers 5 flattened one of its two CLIP text models."""
    bare = component.startswith("text_encoder") and not name.startswith(("text_model.", "text_projection"))
    return f"text_model.{name}" if bare else name


def assert_equal_changes(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """The same layers, each with the same change, to 1e-3 of its norm."""
    assert found.keys() == expected.keys()
    for name, change in expected.items():
        assert change.norm() > 1e-3, f"{name} is not changed at all"
        assert found[name].shape == change.shape, name
        assert (found[name] - change).norm() <= 1e-3 * change.norm(), name
