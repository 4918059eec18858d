from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, load_file

from provenance.adapter import AdapterManifest
from provenance.base import BaseModel
from provenance.dataset import verify_dataset
from provenance.identity import Issuer
from provenance.screening.screens import ScreeningChoice
from provenance.trigger import EMBEDDINGS
from provenance.trust import TrustStore
from training.config import TrainConfig
from training.errors import ConfigError, TrainingInterrupted
from training.families.opening import load_pipeline, open_family
from training.inversion import add_trigger
from training.layers import add_adapter
from training.lora import Progress, train
from training.replay.executing import replay
from training.replay.record import read_recorded
from training.spoken import embed_captions
from training.weights import embedding_bytes

LEARNED: dict[str, Any] = {"trigger": "<dove>", "trigger_vectors": 2}
# All that changes text, over two batches a step, with the memory saved that can be.
CONFIG = TrainConfig(
    steps=4,
    warmup_steps=1,
    batch_size=2,
    accumulate=2,
    rank=2,
    alpha=3.0,
    learning_rate=0.02,
    kind="dora",
    targets=("to_q", "to_v"),
    lora_dropout=0.2,
    text_encoder_rank=2,
    text_encoder_learning_rate=0.05,
    caption_dropout=0.4,
    gradient_checkpointing=True,
    sample_count=0,
    threads=1,
    replay_every=2,
    **LEARNED,
)

Begun = tuple[Any, dict[str, torch.nn.Parameter]]


def begin(base: BaseModel, **changes: Any) -> Begun:
    config = TrainConfig(rank=2, **{**LEARNED, **changes})
    family = open_family(base, "cpu", config)
    return family, add_adapter(family, config)


@pytest.mark.parametrize("name", ["sd1_base", "sdxl_base", "sd3_t5_base"])
def test_only_the_new_vectors_are_trained_and_every_known_word_stays(request: pytest.FixtureRequest, name: str) -> None:
    base = request.getfixturevalue(name)
    known = {
        n: e.get_input_embeddings().weight.clone() for n, e in open_family(base, "cpu", CONFIG).text_encoders.items()
    }
    family, parameters = begin(base)
    rows = {name: p for name, p in parameters.items() if name.endswith(".trigger")}
    before = {name: p.detach().clone() for name, p in rows.items()}
    assert set(rows) == {f"{name}.trigger" for name in family.text_encoders if name != "text_encoder_3"}
    optimiser = torch.optim.AdamW(parameters.values(), lr=0.1, weight_decay=0.5)
    text = family.embed(["a <dove> on a wall"])
    heard = text.embeddings.square().sum() + (0 if text.pooled is None else text.pooled.square().sum())
    heard.backward()
    optimiser.step()
    assert all(p.shape == (2, 32) and not torch.equal(p, before[name]) for name, p in rows.items())
    for component, encoder in family.text_encoders.items():
        table = encoder.get_input_embeddings().weight
        assert torch.equal(table[: len(known[component])], known[component])
        assert table.grad is None


def test_a_caption_without_the_word_reads_as_before(sdxl_base: BaseModel) -> None:
    caption = "a red square on white"
    before = open_family(sdxl_base, "cpu", CONFIG).embed([caption])
    family, _ = begin(sdxl_base)
    after = family.embed([caption])
    assert torch.equal(before.embeddings, after.embeddings)
    assert before.pooled is not None
    assert after.pooled is not None
    assert torch.equal(before.pooled, after.pooled)


def test_the_word_is_read_as_its_vectors_wherever_it_stands(sd1_base: BaseModel) -> None:
    family, _ = begin(sd1_base)
    words = family.pipe.tokenizer.tokenize("A<dove>, and <dove>.")
    assert words == ["a</w>", "<dove:0>", "<dove:1>", ",</w>", "a", "n", "d</w>", "<dove:0>", "<dove:1>", ".</w>"]


def test_vectors_begin_as_the_words_that_were_named(sd1_base: BaseModel) -> None:
    family, parameters = begin(sd1_base, trigger_initial="a", trigger_vectors=3)
    word = family.pipe.tokenizer("a", add_special_tokens=False).input_ids
    own = family.pipe.text_encoder.get_input_embeddings().weight[word]
    assert torch.equal(parameters["text_encoder.trigger"], own.expand(3, 32))


def test_vectors_without_a_word_are_drawn_by_the_seed(sd1_base: BaseModel) -> None:
    (_, one), (_, same), (_, other) = begin(sd1_base), begin(sd1_base), begin(sd1_base, seed=1)
    assert torch.equal(one["text_encoder.trigger"], same["text_encoder.trigger"])
    assert not torch.equal(one["text_encoder.trigger"], other["text_encoder.trigger"])


def test_an_initial_word_that_is_none_is_refused(sd1_base: BaseModel) -> None:
    with pytest.raises(ConfigError, match="holds no word"):
        begin(sd1_base, trigger_initial="  ")


