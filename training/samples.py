"""Pictures drawn while training, to see what the adapter has learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provenance.a1111 import PROGRAM, lora_hash, number, parameters_text
from training.compiled import uncompiled
from training.dataset.tags import with_trigger
from training.draws import generator
from training.families.opening import at_work, drawing_pipeline
from training.precision import drawing

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from training.config import TrainConfig
    from training.families.protocol import Family
    from training.setup import Setup


def sample_prompts(config: TrainConfig, captions: list[str]) -> tuple[str, ...]:
    """The configured prompts, or captions of the dataset, evenly picked from all distinct ones, with the trigger.

    Of a private training no captions: they are released beside the samples, and belong to the pictures.
    """
    if config.sample_prompts or config.dp_epsilon:
        return config.sample_prompts
    distinct = sorted({with_trigger(caption, config.trigger) for caption in captions if caption})
    count = min(config.sample_count, len(distinct))
    return tuple(distinct[i * len(distinct) // count] for i in range(count))


def draw_samples(setup: Setup, prompts: tuple[str, ...]) -> list[Image]:
    """One picture for each prompt, from the same noise whenever it is called, with the adapter as it is now.

    They are drawn by the schedule that is trained on, also where that is not the base's own.
    """
    if not prompts:
        return []
    family, config, side = setup.family, setup.config, setup.family.side
    said = _read(family, prompts)
    with drawing_pipeline(family) as pipe, drawing(config, setup.device), uncompiled(config):
        return [
            pipe(
                **text,
                height=side,
                width=side,
                num_inference_steps=config.sample_steps,
                guidance_scale=config.sample_guidance,
                generator=generator(config.seed, 0, index, "sample image"),
            ).images[0]
            for index, text in enumerate(said)
        ]


def sample_parameters(
    prompt: str, size: tuple[int, int], base: str, name: str, weights: str, config: TrainConfig
) -> str:
    """What the PNG of a sample of ``size`` (width, height) says of its making to other tools, prompt included.

    ``weights`` is the digest of the adapter ``name``. The noise comes from no seed that one could draw with elsewhere.
    """
    settings = [
        ("Steps", config.sample_steps),
        ("CFG scale", number(config.sample_guidance)),
        ("Size", f"{size[0]}x{size[1]}"),
        ("Model", base),
        lora_hash(name, weights),
        ("Version", PROGRAM),
    ]
    return parameters_text(prompt, None, settings)


def _read(family: Family, prompts: tuple[str, ...]) -> list[dict[str, torch.Tensor]]:
    """Prompts, and what guidance takes for none, as pipelines take them instead of texts."""
    import torch

    with at_work(family, family.text_encoders.values()), torch.no_grad():
        nothing, texts = family.embed_nothing(), [family.embed([prompt]) for prompt in prompts]
    read = []
    for text in texts:
        arguments = {"prompt_embeds": text.embeddings, "negative_prompt_embeds": nothing.embeddings}
        if text.pooled is not None and nothing.pooled is not None:
            arguments |= {"pooled_prompt_embeds": text.pooled, "negative_pooled_prompt_embeds": nothing.pooled}
        read.append(arguments)
    return read
