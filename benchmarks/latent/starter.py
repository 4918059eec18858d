"""The starter model drawing more than it was trained for: large scenes whose latents have room for a mark.

Its own pictures are 128 px, 1,024 latent values: too few for 64 bits. At 512 and 768 px it draws several things at
once, coherently. Guidance is 1, because at its usual 3 this small model leaves too little of its noise in a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from generation.adapters import Adapter
from generation.latent_mark import noise_of_shape
from generation.latent_mark_inversion import encode
from generation.loading import load_pipeline
from generation.sampling import Sampling, sample
from provenance.base import resolve_base

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDES = (512, 768)
SMALL_SHAPE = (4, 32, 32)
GUIDANCE = 1.0
STEPS = 20
FIRST_PAYLOAD = 0x5A_0000007_0000000
PROMPTS = (
    "a red fish in the desert",
    "a blue house in the snow",
    "a green fish in a meadow",
    "a yellow house at night",
    "a red house in a meadow",
    "a blue fish in the desert",
)
ROCKETS = ("a red rocket in a meadow", "a blue rocket at night", "a green rocket in the snow")


@dataclass(frozen=True)
class Drawn:
    """One marked picture (H, W, 3), with the payload that it should give."""

    pixels: NDArray[np.uint8]
    payload: int
    nonce: int


def starter(adapter: bytes | None = None) -> Any:
    """The starter pipeline on one thread: two or more slow it down wherever the cores are shared."""
    import torch

    torch.set_num_threads(1)
    return load_pipeline(resolve_base("starter"), None if adapter is None else Adapter(adapter))


def shape_of(side: int) -> tuple[int, int, int]:
    """The latents of square pictures of a number of pixels."""
    return 4, side // 8, side // 8


def draw_marked(
    pipeline: Any, prompts: Sequence[str], count: int, *, shape: tuple[int, int, int], steps: int = STEPS
) -> list[Drawn]:
    """Pictures with consecutive serials of one stream, as an issuer would make them."""
    payloads, seeds = [FIRST_PAYLOAD + i for i in range(count)], list(range(1, count + 1))
    drawn = []
    for index, (payload, seed) in enumerate(zip(payloads, seeds, strict=True)):
        noise = noise_of_shape(shape, [payload], [seed])
        pixels = draw(pipeline, prompts[index % len(prompts)], seed, noise.latents, steps=steps)
        drawn.append(Drawn(pixels, payload, noise.nonces[0]))
    return drawn


def draw_plain(
    pipeline: Any, prompts: Sequence[str], count: int, *, shape: tuple[int, int, int], steps: int = STEPS
) -> list[NDArray[np.uint8]]:
    """The same without a mark: noise from seeds that no marked picture has."""
    pictures = []
    for index in range(count):
        noise = np.random.default_rng(10_000 + index).standard_normal((1, *shape), dtype=np.float32)
        pictures.append(draw(pipeline, prompts[index % len(prompts)], index, noise, steps=steps))
    return pictures


def draw(pipeline: Any, prompt: str, seed: int, noise: NDArray[np.float32], *, steps: int) -> NDArray[np.uint8]:
    """One picture from given noise (1, C, h, w)."""
    pipeline.unet.register_to_config(sample_size=noise.shape[-1])
    return sample(pipeline, [prompt], [seed], Sampling(steps, GUIDANCE), 1, noise)[0]


def through_autoencoder(pipeline: Any, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Encoded and decoded again: what a pixel mark does not survive in general."""
    import torch

    latents = torch.from_numpy(encode(pipeline, pixels[None]))
    with torch.inference_mode():
        decoded = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample
    scaled: NDArray[np.float32] = (decoded[0].permute(1, 2, 0).numpy() / 2 + 0.5).clip(0, 1)
    return (scaled * 255).round().astype(np.uint8)


def rediffused(pipeline: Any, pixels: NDArray[np.uint8], strength: float, seed: int) -> NDArray[np.uint8]:
    """Noised up to a share of the schedule and denoised again, with the empty prompt, as an attacker would."""
    import torch
    from diffusers import StableDiffusionImg2ImgPipeline
    from PIL import Image

    parts = {name: part for name, part in pipeline.components.items() if part is not None}
    attack = StableDiffusionImg2ImgPipeline(
        **parts, safety_checker=None, feature_extractor=None, image_encoder=None, requires_safety_checker=False
    )
    attack.set_progress_bar_config(disable=True)
    # Ten steps, whatever the strength.
    picture = attack(
        prompt="",
        image=Image.fromarray(pixels),
        strength=strength,
        num_inference_steps=round(10 / strength),
        guidance_scale=1.0,
        generator=torch.Generator().manual_seed(seed),
    ).images[0]
    return np.asarray(picture)


def trained_adapter(folder: Path) -> bytes:
    """The weights of the demo's adapter, rockets, trained as `make demo` trains it."""
    from generation.starter.demo_dataset import write_demo_dataset
    from provenance.adapter import WEIGHTS
    from provenance.dataset import sign_dataset, verify_dataset
    from provenance.home import Home
    from provenance.identity import create_issuer
    from provenance.trust import TrustStore
    from training.config import TrainConfig
    from training.lora import train

    issuer = create_issuer(Home.create(folder / "home"), "Benchmark")
    write_demo_dataset(folder / "drawings")
    sign_dataset(folder / "drawings", folder / "dataset", issuer=issuer, licence="CC0-1.0", holder="Benchmark")
    base = resolve_base("starter")
    manifest = verify_dataset(folder / "dataset", TrustStore(frozenset({issuer.root_digest})))
    config = TrainConfig.load(base.folder.parent / "demo_train.toml")
    return train(manifest, base, config, folder / "adapter", issuer=issuer, name="rockets").read(WEIGHTS)
