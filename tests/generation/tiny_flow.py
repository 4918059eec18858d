"""A tiny flow-matching pipeline in the shape of Stable Diffusion 3, with random weights, made on the spot."""

from __future__ import annotations

from typing import Any


def tiny_flow_pipeline(**scheduler: Any) -> Any:
    """16 latent channels, an autoencoder with a shift factor, two text encoders and no third."""
    import tempfile
    from pathlib import Path

    import torch
    from diffusers import (
        AutoencoderKL,
        FlowMatchEulerDiscreteScheduler,
        SD3Transformer2DModel,
        StableDiffusion3Pipeline,
    )
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    from tests.training.conftest import _tokenizer

    with torch.random.fork_rng(), tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        transformer = SD3Transformer2DModel(
            sample_size=8,
            patch_size=2,
            in_channels=16,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=4,
            joint_attention_dim=64,
            caption_projection_dim=32,
            pooled_projection_dim=64,
            out_channels=16,
        )
        vae = AutoencoderKL(
            block_out_channels=(8, 16),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            norm_num_groups=4,
            layers_per_block=1,
            latent_channels=16,
            sample_size=32,
            shift_factor=0.0609,
            scaling_factor=1.5305,
            use_quant_conv=False,
            use_post_quant_conv=False,
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
        tokenizer = _tokenizer(Path(folder) / "tokenizer")
        pipeline = StableDiffusion3Pipeline(
            transformer=transformer,
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, **scheduler),
            vae=vae,
            text_encoder=CLIPTextModelWithProjection(text),
            tokenizer=tokenizer,
            text_encoder_2=CLIPTextModelWithProjection(text),
            tokenizer_2=tokenizer,
            text_encoder_3=None,
            tokenizer_3=None,
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
