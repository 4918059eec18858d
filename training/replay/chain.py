"""The hash chain of a training: every K steps a link over batches, random states, losses, adapter and optimiser.

::

    first previous = SHA-256 of {"type", "base", "config", "dataset", "every"}
    link.digest    = SHA-256 of {"previous", "step", and the five parts}
    head           = SHA-256 of {"last": the last link's digest, "released": the SHA-256 of each file's tensors}

all as canonical JSON. Link 0 is the state before the first step; the last link is the state after the last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from provenance.canonical import Json, canonical_json, sha256_hex
from provenance.errors import FormatError
from provenance.statement import is_digest
from training.config_faults import MAX_SEGMENTS

TYPE = "urn:prov:replay-chain:v1"
NAME = "replay"
PARTS = ("batch", "random", "losses", "adapter", "optimiser")
_MAX_STACK_ENTRIES = 64


@dataclass(frozen=True)
class Binding:
    """The training a checkpoint or a chain belongs to, by the digests of what determines it."""

    base: str
    config: str
    dataset: str


@dataclass(frozen=True)
class Taken:
    """One step: its loss, and the digests of its batches and of the random states after them."""

    loss: float
    batch: str
    random: str


@dataclass(frozen=True)
class Parts:
    """What one link commits to: all batches, random states and losses since the last one, and the state it ends in."""

    batch: str
    random: str
    losses: str
    adapter: str
    optimiser: str

    @classmethod
    def of(cls, taken: Sequence[Taken], adapter: str, optimiser: str) -> Parts:
        """The parts of a segment; each loss is hashed as the exact hexadecimal text of its float64."""
        return cls(
            batch=_digest([each.batch for each in taken]),
            random=_digest([each.random for each in taken]),
            losses=_digest([each.loss.hex() for each in taken]),
            adapter=adapter,
            optimiser=optimiser,
        )

    def differing(self, other: Parts) -> tuple[str, ...]:
        """The names of the parts that differ, in the order in which a step computes them."""
        return tuple(name for name in PARTS if getattr(self, name) != getattr(other, name))


@dataclass(frozen=True)
class Link:
    """The state after ``step`` steps and what led to it; ``digest`` covers the link before as well."""

    step: int
    parts: Parts
    digest: str

    @classmethod
    def after(cls, previous: str, step: int, parts: Parts) -> Link:
        return cls(step, parts, _digest({"previous": previous, "step": step, **asdict(parts)}))

    def to_json(self) -> Json:
        return {"step": self.step, **asdict(self.parts), "digest": self.digest}

    @classmethod
    def from_json(cls, raw: Any, what: str) -> Link:
        """Reads one link; raises FormatError. Whether its digest holds is for the chain to say."""
        match raw:
            case {"step": int(step), "digest": str(digest)} if (
                type(step) is int and set(raw) == {"step", "digest", *PARTS} and is_digest(digest)
            ):
                if all(is_digest(raw[name]) for name in PARTS):
                    return cls(step, Parts(**{name: raw[name] for name in PARTS}), digest)
        raise FormatError(f"{what} is malformed", expected=f"step, digest and the SHA-256 of {', '.join(PARTS)}")


@dataclass(frozen=True)
class Session:
    """From which step on a training ran on which stack; a training that was resumed elsewhere has several."""

    first: int
    stack: dict[str, str]

    @classmethod
    def from_json(cls, raw: Any, what: str) -> Session:
        match raw:
            case {"first": int(first), "stack": dict(stack)} if type(first) is int and len(raw) == 2:
                texts = all(isinstance(text, str) and text.isprintable() for each in stack.items() for text in each)
                if texts and first >= 0 and len(stack) <= _MAX_STACK_ENTRIES:
                    return cls(first, stack)
        raise FormatError(f"{what} is malformed", expected="first (a step) and stack (texts by name)")


@dataclass(frozen=True)
class Chain:
    """A whole chain as an attestation carries it: closed by a trail, or read by ``from_json``, which checks it."""

    every: int
    links: tuple[Link, ...]
    sessions: tuple[Session, ...]
    released: dict[str, str]
    head: str

    @classmethod
    def over(
        cls, every: int, links: tuple[Link, ...], sessions: tuple[Session, ...], released: Mapping[str, str]
    ) -> Chain:
        """The chain over some links, closed with the SHA-256 of the tensors of each released file."""
        return cls(every, links, sessions, dict(released), _head(links[-1].digest, released))

    def to_json(self) -> Json:
        return {
            "type": TYPE,
            "every": self.every,
            "links": [link.to_json() for link in self.links],
            "sessions": [asdict(session) for session in self.sessions],
            "released": self.released,
            "head": self.head,
        }

    @classmethod
    def from_json(cls, raw: Any, binding: Binding, steps: int, what: str) -> Chain:
        """Reads a chain of a training of ``steps`` steps strictly; raises FormatError naming the first bad link.

        Steps must be 0, K, 2K, … and the last; each digest must follow from the one before, the first from ``binding``.
        """
        match raw:
            case {
                "type": type_,
                "every": int(every),
                "links": [*links],
                "sessions": [*sessions],
                "released": dict(out),
            }:
                pass
            case _:
                raise FormatError(f"{what} is malformed", expected="type, every, links, sessions, released and head")
        if type_ != TYPE or set(raw) != {"type", "every", "links", "sessions", "released", "head"}:
            raise FormatError(f"{what} is of another kind", expected=TYPE, found=str(type_)[:80])
        if type(every) is not int or every < 1 or max(len(links) - 1, steps / every) > MAX_SEGMENTS:
            raise FormatError(f"{what} is malformed", expected=f"at most {MAX_SEGMENTS} segments of 1 step or more")
        if not out or not all(isinstance(name, str) and is_digest(digest) for name, digest in out.items()):
            raise FormatError(f"{what} does not say what was released", expected="the SHA-256 of each file's tensors")
        read = tuple(Link.from_json(link, f"{what}, link {i}") for i, link in enumerate(links))
        _check_links(read, binding, every, steps, what)
        head = _head(read[-1].digest, out)
        if raw["head"] != head:
            raise FormatError(f"{what} does not end in its head", expected=head, found=str(raw["head"])[:80])
        return cls(every, read, _read_sessions(sessions, steps, what), out, head)

    def on_which(self, segment: int) -> list[Session]:
        """The sessions that took steps of a segment."""
        first, last = self.links[segment].step, self.links[segment + 1].step
        ends = [*(session.first for session in self.sessions[1:]), last]
        return [s for s, end in zip(self.sessions, ends, strict=True) if s.first < last and end > first]

    def __len__(self) -> int:
        """How many segments there are: one fewer than links."""
        return len(self.links) - 1


@dataclass(frozen=True)
class Trail:
    """A chain that grows with a training: the links so far, the steps since the last one, and on which stacks."""

    every: int
    links: tuple[Link, ...]
    taken: tuple[Taken, ...]
    sessions: tuple[Session, ...]

    @classmethod
    def begin(cls, binding: Binding, every: int, adapter: str, optimiser: str, stack: Mapping[str, str]) -> Trail:
        """Before the first step."""
        first = Link.after(_origin(binding, every), 0, Parts.of((), adapter, optimiser))
        return cls(every, (first,), (), (Session(0, dict(stack)),))

    @property
    def step(self) -> int:
        """After how many steps it is."""
        return self.links[-1].step + len(self.taken)

    def goes_on(self, stack: Mapping[str, str]) -> Trail:
        """The same trail resumed: nothing changes but where the stack is another one from here on."""
        if self.sessions[-1].stack == stack:
            return self
        before = tuple(session for session in self.sessions if session.first < self.step)
        return Trail(self.every, self.links, self.taken, (*before, Session(self.step, dict(stack))))

    def after(self, taken: Taken) -> Trail:
        return Trail(self.every, self.links, (*self.taken, taken), self.sessions)

    def is_due(self, steps: int) -> bool:
        """Whether a segment is complete, in a training of ``steps`` steps."""
        return self.step % self.every == 0 or self.step == steps

    def linked(self, adapter: str, optimiser: str) -> Trail:
        """Closes the segment with the state it ends in."""
        link = Link.after(self.links[-1].digest, self.step, Parts.of(self.taken, adapter, optimiser))
        return Trail(self.every, (*self.links, link), (), self.sessions)

    def closed(self, released: Mapping[str, str]) -> Chain:
        """The chain of a finished training, with the SHA-256 of the tensors of each released file."""
        return Chain.over(self.every, self.links, self.sessions, released)

    def to_json(self) -> Json:
        return {
            "every": self.every,
            "links": [link.to_json() for link in self.links],
            "taken": [[each.loss, each.batch, each.random] for each in self.taken],
            "sessions": [asdict(session) for session in self.sessions],
        }

    @classmethod
    def from_json(cls, raw: Any, binding: Binding, step: int, what: str) -> Trail:
        """Reads the trail of a checkpoint after ``step`` steps; raises FormatError."""
        match raw:
            case {"every": int(every), "links": [*links], "taken": [*taken], "sessions": [*sessions]} if every > 0:
                pass
            case _:
                raise FormatError(f"{what} is malformed", expected="every, links, taken and sessions")
        read = tuple(Link.from_json(link, f"{what}, link {i}") for i, link in enumerate(links))
        _check_links(read, binding, every, step - len(taken), what)
        trail = cls(every, read, tuple(_taken(each, what) for each in taken), _read_sessions(sessions, step + 1, what))
        if len(taken) >= every:
            raise FormatError(f"{what} lacks a link", expected=f"one every {every} steps")
        return trail


def tensors_body(file: bytes) -> bytes:
    """The tensors' bytes of a safetensors file, without its header; their SHA-256 is what ``released`` names."""
    return file[8 + int.from_bytes(file[:8], "little") :]


