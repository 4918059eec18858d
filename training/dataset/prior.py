"""Prior preservation (DreamBooth, arXiv:2208.12242, section 3.2): what the base knows of a kind is not to be forgotten.

The base itself draws pictures of ``prior_prompts``, once, before anything is trained, from seeds of the configuration:
a replay draws the same ones. They stay latents in memory, are never decoded, written or shown, and need nobody's
rights; so no filter of pictures looks at them. Every batch then holds as many of them as of the dataset.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from training.dataset.buckets import Sides
from training.dataset.latent_store import Latents
from training.dataset.shelves import Shelf
from training.draws import generator
from training.families.opening import whole_pipeline
from training.families.protocol import Family
from training.precision import drawing

if TYPE_CHECKING:
    import torch

    from training.config import TrainConfig


def prior_counts(sizes: Sequence[int], config: TrainConfig) -> list[int]:
    """How many prior pictures each group of a dataset gets: in proportion to its items, and at least one."""
    total = sum(sizes)
    return [max(1, round(config.prior_count * size / total)) for size in sizes]


def draw_prior(
    family: Family,
    config: TrainConfig,
    groups: Sequence[tuple[Sides, int]],
    report: Callable[[], None],
    kept: Latents | None = None,
) -> list[Shelf]:
    """For each group, so many pictures at its sides, of each prompt in turn, by the base and its own scheduler."""
    import torch

    if not groups:
        return []
    shelves, number = [], 0
    with whole_pipeline(family), drawing(config, family.device):
        for sides, count in groups:
            drawn = []
            for _ in range(count):
                drawn.append(_drawn(family, config, sides, number, kept))
                number += 1
                report()
            means = torch.stack(drawn)[:, None]
            told = torch.tensor([*sides, 0, 0, *sides], dtype=torch.float32)
            shelves.append(Shelf(means, torch.zeros(1).expand_as(means), told.expand(count, 1, 6)))
    return shelves


def loss_shares(is_prior: Sequence[bool], config: TrainConfig) -> torch.Tensor:
    """By what each sample's loss is multiplied, so that the mean over a batch is the paper's: both means, added up."""
    import torch

    if not any(is_prior):
        return torch.ones(len(is_prior))
    return torch.tensor([2.0 * config.prior_weight if prior else 2.0 for prior in is_prior])


def _drawn(family: Family, config: TrainConfig, sides: Sides, number: int, kept: Latents | None) -> torch.Tensor:
    """The latents of one picture, drawn, or as they were kept."""
    if kept is None:
        return _draw(family, config, sides, number)
    facts = {
        "prior": config.prior_prompts[number % len(config.prior_prompts)],
        "number": number,
        "seed": config.seed,
        "sides": list(sides),
        "steps": config.sample_steps,
        "guidance": config.sample_guidance,
        "precision": config.precision,
    }
    found = kept.get(facts)
    if found is None:
        found = {"latents": _draw(family, config, sides, number)}
        kept.put(facts, found)
    return found["latents"]


def _draw(family: Family, config: TrainConfig, sides: Sides, number: int) -> torch.Tensor:
    """The latents of one picture, ``(C, h, w) float32`` before scaling, on the CPU."""
    latents: torch.Tensor = family.pipe(
        config.prior_prompts[number % len(config.prior_prompts)],
        height=sides[0],
        width=sides[1],
        num_inference_steps=config.sample_steps,
        guidance_scale=config.sample_guidance,
        generator=generator(config.seed, number, 0, "prior"),
        output_type="latent",
    ).images[0]
    known = family.pipe.vae.config
    unscaled: torch.Tensor = latents.float().cpu() / known.scaling_factor + (known.get("shift_factor") or 0.0)
    return unscaled
