"""Which settings a training gets: of a preset, of a file, of options; the later overrule the earlier."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cli.console import emit, note, progress

if TYPE_CHECKING:
    from provenance.base import BaseModel
    from provenance.canonical import Json
    from provenance.manifest import DatasetManifest
    from training.config import TrainConfig


def chosen_settings(
    config: Path | None,
    preset: str | None,
    trigger: str | None,
    base: BaseModel,
    manifest: DatasetManifest,
    options: Json | None = None,
) -> TrainConfig:
    """The settings of a preset, overruled by a file's and by options; without any, what suits the base."""
    from provenance.base import STARTER
    from training.config import TrainConfig, read_settings
    from training.presets import preset_settings, starter_config, told
    from training.private.options import as_private
    from training.setup import device_of

    further = {**({"trigger": trigger} if trigger else {}), **(options or {})}
    settings: Json = {}
    if preset is not None:
        captions = [record.caption for record in manifest.records]
        device = device_of(TrainConfig())
        settings = preset_settings(preset, base, captions, trigger=trigger or "", device=device)
    elif config is None and base.id == STARTER:
        settings = starter_config(base).to_dict()
    file = {} if config is None else read_settings(config)
    if (file | further).get("dp_epsilon"):
        settings = as_private(settings)
    settings |= file
    made = TrainConfig.from_dict(settings | further, str(config or "the settings"))
    if preset is not None:
        note(told(preset, made, len(manifest.records)))
    return made


def show_estimate(manifest: DatasetManifest, base: BaseModel, config: TrainConfig, *, as_json: bool) -> None:
    """Says what a training will take, from a few steps on this machine."""
    from training.estimate import estimate, told

    made = estimate(manifest, base, config, progress("estimating"))
    emit(made.to_json(), told(made), as_json=as_json)
