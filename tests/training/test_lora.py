from __future__ import annotations

import io
import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from provenance.adapter import AdapterManifest, verify_adapter
from provenance.base import BaseModel, resolve_base
from provenance.canonical import sha256_hex
from provenance.dataset import sign_dataset, verify_dataset
from provenance.errors import ProvenanceError, UsageError
from provenance.identity import Issuer
from provenance.manifest import DatasetManifest
from provenance.screening.screens import ScreeningChoice
from provenance.trust import TrustStore
from training import loop, lora
from training.config import TrainConfig
from training.errors import (
    CheckpointError,
    ConfigError,
    DatasetBlocked,
    LossNotFinite,
    TrainingError,
    TrainingInterrupted,
)
from training.families import opening
from training.families.opening import load_pipeline
from training.lora import Progress, train

QUICK = TrainConfig(
    steps=4,
    warmup_steps=1,
    batch_size=2,
    rank=4,
    alpha=6.0,
    learning_rate=0.05,
    sample_steps=2,
    sample_count=1,
    threads=1,
)

Train = Callable[..., AdapterManifest]


@pytest.fixture
def run(
    manifest: DatasetManifest, issuer: Issuer, sd1_base: BaseModel, lenient: ScreeningChoice, tmp_path: Path
) -> Train:
    def run(config: TrainConfig = QUICK, out: str = "squares", **options: Any) -> AdapterManifest:
        usual = {"manifest": manifest, "base": sd1_base, "issuer": issuer, "name": "squares", "screening": lenient}
        options = usual | options
        base, data = options.pop("base"), options.pop("manifest")
        return train(data, base, config, tmp_path / out, **options)

    return run


def stop_at(step: int) -> Callable[[Progress], None]:
    """Presses Ctrl-C while a step is reported."""

    def press(progress: Progress) -> None:
        if progress.stage == "training" and progress.done == step:
            os.kill(os.getpid(), signal.SIGINT)

    return press