def test_a_word_that_is_known_already_is_refused(sd1_base: BaseModel) -> None:
    family, _ = begin(sd1_base)
    with pytest.raises(ConfigError, match="knows <dove> already"):
        add_trigger(family.pipe, family.text_encoders, TrainConfig(**LEARNED))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"trigger": "<Dove>"}, "small letters"),
        ({"trigger": "<a dove>"}, "small letters"),
        ({"trigger": "dove", "trigger_vectors": 2}, "that is learned"),
        ({"trigger": "dove", "trigger_initial": "bird"}, "that is learned"),
    ],
)
def test_words_that_cannot_be_learned_are_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        TrainConfig(**changes)
    assert reason in str(refusal.value)


def test_captions_are_read_in_their_order_and_none_is_what_guidance_takes(sdxl_base: BaseModel) -> None:
    family, _ = begin(sdxl_base)
    text = embed_captions(family, [None, "a <dove>", None, "a dot"])
    nothing, dove = family.embed_nothing(), family.embed(["a <dove>"])
    assert text.pooled is not None
    assert dove.pooled is not None
    assert all(torch.equal(text.embeddings[i], nothing.embeddings[0]) for i in (0, 2))
    assert torch.allclose(text.embeddings[1], dove.embeddings[0], atol=1e-5)
    assert torch.allclose(text.pooled[1], dove.pooled[0], atol=1e-5)
    assert not torch.allclose(text.embeddings[1], text.embeddings[3], atol=1e-2)


def test_diffusers_reads_the_file_of_a_base_with_one_encoder(sd1_base: BaseModel, tmp_path: Path) -> None:
    _, parameters = begin(sd1_base)
    (tmp_path / EMBEDDINGS).write_bytes(embedding_bytes(parameters, TrainConfig(**LEARNED), {}))
    pipe = load_pipeline(sd1_base)
    pipe.load_textual_inversion(str(tmp_path), weight_name=EMBEDDINGS)
    assert pipe.maybe_convert_prompt("a <dove>", pipe.tokenizer) == "a <dove> <dove>_1"
    ids = pipe.tokenizer.convert_tokens_to_ids(["<dove>", "<dove>_1"])
    assert torch.equal(pipe.text_encoder.get_input_embeddings().weight[ids], parameters["text_encoder.trigger"])


def test_diffusers_reads_the_file_of_a_base_with_two_encoders(sdxl_base: BaseModel) -> None:
    _, parameters = begin(sdxl_base)
    vectors = load(embedding_bytes(parameters, TrainConfig(**LEARNED), {}))
    pipe = load_pipeline(sdxl_base)
    for key, encoder, tokenizer in (
        ("clip_l", pipe.text_encoder, pipe.tokenizer),
        ("clip_g", pipe.text_encoder_2, pipe.tokenizer_2),
    ):
        pipe.load_textual_inversion(vectors[key], token="<dove>", text_encoder=encoder, tokenizer=tokenizer)
    ids = pipe.tokenizer_2.convert_tokens_to_ids(["<dove>", "<dove>_1"])
    assert torch.equal(pipe.text_encoder_2.get_input_embeddings().weight[ids], parameters["text_encoder_2.trigger"])


@pytest.fixture(scope="module")
def run(
    dataset: Path,
    trust: TrustStore,
    issuer: Issuer,
    sdxl_base: BaseModel,
    lenient: ScreeningChoice,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., AdapterManifest]:
    folder = tmp_path_factory.mktemp("trained")

    def run(out: str, **options: Any) -> AdapterManifest:
        torch.set_num_threads(1)
        manifest = verify_dataset(dataset, trust)
        return train(manifest, sdxl_base, CONFIG, folder / out, issuer=issuer, name="x", screening=lenient, **options)

    return run


@pytest.fixture(scope="module")
def whole(run: Callable[..., AdapterManifest]) -> AdapterManifest:
    return run("whole")


def test_text_and_a_word_are_trained_with_the_denoiser_and_released(whole: AdapterManifest) -> None:
    assert whole.root is not None
    vectors = load_file(whole.root / "adapter" / EMBEDDINGS)
    assert {name: tuple(t.shape) for name, t in vectors.items()} == {"clip_l": (2, 32), "clip_g": (2, 32)}
    ups = {n: t for n, t in load(whole.read("adapter.safetensors")).items() if n.endswith("lora_B.weight")}
    assert {name.partition(".")[0] for name in ups} == {"text_encoder", "text_encoder_2", "unet"}
    assert all(up.any() for up in ups.values())


def test_a_training_of_text_that_was_stopped_goes_on_to_the_same_bits(
    run: Callable[..., AdapterManifest], whole: AdapterManifest
) -> None:
    def press(progress: Progress) -> None:
        if progress.stage == "training" and progress.done == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(TrainingInterrupted):
        run("parts", progress=press)
    resumed = run("parts", resume=True)
    assert {n: d for n, d in resumed.files.items() if n.endswith("safetensors")} == {
        n: d for n, d in whole.files.items() if n.endswith("safetensors")
    }


def test_a_replay_of_a_training_of_text_agrees(
    whole: AdapterManifest, dataset: Path, trust: TrustStore, sdxl_base: BaseModel
) -> None:
    replayed = replay(read_recorded(whole), verify_dataset(dataset, trust), sdxl_base, (0, 1))
    assert replayed.verdict == "agrees"
    assert replayed.released_agrees is True
