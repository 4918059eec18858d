"""Faults of the content filter's files: its weights, its configuration, its tokenizer."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.generation.faults.site import WEIGHTS, Site, fault

LOAD = ("cannot be loaded", "nothing is generated without it")


def change_weights(site: Site, change: Callable[[dict[str, Any]], object]) -> None:
    from safetensors.torch import load, save_file

    state = load(site.weights.read_bytes())
    change(state)
    save_file(state, site.weights)


def fill(site: Site, tensor: str, value: float) -> None:
    change_weights(site, lambda state: state[tensor].fill_(value))


def change_config(site: Site, change: Callable[[dict[str, Any]], object]) -> None:
    value = json.loads(site.config.read_text())
    change(value)
    site.config.write_text(json.dumps(value))


@fault(*LOAD, "holds none of", WEIGHTS)
def the_weights_are_missing(site: Site) -> None:
    site.weights.unlink()


@fault(*LOAD, "local-dir:")
def the_models_folder_is_missing(site: Site) -> None:
    site.own_model().rename(site.root / "moved")


@fault(*LOAD, "local-dir:")
def the_models_folder_is_a_file(site: Site) -> None:
    site.own_model().rename(site.root / "moved")
    (site.root / "model").write_bytes(b"")


@fault(*LOAD)
def the_models_folder_is_a_loop_of_links(site: Site) -> None:
    site.own_model().rename(site.root / "moved")
    (site.root / "model").symlink_to(site.root / "model")


@fault(*LOAD)
def the_models_name_is_longer_than_a_path_can_be(site: Site) -> None:
    site.change_policy(lambda policy: policy["filter"].update(model="local-dir:" + "x" * 300))


@fault(*LOAD)
def the_path_of_the_weights_is_longer_than_a_path_can_be(site: Site) -> None:
    site.change_policy(lambda policy: policy["filter"].update(model="ViT-B-32", pretrained="x" * 300))


@fault(*LOAD, "SafetensorError")
def the_weights_are_empty(site: Site) -> None:
    site.weights.write_bytes(b"")


@fault(*LOAD, "SafetensorError")
def the_weights_are_cut_short(site: Site) -> None:
    data = site.weights.read_bytes()
    site.weights.write_bytes(data[: len(data) // 2])


@fault(*LOAD, "SafetensorError")
def a_byte_of_the_weights_header_is_flipped(site: Site) -> None:
    data = bytearray(site.weights.read_bytes())
    data[8] ^= 0xFF
    site.weights.write_bytes(data)


@fault(*LOAD, "SafetensorError")
def the_weights_header_claims_to_be_larger_than_the_file(site: Site) -> None:
    data = site.weights.read_bytes()
    site.weights.write_bytes(struct.pack("<Q", 1 << 40) + data[8:])


@fault(*LOAD, "SafetensorError")
def bytes_were_added_to_the_weights(site: Site) -> None:
    with site.weights.open("ab") as file:
        file.write(b"\x00" * 64)


@fault(*LOAD, "SafetensorError")
def the_weights_are_a_pickle_by_another_name(site: Site) -> None:
    import torch

    torch.save({"visual.proj": torch.zeros(32, 16)}, site.weights)


@fault(*LOAD, "holds none of", "safetensors")
def the_only_weights_are_a_pickle(site: Site) -> None:
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(site.weights), site.own_model() / "open_clip_pytorch_model.bin")
    site.weights.unlink()


@fault(*LOAD, "holds none of")
def a_folder_stands_in_place_of_the_weights(site: Site) -> None:
    site.weights.unlink()
    site.weights.mkdir()


@fault(*LOAD, "holds none of")
def the_weights_are_a_link_to_themselves(site: Site) -> None:
    site.weights.unlink()
    site.weights.symlink_to(site.weights)


@fault(*LOAD, "size mismatch")
def a_tensor_has_another_shape(site: Site) -> None:
    import torch

    change_weights(site, lambda state: state.update({"visual.proj": torch.zeros(16, 32)}))


@fault(*LOAD, "Missing key", "text_projection")
def a_tensor_is_missing(site: Site) -> None:
    change_weights(site, lambda state: state.pop("text_projection"))


@fault(*LOAD, "Unexpected key", "backdoor")
def a_tensor_is_one_too_many(site: Site) -> None:
    import torch

    change_weights(site, lambda state: state.update({"backdoor": torch.zeros(1)}))


@fault(*LOAD, "visual.positional_embedding", "(10, 32)")
def the_image_towers_positions_are_those_of_larger_pictures(site: Site) -> None:
    import torch

    change_weights(site, lambda state: state.update({"visual.positional_embedding": torch.zeros(10, 32)}))


@fault(*LOAD, "positional_embedding", "(40, 32)")
def the_text_towers_positions_are_those_of_shorter_texts(site: Site) -> None:
    import torch

    change_weights(site, lambda state: state.update({"positional_embedding": torch.zeros(40, 32)}))


@fault("the content filter failed", "gives no direction", logged=1)
def the_image_tower_is_not_a_number(site: Site) -> None:
    fill(site, "visual.proj", float("nan"))


@fault("the content filter failed", "gives no direction", logged=1)
def the_image_tower_is_infinite(site: Site) -> None:
    fill(site, "visual.conv1.weight", float("inf"))


@fault("the content filter failed", "gives no direction", logged=1)
def the_image_tower_is_all_zero(site: Site) -> None:
    fill(site, "visual.proj", 0.0)


@fault("gives no direction", "check the model's weights")
def the_text_tower_is_not_a_number(site: Site) -> None:
    fill(site, "text_projection", float("nan"))


@fault("gives no direction", "check the model's weights")
def the_text_tower_is_all_zero(site: Site) -> None:
    fill(site, "text_projection", 0.0)


@fault("gives no direction", "check the model's weights")
def every_tensor_is_all_zero(site: Site) -> None:
    change_weights(site, lambda state: [tensor.zero_() for tensor in state.values()])


@fault(*LOAD, "logit scale of nan")
def the_scale_is_not_a_number(site: Site) -> None:
    fill(site, "logit_scale", float("nan"))


@fault(*LOAD, "logit scale of inf")
def the_tensors_are_noise(site: Site) -> None:
    data = site.weights.read_bytes()
    (header,) = struct.unpack("<Q", data[:8])
    start = 8 + header
    site.weights.write_bytes(data[:start] + np.random.default_rng(1).bytes(len(data) - start))


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
    import safety.clip_model

    site.patch.setattr(safety.clip_model, "STARTER_CLIP", Path(site.root / "nowhere"))
    site.change_policy(lambda policy: policy["filter"].update(model="starter"))
