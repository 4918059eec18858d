"""Tiny random-weight pipelines of both architectures, a signed dataset, and an issuer, made on the spot."""

from __future__ import annotations

import json
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


def save_tiny_pipeline(folder: Path, kind: str) -> Path:
    """A pipeline in the architecture of SD 1.5, of SD 1.5 with v-prediction and zero terminal SNR, or of SDXL."""
    import torch
    from diffusers import (
        AutoencoderKL,
        DDIMScheduler,
        StableDiffusionPipeline,
        StableDiffusionXLPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    with torch.random.fork_rng():
        torch.manual_seed(0)
        xl = kind == "sdxl"
        extra = (
            {
                "addition_embed_type": "text_time",
                "addition_time_embed_dim": 8,
                "projection_class_embeddings_input_dim": 6 * 8 + 32,
                "transformer_layers_per_block": (1, 2),
                "use_linear_projection": True,
            }
            if xl
            else {}
        )
        unet = UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(16, 32),
            layers_per_block=1,
            norm_num_groups=4,
            attention_head_dim=(2, 4),
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=64 if xl else 32,
            **extra,
        )
        vae = AutoencoderKL(
            block_out_channels=(8, 16, 16),
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            norm_num_groups=4,
            layers_per_block=1,
            sample_size=32,
        )
        text = CLIPTextConfig(
            vocab_size=514,
            hidden_size=32,
            intermediate_size=37,
            num_hidden_layers=2,
            num_attention_heads=4,
            projection_dim=32,
            bos_token_id=512,
            eos_token_id=513,
            pad_token_id=513,
        )
        scheduler = DDIMScheduler(
            beta_schedule="scaled_linear",
            beta_start=0.00085,
            beta_end=0.012,
            clip_sample=False,
            steps_offset=1,
            prediction_type="v_prediction" if kind == "v" else "epsilon",
            rescale_betas_zero_snr=kind == "v",
            timestep_spacing="trailing" if kind == "v" else "leading",
        )
        tokenizer = _tokenizer(folder)
        parts = {"unet": unet, "vae": vae, "scheduler": scheduler, "tokenizer": tokenizer}
        if xl:
            pipe = StableDiffusionXLPipeline(
                text_encoder=CLIPTextModel(text),
                text_encoder_2=CLIPTextModelWithProjection(text),
                tokenizer_2=tokenizer,
                add_watermarker=False,
                **parts,
            )
        else:
            pipe = StableDiffusionPipeline(
                text_encoder=CLIPTextModel(text),
                safety_checker=None,
                feature_extractor=None,
                requires_safety_checker=False,
                **parts,
            )
    pipe.save_pretrained(folder)
    return folder


def _tokenizer(folder: Path) -> object:
    """A CLIP tokeniser that knows bytes and nothing more."""
    from transformers import CLIPTokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    folder.mkdir(parents=True)
    letters = list(bytes_to_unicode().values())
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    vocabulary.write_text(json.dumps({word: i for i, word in enumerate(words)}))
    merges.write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(vocabulary), str(merges), model_max_length=77)
    vocabulary.unlink()
    merges.unlink()
    return tokenizer
