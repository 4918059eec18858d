from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from provenance.base import BaseModel, resolve_base
from tests.training.tiny_batch import tiny_batch
from training.config import TrainConfig
from training.draws import generator
from training.errors import ConfigError, TrainingError
from training.families.opening import drawing_pipeline, open_family, place_for_training, whole_pipeline
from training.families.protocol import Family
from training.samples import draw_samples

CLIP = ["text_encoder", "text_encoder_2"]
# Text encoders, the denoiser's component, latent channels, shape of a caption, pooled width, what is predicted.
KINDS: dict[str, tuple[list[str], str, int, tuple[int, int], int | None, str]] = {
    "sd1_base": (CLIP[:1], "unet", 4, (77, 32), None, "epsilon"),
    "v_base": (CLIP[:1], "unet", 4, (77, 32), None, "v_prediction"),
    "sd2_base": (CLIP[:1], "unet", 4, (77, 32), None, "v_prediction"),
    "sdxl_base": (CLIP, "unet", 4, (77, 64), 32, "epsilon"),
    "sd3_base": (CLIP, "transformer", 16, (77 + 256, 80), 64, "flow"),
    "sd3_t5_base": ([*CLIP, "text_encoder_3"], "transformer", 16, (77 + 256, 80), 64, "flow"),
}


@pytest.fixture(params=KINDS)
def opened(request: pytest.FixtureRequest) -> tuple[str, Family]:
    return request.param, open_family(request.getfixturevalue(request.param), "cpu", TrainConfig())


def test_a_family_says_what_its_base_is(opened: tuple[str, Family]) -> None:
    kind, family = opened
    texts, prefix, _, _, _, prediction = KINDS[kind]
    assert list(family.text_encoders) == texts
    assert (family.denoiser_prefix, family.noising.prediction) == (prefix, prediction)
    assert getattr(family.pipe, prefix) is family.denoiser
    assert (family.side, family.multiple, family.device) == (32, 8, "cpu")
    assert not any(p.requires_grad for p in family.denoiser.parameters())
    assert not family.denoiser.training


def test_latents_are_the_autoencoder_s_and_scaled_back_they_decode(opened: tuple[str, Family]) -> None:
    kind, family = opened
    vae = family.pipe.vae
    pixels = torch.rand(2, 3, 32, 40) * 2 - 1
    mean, deviation = family.encode_pixels(pixels)
    assert mean.shape == deviation.shape == (2, KINDS[kind][2], 8, 10)
    assert (deviation > 0).all()
    scaled = family.scale_latents(mean)
    shift = vae.config.shift_factor or 0.0
    assert bool(shift) == (KINDS[kind][1] == "transformer")
    # What the pipelines themselves do before they decode.
    assert torch.allclose(scaled / vae.config.scaling_factor + shift, mean, atol=1e-5)


def test_captions_are_embedded_as_the_pipeline_embeds_prompts(opened: tuple[str, Family]) -> None:
    kind, family = opened
    _, _, _, shape, pooled, _ = KINDS[kind]
    with torch.no_grad():
        embedded = family.embed(["a red square", "a dot"])
        nothing = family.embed_nothing()
        further = {"prompt_2": None, "prompt_3": None} if pooled == 64 else {}
        with_guidance = family.pipe.encode_prompt(
            prompt="a dot", device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=True, **further
        )
    assert embedded.embeddings.shape == (2, *shape)
    assert torch.allclose(embedded.embeddings[1:], with_guidance[0], atol=1e-5)
    assert torch.equal(nothing.embeddings, with_guidance[1])
    assert (embedded.pooled is None) == (pooled is None)
    if embedded.pooled is not None and nothing.pooled is not None:
        assert embedded.pooled.shape == (2, pooled)
        assert torch.allclose(embedded.pooled[1:], with_guidance[2], atol=1e-5)
        assert torch.equal(nothing.pooled, with_guidance[3])
    assert not torch.allclose(embedded.embeddings[0], embedded.embeddings[1], atol=1e-3)


