"""Pictures drawn while training, to see what the adapter has learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from training.draws import generator

if TYPE_CHECKING:
    from PIL.Image import Image

    from training.config import TrainConfig


def sample_prompts(config: TrainConfig, captions: list[str]) -> tuple[str, ...]:
    """The configured prompts, or captions of the dataset, evenly picked from all distinct ones."""
    if config.sample_prompts:
        return config.sample_prompts
    distinct = sorted({caption for caption in captions if caption})
    count = min(config.sample_count, len(distinct))
    return tuple(distinct[i * len(distinct) // count] for i in range(count))


def draw_samples(pipe: Any, prompts: tuple[str, ...], size: int, config: TrainConfig) -> list[Image]:
    """One picture for each prompt, from the same noise whenever it is called, with the adapter as it is now."""
    import torch

    was_training = pipe.unet.training
    pipe.unet.eval()
    try:
        with torch.autocast(pipe.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            return [
                pipe(
                    prompt,
                    height=size,
                    width=size,
                    num_inference_steps=config.sample_steps,
                    guidance_scale=config.sample_guidance,
                    generator=generator(config.seed, 0, index, "sample image"),
                ).images[0]
                for index, prompt in enumerate(prompts)
            ]
    finally:
        pipe.unet.train(was_training)
