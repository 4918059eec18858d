from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from generation.starter import autoencoder, checkpoint
from generation.starter.autoencoder import AutoencoderRecipe, PictureSource, build_autoencoder, train_autoencoder
from generation.starter.checkpoint import Budget, Progress
from generation.starter.denoiser import Denoiser, DenoiserRecipe, build_text_encoder, build_unet
from generation.starter.denoiser_training import CaptionSource, LatentSource, train_denoiser
from generation.starter.gradients import Workers
from generation.starter.optimiser import Optimiser, orthogonalise
from generation.starter.renders import render_doodles, render_scenes, to_tensor
from generation.starter.scenes import TRAINING_SCENES
from generation.starter.tokenizer import learn_tokenizer, training_captions

SMALL = DenoiserRecipe(channels=(16, 32, 32), groups=4, context=16, text_layers=1, text_heads=2, batch=4)


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def train_small_denoiser(folder: Path, steps: list[int]) -> dict[str, Tensor]:
    """The averaged weights after training to each of the steps in turn, every time from the checkpoint alone."""
    tokenizer = learn_tokenizer(training_captions(), folder / "tokenizer")
    latents = torch.from_numpy(np.random.default_rng(0).standard_normal((8, 4, 16, 16), np.float32))
    captions = CaptionSource(tokenizer, SMALL)
    source = LatentSource(latents, np.arange(8), TRAINING_SCENES, captions, SMALL, seed=0)
    average: dict[str, Tensor] = {}
    for count in steps:
        torch.manual_seed(0)
        denoiser = Denoiser(build_text_encoder(SMALL, tokenizer), build_unet(SMALL), SMALL)
        file, workers = folder / "denoiser.safetensors", Workers(1)
        # The same last step in every budget, so that the learning rates are the same ones.
        budget = StopAt(6, 1e9, count)
        average, progress = train_denoiser(denoiser, source, SMALL, budget, workers, file, lambda *_: None)
        assert progress.step == count
    return average


@dataclass(frozen=True)
class StopAt(Budget):
    """A budget whose run is cut off at an earlier step."""

    stop: int

    def spent(self, progress: Progress) -> float:
        return 1.0 if progress.step >= self.stop else super().spent(progress)


def test_an_interrupted_denoiser_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = train_small_denoiser(tmp_path / "whole", [6])
    resumed = train_small_denoiser(tmp_path / "parts", [2, 5, 6])
    assert same(whole, resumed)


def test_an_interrupted_autoencoder_ends_with_the_same_weights(tmp_path: Path) -> None:
    recipe = AutoencoderRecipe(channels=(8, 8, 8, 8), crop=64, batch=2, whole_batch=1)
    pictures, doodles = render_scenes(TRAINING_SCENES, 4, 0).pictures, render_doodles(2, 0)

    def run(folder: Path, stops: list[int]) -> AutoencoderKL:
        for stop in stops:
            torch.manual_seed(0)
            vae = build_autoencoder(recipe)
            source = PictureSource(pictures, doodles, recipe, seed=0)
            file, budget = folder / "autoencoder.safetensors", StopAt(4, 1e9, stop)
            train_autoencoder(vae, source, recipe, budget, Workers(1), file, to_tensor(pictures))
        return vae

    whole, resumed = run(tmp_path / "whole", [4]), run(tmp_path / "parts", [1, 4])
    assert same(whole.state_dict(), resumed.state_dict())


def test_gradients_do_not_depend_on_who_is_quicker() -> None:
    torch.manual_seed(0)
    model, batch = nn.Linear(5, 1), torch.randn(8, 5)
    parameters = list(model.parameters())

    def gradients(workers: int) -> list[Tensor]:
        return Workers(workers, bfloat16=False).gradients(lambda x: model(x).square().mean(), parameters, batch)[0]

    runs, alone = [gradients(2), gradients(2)], gradients(1)
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(runs[0], alone, strict=True))


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(ValueError, match="2 equal shares, found 3"):
        Workers(2).gradients(lambda x: x.mean(), [], torch.zeros(3, 1))


def test_orthogonalised_matrices_have_singular_values_near_one() -> None:
    for shape in ((16, 40), (40, 16)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(shape, generator=torch.Generator().manual_seed(0))))
        assert values.min() > 0.5
        assert values.max() < 1.3


def test_the_optimiser_lowers_a_loss_and_its_state_is_tensors() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    x = torch.randn(64, 4)
    optimiser, losses = Optimiser(model.named_parameters()), []
    for _ in range(150):
        loss = (model(x) - x[:, :1] * x[:, 1:2]).square().mean()
        optimiser.step(torch.autograd.grad(loss, list(model.parameters())), 1.0)
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 2
    assert all(isinstance(value, Tensor) for value in optimiser.tensors().values())


def test_folding_statistics_normalises_latents_and_keeps_pictures() -> None:
    torch.manual_seed(0)
    vae = build_autoencoder(AutoencoderRecipe(channels=(8, 8, 8, 8)))
    pictures, workers = to_tensor(render_scenes(TRAINING_SCENES, 6, 0).pictures), Workers(1, bfloat16=False)
    with torch.no_grad():
        before = vae.decode(vae.encode(pictures).latent_dist.mean).sample
        autoencoder.fold_statistics(vae, autoencoder.encode(vae, pictures, workers))
        latents = autoencoder.encode(vae, pictures, workers)
        assert torch.allclose(latents.mean((0, 2, 3)), torch.zeros(4), atol=1e-4)
        assert torch.allclose(latents.std((0, 2, 3)), torch.ones(4), atol=1e-4)
        assert torch.allclose(vae.decode(latents).sample, before, atol=1e-3)


def test_a_checkpoint_gives_back_what_it_was_given(tmp_path: Path) -> None:
    tensors = checkpoint.under("a", {"x": torch.arange(3)}) | checkpoint.under("b", {"x": torch.ones(2)})
    checkpoint.save(tmp_path / "c.safetensors", tensors, Progress(7, 1.5))
    loaded, progress = checkpoint.load(tmp_path / "c.safetensors")
    assert progress == Progress(7, 1.5)
    assert torch.equal(checkpoint.part("a", loaded)["x"], torch.arange(3))
    assert [file.name for file in tmp_path.iterdir()] == ["c.safetensors"]


def test_a_spent_budget_is_one() -> None:
    assert Budget(10, 1e9).spent(Progress(5, 0)) == 0.5
    assert Budget(10, 1).spent(Progress(5, 60)) == 1
    assert Budget(0, 1).spent(Progress()) == 1
