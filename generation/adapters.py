"""Adapters of every kind added into a base's own weights, and their trigger words to what it reads.

The change is computed from the file against the base's weights, in float32: LoRA (arXiv:2106.09685), DoRA
(arXiv:2402.09353), LoHa (arXiv:2108.06098), LoKr (arXiv:2212.10650). Afterwards the pipeline has its own layers alone:
as fast as without an adapter, and ready to be compiled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from generation.errors import SamplingFailed
from provenance.adapter import WEIGHTS
from provenance.adapter_embeddings import ENCODERS, Trigger, read_trigger, require_trigger_fit
from provenance.adapter_layers import DORA, LOHA, LOKR, Layer, read_layers, require_fit
from provenance.base_shapes import layer_shapes
from provenance.trigger import EMBEDDINGS, make_room, teach_tokeniser

if TYPE_CHECKING:
    import torch

    from provenance.adapter import AdapterManifest
    from provenance.base import BaseModel


@dataclass(frozen=True)
class Adapter:
    """One adapter, as the very bytes that were verified: its weights, and the vectors of its trigger if it has one."""

    weights: bytes
    embeddings: bytes | None = None

    @classmethod
    def of(cls, manifest: AdapterManifest) -> Adapter:
        """The files of a verified release; raises AdapterError when they are published sealed."""
        return cls(manifest.read(WEIGHTS), manifest.read(EMBEDDINGS) if EMBEDDINGS in manifest.files else None)


@dataclass(frozen=True)
class _Opened:
    """An adapter whose file has passed: its weight, and its layers' tensors by name of the part."""

    scale: float
    layers: Mapping[str, Layer]
    tensors: Mapping[str, torch.Tensor]

    def parts(self, name: str) -> dict[str, torch.Tensor]:
        return {part: self.tensors[f"{name}.{part}"] for part in self.layers[name].parts}


def merge_adapters(pipeline: Any, base: BaseModel, adapters: Sequence[tuple[Adapter, float]]) -> None:
    """Adds every adapter's change, times its weight (1 as it was trained), to the layers of a pipeline just loaded.

    Changes add up, each computed against the base as it is. Raises FormatError or AdapterError for a file that is
    damaged, hostile or another base's, before anything of it is used, and SamplingFailed for two equal triggers.
    """
    opened = [_open(adapter, scale, base) for adapter, scale in adapters]
    triggers = [_open_trigger(adapter.embeddings, base) for adapter, _ in adapters if adapter.embeddings is not None]
    for name, layer in {name: layer for each in opened for name, layer in each.layers.items()}.items():
        module = _module(pipeline, layer)
        module.weight.data = _merged(module.weight.data, name, opened)
    for trigger, vectors in triggers:
        _teach(pipeline, trigger, vectors)


def _open(adapter: Adapter, scale: float, base: BaseModel) -> _Opened:
    from safetensors.torch import load

    layers = read_layers(adapter.weights, WEIGHTS)
    require_fit(layers, layer_shapes(base, (layer.component for layer in layers)), base.id)
    return _Opened(scale, {layer.name: layer for layer in layers}, load(adapter.weights))


def _open_trigger(data: bytes, base: BaseModel) -> tuple[Trigger, dict[str, torch.Tensor]]:
    from safetensors.torch import load

    trigger = read_trigger(data, EMBEDDINGS)
    require_trigger_fit(trigger, layer_shapes(base, ENCODERS), base.id)
    tensors = load(data)
    return trigger, {component: tensors[key] for component, key in trigger.tensors.items()}


def _module(pipeline: Any, layer: Layer) -> Any:
    import torch

    part = getattr(pipeline, layer.component)
    # transformers has flattened some of its CLIP encoders; the names in files stayed.
    path = layer.path if hasattr(part, "text_model") else layer.path.removeprefix("text_model.")
    module = part.get_submodule(path)
    if not isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
        raise SamplingFailed("the adapter changes a layer that is no matrix", found=layer.name[:200])
    return module


def _merged(own: torch.Tensor, name: str, adapters: Sequence[_Opened]) -> torch.Tensor:
    base = own.float()
    merged = base.clone()
    for adapter in adapters:
        if name in adapter.layers:
            parts = {part: tensor.to(base) for part, tensor in adapter.parts(name).items()}
            merged += adapter.scale * weight_change(adapter.layers[name].kind, parts, base)
    return merged.to(own.dtype)


def weight_change(kind: str, parts: Mapping[str, torch.Tensor], base: torch.Tensor) -> torch.Tensor:
    """The change of one layer's weight ``(rows, …)`` that its parts make; in float32 on the base's device.

    The file has alpha / rank multiplied into its parts.
    """
    import torch

    if kind == LOHA:
        change = (parts["hada_w1_a"] @ parts["hada_w1_b"]) * (parts["hada_w2_a"] @ parts["hada_w2_b"])
    elif kind == LOKR:
        first, second = (_factor(parts, name).flatten(1) for name in ("lokr_w1", "lokr_w2"))
        change = torch.kron(first, second)
    else:
        change = parts["lora_B.weight"].flatten(1) @ parts["lora_A.weight"].flatten(1)
    if kind == DORA:
        whole = base.flatten(1) + change
        change = whole * (parts["lora_magnitude_vector.weight"].reshape(-1, 1) / whole.norm(dim=1, keepdim=True))
        change = change - base.flatten(1)
    return change.reshape(base.shape)


def _factor(parts: Mapping[str, torch.Tensor], name: str) -> torch.Tensor:
    return parts[name] if name in parts else parts[f"{name}_a"] @ parts[f"{name}_b"]


def _teach(pipeline: Any, trigger: Trigger, vectors: Mapping[str, torch.Tensor]) -> None:
    for component, rows in vectors.items():
        encoder, tokeniser = (getattr(pipeline, name) for name in (component, _tokeniser(component)))
        try:
            first = teach_tokeniser(tokeniser, trigger.word, trigger.vectors)
        except ValueError as error:
            raise SamplingFailed("two adapters have one trigger", found=str(error), fix="leave one out") from error
        table = make_room(encoder, tokeniser)
        table.weight.data[first : first + len(rows)] = rows.to(table.weight.data)


def _tokeniser(component: str) -> str:
    return component.replace("text_encoder", "tokenizer")
