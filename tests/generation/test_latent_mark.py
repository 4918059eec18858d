"""Marked noise through whole pipelines and back: epsilon, velocity, SDXL and flows, and the starter model itself.

The tiny pipelines have random weights and are inverted from their latents; on the starter model the payload is read
from pixels.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from generation import order
from generation.errors import SamplingFailed
from generation.latent_mark import latent_shape, marked_noise, noise_of_shape
from generation.latent_mark_inversion import encode, invert
from generation.latent_mark_reading import DeepReader, deep_reader, read_picture
from generation.loading import load_pipeline
from generation.request import GenerationRequest
from generation.sampling import Sampling, sample
from provenance.base import BaseModel, resolve_base
from provenance.credentials import read_credentials
from provenance.errors import ProvenanceError, RecordError, Unavailable
from provenance.files import read_file
from provenance.fingerprint import MATCH_THRESHOLD, distance
from provenance.record import parse_record
from provenance.trust import TrustStore
from provenance.verify import Verdict
from provenance.verify.evidence import NoEvidence
from provenance.verify.verifier import verify_with
from safety.errors import WatermarkError
from safety.watermark import Payload
from safety.watermark.latent import LatentDetection, read_noise
from safety.watermark.latent_keys import image_nonce
from tests.generation.conftest import Published
from tests.generation.tiny_flow import tiny_flow_pipeline
from tests.training.conftest import save_tiny_pipeline

PAYLOADS = [Payload(7, 3, serial).pack() for serial in (11, 12)]
SEEDS = [5, 6]
SHAPE = (4, 32, 32)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def read_back(pipeline: Any, latents: Any, **how: Any) -> list[LatentDetection]:
    estimates = invert(pipeline, np.asarray(latents, dtype=np.float32), start=0.0, **how)
    return [read_noise(estimate) for estimate in estimates]


@pytest.mark.parametrize("kind", ["sd1", "v", "sdxl"])
def test_each_picture_of_a_batch_gives_its_own_payload_and_nonce(tmp_path: Path, kind: str) -> None:
    import torch

    pipeline = load_pipeline(resolve_base(str(save_tiny_pipeline(tmp_path / kind, kind))), None)
    noise = noise_of_shape(SHAPE, PAYLOADS, SEEDS)
    side = SHAPE[1] * pipeline.vae_scale_factor
    with torch.inference_mode():
        latents = pipeline(
            prompt=["a dot", "a square"], latents=torch.from_numpy(noise.latents), num_inference_steps=12,
            guidance_scale=3.0, height=side, width=side, output_type="latent",
        ).images  # fmt: skip
    found = read_back(pipeline, latents)
    assert [each.payload for each in found] == PAYLOADS
    assert [each.nonce for each in found] == list(noise.nonces)
    assert len(set(noise.nonces)) == 2


@pytest.mark.parametrize("shifting", [False, True], ids=["fixed shift", "shift by size"])
def test_flow_matching_is_inverted_over_its_own_shifted_schedule(shifting: bool) -> None:
    import torch

    pipeline = tiny_flow_pipeline(use_dynamic_shifting=shifting)
    noise = noise_of_shape((16, 24, 32), PAYLOADS, SEEDS)
    factor = pipeline.vae_scale_factor
    with torch.inference_mode():
        latents = pipeline(
            prompt=["a dot", "a square"], latents=torch.from_numpy(noise.latents), num_inference_steps=12,
            guidance_scale=3.0, height=24 * factor, width=32 * factor, output_type="latent",
        ).images  # fmt: skip
    assert [each.payload for each in read_back(pipeline, latents)] == PAYLOADS


def test_a_velocity_model_read_as_one_of_noise_gives_another_estimate(tmp_path: Path) -> None:
    pipeline = load_pipeline(resolve_base(str(save_tiny_pipeline(tmp_path / "v", "v"))), None)
    latents = np.random.default_rng(0).standard_normal((1, *SHAPE), dtype=np.float32)
    right = invert(pipeline, latents)
    pipeline.scheduler.register_to_config(prediction_type="epsilon")
    assert np.corrcoef(right.ravel(), invert(pipeline, latents).ravel())[0, 1] < 0.999
    pipeline.scheduler.register_to_config(prediction_type="flow")
    with pytest.raises(SamplingFailed, match="unknown"):
        invert(pipeline, latents)


def test_latents_are_scaled_and_shifted_as_the_autoencoder_says() -> None:
    pipeline = tiny_flow_pipeline()
    picture = np.random.default_rng(1).integers(0, 255, (1, 32, 32, 3), dtype=np.uint8)
    shifted = encode(pipeline, picture)
    config = pipeline.vae.config
    pipeline.vae.register_to_config(shift_factor=None, scaling_factor=1.0)
    plain = encode(pipeline, picture)
    assert np.allclose(shifted, (plain - config.shift_factor) * config.scaling_factor, atol=1e-5)
    assert np.array_equal(plain, encode(pipeline, picture)), "the mode of the posterior, never a sample"


def test_a_half_precision_autoencoder_is_run_in_single_precision(tmp_path: Path) -> None:
    import torch

    pipeline = load_pipeline(resolve_base(str(save_tiny_pipeline(tmp_path / "sdxl", "sdxl"))), None)
    picture = np.full((1, 32, 32, 3), 255, dtype=np.uint8)
    with torch.no_grad():
        # Weights that half precision holds, and what it cannot hold on the way, as in SDXL's autoencoder.
        pipeline.vae.encoder.conv_in.weight.fill_(30_000.0)
    pipeline.vae.to(torch.float16)
    with torch.inference_mode():
        half = pipeline.vae.encode(torch.ones(1, 3, 32, 32, dtype=torch.float16)).latent_dist.mode()
    assert not torch.isfinite(half).all()
    assert np.isfinite(encode(pipeline, picture)).all()


def test_a_model_that_gives_nan_is_refused(tmp_path: Path) -> None:
    import torch

    pipeline = load_pipeline(resolve_base(str(save_tiny_pipeline(tmp_path / "sd1", "sd1"))), None)
    with torch.no_grad():
        pipeline.unet.conv_out.bias.fill_(torch.nan)
        pipeline.vae.encoder.conv_out.bias.fill_(torch.nan)
    with pytest.raises(SamplingFailed, match="not finite"):
        invert(pipeline, np.zeros((1, *SHAPE), dtype=np.float32))
    with pytest.raises(SamplingFailed, match="not finite"):
        encode(pipeline, np.zeros((1, 32, 32, 3), dtype=np.uint8))


def test_pictures_too_small_for_a_mark_get_plain_noise_and_are_not_read(tmp_path: Path) -> None:
    pipeline = load_pipeline(resolve_base(str(save_tiny_pipeline(tmp_path / "sd1", "sd1"))), None)
    assert latent_shape(pipeline) == (4, 8, 8)
    assert marked_noise(pipeline, PAYLOADS, SEEDS) is None
    with pytest.raises(WatermarkError, match="no latent mark"):
        read_picture(pipeline, np.zeros((32, 32, 3), dtype=np.uint8))


@pytest.mark.parametrize("picture", [None, np.zeros((64, 64)), np.zeros((64, 64, 3)), np.zeros((0, 64, 3), np.uint8)])
def test_what_is_no_picture_is_refused(tmp_path: Path, picture: Any) -> None:
    pipeline = load_pipeline(resolve_base(str(save_tiny_pipeline(tmp_path / "sd1", "sd1"))), None)
    with pytest.raises(WatermarkError, match="not an RGB picture"):
        read_picture(pipeline, picture)


PROMPT = "a red fish in the desert"


@pytest.fixture
def enlarged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The starter draws at 256 px of its own, whose latents have room for a mark."""

    def load(base: BaseModel, *how: Any) -> Any:
        pipeline = load_pipeline(base, *how)
        pipeline.unet.register_to_config(sample_size=32)
        return pipeline

    monkeypatch.setattr(order, "load_pipeline", load)


