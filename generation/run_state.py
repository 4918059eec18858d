"""What a run over a prompt file has done so far: a small file beside its pictures, so that a stopped run goes on.

``.prov-run-<16 digits of the request's digest>.jsonl`` in the folder of the pictures, mode 0600, canonical JSON lines:
first ``{"type", "request", "first_seed", "pictures"}``, then ``[index, stream, serial]`` before a picture is recorded,
or ``[index, reason, fix]`` once one is blocked. A picture counts as done when the journal holds its record: the line
comes before the record, the record before the picture. The digest is keyed, so that nobody can try prompts on it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from generation.errors import GenerationError
from generation.issue import Blocked, Issued, picture_path
from generation.request import GenerationRequest
from generation.screening import PromptKey
from generation.source import Source
from generation.subject import Subject
from provenance.canonical import Json, canonical_json, parse_json
from provenance.errors import FormatError, UsageError
from provenance.home import Home
from provenance.journal import Journal
from provenance.record import ImageRecord

STATE_TYPE = "urn:prov:run:v1"
MAX_LINE_BYTES = 1 << 16


def request_digest(
    request: GenerationRequest, subject: Subject, policy: str, who: Json, key: PromptKey, source: Source | None = None
) -> str:
    """The keyed digest of all that decides what a request gives: its prompts, settings, model, policy and account."""
    settings = {
        **{name: getattr(request, name) for name in ("seed", "steps", "guidance", "negative", "scheduler")},
        **{name: getattr(request, name) for name in ("adapter_scale", "clear_prompt", "plain_noise")},
        **{"token": subject.token, "weights": subject.weights, "base": subject.base.digest, "policy": policy, **who},
    }
    if source is not None:
        settings |= {"image": source.sha256, "mask": source.mask_sha256, "strength": request.redrawn}
    digest = hashlib.sha256(canonical_json(settings) + b"\n")
    for one in request.wanted():
        row = [one.prompt, one.negative, one.seed, one.steps, one.guidance]
        digest.update(canonical_json(row) + b"\n")
    return key.name(f"run {digest.hexdigest()}")


class RunState:
    """The state of one run, locked against a second one; without a folder it is kept nowhere."""

    def __init__(self, out: Path | None, request: str, pictures: int) -> None:
        """``request`` is its digest, ``pictures`` how many it asks for; raises GenerationError or FormatError."""
        self._path = None if out is None else out / f".prov-run-{request[:16]}.jsonl"
        self._header: Json = {"type": STATE_TYPE, "request": request, "pictures": pictures}
        self._file: BinaryIO | None = None
        self.first_seed: int | None = None
        self.begun: dict[int, list[tuple[int, int]]] = {}
        self.blocked: dict[int, Blocked] = {}
        if self._path is not None and os.path.lexists(self._path):
            self._file = self._locked(self._path)
            try:
                self._read(self._path, self._file)
            except BaseException:
                self._file.close()
                raise

    def recorded(self, home: Home, out: Path) -> dict[int, Issued]:
        """By index, the pictures that were recorded before the run stopped, whether their files were written or not."""
        if not self.begun:
            return {}
        found = {}
        with Journal.of_home(home) as journal:
            for index, numbers in self.begun.items():
                for stream, serial in numbers:
                    record = journal.record(stream, serial)
                    if isinstance(record, ImageRecord):
                        found[index] = Issued(picture_path(out, stream, serial), record)
        return found

    def settle(self, resume: bool, recorded: dict[int, Issued]) -> dict[int, Issued]:
        """Decides whether this run goes on or begins anew, and gives the recorded pictures that it goes on from.

        Raises UsageError for what could draw pictures a second time: ``resume`` with nothing to go on with, and a
        stopped run that nobody asked to resume.
        """
        pictures, done = self._header["pictures"], len({*recorded, *self.blocked})
        if resume and self.first_seed is None:
            raise UsageError(
                "no run of this request stopped here",
                expected="the same prompts, options, account and --out as the run that stopped",
                fix="leave out --resume to begin",
            )
        if not resume and 0 < done < pictures:
            raise UsageError(
                f"a run of this very request stopped here after {done} of {pictures} pictures",
                fix=f"add --resume to go on, or delete {self._path} to draw them all again",
            )
        if resume:
            return recorded
        self.first_seed, self.begun, self.blocked = None, {}, {}
        return {}

    @property
    def goes_on(self) -> bool:
        """Whether a state is kept that the same request can go on from."""
        return self._path is not None and self.first_seed is not None

    def begin(self, first_seed: int) -> None:
        """Writes the first line, unless this run goes on."""
        if self._path is None or self.first_seed is not None:
            return
        self.first_seed = first_seed
        self._file = self._file or self._locked(self._path)
        self._file.truncate(0)
        self._append({**self._header, "first_seed": first_seed})

    def drawing(self, index: int, stream: int, serial: int) -> None:
        """Notes, on disk on return, under which number a picture is about to be recorded."""
        self._append([index, stream, serial])

    def block(self, blocked: Blocked) -> None:
        """Notes a picture that was blocked."""
        self.blocked[blocked.index] = blocked
        self._append([blocked.index, blocked.reason, blocked.fix])

    def close(self) -> None:
        """Lets go of the file; it stays, so that the same run resumed draws nothing again."""
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> RunState:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _append(self, line: Json | list[Any]) -> None:
        if self._path is None or self._file is None:
            return
        with _told(self._path):
            self._file.seek(0, os.SEEK_END)
            self._file.write(canonical_json(line) + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def _locked(self, path: Path) -> BinaryIO:
        with _told(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            file = os.fdopen(os.open(path, flags, 0o600), "r+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise GenerationError("this request is being drawn already", fix="wait until that run ends") from error
        return file

    def _read(self, path: Path, file: BinaryIO) -> None:
        whole = 0
        while data := file.readline(MAX_LINE_BYTES):
            if not data.endswith(b"\n") and len(data) < MAX_LINE_BYTES:
                break  # the run was stopped while it wrote this line
            self._take(parse_json(data, str(path)), path)
            whole += len(data)
        file.truncate(whole)

    def _take(self, line: object, path: Path) -> None:
        match line:
            case {"first_seed": int(seed), **header} if self.first_seed is None and header == self._header:
                self.first_seed = seed
            case [int(index), int(stream), int(serial)] if self._counts(index):
                self.begun.setdefault(index, []).append((stream, serial))
            case [int(index), str(reason), str(fix)] if self._counts(index):
                self.blocked[index] = Blocked(index, reason, fix)
            case _:
                raise FormatError(
                    f"{path} is not the state of this run", found=repr(line)[:100], fix="delete it to begin anew"
                )

    def _counts(self, index: int) -> bool:
        return self.first_seed is not None and type(index) is int and 0 <= index < self._header["pictures"]


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turns the system's refusals into ours."""
    try:
        yield
    except OSError as error:
        raise GenerationError(
            f"{path} cannot be written", found=str(error), fix="make room, or choose another --out"
        ) from error
