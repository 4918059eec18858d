"""Faults of what is drawn: a pipeline that cannot load or gives no picture, and a mark that does not hold."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generation import loading, sampling
from tests.generation.faults.site import Site, fault, raising


def pipeline_draws(site: Site) -> Any:
    """Lets the real pipeline draw, and gives it to be damaged."""
    site.patch.setattr("generation.order.sample", sampling.sample)
    return site.pipeline


def pipeline_gives(site: Site, change: Callable[[NDArray[np.float32]], Any]) -> None:
    """What a drawing pipeline gives for the recorded picture is changed on its way out."""

    def draw(*_: Any, prompt: list[str], **__: Any) -> Any:
        small = site.picture[::2, ::2].astype(np.float32) / 255
        return SimpleNamespace(images=change(np.stack([small] * len(prompt))))

    site.patch.setattr(type(pipeline_draws(site)), "__call__", draw)


def drawn(site: Site, change: Callable[[NDArray[np.uint8]], Any]) -> None:
    """What was drawn is changed on its way to the mark."""
    site.patch.setattr("generation.order.sample", lambda *_, **__: [change(site.picture.copy())])


def own_base(site: Site) -> Path:
    """The starter base as a folder of this test alone, which may be damaged."""
    from provenance.base import resolve_base

    own = site.root / "base"
    shutil.copytree(resolve_base("starter").folder, own)
    site.request["base"] = str(own)
    site.patch.setattr("generation.order.load_pipeline", loading.load_pipeline)
    return own


def unet_of(base: Path) -> Path:
    return base / "unet" / "diffusion_pytorch_model.safetensors"


@fault("values that are not numbers", "full precision or another seed")
def the_decoder_gives_no_numbers(site: Site) -> None:
    import torch

    bias = pipeline_draws(site).vae.decoder.conv_out.bias
    site.patch.setattr(bias, "data", torch.full_like(bias, float("nan")))


@fault("black from edge to edge", "another seed")
def the_decoder_draws_black(site: Site) -> None:
    import torch

    bias = pipeline_draws(site).vae.decoder.conv_out.bias
    site.patch.setattr(bias, "data", torch.full_like(bias, -1e4))


@fault("drawing failed", "OutOfMemoryError", "do next")
def the_devices_memory_runs_out_while_drawing(site: Site) -> None:
    import torch

    error = torch.OutOfMemoryError("tried to allocate 20 GiB")
    site.patch.setattr(pipeline_draws(site).unet, "forward", raising(error))


@fault("drawing failed", "MemoryError", "do next")
def memory_runs_out_while_drawing(site: Site) -> None:
    site.patch.setattr(pipeline_draws(site).vae, "decode", raising(MemoryError()))


@fault("not a picture for each prompt", "(2, H, W, 3)")
def a_picture_is_missing(site: Site) -> None:
    site.request["prompts"] = ("a red fish", "a blue fish")
    pipeline_gives(site, lambda images: images[:1])


@fault("not a picture for each prompt", "(1, H, W, 3)")
def the_picture_is_grey(site: Site) -> None:
    pipeline_gives(site, lambda images: images[..., 0])


@fault("not a picture for each prompt", "(1, H, W, 3)")
def the_picture_has_four_channels(site: Site) -> None:
    pipeline_gives(site, lambda images: np.concatenate([images, images[..., :1]], axis=-1))


@fault("not a picture for each prompt", "fractions")
def the_picture_is_of_whole_numbers(site: Site) -> None:
    pipeline_gives(site, lambda images: (images * 255).astype(np.int64))


@fault("not a picture for each prompt")
def the_picture_is_empty(site: Site) -> None:
    pipeline_gives(site, lambda images: images[:, :0])


@fault("not a picture for each prompt", "NoneType")
def the_picture_is_nothing(site: Site) -> None:
    pipeline_gives(site, lambda images: None)


@fault("values that are not numbers")
def one_number_of_the_picture_is_infinite(site: Site) -> None:
    def one(images: NDArray[np.float32]) -> NDArray[np.float32]:
        images[0, 5, 5, 1] = np.inf
        return images

    pipeline_gives(site, one)


@fault("not a picture", "prov policy check", logged=1)
def what_is_marked_has_four_channels(site: Site) -> None:
    drawn(site, lambda picture: np.dstack([picture, picture[..., :1]]))


@fault("not a picture", "prov policy check", logged=1)
def what_is_marked_has_sixteen_bits(site: Site) -> None:
    drawn(site, lambda picture: picture.astype(np.uint16) * 257)


@fault("too small for a watermark", "256 to 16384 pixels")
def the_picture_has_no_room_for_a_mark(site: Site) -> None:
    drawn(site, lambda picture: picture[:16, :16])


@fault("too narrow to be seen", "prov policy check", logged=1)
def the_picture_is_too_narrow_to_be_seen(site: Site) -> None:
    drawn(site, lambda picture: np.tile(picture, (34, 1, 1)))


@fault("watermark cannot be read back", "draw another")
def the_mark_does_not_read_back(site: Site) -> None:
    from safety.watermark.backend import DEFAULT_BACKEND, backend

    kind = type(backend(DEFAULT_BACKEND))
    site.patch.setattr(kind, "embed", lambda self, image, *_: image)


@fault("the starter model cannot judge pictures of another base", "--policy")
def the_filter_knows_only_another_base(site: Site) -> None:
    own_base(site)
    site.change_policy(lambda policy: policy["filter"].update(model="starter"))


@fault("not a base model", "do next")
def the_bases_description_is_missing(site: Site) -> None:
    (own_base(site) / "model_index.json").unlink()


@fault("do next")
def the_bases_weights_are_missing(site: Site) -> None:
    unet_of(own_base(site)).unlink()


@fault("cannot be loaded", "do next")
def the_bases_weights_are_cut_short(site: Site) -> None:
    weights = unet_of(own_base(site))
    weights.write_bytes(weights.read_bytes()[:1000])


@fault("cannot be loaded", "do next")
def the_bases_configuration_is_of_another_shape(site: Site) -> None:
    config = own_base(site) / "unet" / "config.json"
    value = json.loads(config.read_text())
    value["in_channels"] += 1
    config.write_text(json.dumps(value))
