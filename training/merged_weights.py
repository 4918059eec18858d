"""The files of an adapter that changes a base as several others do together, each by its weight.

ΔW = Σ wᵢ·Bᵢ·Aᵢ is one product of longer factors: the rows of all Aᵢ under each other, the columns of all wᵢ·Bᵢ beside
each other. So a merge of LoRA (arXiv:2106.09685) is LoRA, exactly, of the sum of the ranks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provenance.adapter import WEIGHTS, AdapterManifest
from provenance.adapter_embeddings import read_trigger
from provenance.adapter_layers import DORA, LORA, MAX_RANK, Layer, read_layers
from provenance.canonical import canonical_json, sha256_hex
from provenance.errors import AdapterError
from provenance.tensors import read_header
from provenance.trigger import EMBEDDINGS
from training.config import TrainConfig
from training.kohya import layer_key
from training.release import KOHYA_NAME
from training.weights import file_bytes

if TYPE_CHECKING:
    import torch

    from provenance.manifest import DatasetManifest

DOWN, UP = "lora_A.weight", "lora_B.weight"
# What parents say alike is so of what they make together; the rest is said of their trainings alone.
_SHARED = (
    "format",
    "modelspec.architecture",
    "modelspec.implementation",
    "modelspec.prediction_type",
    "modelspec.resolution",
    "modelspec.sai_model_spec",
    "prov.base",
    "prov.base_id",
    "prov.type",
    "ss_base_model_version",
    "ss_resolution",
    "ss_sd_model_name",
    "ss_v2",
    "ss_zero_terminal_snr",
)
_NOISE = ("modelspec.prediction_type", "ss_zero_terminal_snr")
# 16 bits could not hold a weighted sum exactly.
_FULL = TrainConfig(save_dtype="fp32")


@dataclass(frozen=True)
class Part:
    """One adapter of a merge, whose weights can be read: its ``weight``, and the SHA-256 of the statement it is of."""

    adapter: AdapterManifest
    weight: float
    statement: str


@dataclass(frozen=True)
class _Opened:
    name: str
    weight: float
    layers: Mapping[str, Layer]
    tensors: Mapping[str, torch.Tensor]


def merged_files(parts: Sequence[Part], name: str, dataset: DatasetManifest) -> dict[str, bytes]:
    """Both layouts of the weights, and a learned trigger's vectors, by file name; equal parts give equal bytes.

    Factors are kept in float32 and, within a component, padded by zeros to one rank: readers that find no alpha take
    one rank for all. Raises FormatError for a damaged file, and AdapterError for what cannot be added up.
    """
    import torch

    opened = [_open(part) for part in parts]
    tensors = _stacked(opened)
    metadata = _metadata(parts, name, dataset, ranks(tensors))
    kohya = {}
    for layer in _layers_of(tensors):
        key, down = layer_key(layer, tensors), tensors[f"{layer}.{DOWN}"]
        kohya[f"{key}.lora_down.weight"], kohya[f"{key}.lora_up.weight"] = down, tensors[f"{layer}.{UP}"]
        kohya[f"{key}.alpha"] = torch.tensor(float(down.shape[0]))
    files = {WEIGHTS: file_bytes(tensors, _FULL, metadata), KOHYA_NAME: file_bytes(kohya, _FULL, metadata)}
    return files | _embeddings(parts)


def ranks(tensors: Mapping[str, torch.Tensor]) -> dict[str, int]:
    """The rank of each component's layers."""
    return {
        name.partition(".")[0]: int(tensor.shape[0]) for name, tensor in sorted(tensors.items()) if name.endswith(DOWN)
    }


def name_of(adapter: AdapterManifest) -> str:
    """What an adapter calls itself, for people."""
    match adapter.predicate:
        case {"buildDefinition": {"externalParameters": {"name": str(name)}}}:
            return name
    return f"adapter {adapter.weights_digest[:12]}"


def _open(part: Part) -> _Opened:
    from safetensors.torch import load

    data, name = part.adapter.read(WEIGHTS), name_of(part.adapter)
    layers = read_layers(data, f"{WEIGHTS} of {name}")
    for layer in layers:
        if layer.kind != LORA:
            raise _not_added(name, layer)
    return _Opened(name, part.weight, {layer.name: layer for layer in layers}, load(data))


def _not_added(name: str, layer: Layer) -> AdapterError:
    why = (
        "what DoRA changes depends on the length of the base's rows together with its own change, so the sum of two"
        " is no DoRA and no LoRA"
        if layer.kind == DORA
        else f"what {layer.kind} changes is an elementwise or Kronecker product, and a sum of those is not one"
    )
    return AdapterError(
        f"{name} is of kind {layer.kind}, which cannot be merged exactly: {why}",
        expected="adapters of kind lora",
        found=layer.name[:200],
        fix="train it with kind = lora, or draw with it alone",
    )


