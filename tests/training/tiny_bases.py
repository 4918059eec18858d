"""Tiny random-weight pipelines of every architecture of a base, saved as folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

LATENT_SIDE = 8


def save_tiny_pipeline(folder: Path, kind: str) -> Path:
    """A pipeline of 32 px in the architecture of a kind of base.

    ``sd1``; ``v``, which is SD 1.x with v-prediction and zero terminal SNR; ``sd2`` (v-prediction, linear projections);
    ``sdxl``; ``sd3`` without T5; ``sd3-t5``, which is SD 3.5 with T5; ``svd``.
    """
    import torch

    makers: dict[str, Callable[[Path], Any]] = {
        "sd3": lambda folder: _sd3(folder, with_t5=False),
        "sd3-t5": lambda folder: _sd3(folder, with_t5=True),
        "svd": lambda _: _svd(),
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        pipe = makers[kind](folder) if kind in makers else _unet_pipeline(folder, kind)
    pipe.save_pretrained(folder)
    return folder


def _unet_pipeline(folder: Path, kind: str) -> Any:
    from diffusers import (
        DDIMScheduler,
        StableDiffusionPipeline,
        StableDiffusionXLPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    xl, velocity, zero_snr = kind == "sdxl", kind in ("v", "sd2"), kind == "v"
    extra: dict[str, Any] = {"use_linear_projection": True} if kind == "sd2" else {}
    if xl:
        extra = {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 6 * 8 + 32,
            "transformer_layers_per_block": (1, 2),
            "use_linear_projection": True,
        }
    unet = UNet2DConditionModel(
        sample_size=LATENT_SIDE,
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=(2, 4),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=64 if xl else 32,
        **extra,
    )
    vae = _autoencoder()
    text = _clip_text("gelu" if kind == "sd2" else "quick_gelu")
    scheduler = DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        steps_offset=1,
        prediction_type="v_prediction" if velocity else "epsilon",
        rescale_betas_zero_snr=zero_snr,
        timestep_spacing="trailing" if zero_snr else "leading",
    )
    tokenizer = clip_tokenizer(folder)
    parts = {"unet": unet, "vae": vae, "scheduler": scheduler, "tokenizer": tokenizer}
    if xl:
        return StableDiffusionXLPipeline(
            text_encoder=CLIPTextModel(text),
            text_encoder_2=CLIPTextModelWithProjection(text),
            tokenizer_2=tokenizer,
            add_watermarker=False,
            **parts,
        )
    return StableDiffusionPipeline(
        text_encoder=CLIPTextModel(text),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
        **parts,
    )


def _sd3(folder: Path, *, with_t5: bool) -> Any:
    """With T5 the transformer is that of SD 3.5 medium: normalised queries and keys, a second attention."""
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline
    from transformers import CLIPTextModelWithProjection

    transformer = SD3Transformer2DModel(
        sample_size=LATENT_SIDE,
        patch_size=2,
        in_channels=16,
        out_channels=16,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=80,
        caption_projection_dim=32,
        pooled_projection_dim=64,
        pos_embed_max_size=16,
        **({"qk_norm": "rms_norm", "dual_attention_layers": (0,)} if with_t5 else {}),
    )
    _fill_zeros(transformer)
    vae = _autoencoder(
        latent_channels=16, shift_factor=0.0609, scaling_factor=1.5305, use_quant_conv=False, use_post_quant_conv=False
    )
    text = _clip_text("gelu")
    tokenizer = clip_tokenizer(folder)
    text_encoder_3, tokenizer_3 = _t5() if with_t5 else (None, None)
    return StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae,
        text_encoder=CLIPTextModelWithProjection(text),
        tokenizer=tokenizer,
        text_encoder_2=CLIPTextModelWithProjection(text),
        tokenizer_2=tokenizer,
        text_encoder_3=text_encoder_3,
        tokenizer_3=tokenizer_3,
    )


def _fill_zeros(transformer: Any) -> None:
    # New transformers begin with zeros here and there; nothing that came before could then be told apart.
    import torch

    for parameter in transformer.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)


def _t5() -> tuple[Any, Any]:
    """A T5 of one layer and its tokeniser, which knows printable ASCII letter by letter."""
    from transformers import T5Config, T5EncoderModel, T5TokenizerFast

    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0)]
    words += [(chr(code), -3.0) for code in range(33, 127)]
    tokenizer = T5TokenizerFast(vocab=words, extra_ids=0, model_max_length=512)
    config = T5Config(
        vocab_size=len(words), d_model=80, d_kv=8, d_ff=48, num_layers=1, num_heads=2, feed_forward_proj="gated-gelu"
    )
    return T5EncoderModel(config), tokenizer


def _svd() -> Any:
    """Two frames; normalisation in groups of 32, which these architectures leave no choice of."""
    from diffusers import (
        AutoencoderKLTemporalDecoder,
        EulerDiscreteScheduler,
        StableVideoDiffusionPipeline,
        UNetSpatioTemporalConditionModel,
    )
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    unet = UNetSpatioTemporalConditionModel(
        sample_size=LATENT_SIDE,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        cross_attention_dim=32,
        num_attention_heads=2,
        addition_time_embed_dim=32,
        projection_class_embeddings_input_dim=96,
        num_frames=2,
    )
    vae = AutoencoderKLTemporalDecoder(
        block_out_channels=(32, 32, 32), down_block_types=("DownEncoderBlock2D",) * 3, sample_size=32
    )
    # The pipeline resizes every picture to 224 px for it.
    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=37,
        projection_dim=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=224,
        patch_size=56,
    )
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        interpolation_type="linear",
        prediction_type="v_prediction",
        sigma_min=0.002,
        sigma_max=700.0,
        steps_offset=1,
        timestep_spacing="leading",
        timestep_type="continuous",
        use_karras_sigmas=True,
    )
    return StableVideoDiffusionPipeline(
        vae=vae,
        image_encoder=CLIPVisionModelWithProjection(vision),
        unet=unet,
        scheduler=scheduler,
        feature_extractor=CLIPImageProcessor(crop_size=224, size=224),
    )


def _autoencoder(**extra: Any) -> Any:
    """An autoencoder that makes latents of a quarter of a picture's side."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        norm_num_groups=4,
        layers_per_block=1,
        sample_size=32,
        **extra,
    )


def _clip_text(activation: str) -> Any:
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        vocab_size=514,
        hidden_size=32,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=4,
        hidden_act=activation,
        projection_dim=32,
        bos_token_id=512,
        eos_token_id=513,
        pad_token_id=513,
    )


def clip_tokenizer(folder: Path) -> object:
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
