"""What a drawn picture tells other tools of its making: what is on its record in clear, and no more."""

from __future__ import annotations

from generation.schedulers import SCHEDULERS
from provenance.a1111 import lora_hash, number, parameters_text
from provenance.issuing import Making
from provenance.record import Origin


def parameters_of(making: Making, origin: Origin, size: tuple[int, int]) -> str:
    """The settings of a picture of ``size`` (width, height); prompts only where the record has them in clear."""
    settings, given = making.parameters, making.parameters.get("input", {})
    return parameters_text(
        making.prompt.get("text"),
        settings.get("negative", {}).get("text"),
        [
            ("Steps", settings["steps"]),
            ("Sampler", SCHEDULERS[settings["scheduler"]].elsewhere),
            ("CFG scale", number(settings["guidance"])),
            ("Seed", settings["seed"]),
            ("Size", f"{size[0]}x{size[1]}"),
            ("Model", settings["base"]),
            *([] if origin.weights is None else [lora_hash(f"token-{origin.token}", origin.weights)]),
            *([("Denoising strength", number(given["strength"]))] if "strength" in given else []),
            ("Version", making.generator.replace("/", " ")),
        ],
    )
