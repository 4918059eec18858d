import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from transformers import CLIPTextModel, CLIPTokenizer

from generation.starter import renders
from generation.starter.autoencoder import reconstruction_psnr
from generation.starter.figures import accuracy_of, draw_samples
from generation.starter.gradients import Workers
from generation.starter.release import weight_bytes
from generation.starter.scenes import SCENES, Scene
from safety.starter.classifier import load_classifier

STARTER = Path(renders.__file__).parent
MODEL = STARTER / "model"


@pytest.fixture(scope="module")
def pipeline() -> StableDiffusionPipeline:
    return StableDiffusionPipeline.from_pretrained(MODEL, safety_checker=None)


def test_the_model_is_a_plain_stable_diffusion_pipeline(pipeline: StableDiffusionPipeline) -> None:
    assert isinstance(pipeline.text_encoder, CLIPTextModel)
    assert isinstance(pipeline.tokenizer, CLIPTokenizer)
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    assert pipeline.scheduler.config.rescale_betas_zero_snr
    assert pipeline.scheduler.config.timestep_spacing == "trailing"
    assert {pipeline.vae.dtype, pipeline.unet.dtype, pipeline.text_encoder.dtype} == {torch.float32}
    assert weight_bytes(MODEL) <= 25e6
    assert json.loads((MODEL / "prov.json").read_text())["output_scale"] == 2


def test_any_word_becomes_tokens_that_fit(pipeline: StableDiffusionPipeline) -> None:
    tokenizer = pipeline.tokenizer
    for scene in SCENES:
        assert len(tokenizer(scene.caption).input_ids) <= 12
    ids = tokenizer("a zqxv 日本 🚀 rocket", padding="max_length", truncation=True).input_ids
    assert len(ids) == 24
    assert all(0 <= number < pipeline.text_encoder.config.vocab_size for number in ids)


def test_the_autoencoder_gives_fresh_scenes_back(pipeline: StableDiffusionPipeline) -> None:
    pictures = renders.to_tensor(renders.render_scenes(SCENES[::11], 28, seed=93).pictures)
    assert reconstruction_psnr(pipeline.vae, pictures, Workers(2, bfloat16=False)) >= 32


def test_latents_are_normalised(pipeline: StableDiffusionPipeline) -> None:
    pictures = renders.to_tensor(renders.render_scenes(SCENES[::7], 86, seed=94).pictures)
    with torch.no_grad():
        latents = pipeline.vae.encode(pictures).latent_dist.mean
    assert latents.mean((0, 2, 3)).abs().max() < 0.15
    assert (latents.std((0, 2, 3)) - 1).abs().max() < 0.15
    assert pipeline.vae.config.scaling_factor == 1.0


# diffusers' own, from numpy reading a tensor.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_few_steps_draw_what_is_asked(pipeline: StableDiffusionPipeline) -> None:
    scenes = [Scene("fish", "red", "desert"), Scene("house", "blue", "snow"), Scene("star", "yellow", "night")]
    pictures = draw_samples(pipeline, [scene.caption for scene in scenes], seed=1, steps=10, chunk=2)
    assert pictures.shape == (3, 128, 128, 3)
    assert pictures.dtype == np.uint8
    assert accuracy_of(pictures, scenes, load_classifier()).whole == 1


def test_the_figures_are_beside_the_weights() -> None:
    figures = json.loads((STARTER / "figures.json").read_text())
    recipe = json.loads((STARTER / "recipe.json").read_text())
    assert figures["reconstruction"]["psnr_db"] >= 32
    assert figures["bytes"]["model"] == weight_bytes(MODEL)
    assert figures["held_out_captions"]["n"] >= 50
    assert recipe["seed"] == 0
    assert (STARTER / "samples.png").stat().st_size <= 400_000