def test_captions_teach_a_text_encoder_that_is_trained(opened: tuple[str, Family]) -> None:
    _, family = opened
    for encoder in family.text_encoders.values():
        encoder.requires_grad_(True)
    embedded = family.embed(["a red square"])
    loss = embedded.embeddings.square().sum()
    if embedded.pooled is not None:
        loss = loss + embedded.pooled.square().sum()
    loss.backward()  # type: ignore[no-untyped-call]
    for encoder in family.text_encoders.values():
        assert any(p.grad is not None and p.grad.any() for p in encoder.parameters())


def test_sd3_without_t5_has_zeros_where_t5_would_speak(sd3_base: BaseModel, sd3_t5_base: BaseModel) -> None:
    without, with_t5 = (open_family(base, "cpu", TrainConfig()) for base in (sd3_base, sd3_t5_base))
    with torch.no_grad():
        assert not without.embed(["a red square"]).embeddings[:, 77:].any()
        assert without.embed(["a red square"]).embeddings[:, :77, :64].any()
        said, other = (with_t5.embed([text]).embeddings[0, 77:] for text in ("a red square", "a blue square"))
    assert said.any()
    assert not torch.equal(said, other)


def test_a_prediction_has_the_shape_of_the_latents_and_listens_to_time_and_text(opened: tuple[str, Family]) -> None:
    _, family = opened
    batch = tiny_batch(family, TrainConfig(batch_size=2))
    with torch.no_grad():
        predicted = family.predict(batch)
        later = family.predict(replace(batch, times=(batch.times + 300) % 1000))
        unheard = family.predict(replace(batch, embeddings=batch.embeddings.flip(1) + 1))
        assert predicted.shape == batch.noisy.shape == batch.target.shape
        assert not torch.allclose(predicted, later, atol=1e-4)
        assert not torch.allclose(predicted, unheard, atol=1e-4)
        if batch.pooled is not None:
            assert not torch.allclose(predicted, family.predict(replace(batch, pooled=batch.pooled + 1)), atol=1e-4)


def test_drawing_evaluates_and_then_training_goes_on(opened: tuple[str, Family]) -> None:
    _, family = opened
    place_for_training(family, embeds_text=True)
    family.denoiser.train()
    first, *_ = texts = list(family.text_encoders.values())
    first.train()
    own, largest = family.pipe.scheduler, family.text_encoders.get("text_encoder_3")
    for context in (whole_pipeline, drawing_pipeline):
        with context(family) as pipe:
            assert not any(part.training for part in (family.denoiser, pipe.vae, *texts))
            assert getattr(pipe, "text_encoder_3", None) is (largest if context is whole_pipeline else None)
        assert family.denoiser.training
        assert first.training
        assert not family.pipe.vae.training
        assert list(family.text_encoders.values()) == texts
        assert family.pipe.scheduler is own


def test_only_the_denoiser_is_on_the_device_in_training(opened: tuple[str, Family]) -> None:
    """On a device without memory: this machine may have no other."""
    _, family = opened
    place_for_training(replace(family, device="meta"), embeds_text=False)  # type: ignore[type-var]
    assert {p.device.type for p in family.denoiser.parameters()} == {"meta"}
    for part in (family.pipe.vae, *family.text_encoders.values()):
        assert {p.device.type for p in part.parameters()} == {"cpu"}


def test_samples_are_what_the_pipeline_draws_from_the_prompt(opened: tuple[str, Family]) -> None:
    _, family = opened
    config = TrainConfig(sample_steps=2)
    setup = SimpleNamespace(family=family, config=config, device="cpu")
    (picture,) = draw_samples(setup, ("a red square",))  # type: ignore[arg-type]
    noise = generator(config.seed, 0, 0, "sample image")
    expected = family.pipe(
        "a red square", height=32, width=32, num_inference_steps=2, guidance_scale=4.0, generator=noise
    ).images[0]
    assert picture.size == (32, 32)
    assert np.abs(np.asarray(picture, float) - np.asarray(expected, float)).max() <= 1


