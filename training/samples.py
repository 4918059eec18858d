"""Pictures drawn while training, to see what the adapter has learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.compiled import uncompiled
from training.draws import generator
from training.families.opening import whole_pipeline
from training.precision import drawing

if TYPE_CHECKING:
    from PIL.Image import Image

    from training.config import TrainConfig
    from training.setup import Setup


def sample_prompts(config: TrainConfig, captions: list[str]) -> tuple[str, ...]:
    """The configured prompts, or captions of the dataset, evenly picked from all distinct ones.

    Of a private training no captions: they are released beside the samples, and belong to the pictures.
    """
    if config.sample_prompts or config.dp_epsilon:
        return config.sample_prompts
    distinct = sorted({caption for caption in captions if caption})
    count = min(config.sample_count, len(distinct))
    return tuple(distinct[i * len(distinct) // count] for i in range(count))


def draw_samples(setup: Setup, prompts: tuple[str, ...]) -> list[Image]:
    """One picture for each prompt, from the same noise whenever it is called, with the adapter as it is now.

    They are drawn by the schedule that is trained on, also where that is not the base's own.
    """
    config, side = setup.config, setup.family.side
    with whole_pipeline(setup.family) as pipe, drawing(config, setup.device), uncompiled(config):
        return [
            pipe(
                prompt,
                height=side,
                width=side,
                num_inference_steps=config.sample_steps,
                guidance_scale=config.sample_guidance,
                generator=generator(config.seed, 0, index, "sample image"),
            ).images[0]
            for index, prompt in enumerate(prompts)
        ]