@pytest.mark.usefixtures("enlarged")
def test_generated_pictures_name_the_mark_in_their_noise(published: Published, tmp_path: Path) -> None:
    request = GenerationRequest((PROMPT,) * 2, model=str(published.token), seed=5, steps=4)
    images = order.generate(request, home=published.home, out=tmp_path / "out").images
    assert len(images) == 2
    for offset, image in enumerate(images):
        nonce = image_nonce(int(image.record.payload, 16), 5 + offset)
        assert image.record.watermark["latent"] == {"alg": "org.prov.latent.1", "nonce": nonce}
        credentials = read_credentials(read_file(image.path), "image/png")
        assert credentials.latent_binding == ("org.prov.latent.1", image.record.payload)
        assert credentials.soft_binding is not None
        assert credentials.soft_binding[1] == image.record.payload


@pytest.mark.usefixtures("enlarged")
def test_the_payload_is_part_of_the_noise_unless_plain_noise_is_asked_for(published: Published, tmp_path: Path) -> None:
    def twice(plain: bool) -> int:
        request = GenerationRequest((PROMPT,), model=str(published.token), seed=5, steps=4, plain_noise=plain)
        records = [order.generate(request, home=published.home, out=tmp_path).images[0].record for _ in range(2)]
        assert ["latent" in record.watermark for record in records] == [not plain] * 2
        return distance(records[0].fingerprint, records[1].fingerprint)

    assert twice(plain=True) < MATCH_THRESHOLD < twice(plain=False)


