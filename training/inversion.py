"""A new word whose vectors are trained, and nothing else of the table they lie in (textual inversion, 2208.01618)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from provenance.trigger import make_room, teach_tokeniser
from training.config import TrainConfig
from training.draws import generator
from training.errors import ConfigError

if TYPE_CHECKING:
    import torch

ROWS = "trigger"


def add_trigger(pipe: Any, encoders: Mapping[str, Any], config: TrainConfig) -> dict[str, torch.nn.Parameter]:
    """Teaches every CLIP tokeniser of a pipeline the trigger, and gives its vectors, ``(V, D)``, by name.

    Names are ``text_encoder.trigger``, ``text_encoder_2.trigger``. They begin as the vectors of ``trigger_initial``, or
    are drawn by the seed, as widely spread as those of the base. Raises ConfigError when a tokeniser knows the trigger
    already, or cannot read its initial word.
    """
    parameters = {}
    first: dict[int, int] = {}
    for component, encoder in encoders.items():
        tokeniser = getattr(pipe, component.replace("text_encoder", "tokenizer"))
        if id(tokeniser) not in first:
            first[id(tokeniser)] = _teach(tokeniser, config)
        table = make_room(encoder, tokeniser).requires_grad_(False)
        name = f"{component}.{ROWS}"
        place = first[id(tokeniser)]
        known = table.weight.detach()[:place].float().cpu()
        parameters[name] = _attach(table, place, _initial(known, tokeniser, name, config))
    return parameters


def _teach(tokeniser: Any, config: TrainConfig) -> int:
    try:
        return teach_tokeniser(tokeniser, config.trigger, config.trigger_vectors)
    except ValueError as error:
        raise ConfigError("the training configuration", (f"`trigger`: {error}; choose another",)) from error


def _initial(known: torch.Tensor, tokeniser: Any, name: str, config: TrainConfig) -> torch.Tensor:
    import torch

    if not config.trigger_initial:
        drawn = torch.randn(
            config.trigger_vectors, known.shape[1], generator=generator(config.seed, 0, 0, f"initial {name}")
        )
        return drawn * known.std()
    words = tokeniser(config.trigger_initial, add_special_tokens=False).input_ids
    if not words:
        raise ConfigError(
            "the training configuration", (f"`trigger_initial`: {config.trigger_initial!r} holds no word of this base",)
        )
    return known[[words[index % len(words)] for index in range(config.trigger_vectors)]]


def _attach(table: Any, first: int, values: torch.Tensor) -> torch.nn.Parameter:
    """Puts trained vectors in the place of the table's rows from ``first`` on, whose own are never read nor changed."""
    import torch

    rows = torch.nn.Parameter(values.to(table.weight.device))
    table.register_parameter(ROWS, rows)

    def look_up(module: Any, inputs: tuple[torch.Tensor, ...], found: torch.Tensor) -> torch.Tensor:
        learned, places = getattr(module, ROWS), inputs[0] - first
        ours = (places >= 0) & (places < len(learned))
        return torch.where(ours[..., None], learned[places.clamp(0, len(learned) - 1)].to(found.dtype), found)

    table.register_forward_hook(look_up)
    return rows