def _check_links(links: Sequence[Link], binding: Binding, every: int, steps: int, what: str) -> None:
    expected = [*range(0, steps, every), steps]
    found = [link.step for link in links]
    if found != expected:
        raise FormatError(
            f"{what} does not cover the training",
            expected=f"{len(expected)} links, after steps 0, {every}, … {steps}",
            found=f"{len(found)} links, the last after step {found[-1] if found else 'none'}",
        )
    previous = _origin(binding, every)
    for index, link in enumerate(links):
        if Link.after(previous, link.step, link.parts).digest != link.digest:
            raise FormatError(
                f"{what} is broken at link {index}, after step {link.step}",
                expected="a digest over this link and the one before",
                found=link.digest,
                fix="do not believe this chain: it was changed after it was made",
            )
        previous = link.digest


def _read_sessions(raw: Sequence[Any], steps: int, what: str) -> tuple[Session, ...]:
    sessions = tuple(Session.from_json(each, f"{what}, session {i}") for i, each in enumerate(raw))
    firsts = [session.first for session in sessions]
    if not firsts or firsts[0] != 0 or firsts != sorted(set(firsts)) or firsts[-1] >= max(steps, 1):
        raise FormatError(f"{what} has sessions out of order", expected="rising steps from 0", found=str(firsts)[:100])
    return sessions


def _taken(raw: Any, what: str) -> Taken:
    match raw:
        case [float(loss), str(batch), str(random)] if is_digest(batch) and is_digest(random):
            return Taken(loss, batch, random)
    raise FormatError(f"{what} has a malformed step", expected="a loss and two digests")


def _origin(binding: Binding, every: int) -> str:
    return _digest({"type": TYPE, "every": every, **asdict(binding)})


def _head(last: str, released: Mapping[str, str]) -> str:
    return _digest({"last": last, "released": dict(released)})


def _digest(value: Any) -> str:
    return sha256_hex(canonical_json(value))
