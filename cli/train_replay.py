"""`prov train DATASET --replay RELEASE`: random segments of a training executed anew, and compared bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli.console import emit, note, paint, progress

if TYPE_CHECKING:
    from training.replay.executing import Replayed
    from training.replay.record import Recorded

_COLOURS = {"agrees": "green", "differs": "red", "not comparable": "yellow"}


def run_replay(
    release: Path,
    dataset: Path,
    *,
    base: str | None,
    segments: str,
    snapshots: Path | None,
    seed: int | None,
    trust: list[Path],
    as_json: bool,
) -> None:
    """Verifies release and dataset, replays, prints what came of it, and exits with 0, 1 or 3."""
    import random

    from cli.train import training_progress
    from provenance.adapter import verify_adapter
    from provenance.base import resolve_base
    from provenance.dataset import verify_dataset
    from provenance.errors import UsageError
    from provenance.trust import home_and_files

    if snapshots is not None and not snapshots.is_dir():
        raise UsageError(f"{snapshots} is not a folder", fix="give the folder `replay` that the training left")
    roots = home_and_files(trust)
    adapter = verify_adapter(release, roots)
    manifest = verify_dataset(dataset, roots, progress=progress("verifying"))
    if base is None and adapter.base_id.startswith("local:"):
        raise UsageError(
            "the adapter was trained on a base in a folder", found=adapter.base_id, fix="give that folder with --base"
        )

    from training.replay.executing import choose_segments, replay
    from training.replay.record import read_recorded
    from training.replay.snapshots import SNAPSHOTS

    recorded = read_recorded(adapter)
    draw = None if seed is None else random.Random(seed)
    chosen = choose_segments(len(recorded.chain), segments, draw)
    kept = snapshots or release.with_name(f"{release.name}.work") / SNAPSHOTS
    made = replay(
        recorded,
        manifest,
        resolve_base(base or adapter.base_id),
        chosen,
        snapshots=kept,
        progress=training_progress(),
    )
    facts = {"adapter": adapter.digest, "head": recorded.chain.head, "weights": adapter.weights_digest}
    emit(facts | made.to_json(), _text(made, recorded), as_json=as_json)
    if not recorded.config.replay_snapshots:
        note("without snapshots a replay begins at the first step; train with replay_snapshots = true to have them")
    if made.exit_code:
        raise typer.Exit(made.exit_code)


def _text(made: Replayed, recorded: Recorded) -> str:
    lines = [f"{paint(made.verdict, _COLOURS[made.verdict])}: {_sentence(made)}"]
    lines.append(
        f"replayed  {_count(len(made.executed), 'segment')} of {made.segments} ({made.steps} of "
        f"{recorded.chain.links[-1].step} steps), {len(made.chosen)} chosen at random"
    )
    if made.mismatch is None and len(made.chosen) < made.segments:
        passes = 1 - len(made.chosen) / made.segments
        lines.append(f"          a training with one wrong segment passes with probability {passes:.2f} or less")
    released = {
        True: "the released files are the state after the last step",
        False: paint("the released files are not the state after the last step", "red"),
        None: "that the released files are the last state was not checked: no replayed segment or snapshot reaches it",
    }
    lines.append(f"release   {released[made.released_agrees]}")
    if not made.repeatable:
        lines.append("mode      the training did not run in a way that repeats bit for bit (see `deterministic`)")
    lines.append(f"stack     {_told_stack(made)}")
    lines += [
        f"          {each.name}: {each.recorded or 'not recorded'} → {each.here or 'none'}" for each in made.stack
    ]
    return "\n".join(lines)


def _told_stack(made: Replayed) -> str:
    if not made.stack:
        return "the same"
    return "another one, and yet equal" if made.mismatch is None else "another one: equal bits are not to be expected"


def _sentence(made: Replayed) -> str:
    found = made.mismatch
    if found is None:
        if made.released_agrees is False:
            return "every replayed segment gave the bits that were signed, but other weights were released"
        return "every replayed segment gave the bits that were signed"
    where = f"segment {found.segment}, steps {found.first + 1} to {found.last}," if found.last else "the initial state"
    differs = f"{where} came out otherwise in {', '.join(found.parts)}"
    if found.certain:
        return f"{differs}, on the stack on which it was trained"
    return f"{differs}; on another stack, or in a mode that does not repeat, that proves nothing"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