@pytest.mark.usefixtures("enlarged")
def test_a_record_that_says_anything_else_of_the_noise_is_refused(published: Published, tmp_path: Path) -> None:
    request = GenerationRequest((PROMPT,), model=str(published.token), seed=5, steps=2)
    record = order.generate(request, home=published.home, out=tmp_path).images[0].record
    assert parse_record(record.to_bytes()) == record
    good = record.watermark["latent"]
    for wrong in (None, {}, {**good, "nonce": 65_536}, {**good, "nonce": True}, {**good, "alg": "x"}, {**good, "x": 1}):
        with pytest.raises(RecordError, match="watermark"):
            replace(record, watermark={**record.watermark, "latent": wrong})


@dataclass(frozen=True)
class OnStarter:
    """The starter model, and a picture of 768 px that it drew from marked noise."""

    pipeline: Any
    picture: np.ndarray


@pytest.fixture(scope="module")
def on_starter() -> OnStarter:
    import torch

    torch.set_num_threads(1)
    pipeline = load_pipeline(resolve_base("starter"), None)
    pipeline.unet.register_to_config(sample_size=96)
    noise = marked_noise(pipeline, PAYLOADS[:1], SEEDS[:1])
    assert noise is not None
    (picture,) = sample(pipeline, ["a red fish in the desert"], SEEDS[:1], Sampling(10, 1.0), 1, noise.latents)
    return OnStarter(pipeline, picture)


def test_the_starters_picture_gives_its_payload(on_starter: OnStarter) -> None:
    found = read_picture(on_starter.pipeline, on_starter.picture)
    assert (found.payload, found.nonce) == (PAYLOADS[0], image_nonce(PAYLOADS[0], SEEDS[0]))


def test_the_payload_survives_the_starters_autoencoder_and_a_recompression(on_starter: OnStarter) -> None:
    import io

    from benchmarks.latent.starter import through_autoencoder

    file = io.BytesIO()
    Image.fromarray(through_autoencoder(on_starter.pipeline, on_starter.picture)).save(file, "JPEG", quality=75)
    assert read_picture(on_starter.pipeline, np.asarray(Image.open(file))).payload == PAYLOADS[0]


def test_the_payload_survives_partial_rediffusion(on_starter: OnStarter) -> None:
    from benchmarks.latent.starter import rediffused

    again = rediffused(on_starter.pipeline, on_starter.picture, 0.05, seed=1)
    assert not np.array_equal(again, on_starter.picture)
    assert read_picture(on_starter.pipeline, again).payload == PAYLOADS[0]


def test_verify_follows_the_mark_in_the_noise_only_when_asked_to(on_starter: OnStarter, tmp_path: Path) -> None:
    path = tmp_path / "copy.png"
    Image.fromarray(on_starter.picture).save(path)
    trust = TrustStore(frozenset())
    assert verify_with(path, NoEvidence(), trust).verdict is Verdict.UNKNOWN
    # A payload leads to a ledger, and here is none to ask.
    with pytest.raises(Unavailable, match="only a ledger can confirm"):
        verify_with(path, NoEvidence(), trust, lambda pixels: read_picture(on_starter.pipeline, pixels))


def test_a_deep_reader_loads_nothing_until_it_reads(tmp_path: Path) -> None:
    script = (
        "import sys; from generation.latent_mark_reading import deep_reader; from provenance.trust import TrustStore;"
        "deep_reader(None, None, TrustStore(frozenset()));"
        "print([m for m in ('torch', 'diffusers', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_plain_verification_imports_no_torch(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    Image.fromarray(np.full((300, 300, 3), 120, np.uint8)).save(path)
    script = (
        "import sys; from cli.main import app\n"
        f"try: app(['verify', {str(path)!r}, '--json'])\n"
        "except SystemExit as error: code = error.code\n"
        "print('\\n', code, [m for m in ('torch', 'diffusers', 'transformers', 'generation') if m in sys.modules])"
    )
    environment = {**os.environ, "PROV_HOME": str(tmp_path / "nowhere")}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.splitlines()[-1].strip() == "4 []", done.stdout + done.stderr


def test_a_deep_reader_names_what_it_cannot_open(tmp_path: Path) -> None:
    with pytest.raises(ProvenanceError):
        deep_reader("no/such base", None, TrustStore(frozenset()))
    with pytest.raises(ProvenanceError):
        deep_reader(None, tmp_path, TrustStore(frozenset()))


def test_the_starters_own_small_pictures_are_too_small_to_be_read(tmp_path: Path) -> None:
    reader = DeepReader(resolve_base("starter"))
    with pytest.raises(WatermarkError, match="no latent mark"):
        reader(np.zeros((256, 256, 3), dtype=np.uint8))


def test_base_without_deep_is_a_wrong_use(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    Image.fromarray(np.full((300, 300, 3), 120, np.uint8)).save(path)
    command = [sys.executable, "-m", "cli.main", "verify", str(path), "--base", "starter"]
    environment = {**os.environ, "PROV_HOME": str(tmp_path / "nowhere")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 2
    assert "--deep" in done.stderr
