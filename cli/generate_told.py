"""What `prov generate` says of what it drew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cli.console import emit, note

if TYPE_CHECKING:
    from generation.order import Issue


@contextmanager
def stopping_early() -> Iterator[None]:
    """Tells of Ctrl-C before drawing began, when nothing is on record yet; raises GenerationInterrupted."""
    try:
        yield
    except KeyboardInterrupt as error:
        from generation.errors import GenerationInterrupted

        raise GenerationInterrupted("stopped before anything was drawn; give the same command again") from error


def tell(issued: Issue, fresh_noise: str | None, *, as_json: bool) -> None:
    """Prints the pictures to stdout, all else to stderr; ``fresh_noise`` names a scheduler that washes marks out."""
    for path in issued.missing:
        note(f"on record since before the run stopped, but not here: {path}; it is not drawn again")
    for picture in issued.blocked:
        note(f"blocked: {picture.reason}\n  do next:  {picture.fix}")
    emit(
        {
            "images": [i.to_json() for i in issued.images],
            "blocked": [b.to_json() for b in issued.blocked],
            "missing": [str(path) for path in issued.missing],
        },
        "\n".join(str(i.path) for i in issued.images),
        as_json=as_json,
    )
    for payload in issued.input_marks:
        note(f"the input carries the mark {payload}, which is on record")
    note(_counted(issued))
    if fresh_noise is not None:
        note(f"{fresh_noise} draws fresh noise at every step: these pictures carry the pixel mark, not the latent one")


def _counted(issued: Issue) -> str:
    if not issued.left:
        return "nothing was left to draw"
    pictures = "picture" if issued.recorded == 1 else "pictures"
    return f"{issued.recorded} {pictures} recorded" + ("; next: prov anchor" if issued.recorded else "")