def _stacked(opened: Sequence[_Opened]) -> dict[str, torch.Tensor]:
    """Every layer's two factors, by diffusers' names."""
    names = sorted({name for each in opened for name in each.layers})
    rank: dict[str, int] = {}
    for name in names:
        component = name.partition(".")[0]
        own = sum(each.layers[name].parts[DOWN][0] for each in opened if name in each.layers)
        rank[component] = max(rank.get(component, 0), own)
    if max(rank.values(), default=0) > MAX_RANK:
        raise AdapterError("the ranks add up to too large a one", expected=f"at most {MAX_RANK}", found=str(rank))
    tensors: dict[str, torch.Tensor] = {}
    for name in names:
        having = [each for each in opened if name in each.layers]
        tensors[f"{name}.{DOWN}"], tensors[f"{name}.{UP}"] = _factors(name, having, rank[name.partition(".")[0]])
    return tensors


def _factors(name: str, having: Sequence[_Opened], rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    downs = [each.tensors[f"{name}.{DOWN}"].float() for each in having]
    # Multiplied in double precision, so that it is rounded once.
    ups = [(each.weight * each.tensors[f"{name}.{UP}"].double()).float() for each in having]
    if len({(down.shape[1:], up.shape[:1] + up.shape[2:]) for down, up in zip(downs, ups, strict=True)}) > 1:
        raise AdapterError(
            "these adapters change one layer in different shapes",
            expected="adapters of one base",
            found=f"{name[:200]} in {', '.join(each.name for each in having)}",
        )
    missing = rank - sum(down.shape[0] for down in downs)
    downs.append(torch.zeros(missing, *downs[0].shape[1:]))
    ups.append(torch.zeros(ups[0].shape[0], missing, *ups[0].shape[2:]))
    return torch.cat(downs), torch.cat(ups, dim=1)


def _layers_of(tensors: Iterable[str]) -> list[str]:
    return [name.removesuffix(f".{DOWN}") for name in tensors if name.endswith(DOWN)]


def _embeddings(parts: Sequence[Part]) -> dict[str, bytes]:
    """The file of a learned trigger as its parent released it; a weight does not apply to a word."""
    found = {name_of(part.adapter): part.adapter.read(EMBEDDINGS) for part in parts if EMBEDDINGS in part.adapter.files}
    words = {name: read_trigger(data, f"{EMBEDDINGS} of {name}").word for name, data in found.items()}
    if len(words) > 1:
        raise AdapterError(
            "several of these adapters have a learned trigger"
            + (", and it is the same word" if len(set(words.values())) < len(words) else ""),
            expected="one at most: a release holds the vectors of one word",
            found=", ".join(f"{word} of {name}" for name, word in words.items()),
            fix="leave one out, or train it with a trigger that the base knows",
        )
    vectors = next(iter(found.values()), None)
    return {} if vectors is None else {EMBEDDINGS: vectors}


def _metadata(parts: Sequence[Part], name: str, dataset: DatasetManifest, rank: Mapping[str, int]) -> dict[str, str]:
    said = [read_header(part.adapter.read(WEIGHTS), WEIGHTS).metadata for part in parts]
    for key in _NOISE:
        if len({each.get(key, "") for each in said}) > 1:
            raise AdapterError(
                "these adapters were trained on different noise, and cannot draw together",
                found=", ".join(
                    f"{key} {each.get(key) or 'not said'} in {name_of(part.adapter)}"
                    for part, each in zip(parts, said, strict=True)
                ),
                fix="leave one of them out",
            )
    denoiser = max((rank[component] for component in rank if not component.startswith("text_encoder")), default=0)
    denoiser = denoiser or max(rank.values(), default=0)
    recipe = [{"statement": part.statement, "weight": part.weight} for part in parts]
    values = {
        **{key: said[0][key] for key in _SHARED if len({each.get(key) for each in said}) == 1 and said[0].get(key)},
        "modelspec.author": "; ".join(sorted({record.rights_holder for record in dataset.records})),
        "prov.dataset_licences": " AND ".join(dataset.licences),
        "modelspec.merged_from": ", ".join(name_of(part.adapter) for part in parts),
        "modelspec.title": name,
        "modelspec.trigger_phrase": ", ".join(
            dict.fromkeys(phrase for each in said if (phrase := each.get("modelspec.trigger_phrase")))
        ),
        "prov.dataset": dataset.digest,
        "prov.merge": sha256_hex(canonical_json(recipe)),
        "ss_network_alpha": str(denoiser),
        "ss_network_dim": str(denoiser),
        "ss_network_module": "networks.lora",
        "ss_num_train_images": str(len(dataset.records)),
        "ss_output_name": name,
    }
    return {key: value for key, value in values.items() if value}
