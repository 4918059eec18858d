"""What the autoencoder made of pictures, kept in PROV_HOME from one training to the next.

An entry is found by what it was made from (the picture's SHA-256, how it was cut, the base's digest, and the whole
stack: device, threads, libraries and this package's code), so it holds the very bits that encoding would give again.
Each is authenticated by HMAC-SHA256 under a key that only this home has: whoever can write into the folder, or hands
it on, can take entries away, but not exchange one. Deterministic trainings and replays encode anew all the same.
"""

from __future__ import annotations

import hmac
import os
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from provenance.canonical import Json, canonical_json, sha256_hex
from provenance.errors import FileRefused, FormatError
from provenance.files import read_file, write_file

if TYPE_CHECKING:
    import torch

    from provenance.home import Home

FOLDER, KEY = "latents", "latents.key"
MAX_BYTES = 10 << 30
"""Of all entries together; the ones that were not used for longest go first."""
MAX_ENTRY_BYTES = 1 << 28
SPARE_BYTES = 1 << 30
"""Disk space that is left alone."""
_TAG = 32


@dataclass(frozen=True)
class LatentStore:
    """The entries of one home."""

    folder: Path
    key: bytes

    @classmethod
    def of(cls, home: Home) -> LatentStore:
        """Opens the store of a home, and makes its key the first time; raises FormatError for a damaged key."""
        path = home.path / KEY
        if not path.exists():
            write_file(path, secrets.token_bytes(32), mode=0o600)
        key = read_file(path, limit=1 << 10)
        if len(key) != 32:
            raise FormatError(f"{path} is damaged", expected="32 bytes", found=f"{len(key)}", fix="delete it")
        return cls(home.path / FOLDER, key)

    def for_run(self, base: str, stack: Mapping[str, str]) -> Latents:
        """The entries that a training of a base (by its digest) on a stack may use."""
        return Latents(self, {"base": base, "stack": sha256_hex(canonical_json(dict(stack)))})

    def prune(self, limit: int = MAX_BYTES) -> None:
        """Deletes the entries that were not used for longest, until the rest have at most ``limit`` bytes."""
        found = []
        for path in self.folder.glob("*/*"):
            with suppress(FileNotFoundError):
                found.append((path, path.stat()))
        over = sum(stat.st_size for _, stat in found) - limit
        for path, stat in sorted(found, key=lambda each: each[1].st_mtime_ns):
            if over <= 0:
                break
            path.unlink(missing_ok=True)
            over -= stat.st_size

    def tag(self, name: str, content: bytes) -> bytes:
        """The authenticator of an entry under its name."""
        return hmac.digest(self.key, name.encode() + content, "sha256")


@dataclass(frozen=True)
class Latents:
    """The store as one training sees it; ``common`` is what all of its entries are made with."""

    store: LatentStore
    common: Json

    def get(self, facts: Json) -> dict[str, torch.Tensor] | None:
        """The tensors made from these facts, or None when there are none that this home wrote."""
        from safetensors.torch import load

        name = self._name(facts)
        path = self._path(name)
        if not path.is_file():
            return None
        # Another training may prune at any moment.
        try:
            data = read_file(path, limit=MAX_ENTRY_BYTES)
            os.utime(path)
        except (FileRefused, FileNotFoundError):
            return None
        tag, content = data[:_TAG], data[_TAG:]
        if not hmac.compare_digest(tag, self.store.tag(name, content)):
            return None
        tensors: dict[str, torch.Tensor] = load(content)
        return tensors

    def put(self, facts: Json, tensors: Mapping[str, torch.Tensor]) -> None:
        """Keeps tensors, unless they are too large or the disk is nearly full."""
        from safetensors.torch import save

        name = self._name(facts)
        content = save({key: tensor.contiguous() for key, tensor in tensors.items()})
        self.store.folder.mkdir(mode=0o700, exist_ok=True)
        free = shutil.disk_usage(self.store.folder).free
        if _TAG + len(content) <= min(MAX_ENTRY_BYTES, free - SPARE_BYTES):
            write_file(self._path(name), self.store.tag(name, content) + content, mode=0o600)

    def _name(self, facts: Json) -> str:
        return sha256_hex(canonical_json({**self.common, **facts}))

    def _path(self, name: str) -> Path:
        return self.store.folder / name[:2] / name
