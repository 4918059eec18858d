"""Snapshots of repositories on the Hugging Face hub: fetched where it answers, else the copy on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from provenance.errors import BaseUnavailable


def hub_snapshot(repository: str, revision: str | None, files: Sequence[str], what: str, fix: str) -> Path:
    """The folder with the files that patterns name; raises BaseUnavailable, which says ``what`` it was."""
    from huggingface_hub import snapshot_download

    wanted = list(files)
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=wanted))
    except Exception as error:  # the client's HTTP library changes between releases, and so do its errors
        reason = error
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=wanted, local_files_only=True))
    except OSError as error:
        raise BaseUnavailable(
            f"the {what} {repository} is not on this machine and cannot be fetched",
            found=str(reason).splitlines()[0] if str(reason) else type(reason).__name__,
            fix=fix,
        ) from error
