"""The text encoder and the UNet as diffusers and transformers have them, and the noise they are trained against."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import DPMSolverMultistepScheduler, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from generation.starter.autoencoder import anchor
from generation.starter.tokenizer import MAX_LENGTH


@dataclass(frozen=True)
class DenoiserRecipe:
    """How the text encoder and the UNet are built and trained."""

    channels: tuple[int, ...] = (64, 128, 128)
    groups: int = 8
    heads: int = 2
    context: int = 128
    text_layers: int = 3
    text_heads: int = 2
    batch: int = 32
    no_caption: float = 0.1
    stray_words: float = 0.12
    weight_until_snr: float = 5.0
    average: float = 0.99
    muon_rate: float = 0.02
    adam_rate: float = 2e-3


def build_scheduler() -> DPMSolverMultistepScheduler:
    """DPM-Solver++ over a noise schedule that ends in pure noise."""
    return DPMSolverMultistepScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        algorithm_type="dpmsolver++",
        solver_order=2,
    )


def build_text_encoder(recipe: DenoiserRecipe, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """A new CLIP text encoder over the tokenizer's vocabulary."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.context,
        intermediate_size=recipe.context * 2,
        projection_dim=recipe.context,
        num_hidden_layers=recipe.text_layers,
        num_attention_heads=recipe.text_heads,
        max_position_embeddings=MAX_LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def build_unet(recipe: DenoiserRecipe) -> UNet2DConditionModel:
    """A new UNet that starts near the identity: quiet residual branches and an output of zero."""
    unet = UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        block_out_channels=recipe.channels,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=recipe.context,
        # diffusers reads this as the number of heads, in Stable Diffusion 1's own files too.
        attention_head_dim=recipe.heads,
        norm_num_groups=recipe.groups,
        # At 16×16 both attentions read the caption: self-attention over 256 places would be a third of all the work.
        only_cross_attention=(True, False, False),
        mid_block_only_cross_attention=False,
    )
    for module in unet.modules():
        if type(module).__name__ == "ResnetBlock2D":
            module.conv2.weight.data.mul_(0.1)
    # The anchor sits on the last layer that adds to the stream the final norm reads.
    anchor(unet.conv_norm_out, unet.up_blocks[-1].attentions[-1].proj_out)
    nn.init.zeros_(unet.conv_out.weight)
    nn.init.zeros_(unet.conv_out.bias)
    return unet.to(memory_format=torch.channels_last)


class Denoiser(nn.Module):
    """Text encoder and UNet as the one thing that is trained."""

    signal: Tensor
    noise: Tensor
    weight: Tensor

    def __init__(self, text_encoder: CLIPTextModel, unet: UNet2DConditionModel, recipe: DenoiserRecipe):
        super().__init__()
        self.text_encoder, self.unet = text_encoder, unet
        kept = build_scheduler().alphas_cumprod
        self.register_buffer("signal", kept.sqrt(), persistent=False)
        self.register_buffer("noise", (1 - kept).sqrt(), persistent=False)
        snr = kept / (1 - kept)
        self.register_buffer("weight", (recipe.weight_until_snr / (snr + 1)).clamp(max=1.0), persistent=False)

    def loss(self, latents: Tensor, noise: Tensor, steps: Tensor, tokens: Tensor) -> Tensor:
        """The weighted squared error of the predicted v.

        Latents and noise are (B, 4, 16, 16) float32, steps (B,) int64 in [0, 1000), tokens (B, 24) int64. With v the
        plain error weighs pictures by SNR + 1; the weight levels that off where little noise is left (after min-SNR),
        and leaves pure noise its full share.
        """
        signal, spread = self.signal[steps, None, None, None], self.noise[steps, None, None, None]
        noisy = signal * latents + spread * noise
        target = signal * noise - spread * latents
        context = self.text_encoder(tokens)[0]
        found = self.unet(noisy, steps, encoder_hidden_states=context).sample.float()
        error: Tensor = self.weight[steps] * (found - target).square().mean((1, 2, 3))
        return error.mean()


class CaptionReader(nn.Module):
    """What the text encoder learns first: to name object, colour and background from a caption's last state."""

    def __init__(self, text_encoder: CLIPTextModel, classes: tuple[int, int, int], width: int):
        super().__init__()
        self.text_encoder = text_encoder
        self.classifier = nn.Linear(width, sum(classes))
        self._classes = classes

    def loss(self, tokens: Tensor, labels: Tensor) -> Tensor:
        """The sum of three cross-entropies; tokens (B, 24) and labels (B, 3) int64."""
        logits = self.classifier(self.text_encoder(tokens)[1]).float()
        parts = logits.split(self._classes, dim=1)
        return torch.stack([F.cross_entropy(part, labels[:, i]) for i, part in enumerate(parts)]).sum()
