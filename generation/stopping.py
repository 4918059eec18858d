"""Ctrl-C while a request is drawn: what is kept, and how to go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from generation.errors import GenerationInterrupted
from generation.issue import Issued
from generation.run_state import RunState


@contextmanager
def stoppable(run: RunState, pictures: int) -> Iterator[dict[int, Issued]]:
    """A place for the pictures of a run, by index; turns Ctrl-C into GenerationInterrupted, which counts them."""
    images: dict[int, Issued] = {}
    try:
        yield images
    except KeyboardInterrupt as error:
        raise GenerationInterrupted(_told(len(images), pictures, run.goes_on)) from error


def _told(kept: int, pictures: int, goes_on: bool) -> str:
    if not kept and not goes_on:
        return "stopped before anything was drawn; give the same command again"
    told = f"stopped; {kept} of {pictures} pictures are on record and kept"
    how = "add --resume to the same command" if goes_on else "only runs over --prompts FILE do, ask anew for the rest"
    return f"{told}; to go on: {how}"
