"""A tiny random CLIP model, a studio on the starter base that draws in few steps, and datasets of known pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from generation.audit.drawing import Progress, Studio
from generation.audit.model import AuditedModel
from generation.sampling import Sampling
from provenance.base import resolve_base
from provenance.dataset import sign_dataset, verify_dataset
from provenance.home import Home
from provenance.identity import create_issuer
from provenance.manifest import DatasetManifest
from provenance.trust import TrustStore
from safety.clip_model import ClipModel, open_clip_model
from safety.policy import open_policy

STEPS, GUIDANCE = 3, 3.0
CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("audit-clip")
    preprocess = {"size": 32, "mean": [0.5] * 3, "std": [0.5] * 3}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": preprocess}))
    with torch.random.fork_rng():
        torch.manual_seed(3)
        save_file(open_clip.CLIP(**CONFIG).state_dict(), folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture(scope="session")
def clip(clip_folder: Path) -> ClipModel:
    return open_clip_model(f"local-dir:{clip_folder}")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home.create(tmp_path / "home")
    create_issuer(home, "Test Studio")
    return home


@pytest.fixture
def starter() -> AuditedModel:
    base = resolve_base("starter")
    return AuditedModel(base.id, base)


@pytest.fixture
def studio(home: Home, clip: ClipModel, tmp_path: Path) -> Studio:
    return Studio(home, open_policy(None, "starter"), clip, "starter", Sampling(STEPS, GUIDANCE), tmp_path / "work")


@pytest.fixture
def quiet() -> Callable[[str], Progress]:
    return lambda _: lambda done, total: None


@pytest.fixture
def dataset_of(home: Home, tmp_path: Path) -> Callable[[Sequence[np.ndarray], Sequence[str]], DatasetManifest]:
    """Signs pictures (H, W, 3) uint8 with captions as a dataset."""

    def sign(pictures: Sequence[np.ndarray], captions: Sequence[str]) -> DatasetManifest:
        from provenance.identity import load_issuer

        source = tmp_path / f"source-{len(list(tmp_path.iterdir()))}"
        source.mkdir()
        for number, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
            Image.fromarray(picture).save(source / f"{number:02}.png")
            (source / f"{number:02}.txt").write_text(caption)
        release = source.with_name(f"{source.name}-release")
        sign_dataset(source, release, issuer=load_issuer(home), licence="CC0-1.0", holder="Test Studio")
        return verify_dataset(release, TrustStore.of_home(home))

    return sign
