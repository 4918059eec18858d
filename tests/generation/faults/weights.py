"""Faults of the content filter's weights: missing, damaged, of another shape, or of another model."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

import safety.clip_model
from safety.clip_model import open_clip_model
from tests.generation.faults.site import WEIGHTS, Site, fault

LOAD = ("cannot be loaded", "nothing is generated without it")


def change_weights(site: Site, change: Callable[[dict[str, Any]], object]) -> None:
    from safetensors.torch import load, save_file

    state = load(site.weights.read_bytes())
    change(state)
    save_file(state, site.weights)


def fill(site: Site, tensor: str, value: float) -> None:
    change_weights(site, lambda state: state[tensor].fill_(value))


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


@fault("not the one that the thresholds of violence were calibrated with", "prov policy calibrate")
def a_bit_of_the_weights_is_flipped(site: Site) -> None:
    model = f"local-dir:{site.own_model()}"
    calibration = {
        "set": "5" * 64,
        "n": 1000,
        "fpr": 0.0,
        "interval": [0.0, 0.005],
        "confidence": 0.95,
        "model": open_clip_model(model).digest,
        "precision": "fp32",
    }
    site.change_policy(lambda policy: policy["concepts"]["violence"].update(calibration={"open_clip": calibration}))
    data = bytearray(site.weights.read_bytes())
    data[-1] ^= 0x01
    site.weights.write_bytes(data)


@fault("not the one that the thresholds of skull were calibrated with", "prov policy calibrate")
def the_embedded_model_was_exchanged(site: Site) -> None:
    from safetensors.torch import load, save_file

    own = site.root / "starter"
    shutil.copytree(safety.clip_model.STARTER_CLIP, own)
    state = load((own / WEIGHTS).read_bytes())
    state["text_projection"] *= -1
    save_file(state, own / WEIGHTS)
    site.patch.setattr(safety.clip_model, "STARTER_CLIP", own)
    site.request["policy"] = None