def test_a_video_base_is_for_generation_alone(svd_base: BaseModel) -> None:
    with pytest.raises(TrainingError, match="Stable Video Diffusion is for generation alone") as refusal:
        open_family(svd_base, "cpu", TrainConfig())
    assert "--base" in (refusal.value.fix or "")


@pytest.mark.parametrize("setting", ["size", "bucket_step"])
def test_sides_that_do_not_fit_the_base_are_refused(sd3_base: BaseModel, tmp_path: Path, setting: str) -> None:
    folder = tmp_path / "coarse"
    shutil.copytree(sd3_base.folder, folder)
    config = json.loads((folder / "vae" / "config.json").read_text())
    # An autoencoder of four blocks, as the real one is: pictures come in multiples of 16 px.
    config |= {"block_out_channels": [8, 8, 16, 16]}
    config |= {"down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4}
    AutoencoderKL.from_config(config).save_pretrained(folder / "vae")
    base = resolve_base(str(folder))
    assert open_family(base, "cpu", TrainConfig(size=48, bucket_step=16, buckets=True)).multiple == 16
    with pytest.raises(ConfigError, match=f"`{setting}` must be a multiple of 16 px for this base, not 24"):
        open_family(base, "cpu", replace(TrainConfig(buckets=True, size=64), **{setting: 24}))


def test_a_picture_larger_than_the_transformer_knows_places_for_is_refused(sd3_base: BaseModel) -> None:
    with pytest.raises(ConfigError, match="`size` must be at most 128 px for this base, not 256"):
        open_family(sd3_base, "cpu", TrainConfig(size=256))


def test_buckets_longer_than_the_transformer_knows_places_for_are_refused(sd3_base: BaseModel) -> None:
    fits = TrainConfig(size=64, bucket_step=8, buckets=True)
    assert open_family(sd3_base, "cpu", fits).side == 64
    with pytest.raises(ConfigError, match="sides of up to 192 px, and this base takes at most 128"):
        open_family(sd3_base, "cpu", replace(fits, size=96))
    assert open_family(sd3_base, "cpu", replace(fits, size=96, buckets=False)).side == 96


def test_what_a_base_s_digest_does_not_count_is_not_loaded(sdxl_base: BaseModel, tmp_path: Path) -> None:
    folder = tmp_path / "with-more"
    shutil.copytree(sdxl_base.folder, folder)
    index = json.loads((folder / "model_index.json").read_text())
    index["image_encoder"] = ["transformers", "CLIPVisionModelWithProjection"]
    (folder / "model_index.json").write_text(json.dumps(index))
    assert open_family(resolve_base(str(folder)), "cpu", TrainConfig()).pipe.image_encoder is None


def test_a_base_for_inpainting_is_refused(sd1_base: BaseModel, tmp_path: Path) -> None:
    folder = tmp_path / "inpainting"
    shutil.copytree(sd1_base.folder, folder)
    config = UNet2DConditionModel.load_config(folder / "unet")
    UNet2DConditionModel.from_config({**config, "in_channels": 9}).save_pretrained(folder / "unet")
    with pytest.raises(TrainingError, match="as bases for inpainting do not") as refusal:
        open_family(resolve_base(str(folder)), "cpu", TrainConfig())
    assert (refusal.value.expected, refusal.value.found) == ("4 channels", "9 channels")


@pytest.mark.parametrize("file", ["transformer/config.json", "vae/diffusion_pytorch_model.safetensors"])
def test_a_base_whose_files_are_broken_is_refused(sd3_base: BaseModel, tmp_path: Path, file: str) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(sd3_base.folder, folder)
    (folder / file).write_bytes((folder / file).read_bytes()[:-50])
    with pytest.raises(TrainingError, match="local:broken cannot be loaded"):
        open_family(resolve_base(str(folder)), "cpu", TrainConfig())
