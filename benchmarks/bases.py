"""Bases of random weights in the shape of Stable Diffusion 1.5, whole or a tenth as wide, made on the spot."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Shape:
    """Widths of the U-Net's and the autoencoder's levels, the text encoder's, and the picture's side in px."""

    denoiser: tuple[int, int, int, int]
    autoencoder: tuple[int, int, int, int]
    text: int
    heads: int
    side: int


# Depths, attention and down-sampling are Stable Diffusion 1.5's in all; the tiny ones divide every width by ten or by
# eight. Attention costs tokens squared: at 160 px it has the share that it has in the whole one at 512 px.
_TINY = Shape((32, 64, 128, 128), (16, 32, 64, 64), 96, 12, 160)
SHAPES = {
    "tiny-64": replace(_TINY, side=64),
    "tiny-128": replace(_TINY, side=128),
    "tiny": _TINY,
    "tiny-256": replace(_TINY, side=256),
    "sd15": Shape((320, 640, 1280, 1280), (128, 256, 512, 512), 768, 12, 512),
}


def save_base(folder: Path, shape: Shape) -> Path:
    """Writes a pipeline of random weights, seeded; a folder that is there already is taken as it is."""
    if (folder / "model_index.json").is_file():
        return folder
    import torch
    from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        pipe = StableDiffusionPipeline(
            unet=UNet2DConditionModel(
                sample_size=shape.side // 8,
                block_out_channels=shape.denoiser,
                attention_head_dim=8,
                cross_attention_dim=shape.text,
            ),
            vae=AutoencoderKL(
                block_out_channels=shape.autoencoder,
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
                layers_per_block=2,
                norm_num_groups=min(32, shape.autoencoder[0]),
                sample_size=shape.side,
            ),
            text_encoder=CLIPTextModel(
                CLIPTextConfig(
                    vocab_size=514,
                    hidden_size=shape.text,
                    intermediate_size=4 * shape.text,
                    num_hidden_layers=12,
                    num_attention_heads=shape.heads,
                    projection_dim=shape.text,
                    bos_token_id=512,
                    eos_token_id=513,
                    pad_token_id=513,
                )
            ),
            tokenizer=_byte_tokenizer(folder),
            scheduler=PNDMScheduler(
                beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, skip_prk_steps=True
            ),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipe.save_pretrained(folder)
    return folder


def _byte_tokenizer(folder: Path) -> object:
    """A CLIP tokeniser that knows bytes and nothing more."""
    from transformers import CLIPTokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    folder.mkdir(parents=True, exist_ok=True)
    letters = list(bytes_to_unicode().values())
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    vocabulary.write_text(json.dumps({word: i for i, word in enumerate(words)}))
    merges.write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(vocabulary), str(merges), model_max_length=77)
    vocabulary.unlink()
    merges.unlink()
    return tokenizer
