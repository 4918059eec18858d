"""Whether the files of an adapter are what they must be before a library opens them: when published and replayed."""

from __future__ import annotations

from pathlib import PurePosixPath

from provenance.adapter import WEIGHTS, AdapterManifest
from provenance.adapter_embeddings import ENCODERS, Trigger, read_trigger, require_trigger_fit
from provenance.adapter_layers import Layer, read_layers, require_fit
from provenance.base import BaseModel
from provenance.base_shapes import layer_shapes
from provenance.tensors import read_header, require_numbers
from provenance.trigger import EMBEDDINGS


def require_sound(adapter: AdapterManifest) -> None:
    """Raises FormatError for weights, vectors or any other tensors that are damaged or hostile, AdapterError as `read`.

    Of layouts other than our own only what every safetensors file must be is checked, and that all are numbers.
    """
    _open(adapter)
    for name in adapter.files:
        if PurePosixPath(name).suffix == ".safetensors" and name not in (WEIGHTS, EMBEDDINGS):
            data = adapter.read(name)
            require_numbers(data, read_header(data, name), name)


def require_fitting(adapter: AdapterManifest, base: BaseModel) -> None:
    """Raises FormatError for hostile weights or vectors, and AdapterError when they are not of this base's shapes."""
    layers, trigger = _open(adapter)
    require_fit(layers, layer_shapes(base, (layer.component for layer in layers)), base.id)
    if trigger is not None:
        require_trigger_fit(trigger, layer_shapes(base, ENCODERS), base.id)


def _open(adapter: AdapterManifest) -> tuple[tuple[Layer, ...], Trigger | None]:
    layers = read_layers(adapter.read(WEIGHTS), WEIGHTS)
    vectors = read_trigger(adapter.read(EMBEDDINGS), EMBEDDINGS) if EMBEDDINGS in adapter.files else None
    return layers, vectors