@pytest.mark.parametrize("kind", ["sd1_base", "v_base", "sdxl_base"])
def test_diffusers_loads_the_adapter_and_draws_something_else(
    kind: str, run: Train, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    base = request.getfixturevalue(kind)
    run(base=base)
    pipe = load_pipeline(base)

    def draw() -> torch.Tensor:
        noise = torch.Generator().manual_seed(1)
        picture = pipe("a square", num_inference_steps=2, generator=noise, output_type="latent").images
        return torch.as_tensor(picture)

    before = draw()
    pipe.load_lora_weights(str(tmp_path / "squares" / "adapter"), weight_name="adapter.safetensors")
    assert not torch.allclose(before, draw(), atol=1e-3)
    pipe.unload_lora_weights()
    assert torch.equal(before, draw())


@pytest.mark.parametrize("file", ["adapter.safetensors", "kohya.safetensors"])
def test_what_diffusers_loads_is_what_was_trained_though_alpha_is_not_the_rank(
    run: Train, sd1_base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    trained: list[Any] = []
    monkeypatch.setattr(opening, "load_pipeline", lambda *args: trained.append(load_pipeline(*args)) or trained[0])
    run()
    loaded = load_pipeline(sd1_base)
    loaded.load_lora_weights(str(tmp_path / "squares" / "adapter"), weight_name=file)
    noise = torch.Generator().manual_seed(2)
    latents, words = torch.randn(1, 4, 8, 8, generator=noise), torch.randn(1, 77, 32, generator=noise)
    with torch.no_grad():
        mine, theirs = (pipe.unet.eval()(latents, 500, words).sample for pipe in (trained[0], loaded))
    assert torch.allclose(mine, theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "dtype"), [("fp32", torch.float32), ("fp16", torch.float16), ("bf16", torch.bfloat16)]
)
def test_the_file_has_peft_keys_and_the_chosen_type(run: Train, tmp_path: Path, name: str, dtype: torch.dtype) -> None:
    run(replace(QUICK, save_dtype=name))
    weights = load_file(tmp_path / "squares" / "adapter" / "adapter.safetensors")
    assert {key.rsplit(".", 2)[1] for key in weights} == {"lora_A", "lora_B"}
    assert all(key.startswith("unet.") and key.endswith(".weight") for key in weights)
    assert {tensor.dtype for tensor in weights.values()} == {dtype}
    assert "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0.lora_A.weight" in weights


def test_the_kohya_file_names_every_layer_as_comfyui_looks_for_it(
    run: Train, sdxl_base: BaseModel, tmp_path: Path
) -> None:
    run(base=sdxl_base)
    weights = load_file(tmp_path / "squares" / "adapter" / "kohya.safetensors")
    unet = load_pipeline(sdxl_base).unet
    layers = [name for name, module in unet.named_modules() if name.endswith(QUICK.targets)]
    expected = {
        f"lora_unet_{layer.replace('.', '_')}.{part}"
        for layer in layers
        for part in ("lora_down.weight", "lora_up.weight", "alpha")
    }
    assert set(weights) == expected
    assert {float(tensor) for key, tensor in weights.items() if key.endswith(".alpha")} == {6.0}


def test_the_kohya_file_can_be_left_out(run: Train, tmp_path: Path) -> None:
    run(replace(QUICK, kohya=False))
    assert not (tmp_path / "squares" / "adapter" / "kohya.safetensors").exists()


def test_the_metadata_names_what_other_programs_look_for(
    run: Train, sd1_base: BaseModel, manifest: DatasetManifest, tmp_path: Path
) -> None:
    run(name="Red squares")
    data = (tmp_path / "squares" / "adapter" / "adapter.safetensors").read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    header = data[8:end]
    metadata = json.loads(header)["__metadata__"]
    assert metadata["modelspec.architecture"] == "stable-diffusion-v1/lora"
    assert metadata["modelspec.title"] == metadata["ss_output_name"] == "Red squares"
    assert metadata["prov.dataset_licences"] == "CC0-1.0"
    assert metadata["modelspec.author"] == "Test Studio"
    assert metadata["ss_base_model_version"] == "sd_v1"
    assert metadata["ss_network_dim"] == metadata["ss_network_alpha"] == "4"
    assert metadata["prov.base"] == sd1_base.digest
    assert metadata["prov.dataset"] == manifest.digest
    assert metadata["prov.config"] == QUICK.digest
    assert metadata["sshs_model_hash"] == sha256_hex(data[end:])
    assert json.loads(header) == json.loads(header, object_pairs_hook=lambda pairs: dict(sorted(pairs)))
    assert len(header) % 8 == 0


def test_the_same_training_gives_the_same_file(run: Train) -> None:
    assert run(out="one").weights_digest == run(out="two").weights_digest
    assert run(replace(QUICK, seed=1), out="three").weights_digest != run(out="four").weights_digest


def test_one_sample_picture_more_changes_no_weight(run: Train, tmp_path: Path) -> None:
    run(out="plain")
    run(replace(QUICK, sample_every=1, sample_count=2), out="sampled")
    plain, sampled = (load_file(tmp_path / out / "adapter" / "adapter.safetensors") for out in ("plain", "sampled"))
    assert all(torch.equal(plain[key], sampled[key]) for key in plain)


def test_a_training_stopped_by_ctrl_c_goes_on_to_the_same_bits(run: Train, tmp_path: Path) -> None:
    config, handler = replace(QUICK, steps=6, lora_dropout=0.2), signal.getsignal(signal.SIGINT)
    whole = run(config, out="whole")
    with pytest.raises(TrainingInterrupted, match="stopped after step 3 of 6") as stop:
        run(config, out="parts", progress=stop_at(3))
    assert stop.value.exit_code == 130
    assert signal.getsignal(signal.SIGINT) is handler
    with pytest.raises(TrainingInterrupted):
        run(config, out="parts", resume=True, progress=stop_at(5))
    resumed = run(config, out="parts", resume=True)
    assert resumed.weights_digest == whole.weights_digest
    losses = [m.predicate["runDetails"]["byproducts"][0]["annotations"] for m in (whole, resumed)]
    assert losses[0] == losses[1]
    assert resumed.predicate["runDetails"]["byproducts"][2]["annotations"]["resumed_at"] == [3, 5]
    assert not (tmp_path / "parts.work" / "checkpoints").exists()


def test_a_training_whose_last_pictures_fail_can_be_finished(
    run: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> list[Any]:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(lora, "draw_samples", fail)
        with pytest.raises(MemoryError):
            run()
    assert not (tmp_path / "squares").exists()
    assert run(resume=True).weights_digest == run(out="whole").weights_digest


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has one")
def test_a_device_that_is_not_there_is_refused(run: Train) -> None:
    with pytest.raises(TrainingError, match="no cuda device"):
        run(replace(QUICK, device="cuda"))


def test_only_the_newest_two_checkpoints_are_kept(run: Train, tmp_path: Path) -> None:
    with pytest.raises(TrainingInterrupted):
        run(replace(QUICK, steps=9, checkpoint_every=1), progress=stop_at(5))
    kept = sorted(path.name for path in (tmp_path / "squares.work" / "checkpoints").iterdir())
    assert kept == ["step-00000004.safetensors", "step-00000005.safetensors"]


def test_resuming_another_training_is_refused(run: Train, v_base: BaseModel) -> None:
    with pytest.raises(TrainingInterrupted):
        run(progress=stop_at(2))
    with pytest.raises(CheckpointError, match="another training") as refusal:
        run(replace(QUICK, learning_rate=1e-3), base=v_base, resume=True)
    assert refusal.value.expected == "the same base and config"


def test_a_damaged_checkpoint_is_refused_and_named(run: Train, tmp_path: Path) -> None:
    with pytest.raises(TrainingInterrupted):
        run(progress=stop_at(2))
    file = tmp_path / "squares.work" / "checkpoints" / "step-00000002.safetensors"
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(CheckpointError, match=r"step-00000002\.safetensors is damaged"):
        run(resume=True)


def test_a_checkpoint_without_its_state_is_refused(run: Train, tmp_path: Path) -> None:
    with pytest.raises(TrainingInterrupted):
        run(progress=stop_at(2))
    save_file({"losses": torch.zeros(2)}, tmp_path / "squares.work" / "checkpoints" / "step-00000003.safetensors")
    with pytest.raises(CheckpointError, match="damaged"):
        run(resume=True)


def test_a_checkpoint_of_another_version_is_refused_as_such(run: Train, tmp_path: Path) -> None:
    with pytest.raises(TrainingInterrupted):
        run(progress=stop_at(2))
    file = tmp_path / "squares.work" / "checkpoints" / "step-00000002.safetensors"
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    state = json.loads(metadata["prov.checkpoint"]) | {"type": "urn:prov:checkpoint:v1"}
    save_file(load_file(file), file, {"prov.checkpoint": json.dumps(state)})
    with pytest.raises(CheckpointError, match="another version of prov"):
        run(resume=True)


@pytest.mark.parametrize("harm", ["digest", "step", "missing"])
def test_a_checkpoint_whose_chain_does_not_hold_is_refused(run: Train, tmp_path: Path, harm: str) -> None:
    with pytest.raises(TrainingInterrupted):
        run(replace(QUICK, replay_every=1), progress=stop_at(2))
    file = tmp_path / "squares.work" / "checkpoints" / "step-00000002.safetensors"
    with safe_open(file, "pt") as opened:
        state = json.loads(opened.metadata()["prov.checkpoint"])
    if harm == "digest":
        state["trail"]["links"][1]["adapter"] = "ab" * 32
    elif harm == "step":
        state["trail"]["links"].pop()
    else:
        del state["trail"]["taken"]
    save_file(load_file(file), file, {"prov.checkpoint": json.dumps(state)})
    with pytest.raises(CheckpointError, match=r"step-00000002\.safetensors is damaged"):
        run(replace(QUICK, replay_every=1), resume=True)


def test_resuming_nothing_is_refused(run: Train) -> None:
    with pytest.raises(CheckpointError, match="nothing to resume"):
        run(resume=True)


def test_an_unfinished_training_is_not_silently_begun_anew(run: Train) -> None:
    with pytest.raises(TrainingInterrupted):
        run(progress=stop_at(2))
    with pytest.raises(UsageError, match="unfinished"):
        run()


def test_a_release_that_is_there_is_not_overwritten(run: Train, tmp_path: Path) -> None:
    (tmp_path / "squares").mkdir()
    with pytest.raises(UsageError, match="already there"):
        run()


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_step(
    run: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, calls = loop.batch_loss, []

    def spoilt(*args: Any) -> torch.Tensor:
        calls.append(1)
        return honest(*args) * (float("nan") if len(calls) == 3 else 1.0)

    monkeypatch.setattr(loop, "batch_loss", spoilt)
    with pytest.raises(LossNotFinite, match="became nan at step 3"):
        run()
    monkeypatch.setattr(loop, "batch_loss", honest)
    resumed = run(resume=True)
    assert resumed.weights_digest == run(out="whole").weights_digest


def test_a_base_whose_weights_are_not_numbers_is_noticed(run: Train, sd1_base: BaseModel, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(sd1_base.folder, folder)
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights["conv_out.bias"].fill_(float("inf"))
    save_file(weights, file)
    with pytest.raises(LossNotFinite, match="at step 1"):
        run(base=resolve_base(str(folder)))
    assert not (tmp_path / "squares").exists()


def test_a_picture_changed_after_verification_is_not_trained_on(
    run: Train, dataset: Path, trust: TrustStore, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(dataset, copy)
    manifest = verify_dataset(copy, trust)
    (copy / "dataset" / "data" / "2.png").write_bytes((copy / "dataset" / "data" / "1.png").read_bytes())
    with pytest.raises(DatasetBlocked) as refusal:
        run(manifest=manifest)
    assert "2.png was changed after signing" in str(refusal.value)


@pytest.mark.parametrize(("choice", "consent"), [("notAllowed", None), ("constrained", None)])
def test_pictures_that_may_not_be_trained_on_are_refused(
    run: Train, issuer: Issuer, dataset: Path, tmp_path: Path, choice: str, consent: None
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    shutil.copy(dataset / "dataset" / "data" / "0.png", source / "kept.png")
    (source / "kept.txt").write_text("a square")
    manifest = sign_dataset(
        source, tmp_path / "kept", issuer=issuer, licence="CC0-1.0", holder="Someone", training_mining=choice
    )
    with pytest.raises(TrainingError, match="may not be trained on") as refusal:
        run(manifest=manifest)
    assert refusal.value.found == "data/kept.png"


def test_an_unknown_layer_is_refused_before_anything_is_written(run: Train, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no layer is called 'to_v2'"):
        run(replace(QUICK, targets=("to_q", "to_v2")))
    assert not (tmp_path / "squares").exists()


def test_convolutions_and_feed_forward_layers_can_be_trained_too(
    run: Train, sd1_base: BaseModel, tmp_path: Path
) -> None:
    run(replace(QUICK, targets=("to_q", "ff.net.0.proj", "conv1", "conv_shortcut")))
    pipe = load_pipeline(sd1_base)
    pipe.load_lora_weights(str(tmp_path / "squares" / "adapter"), weight_name="adapter.safetensors")
    adapted = {name for name, module in pipe.unet.named_modules() if hasattr(module, "lora_A")}
    assert {name.rsplit(".", 1)[1] for name in adapted} == {"to_q", "proj", "conv1", "conv_shortcut"}


@pytest.mark.parametrize(
    "change",
    [
        {"precision": "bf16", "gradient_checkpointing": True},
        {"min_snr_gamma": 5.0, "noise_offset": 0.1},
        {"views": 3, "crop": "random", "flip": True, "size": 64},
        {"sample_count": 0},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_way_of_training_gives_a_release_that_verifies(
    run: Train, trust: TrustStore, tmp_path: Path, change: dict[str, Any]
) -> None:
    run(replace(QUICK, **change))
    manifest = verify_adapter(tmp_path / "squares", trust)
    assert ("samples/00.png" in manifest.files) == (change != {"sample_count": 0})


def test_accumulated_batches_are_one_larger_batch(run: Train) -> None:
    config = replace(QUICK, batch_size=4, steps=2)
    whole = run(config, out="whole").predicate["runDetails"]["byproducts"][0]["annotations"]
    parts = run(replace(config, batch_size=2, accumulate=2), out="parts").predicate["runDetails"]["byproducts"][0]
    assert parts["annotations"]["last_tenth_mean"] == pytest.approx(whole["last_tenth_mean"], rel=1e-4)


def test_the_loss_falls(run: Train) -> None:
    config = replace(QUICK, steps=25, learning_rate=2e-2, batch_size=4, caption_dropout=0.0)
    losses = run(config).predicate["runDetails"]["byproducts"][0]["annotations"]
    assert losses["last_tenth_mean"] < 0.9 * losses["first_tenth_mean"]


def test_the_attestation_names_dataset_base_code_and_settings(
    run: Train, manifest: DatasetManifest, sd1_base: BaseModel, trust: TrustStore, tmp_path: Path
) -> None:
    run(name="Red squares")
    adapter = verify_adapter(tmp_path / "squares", trust)
    build, details = adapter.predicate["buildDefinition"], adapter.predicate["runDetails"]
    assert build["buildType"] == "urn:prov:lora-training:v1"
    assert build["externalParameters"]["name"] == "Red squares"
    assert TrainConfig.from_dict(build["externalParameters"]["config"]) == QUICK
    dataset, base, code = build["resolvedDependencies"]
    assert dataset["digest"] == {"sha256": manifest.digest}
    assert base["digest"] == {"sha256": sd1_base.digest}
    assert base["uri"] == "local:tiny-sd1"
    assert len(code["digest"]["sha256"]) == 64
    assert build["internalParameters"] == {
        "device": "cpu", "prediction": "epsilon", "repeatable": True, "side": 32, "steps": 4, "threads": 1,
        "noising": {"kind": "diffusion", "prediction": "epsilon", "zero_terminal_snr": False},
    }  # fmt: skip
    assert details["builder"]["version"]["torch"] == torch.__version__.partition("+")[0]
    assert details["metadata"]["startedOn"] <= details["metadata"]["finishedOn"]
    assert [product["name"] for product in details["byproducts"]] == [
        "losses", "hardware", "resources", "screening", "replay"
    ]  # fmt: skip
    assert details["byproducts"][0]["annotations"]["steps"] == 4
    assert adapter.weights_digest == sha256_hex(adapter.read("adapter.safetensors"))
    assert sha256_hex(adapter.read("config.json")) == QUICK.digest == build["externalParameters"]["config_digest"]
    (prompt, *_) = json.loads(adapter.read("samples/prompts.json"))
    assert prompt in {record.caption for record in manifest.records}
    told = Image.open(io.BytesIO(adapter.read("samples/00.png"))).info["parameters"]
    assert told.startswith(f"{prompt}\nSteps: ")
    assert f'Lora hashes: "Red squares: {adapter.weights_digest[:12]}"' in told
    assert str(tmp_path) not in json.dumps(adapter.predicate)


def test_a_changed_weight_no_longer_verifies(run: Train, trust: TrustStore, tmp_path: Path) -> None:
    run()
    file = tmp_path / "squares" / "adapter" / "adapter.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(ProvenanceError, match=r"adapter\.safetensors"):
        verify_adapter(tmp_path / "squares", trust)


def test_tensorboard_sees_loss_and_samples(run: Train, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(replace(QUICK, sample_every=2))
    events = EventAccumulator(str(tmp_path / "squares.work" / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 2, 3, 4]
    (tag,) = events.Tags()["images"]
    assert [event.step for event in events.Images(tag)] == [2, 4]


def test_progress_says_loss_speed_and_time_left(run: Train) -> None:
    seen: list[Progress] = []
    run(progress=seen.append)
    assert [stage for stage in dict.fromkeys(p.stage for p in seen)] == [
        "screening", "reading", "training", "sampling", "signing"
    ]  # fmt: skip
    steps = [p for p in seen if p.stage == "training"]
    assert [p.done for p in steps] == [1, 2, 3, 4]
    assert all(p.loss and p.images_per_second and p.seconds_left is not None for p in steps)
    assert steps[-1].seconds_left == 0


def test_the_callers_random_state_and_threads_are_left_alone(run: Train) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    run()
    assert torch.equal(torch.rand(1), expected)
    assert torch.get_num_threads() == 1
