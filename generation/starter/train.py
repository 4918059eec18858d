"""Trains the starter from nothing: ``python -m generation.starter.train``.

Tokenizer, judge, autoencoder, latents, text encoder and UNet, figures, files: each stage keeps a checkpoint in the
work folder and goes on from it, so the program may be interrupted at any time and started again.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import CLIPTokenizer

from generation.starter import checkpoint
from generation.starter.autoencoder import (
    AutoencoderRecipe,
    PictureSource,
    build_autoencoder,
    encode,
    fold_statistics,
    reconstruction_psnr,
    train_autoencoder,
)
from generation.starter.checkpoint import Budget, Progress
from generation.starter.denoiser import CaptionReader, Denoiser, DenoiserRecipe, build_text_encoder, build_unet
from generation.starter.denoiser_training import CaptionSource, LatentSource, pretrain_text, train_denoiser
from generation.starter.figures import held_out_accuracy, write_contact_sheet
from generation.starter.gradients import Workers
from generation.starter.judge_training import JudgeRecipe, JudgeSource, accuracy, train_judge
from generation.starter.release import Trained, assemble, release
from generation.starter.renders import (
    BACKGROUND_NAMES,
    COLOUR_NAMES,
    OBJECT_NAMES,
    Renders,
    kept_doodles,
    kept_renders,
    render_scenes,
    to_tensor,
)
from generation.starter.scenes import SCENES, TRAINING_SCENES
from generation.starter.tokenizer import learn_tokenizer, training_captions
from safety.starter.classifier import WEIGHTS, StarterClassifier


@dataclass(frozen=True)
class Settings:
    """What a run is asked to do; budgets end a stage at their steps or their minutes, whichever comes first."""

    work: Path
    output: Path
    judge_file: Path
    judge: Budget
    autoencoder: Budget
    denoiser: Budget
    pictures: int = 12000
    doodles: int = 3000
    text_steps: int = 150
    rounds: int = 4
    seed: int = 0
    workers: int = 2
    as_it_stands: bool = False


def train(settings: Settings) -> None:
    """Runs every stage in turn and writes the release."""
    work, seed = settings.work, settings.seed
    work.mkdir(parents=True, exist_ok=True)
    workers = Workers(settings.workers, shares=2)
    # All face the same way: asked for either, a UNet this small draws fish with a tail at both ends.
    training = kept_renders(work / "scenes.npy", TRAINING_SCENES, settings.pictures, seed + 1, mirrored=False)
    doodles = kept_doodles(work / "doodles.npy", settings.doodles, seed + 2)
    fresh = render_scenes(SCENES, 300, seed + 3)

    tokenizer = learn_tokenizer(training_captions(), work / "tokenizer")
    judge, judged = _judge_stage(settings, doodles, workers)
    judge_accuracy = accuracy(judge, fresh)
    print(f"judge on fresh renders: object, colour, background {judge_accuracy}", file=sys.stderr)
    vae, reconstructed = _autoencoder_stage(settings, training, doodles, workers)
    latents = _latents_stage(settings, vae, training, workers)
    psnr = reconstruction_psnr(vae, to_tensor(fresh.pictures[::7]), workers)
    print(f"autoencoder on fresh renders: {psnr:.2f} dB", file=sys.stderr)
    denoiser, denoised = _denoiser_stage(settings, tokenizer, vae, judge, latents, training, workers)

    trained = Trained(vae, denoiser.text_encoder, denoiser.unet, tokenizer, judge)
    progress = {"judge": judged, "autoencoder": reconstructed, "denoiser": denoised}
    recipes = {"autoencoder": AutoencoderRecipe(), "denoiser": DenoiserRecipe(), "judge": JudgeRecipe()}
    release(trained, settings.output, settings.judge_file, seed, settings.rounds, settings.workers, progress, recipes)


def _judge_stage(
    settings: Settings, doodles: NDArray[np.uint8], workers: Workers
) -> tuple[StarterClassifier, Progress]:
    torch.manual_seed(settings.seed)
    judge = StarterClassifier()
    pool = kept_renders(settings.work / "judged.npy", SCENES, settings.pictures // 2, settings.seed + 4)
    source = JudgeSource(pool, SCENES, doodles, JudgeRecipe(), settings.seed)
    return judge, train_judge(judge, source, settings.judge, workers, settings.work / "judge.safetensors")


def _autoencoder_stage(
    settings: Settings, training: Renders, doodles: NDArray[np.uint8], workers: Workers
) -> tuple[AutoencoderKL, Progress]:
    torch.manual_seed(settings.seed)
    recipe = AutoencoderRecipe()
    vae = build_autoencoder(recipe)
    source = PictureSource(training.pictures, doodles, recipe, settings.seed)
    validation = to_tensor(render_scenes(SCENES[::7], 43, settings.seed + 3).pictures)
    file = settings.work / "autoencoder.safetensors"
    return vae, train_autoencoder(vae, source, recipe, settings.autoencoder, workers, file, validation)


def _latents_stage(settings: Settings, vae: AutoencoderKL, training: Renders, workers: Workers) -> Tensor:
    """Latents (N, 4, 16, 16) float32 of the training pictures; the autoencoder comes out with normalised latents."""
    file = settings.work / "latents.safetensors"
    if not file.exists():
        batches = [training.pictures[i : i + 256] for i in range(0, len(training.pictures), 256)]
        raw = torch.cat([encode(vae, to_tensor(batch), workers) for batch in batches])
        save_file({"raw": raw.contiguous()}, file)
    raw = load_file(file)["raw"]
    fold_statistics(vae, raw)
    normalised: Tensor = (raw - raw.mean((0, 2, 3), keepdim=True)) / raw.std((0, 2, 3)).view(1, -1, 1, 1)
    return normalised


def _denoiser_stage(
    settings: Settings,
    tokenizer: CLIPTokenizer,
    vae: AutoencoderKL,
    judge: StarterClassifier,
    latents: Tensor,
    training: Renders,
    workers: Workers,
) -> tuple[Denoiser, Progress]:
    recipe = DenoiserRecipe()
    file = settings.work / "denoiser.safetensors"
    torch.manual_seed(settings.seed)
    text_encoder = build_text_encoder(recipe, tokenizer)
    denoiser = Denoiser(text_encoder, build_unet(recipe), recipe)
    averaged = Denoiser(build_text_encoder(recipe, tokenizer), build_unet(recipe), recipe)
    captions = CaptionSource(tokenizer, recipe)

    def report(average: dict[str, Tensor], progress: Progress) -> None:
        averaged.load_state_dict(average)
        pipeline = assemble(Trained(vae, averaged.text_encoder, averaged.unet, tokenizer, judge))
        found, pictures = held_out_accuracy(pipeline, judge, 1, settings.seed, settings.workers)
        print(f"denoiser {progress.step} held out: {found}", file=sys.stderr)
        write_contact_sheet(pictures, settings.work / f"samples-{progress.step:06d}.png")

    if settings.as_it_stands:
        tensors, progress = checkpoint.load(file)
        average = checkpoint.part("average", tensors)
    else:
        if not file.exists():
            classes = (len(OBJECT_NAMES), len(COLOUR_NAMES), len(BACKGROUND_NAMES))
            reader = CaptionReader(text_encoder, classes, recipe.context)
            pretrain_text(reader, captions, TRAINING_SCENES, settings.text_steps, workers, settings.seed)
        source = LatentSource(latents, training.scene_index, TRAINING_SCENES, captions, recipe, settings.seed)
        # On CPUs the backward pass of fused attention is slower than that of plain matrix products.
        with sdpa_kernel(SDPBackend.MATH):
            average, progress = train_denoiser(denoiser, source, recipe, settings.denoiser, workers, file, report)
    averaged.load_state_dict(average)
    return averaged, progress


def main() -> None:
    """Reads the flags and trains."""
    parser = argparse.ArgumentParser(prog="python -m generation.starter.train", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(".work/starter"), help="folder of checkpoints and caches")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder the release is written to")
    parser.add_argument("--judge-file", type=Path, default=WEIGHTS, help="where the judge's weights are written to")
    for stage, minutes, steps in (("judge", 4, 2000), ("autoencoder", 25, 5000), ("denoiser", 70, 100_000)):
        parser.add_argument(f"--{stage}-minutes", type=float, default=minutes)
        parser.add_argument(f"--{stage}-steps", type=int, default=steps)
    parser.add_argument("--rounds", type=int, default=4, help="times every held-out caption is drawn for the figures")
    parser.add_argument("--pictures", type=int, default=12000, help="renders the UNet is trained on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="threads; one for each core")
    parser.add_argument("--as-it-stands", action="store_true", help="write the release from the checkpoints there are")
    flags = parser.parse_args()
    budgets = {
        stage: Budget(0 if flags.as_it_stands else getattr(flags, f"{stage}_steps"), getattr(flags, f"{stage}_minutes"))
        for stage in ("judge", "autoencoder", "denoiser")
    }
    train(
        Settings(
            work=flags.work,
            output=flags.output,
            judge_file=flags.judge_file,
            pictures=flags.pictures,
            rounds=flags.rounds,
            seed=flags.seed,
            workers=flags.workers,
            as_it_stands=flags.as_it_stands,
            judge=budgets["judge"],
            autoencoder=budgets["autoencoder"],
            denoiser=budgets["denoiser"],
        )
    )


if __name__ == "__main__":
    main()
