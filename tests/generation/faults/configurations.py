"""Faults of how the content filter is described: its configuration, its preprocessing, its tokenizer, its name."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import safety.clip_model
from tests.generation.faults.site import Site, fault
from tests.generation.faults.weights import LOAD, change_weights


def change_config(site: Site, change: Callable[[dict[str, Any]], object]) -> None:
    value = json.loads(site.config.read_text())
    change(value)
    site.config.write_text(json.dumps(value))


@fault(*LOAD, "config")
def the_configuration_is_missing(site: Site) -> None:
    site.config.unlink()


@fault(*LOAD, "config")
def the_configuration_is_no_json(site: Site) -> None:
    site.config.write_text("model_cfg: {}")


@fault(*LOAD, "model_cfg")
def the_configuration_is_empty(site: Site) -> None:
    site.config.write_text("{}")


@fault(*LOAD)
def the_configuration_is_of_another_kind(site: Site) -> None:
    site.config.write_text('["model_cfg"]')


@fault(*LOAD, "visual.")
def the_configuration_is_of_another_architecture(site: Site) -> None:
    change_config(site, lambda value: value["model_cfg"]["vision_cfg"].update(layers=2))


@fault(*LOAD, "sampler")
def the_configuration_has_a_key_that_is_not_known(site: Site) -> None:
    change_config(site, lambda value: value["model_cfg"]["vision_cfg"].update(sampler=3))


@fault(*LOAD, "visual.positional_embedding")
def the_configuration_is_for_larger_pictures(site: Site) -> None:
    change_config(site, lambda value: value["model_cfg"]["vision_cfg"].update(image_size=64))


@fault("the content filter failed", logged=1)
def the_preprocessing_gives_no_numbers(site: Site) -> None:
    change_config(site, lambda value: value["preprocess_cfg"].update(mean=[float("nan")] * 3))


@fault("the content filter failed", logged=1)
def the_preprocessing_divides_by_zero(site: Site) -> None:
    change_config(site, lambda value: value["preprocess_cfg"].update(std=[0.0] * 3))


@fault(*LOAD, "a tokenizer of 49408 tokens for a text tower of 1000")
def the_tokenizer_knows_more_tokens_than_the_text_tower(site: Site) -> None:
    change_config(site, lambda value: value["model_cfg"]["text_cfg"].update(vocab_size=1000))
    change_weights(
        site,
        lambda state: state.update({"token_embedding.weight": state["token_embedding.weight"][:1000].contiguous()}),
    )


@fault(*LOAD)
def the_tokenizer_is_one_that_is_not_here(site: Site) -> None:
    import huggingface_hub.constants

    site.patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    change_config(site, lambda value: value["model_cfg"]["text_cfg"].update(hf_tokenizer_name="nobody/nothing"))


@fault("no room for a text", "a context of 4 tokens")
def the_text_tower_has_no_room_for_a_window(site: Site) -> None:
    change_config(site, lambda value: value["model_cfg"]["text_cfg"].update(context_length=3))
    change_weights(
        site, lambda state: state.update({"positional_embedding": state["positional_embedding"][:3].contiguous()})
    )


@fault(*LOAD, "no-such-model")
def the_models_name_is_unknown(site: Site) -> None:
    site.change_policy(lambda policy: policy["filter"].update(model="no-such-model", pretrained="openai"))


@fault(*LOAD)
def the_model_is_not_on_this_machine(site: Site) -> None:
    import huggingface_hub.constants

    site.patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    site.change_policy(lambda policy: policy["filter"].update(model="hf-hub:nobody/nothing"))


@fault(*LOAD, "weights for ViT-S-32-alt")
def no_weights_are_named(site: Site) -> None:
    site.change_policy(lambda policy: policy["filter"].update(model="ViT-S-32-alt"))


@fault(*LOAD)
def the_embedded_model_is_not_installed(site: Site) -> None:
    site.patch.setattr(safety.clip_model, "STARTER_CLIP", site.root / "nowhere")
    site.change_policy(lambda policy: policy["filter"].update(model="starter"))
