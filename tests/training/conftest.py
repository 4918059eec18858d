"""Tiny random-weight pipelines of every architecture, a signed dataset, and an issuer, made on the spot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from provenance.base import BaseModel, resolve_base
from provenance.dataset import sign_dataset, verify_dataset
from provenance.home import Home
from provenance.identity import Issuer, create_issuer
from provenance.manifest import DatasetManifest
from provenance.screening.screens import ScreeningChoice
from provenance.trust import TrustStore
from safety.policy import Policy
from tests.safety.tiny_clip import policy_for, save_tiny_clip
from tests.training.tiny_bases import clip_tokenizer as _tokenizer  # noqa: F401 (tests/generation/tiny_flow.py)
from tests.training.tiny_bases import save_tiny_pipeline as save_tiny_pipeline

# Deprecations inside torch, tensorboard and diffusers; none of them is about a call of ours.
THIRD_PARTY = ()

CAPTIONS = ("a red square on white", "a blue square on white", "a square", "a green square at night", "a dot")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for line in THIRD_PARTY:
                item.add_marker(pytest.mark.filterwarnings(line))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    return create_issuer(Home.create(tmp_path_factory.mktemp("training-home")), "Test Studio")


@pytest.fixture(scope="session")
def trust(issuer: Issuer) -> TrustStore:
    return TrustStore(frozenset({issuer.root_digest}))


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> Path:
    """A signed release of five pictures of 48 × 40 px."""
    source = tmp_path_factory.mktemp("pictures")
    draw = np.random.default_rng(5)
    for index, caption in enumerate(CAPTIONS):
        pixels = np.full((40, 48, 3), 235, np.uint8)
        top, left = draw.integers(4, 16, 2)
        pixels[top : top + 18, left : left + 18] = draw.integers(0, 255, 3)
        Image.fromarray(pixels).save(source / f"{index}.png")
        (source / f"{index}.txt").write_text(caption)
    release = tmp_path_factory.mktemp("release") / "squares"
    sign_dataset(source, release, issuer=issuer, licence="CC0-1.0", holder="Test Studio")
    return release


@pytest.fixture
def manifest(dataset: Path, trust: TrustStore) -> DatasetManifest:
    return verify_dataset(dataset, trust)


@pytest.fixture(scope="session")
def lenient_policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    """A policy for any base, by a tiny random CLIP, that blocks no picture: its scores stay below 1."""
    return policy_for(save_tiny_clip(tmp_path_factory.mktemp("clip") / "model"), block=1.0)


@pytest.fixture(scope="session")
def lenient(lenient_policy: Policy) -> ScreeningChoice:
    return ScreeningChoice(lenient_policy)


@pytest.fixture(scope="session")
def sd1_base(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    return resolve_base(str(save_tiny_pipeline(tmp_path_factory.mktemp("bases") / "tiny-sd1", "sd1")))


@pytest.fixture(scope="session")
def v_base(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    return resolve_base(str(save_tiny_pipeline(tmp_path_factory.mktemp("bases") / "tiny-v", "v")))


@pytest.fixture(scope="session")
def sdxl_base(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    return resolve_base(str(save_tiny_pipeline(tmp_path_factory.mktemp("bases") / "tiny-sdxl", "sdxl")))


@pytest.fixture(scope="session")
def sd2_base(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    return resolve_base(str(save_tiny_pipeline(tmp_path_factory.mktemp("bases") / "tiny-sd2", "sd2")))


@pytest.fixture(scope="session")
def sd3_base(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    return resolve_base(str(save_tiny_pipeline(tmp_path_factory.mktemp("bases") / "tiny-sd3", "sd3")))


@pytest.fixture(scope="session")
def sd3_t5_base(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    return resolve_base(str(save_tiny_pipeline(tmp_path_factory.mktemp("bases") / "tiny-sd3-t5", "sd3-t5")))


@pytest.fixture(scope="session")
def svd_base(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    return resolve_base(str(save_tiny_pipeline(tmp_path_factory.mktemp("bases") / "tiny-svd", "svd")))
