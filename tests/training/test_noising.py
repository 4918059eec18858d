from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    PNDMScheduler,
)
from diffusers.pipelines.stable_diffusion_3.pipeline_stable_diffusion_3 import calculate_shift

from training.config import TrainConfig
from training.draws import generator
from training.errors import ConfigError, TrainingError
from training.noising import Diffusion, FlowMatching, diffusion_of, flow_matching_of

SD1 = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def of_kind(kind: str, **further: Any) -> Diffusion:
    return Diffusion(DDPMScheduler(prediction_type=kind, **SD1, **further))


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_the_target_is_what_the_base_predicts(kind: str) -> None:
    noising = of_kind(kind)
    clean, noise, times = torch.full((1, 1, 1, 1), 2.0), torch.full((1, 1, 1, 1), 3.0), torch.tensor([400])
    kept = float(noising.schedule.alphas_cumprod[400])
    expected = {"epsilon": 3.0, "sample": 2.0, "v_prediction": math.sqrt(kept) * 3 - math.sqrt(1 - kept) * 2}[kind]
    assert float(noising.target(clean, noise, times)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_min_snr_weights_follow_the_paper(kind: str) -> None:
    noising = of_kind(kind, rescale_betas_zero_snr=True)
    times = torch.tensor([0, 300, 999])
    kept = noising.schedule.alphas_cumprod[times]
    weights = noising.weights(times, 5.0)
    assert torch.isfinite(weights).all()
    for r, weight in list(zip((kept / (1 - kept)).tolist(), weights.tolist(), strict=True))[:2]:
        expected = {"epsilon": min(r, 5) / r, "v_prediction": min(r, 5) / (r + 1), "sample": min(r, 5)}[kind]
        assert weight == pytest.approx(expected, rel=1e-4)
    assert torch.equal(noising.weights(times, 0.0), torch.ones(3))


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_min_snr_is_the_loss_of_the_picture_capped(kind: str) -> None:
    """Whatever is predicted, the weighted loss of one error in the picture is min(SNR, gamma) times its square."""
    noising, gamma = of_kind(kind), 5.0
    times = torch.tensor([50, 400, 900])
    noise = torch.ones(3, 1, 1, 1)
    truth, guess = torch.full((3, 1, 1, 1), 0.3), torch.full((3, 1, 1, 1), 0.5)
    kept = noising.schedule.alphas_cumprod[times]
    # A guess of the picture is a guess of the noise that is left in the same mixture.
    mixture = noising.add_noise(truth, noise, times)
    guessed_noise = (mixture - kept.sqrt().reshape(-1, 1, 1, 1) * guess) / (1 - kept).sqrt().reshape(-1, 1, 1, 1)
    errors = noising.target(truth, noise, times) - noising.target(guess, guessed_noise, times)
    weighted = errors.flatten().square() * noising.weights(times, gamma)
    assert torch.allclose(weighted, (kept / (1 - kept)).clamp(max=gamma) * 0.04, rtol=1e-3)


@pytest.mark.parametrize("prediction", ["v_prediction", "sample"])
def test_a_rescaled_schedule_ends_in_noise_alone_and_begins_as_before(prediction: str) -> None:
    config = TrainConfig(zero_terminal_snr=True, prediction=prediction)
    own = DDIMScheduler(**SD1)
    noising = diffusion_of(own, config)
    before, after = own.alphas_cumprod.sqrt(), noising.schedule.alphas_cumprod.sqrt()
    # Algorithm 1 of arXiv:2305.08891: shifted so that the last is zero, scaled so that the first stays.
    expected = (before - before[-1]) * before[0] / (before[0] - before[-1])
    assert after[-1] == 0
    assert torch.allclose(after, expected, atol=1e-4)
    assert before[-1] > 0.06
    clean, noise, last = torch.full((1, 1, 1, 1), 9.0), torch.full((1, 1, 1, 1), 0.5), torch.tensor([999])
    assert torch.equal(noising.add_noise(clean, noise, last), noise)
    assert torch.isfinite(noising.weights(last, 5.0)).all()
    assert noising.facts() == {"kind": "diffusion", "prediction": prediction, "zero_terminal_snr": True}


@pytest.mark.parametrize(
    ("own", "config"),
    [
        (DDIMScheduler(**SD1), TrainConfig(zero_terminal_snr=True)),
        (DDIMScheduler(prediction_type="v_prediction"), TrainConfig(zero_terminal_snr=True, prediction="epsilon")),
        (
            DDIMScheduler(prediction_type="v_prediction", rescale_betas_zero_snr=True),
            TrainConfig(prediction="epsilon"),
        ),
    ],
)
def test_noise_is_not_predicted_where_nothing_else_is_left(own: Any, config: TrainConfig) -> None:
    with pytest.raises(ConfigError, match="must be v_prediction or sample with a zero terminal SNR"):
        diffusion_of(own, config)


def test_the_base_decides_what_is_predicted_unless_the_configuration_does() -> None:
    own = DDIMScheduler(prediction_type="v_prediction", rescale_betas_zero_snr=True)
    assert diffusion_of(own, TrainConfig()).prediction == "v_prediction"
    assert diffusion_of(own, TrainConfig()).schedule.alphas_cumprod[-1] < 1e-6
    assert diffusion_of(own, TrainConfig(prediction="sample")).prediction == "sample"
    assert diffusion_of(PNDMScheduler(**SD1), TrainConfig()).prediction == "epsilon"


@pytest.mark.parametrize(
    "own", [EDMEulerScheduler(), DDPMScheduler(prediction_type="flow_prediction")], ids=["edm", "flow by ddpm"]
)
def test_a_base_of_another_parametrisation_is_refused(own: Any) -> None:
    with pytest.raises(TrainingError, match="predicts something that cannot be trained"):
        diffusion_of(own, TrainConfig())


def test_samples_are_drawn_by_the_base_s_own_scheduler_where_training_changed_nothing() -> None:
    own = EulerDiscreteScheduler(**SD1)
    assert diffusion_of(own, TrainConfig()).sampler(own) is own
    velocity = DDIMScheduler(prediction_type="v_prediction", rescale_betas_zero_snr=True, **SD1)
    assert diffusion_of(velocity, TrainConfig(zero_terminal_snr=True)).sampler(velocity) is velocity


def test_samples_are_drawn_by_the_schedule_that_was_trained_on() -> None:
    own = PNDMScheduler(**SD1, skip_prk_steps=True, steps_offset=1)
    noising = diffusion_of(own, TrainConfig(zero_terminal_snr=True, prediction="v_prediction"))
    sampler = noising.sampler(own)
    sampler.set_timesteps(4)
    assert int(sampler.timesteps[0]) == 999
    assert torch.allclose(sampler.alphas_cumprod, noising.schedule.alphas_cumprod)
    assert sampler.config.prediction_type == "v_prediction"
    # One step with the true velocity leads from pure noise to the picture.
    clean, noise = torch.full((1, 1, 1, 1), 0.7), torch.full((1, 1, 1, 1), -1.3)
    velocity = noising.target(clean, noise, torch.tensor([999]))
    found = sampler.step(velocity, sampler.timesteps[0], noise).pred_original_sample
    assert torch.allclose(found, clean, atol=1e-5)


def times_of(noising: FlowMatching, count: int) -> torch.Tensor:
    return torch.stack([noising.draw_time(generator(0, step, 0, "time")) for step in range(count)])


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_times_of_flow_matching_are_logit_normal_and_shifted(shift: float) -> None:
    noising = flow_matching_of(FlowMatchEulerDiscreteScheduler(shift=shift), TrainConfig(), tokens=16)
    sigma = times_of(noising, 2000) / 1000
    assert ((sigma > 0) & (sigma < 1)).all()
    even = sigma / (shift - (shift - 1) * sigma)
    assert float(torch.logit(even).mean()) == pytest.approx(0, abs=0.08)
    assert float(torch.logit(even).std()) == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_flow_matching_mixes_as_the_base_s_scheduler_does(shift: float) -> None:
    own = FlowMatchEulerDiscreteScheduler(shift=shift)
    noising = flow_matching_of(own, TrainConfig(), tokens=16)
    times = own.timesteps[[0, 300, 999]]
    clean, noise = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    mixture = noising.add_noise(clean, noise, times)
    assert torch.allclose(mixture, own.scale_noise(clean, times, noise), atol=1e-5)
    # Against the flow, for as long as there is noise, lies the picture.
    flow = noising.target(clean, noise, times)
    assert torch.allclose(mixture - (times / 1000).reshape(-1, 1, 1, 1) * flow, clean, atol=1e-5)
    assert torch.equal(noising.weights(times, 0.0), torch.ones(3))


def test_an_euler_step_of_the_base_s_scheduler_follows_the_target() -> None:
    own = FlowMatchEulerDiscreteScheduler(shift=3.0)
    noising = flow_matching_of(own, TrainConfig(), tokens=16)
    own.set_timesteps(5)
    clean, noise = torch.randn(1, 2, 4, 4), torch.randn(1, 2, 4, 4)
    latents = noise
    for time in own.timesteps:
        assert torch.allclose(latents, noising.add_noise(clean, noise, time[None]), atol=1e-4)
        latents = own.step(noising.target(clean, noise, time[None]), time, latents).prev_sample
    assert torch.allclose(latents, clean, atol=1e-4)


@pytest.mark.parametrize("kind", ["exponential", "linear"])
def test_a_dynamic_shift_is_the_pipeline_s_for_that_picture(kind: Any) -> None:
    own = FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15, time_shift_type=kind
    )
    mu = calculate_shift(1024, 256, 4096, 0.5, 1.15)
    own.set_timesteps(10, mu=mu)
    noising = flow_matching_of(own, TrainConfig(), tokens=1024)
    even = torch.linspace(1, 1 / 1000, 10)
    expected = own.time_shift(mu, 1.0, even)
    assert torch.allclose(noising.shift * even / (1 + (noising.shift - 1) * even), expected, atol=1e-5)
    assert noising.facts()["shift"] == noising.shift


def test_settings_of_diffusion_are_refused_together_for_flow_matching() -> None:
    config = TrainConfig(prediction="epsilon", min_snr_gamma=5.0, zero_terminal_snr=True)
    with pytest.raises(ConfigError) as refusal:
        flow_matching_of(FlowMatchEulerDiscreteScheduler(), config, tokens=16)
    assert [fault.split("`")[1] for fault in refusal.value.faults] == [
        "prediction",
        "min_snr_gamma",
        "zero_terminal_snr",
    ]


def test_a_transformer_with_a_scheduler_of_diffusion_is_refused() -> None:
    with pytest.raises(TrainingError, match="does not say how it was trained"):
        flow_matching_of(DDIMScheduler(), TrainConfig(), tokens=16)
