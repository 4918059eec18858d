"""Base models: which folder a name means, what family it is, and the digest that names its exact bytes.

A base is a folder in the diffusers layout (``model_index.json`` and one folder for each component), given as
``starter`` (the embedded model), as a path, or as a hub id ``owner/name[@revision]``. Weights are read from
safetensors alone.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

from provenance.canonical import Json, canonical_json, parse_json, sha256_hex
from provenance.errors import BaseRefused, BaseUnavailable
from provenance.hub import hub_snapshot

STARTER = "starter"
STARTER_SCALE = 2

# The starter model lies in the package `generation`, which this package must not import.
EMBEDDED = {STARTER: ("generation", "starter/model")}

# Stable Diffusion 1.x and 2.x have one pipeline; `_family` tells them apart.
FAMILIES = {
    "StableDiffusionPipeline": "sd1",
    "StableDiffusionXLPipeline": "sdxl",
    "StableDiffusion3Pipeline": "sd3",
    "StableVideoDiffusionPipeline": "svd",
}
_SD1 = ("scheduler", "text_encoder", "tokenizer", "unet", "vae")
_XL = ("text_encoder_2", "tokenizer_2")
_T5 = ("text_encoder_3", "tokenizer_3")
COMPONENTS = {
    "sd1": _SD1,
    "sd2": _SD1,
    "sdxl": (*_SD1, *_XL),
    "sd3": ("scheduler", "text_encoder", "tokenizer", *_XL, *_T5, "transformer", "vae"),
    "svd": ("feature_extractor", "image_encoder", "scheduler", "unet", "vae"),
}
# A pipeline works without these; Stable Diffusion 3 is often kept without its T5, which is two thirds of its bytes.
OPTIONAL = {"sd3": _T5}
WEIGHT_STEMS = {
    "image_encoder": "model",
    "text_encoder": "model",
    "text_encoder_2": "model",
    "text_encoder_3": "model",
    "transformer": "diffusion_pytorch_model",
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
}

_AGAIN = "get the base's files again, or name another base with --base"
_PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
_TEXTS = (".json", ".txt")
# T5's vocabulary, in SentencePiece's own format; CLIP's tokenisers are text alone.
_VOCABULARIES = {"tokenizer_3": (".model",)}
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w./-]+)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class BaseModel:
    """One base: the name that others can find it by, where it lies here, its family, digest and picture scale."""

    id: str
    folder: Path
    family: str
    digest: str
    output_scale: int = 1

    @property
    def absent(self) -> tuple[str, ...]:
        """The optional components that this base does without, to be given to its pipeline as None."""
        return _absent(self.folder, self.family)


def resolve_base(name: str) -> BaseModel:
    """Finds the base a name means: ``starter``, a folder, or a hub id; raises BaseRefused or BaseUnavailable."""
    if name in EMBEDDED:
        return _describe(name, _embedded_folder(name), STARTER_SCALE)
    path = Path(name).expanduser()
    if path.is_dir():
        folder = path.resolve()
        for embedded in EMBEDDED:
            if folder == _embedded_location(embedded):
                return resolve_base(embedded)
        return _describe(f"local:{folder.name}", folder, 1)
    if path.is_file():
        raise _single_file(path)
    if _HUB_ID.fullmatch(name):
        repository, _, revision = name.partition("@")
        folder = _hub_folder(repository, revision or None)
        commit = folder.name if _COMMIT.fullmatch(folder.name) else revision or "main"
        return _describe(f"hf:{repository}@{commit}", folder, 1)
    if name.startswith("hf:") and _HUB_ID.fullmatch(name[3:]):
        return resolve_base(name[3:])
    raise BaseRefused(
        "the base model cannot be found",
        expected="`starter`, a folder in the diffusers layout, or a hub id such as owner/name",
        found=name,
        fix="check the path or the hub id",
    )


def base_digest(folder: Path) -> str:
    """The SHA-256 of the canonical JSON list of ``{"name", "sha256"}`` of every file a pipeline loads from a folder.

    Names are relative, with ``/``, in byte order: ``model_index.json``, and in each component of its family that it has
    every ``.json`` and ``.txt`` (of T5's tokeniser ``.model`` too) and the safetensors weights. Variants
    (``*.fp16.safetensors``), model cards and pickles are never loaded and not counted, so a whole clone and a partial
    download of one base have one digest.
    """
    files = sorted(_loaded_files(folder, _family(folder)), key=lambda name: name.encode())
    return sha256_hex(canonical_json([{"name": name, "sha256": _file_digest(folder / name)} for name in files]))


def weight_files(base: BaseModel, component: str) -> list[Path]:
    """The safetensors files of a component's weights, none where the base does without it; raises BaseRefused."""
    part = base.folder / component
    if component not in WEIGHT_STEMS or not part.is_dir():
        return []
    return [part / name for name in _weights(part, WEIGHT_STEMS[component]) if name.endswith(".safetensors")]


def _describe(identifier: str, folder: Path, output_scale: int) -> BaseModel:
    return BaseModel(identifier, folder, _family(folder), base_digest(folder), output_scale)


def _index(folder: Path) -> Json:
    path = folder / "model_index.json"
    if not path.is_file():
        singles = sorted(p for p in folder.iterdir() if p.suffix in (*_PICKLES, ".safetensors"))
        if singles:
            raise _single_file(singles[0])
        raise BaseRefused(f"{folder} is not a base model", expected="a model_index.json (diffusers layout)", fix=_AGAIN)
    index = parse_json(path.read_bytes(), str(path), limit=1 << 20)
    if not isinstance(index, dict):
        raise BaseRefused(f"{path} is not a pipeline description", expected="a JSON object", fix=_AGAIN)
    return index


def _family(folder: Path) -> str:
    kind = _index(folder).get("_class_name")
    if kind not in FAMILIES:
        raise BaseRefused(
            f"{folder} is a pipeline of a kind that cannot be used", expected=" or ".join(FAMILIES), found=str(kind)
        )
    family = FAMILIES[kind]
    return "sd2" if family == "sd1" and _projects_linearly(folder) else family


def _projects_linearly(folder: Path) -> bool:
    """What tells Stable Diffusion 2.x from 1.x: its UNet's attention is entered by a matrix, not by a convolution.

    The shapes of the weights depend on it, unlike on what the UNet predicts: there are 1.x models of v-prediction, and
    ``stable-diffusion-2-base`` predicts noise.
    """
    path = folder / "unet" / "config.json"
    if not path.is_file():
        return False
    config = parse_json(path.read_bytes(), str(path), limit=1 << 20)
    return isinstance(config, dict) and config.get("use_linear_projection") is True


def _absent(folder: Path, family: str) -> tuple[str, ...]:
    index = _index(folder)
    return tuple(
        name for name in OPTIONAL.get(family, ()) if index.get(name) == [None, None] or not (folder / name).is_dir()
    )


def _loaded_files(folder: Path, family: str) -> list[str]:
    names = ["model_index.json"]
    absent = _absent(folder, family)
    for component in COMPONENTS[family]:
        if component in absent:
            continue
        part = folder / component
        if not part.is_dir():
            raise BaseRefused(f"{folder} has no {component}/", expected="every component of its family", fix=_AGAIN)
        texts = (*_TEXTS, *_VOCABULARIES.get(component, ()))
        names += [f"{component}/{p.name}" for p in part.iterdir() if p.suffix in texts and not _is_index(p.name)]
        if component in WEIGHT_STEMS:
            names += [f"{component}/{name}" for name in _weights(part, WEIGHT_STEMS[component])]
    return names


def _is_index(name: str) -> bool:
    # Indices of sharded weights, some of them of pickles or variants; the one that counts is added by `_weights`.
    return name.endswith(".index.json") or ".index." in name


def _weights(part: Path, stem: str) -> list[str]:
    shards = re.compile(re.escape(stem) + r"-\d{5}-of-\d{5}\.safetensors")
    index = f"{stem}.safetensors.index.json"
    if (part / f"{stem}.safetensors").is_file():
        return [f"{stem}.safetensors"]
    if (part / index).is_file():
        return [index, *(p.name for p in part.iterdir() if shards.fullmatch(p.name))]
    pickles = sorted(p.name for p in part.iterdir() if p.suffix in _PICKLES)
    if pickles:
        raise BaseRefused(
            f"{part} holds its weights as a pickle, which can run code when it is opened",
            expected=f"{stem}.safetensors",
            found=pickles[0],
            fix="use the safetensors release of this base, or convert it with `pipe.save_pretrained(FOLDER)`",
        )
    raise BaseRefused(f"{part} has no weights", expected=f"{stem}.safetensors", fix=_AGAIN)


def _single_file(path: Path) -> BaseRefused:
    danger = " (and a pickle, which can run code when it is opened)" if path.suffix in _PICKLES else ""
    return BaseRefused(
        f"{path} is a single-file checkpoint{danger}",
        expected="a folder in the diffusers layout, with safetensors weights",
        fix="convert it with diffusers: `StableDiffusionPipeline.from_single_file(FILE).save_pretrained(FOLDER)`",
    )


def _file_digest(path: Path) -> str:
    # Hub caches are links into a store of blobs, so links are followed here: the digest is of what will be loaded.
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _embedded_location(name: str) -> Path:
    package, inner = EMBEDDED[name]
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise BaseUnavailable(f"the package that holds the {name} model is not installed", expected=package)
    return (Path(next(iter(spec.submodule_search_locations))) / inner).resolve()


def _embedded_folder(name: str) -> Path:
    folder = _embedded_location(name)
    if not (folder / "model_index.json").is_file():
        raise BaseUnavailable(
            f"the {name} model is missing from this installation",
            expected=str(folder / "model_index.json"),
            fix="install prov again, or name a base with --base",
        )
    return folder


def _hub_folder(repository: str, revision: str | None) -> Path:
    wanted = ["model_index.json"]
    for component in sorted({component for family in COMPONENTS.values() for component in family}):
        wanted += [f"{component}/*{suffix}" for suffix in (*_TEXTS, *_VOCABULARIES.get(component, ()))]
        if component in WEIGHT_STEMS:
            stem = WEIGHT_STEMS[component]
            wanted += [f"{component}/{stem}.safetensors", f"{component}/{stem}-*-of-*.safetensors"]
    fix = "check the id and the network (gated bases: `hf auth login`), or give a folder with --base"
    return hub_snapshot(repository, revision, wanted, "base", fix)
