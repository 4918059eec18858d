from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from generation.adapters import Adapter, merge_adapters
from generation.errors import SamplingFailed
from generation.loading import load_pipeline
from generation.order import generate
from generation.request import GenerationRequest
from generation.subject import open_subject
from provenance.adapter import verify_adapter
from provenance.base import BaseModel, resolve_base
from provenance.errors import AdapterError, FormatError
from provenance.ledger import open_reader
from provenance.trust import TrustStore
from tests.generation.conftest import Published
from tests.training.adapted import KINDS, adapted
from tests.training.tiny_bases import save_tiny_pipeline
from training.weights import adapter_bytes, embedding_bytes

# Every kind, and every family.
CASES = [*(("sd1", kind) for kind in KINDS), ("sdxl", "dora"), ("sd3-t5", "lora"), ("sd3-t5", "lokr")]
PROMPT = "a <dove> on a wall"

Based = Callable[[str], BaseModel]


@pytest.fixture(scope="module")
def based(tmp_path_factory: pytest.TempPathFactory) -> Based:
    made: dict[str, BaseModel] = {}

    def base(kind: str) -> BaseModel:
        if kind not in made:
            made[kind] = resolve_base(str(save_tiny_pipeline(tmp_path_factory.mktemp("bases") / kind, kind)))
        return made[kind]

    return base


def drawn(pipeline: Any, prompt: str = PROMPT) -> np.ndarray[Any, Any]:
    picture: np.ndarray[Any, Any] = pipeline(
        prompt, num_inference_steps=2, height=32, width=32, generator=torch.Generator().manual_seed(3), output_type="np"
    ).images
    return picture


def as_trained(base: BaseModel, kind: str) -> tuple[Any, Adapter]:
    """The pipeline of a training with its layers on it, and the files that it would release."""
    made = adapted(base, kind, trigger="<dove>", trigger_vectors=2)
    files = (writer(made.parameters, made.config, {}) for writer in (adapter_bytes, embedding_bytes))
    return made.pipe, Adapter(*files)


@pytest.mark.parametrize(("family", "kind"), CASES)
def test_pictures_are_drawn_as_they_were_while_training(based: Based, family: str, kind: str) -> None:
    base = based(family)
    trained, adapter = as_trained(base, kind)
    loaded = load_pipeline(base, None)
    plain = drawn(loaded)
    merge_adapters(loaded, base, [(adapter, 1.0)])
    trained.scheduler = loaded.scheduler
    expected = drawn(trained)
    assert np.abs(drawn(loaded) - expected).max() < 1e-4
    assert np.abs(plain - expected).max() > 1e-2


def test_nothing_of_an_adapter_is_left_but_changed_weights(based: Based) -> None:
    base = based("sdxl")
    _, adapter = as_trained(base, "dora")
    loaded = load_pipeline(base, adapter)
    names = [name for part in ("unet", "text_encoder") for name, _ in getattr(loaded, part).named_modules()]
    assert names == [
        name
        for part in ("unet", "text_encoder")
        for name, _ in getattr(load_pipeline(base, None), part).named_modules()
    ]


def test_changes_of_two_adapters_add_up_by_their_weights(based: Based) -> None:
    base = based("sd1")
    (_, one), (_, two) = as_trained(base, "lora"), as_trained(base, "lokr")
    one, two = Adapter(one.weights), Adapter(two.weights)
    name = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"

    def weight(*adapters: tuple[Adapter, float]) -> torch.Tensor:
        pipeline = load_pipeline(base, None)
        merge_adapters(pipeline, base, adapters)
        found: torch.Tensor = pipeline.unet.get_submodule(name).weight.detach()
        return found

    plain = weight()
    sum_of_both = 0.5 * (weight((one, 1.0)) - plain) - 2 * (weight((two, 1.0)) - plain)
    torch.testing.assert_close(weight((one, 0.5), (two, -2.0)) - plain, sum_of_both, atol=1e-5, rtol=1e-4)


def test_two_adapters_with_one_word_are_refused(based: Based) -> None:
    base = based("sd1")
    _, adapter = as_trained(base, "lora")
    with pytest.raises(SamplingFailed, match="two adapters have one trigger"):
        merge_adapters(load_pipeline(base, None), base, [(adapter, 1.0), (adapter, 1.0)])


@pytest.mark.parametrize("family", ["sdxl", "sd3-t5"])
def test_an_adapter_of_another_base_is_refused_before_anything_changes(based: Based, family: str) -> None:
    _, adapter = as_trained(based("sd1"), "lora")
    loaded = load_pipeline(based(family), None)
    before = drawn(loaded)
    with pytest.raises(AdapterError, match="does not fit"):
        merge_adapters(loaded, based(family), [(adapter, 1.0)])
    assert np.array_equal(drawn(loaded), before)


def test_vectors_of_another_width_are_refused(based: Based) -> None:
    base = based("sd1")
    _, adapter = as_trained(base, "lora")
    wide = save({"<dove>": torch.ones(2, 48)}, {"prov.trigger": "<dove>"})
    with pytest.raises(AdapterError, match="vectors of <dove> do not fit"):
        load_pipeline(base, Adapter(adapter.weights, wide))


def test_an_adapter_with_a_value_that_is_no_number_is_refused(based: Based) -> None:
    base = based("sd1")
    _, adapter = as_trained(base, "lora")
    tensors = load(adapter.weights)
    next(iter(tensors.values()))[0, 0] = float("nan")
    with pytest.raises(FormatError, match="not numbers"):
        load_pipeline(base, Adapter(save(tensors)))


def test_a_licensee_draws_with_the_vectors_that_were_sealed_with_the_weights(published: Published) -> None:
    made = verify_adapter(published.adapter, TrustStore.of_home(published.home))
    reader = open_reader(published.home)
    try:
        subject = open_subject(GenerationRequest(("a",), model=str(published.token)), published.home, reader)
        assert subject.sealed is not None
        assert {"adapter.safetensors", "embeddings.safetensors"} <= subject.sealed.sealed.files.keys()  # type: ignore[union-attr]
        opened = subject.unsealed(published.home, reader, None, None)
    finally:
        reader.close()
    assert opened.adapter == Adapter.of(made)
    assert opened.adapter is not None
    assert opened.adapter.embeddings is not None
    words = load_pipeline(opened.base, opened.adapter).tokenizer.tokenize("a <rocket>")
    assert words[-1] == "<rocket:0>"


def test_a_prompt_with_the_learned_word_is_screened_drawn_and_recorded(published: Published, tmp_path: Path) -> None:
    prompts = ("a red fish in the desert, <rocket>",)
    request = GenerationRequest(prompts, model=str(published.token), steps=4, seed=5, clear_prompt=True)
    issue = generate(request, home=published.home, out=tmp_path / "out")
    assert not issue.blocked, issue.blocked
    assert issue.images[0].record.prompt == {"text": prompts[0]}
