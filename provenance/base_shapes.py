"""The shapes of a base's layers, from the headers of its weights alone."""

from __future__ import annotations

from collections.abc import Iterable

from provenance.base import BaseModel, weight_files
from provenance.tensors import read_shapes

Shape = tuple[int, ...]


def layer_shapes(base: BaseModel, components: Iterable[str]) -> dict[str, dict[str, Shape]]:
    """The shapes of ``<layer>.weight`` by component and layer; raises FormatError or BaseRefused.

    A component that the base does not have has no layers. Layers of text encoders begin with ``text_model.``, as the
    files of adapters name them in every version of transformers.
    """
    return {component: _shapes(base, component) for component in sorted(set(components))}


def _shapes(base: BaseModel, component: str) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {}
    for path in weight_files(base, component):
        for name, shape in read_shapes(path).items():
            if name.endswith(".weight"):
                shapes[_layer(component, name.removesuffix(".weight"))] = shape
    return shapes


def _layer(component: str, path: str) -> str:
    bare = component.startswith("text_encoder") and not path.startswith(("text_model.", "text_projection"))
    return f"text_model.{path}" if bare else path
