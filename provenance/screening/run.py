"""The screening itself: every picture and caption once, in batches, and whatever goes wrong blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from provenance.canonical import sha256_hex
from provenance.errors import ProvenanceError, ScreeningInterrupted
from provenance.faults import printable
from provenance.images import decode_image
from provenance.parallel import in_order
from provenance.screening.kept import KeptLooks, Look
from provenance.screening.report import (
    PARTS,
    STAGE,
    DuplicateGroup,
    DuplicateSearch,
    Finding,
    ScreenedItem,
    Screening,
    caption_digest,
    rounded_down,
)
from provenance.screening.screens import Screens
from provenance.screening.subjects import Subject
from safety.content import screen_all_or_refuse, screen_or_refuse
from safety.decision import ERROR_RULE, Decision, failure
from safety.duplicates import (
    CLIP_LIMIT,
    PDQ_LIMIT,
    Group,
    exact_groups,
    groups_by_direction,
    groups_by_pdq,
)
from safety.errors import FilterError
from safety.sound import require_sound
from safety.text_filter import SCORER

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from safety.pdq import PdqHash

# A picture may have 25 megapixels, 75 MB decoded.
BATCH = 8
MAX_REASON = 500
UNREADABLE = "unreadable"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class _Opened:
    """A subject's bytes as digest, pixels and hash; ``fault`` says why there are none, ``kept`` is an earlier look."""

    subject: Subject
    sha256: str | None
    picture: NDArray[np.uint8] | None = None
    pdq: PdqHash | None = None
    fault: str | None = None
    kept: Look | None = None


def screen_dataset(
    subjects: Sequence[Subject], screens: Screens, *, kept: Path | None = None, progress: Progress | None = None
) -> Screening:
    """Screens every subject at the stage ``train`` and looks for duplicates among them.

    What was found is kept in ``kept`` while it runs, and is there when the same screening starts again; the caller
    deletes it. Raises ScreeningInterrupted on Ctrl-C, and FilterError when CLIP fails on pictures it has judged. Any
    other failure of a filter, a check or a decoder blocks its items and raises nothing.
    """
    looks: list[Look] = []
    keeping = KeptLooks(kept, screens.rules)
    captions = _CaptionDecisions(screens)
    try:
        for batch in _batches(_open_all(sorted(subjects, key=lambda each: each.path), keeping), BATCH):
            found = _look_at(batch, screens, captions)
            keeping.add(found[index] for index, opened in enumerate(batch) if opened.kept is None)
            looks += found
            if progress is not None:
                progress(len(looks), len(subjects))
    except KeyboardInterrupt as error:
        raise ScreeningInterrupted(
            f"stopped after {len(looks)} of {len(subjects)} pictures",
            fix="run the same command again"
            + ("; it goes on from here" if kept else ", with --out to go on where it stops"),
        ) from error
    finally:
        keeping.close()
    return Screening(screens.rules, tuple(look.item for look in looks), _duplicates(looks))


def screen_texts(texts: Iterable[str], screens: Screens) -> list[Decision]:
    """The decision on each text at the stage ``train``, as on a caption; a filter that fails blocks."""
    decisions = _CaptionDecisions(screens)
    return [decisions.of(text) for text in texts]


def _open_all(subjects: Iterable[Subject], keeping: KeptLooks) -> Iterator[_Opened]:
    def opened(subject: Subject) -> _Opened:
        import numpy as np

        from safety.pdq import pdq_hash

        sha256 = None
        try:
            data = subject.read()
            sha256 = sha256_hex(data)
            known = keeping.find(subject.path, sha256, caption_digest(subject.caption))
            if known is not None:
                return _Opened(subject, sha256, kept=known)
            picture = np.asarray(decode_image(data, subject.path.rpartition("/")[2]))
            return _Opened(subject, sha256, picture, pdq_hash(picture))
        except ProvenanceError as error:
            return _Opened(subject, sha256, fault=_reason(error.what + (f": {error.found}" if error.found else "")))

    return in_order(opened, subjects)


def _look_at(batch: list[_Opened], screens: Screens, captions: _CaptionDecisions) -> list[Look]:
    fresh = [opened for opened in batch if opened.picture is not None]
    pictures = [opened.picture for opened in fresh if opened.picture is not None]
    decided = _decisions(screens, pictures)
    directions = iter(_directions(screens, pictures, decided))
    decisions = iter(decided)
    looks = []
    for opened in batch:
        if opened.kept is not None:
            looks.append(opened.kept)
            continue
        seen = opened.picture is not None
        decision = next(decisions) if seen else None
        item = _item(opened, screens, decision, captions.of(opened.subject.caption))
        looks.append(Look(item, opened.pdq, next(directions) if seen else None))
    return looks


def _decisions(screens: Screens, pictures: list[NDArray[np.uint8]]) -> list[Decision]:
    decisions = screen_all_or_refuse(screens.pictures, pictures, STAGE)
    if len(pictures) > 1 and any(decision.rule == ERROR_RULE for decision in decisions):
        # One picture that a model cannot take fails its whole batch; alone, it is named and the others are judged.
        return [screen_or_refuse(screens.pictures, picture, STAGE) for picture in pictures]
    return decisions


def _item(opened: _Opened, screens: Screens, picture: Decision | None, caption: Decision) -> ScreenedItem:
    decided = {"picture": picture, "caption": caption}
    findings = [_finding(part, decision) for part, decision in decided.items() if decision and not decision.allowed]
    if picture is None:
        findings.append(Finding("picture", UNREADABLE, opened.fault or "the picture cannot be read"))
    return ScreenedItem(
        path=opened.subject.path,
        sha256=opened.sha256,
        caption_sha256=caption_digest(opened.subject.caption),
        scores={part: rounded_down(each.scores) if each else {} for part, each in _in_order(decided)},
        warnings={part: tuple(sorted(each.warnings)) if each else () for part, each in _in_order(decided)},
        findings=(*findings, *_listed(opened, screens), *_likenesses(opened, screens)),
    )


def _in_order(decided: Mapping[str, Decision | None]) -> list[tuple[str, Decision | None]]:
    return [(part, decided[part]) for part in PARTS]


def _finding(part: str, decision: Decision) -> Finding:
    rule, reason = decision.rule or ERROR_RULE, decision.reason
    concept, _, how = rule.partition("/")
    if part == "caption":
        reason = reason.replace("the prompt", "the caption", 1)
        if how == "score" and concept in decision.scores:
            score, limit = decision.scores[concept], decision.thresholds[concept]
            reason = f"the caption is close to {concept}: score {score:.3f}, allowed below {limit:g}"
    return Finding(part, _reason(rule), _reason(reason))


def _listed(opened: _Opened, screens: Screens) -> Iterator[Finding]:
    """Matches of the hash lists; a file that is on one is blocked, whether or not it decodes."""
    if opened.sha256 is None:
        return
    for hashes in screens.hash_lists:
        match = hashes.match(opened.sha256, opened.pdq)
        if match is not None:
            how = "the same bytes" if match.kind == "sha256" else f"{match.distance} of 256 bits apart"
            yield Finding("picture", f"hash-list/{hashes.digest[:16]}", _reason(f"on the list {hashes.name}: {how}"))


def _likenesses(opened: _Opened, screens: Screens) -> Iterator[Finding]:
    if opened.picture is None:
        return
    for check in screens.likeness:
        for objection in check.objections(opened.picture):
            yield Finding("picture", f"likeness/{check.name}", _reason(objection))


def _directions(
    screens: Screens, pictures: list[NDArray[np.uint8]], decided: list[Decision]
) -> list[NDArray[np.float32] | None]:
    """CLIP directions for the search for duplicates; None without CLIP, and for pictures that it could not judge."""
    judged = [index for index, decision in enumerate(decided) if decision.rule != ERROR_RULE]
    directions: list[NDArray[np.float32] | None] = [None] * len(pictures)
    if screens.clip is None or not judged:
        return directions
    try:
        found = screens.clip.images([pictures[index] for index in judged])
    except Exception as error:
        raise FilterError(
            "the search for duplicates failed; nothing passes unscreened",
            expected="a direction of every picture from the policy's own model",
            found=f"{type(error).__name__}: {error}"[:300],
            fix="run the same command again, or on another device",
        ) from error
    for index, direction in zip(judged, found, strict=True):
        directions[index] = direction
    return directions


class _CaptionDecisions:
    """Decisions by caption, each caption once; a filter that raises blocks."""

    def __init__(self, screens: Screens) -> None:
        self._screens = screens
        self._known: dict[str, Decision] = {}

    def of(self, caption: str) -> Decision:
        """The decision on a caption at the stage ``train``."""
        if caption not in self._known:
            self._known[caption] = self._decided(caption)
        return self._known[caption]

    def _decided(self, caption: str) -> Decision:
        rules = self._screens.rules
        try:
            decision = self._screens.captions.screen(caption)
            require_sound(decision, self._screens.pictures.policy, STAGE, SCORER)
            return decision
        except Exception as error:
            reason = failure("the caption filter", error)
            return Decision(False, STAGE, rules.policy, rules.caption_filter, rule=ERROR_RULE, reason=reason)


def _duplicates(looks: list[Look]) -> tuple[DuplicateSearch, ...]:
    """Equal files once each, then the near ones among those that differ."""
    read = [look for look in looks if look.item.sha256 is not None]
    exact = exact_groups([look.item.sha256 or "" for look in read])
    searches = [DuplicateSearch("sha256", 0, _groups(exact, read))]
    first = {look.item.sha256: look for look in reversed(read)}
    distinct = sorted(first.values(), key=lambda look: look.item.path)
    hashed = [look for look in distinct if look.pdq is not None]
    near = groups_by_pdq([look.pdq for look in hashed if look.pdq is not None])
    searches.append(DuplicateSearch("pdq", PDQ_LIMIT, _groups(near, hashed)))
    seen = [look for look in distinct if look.direction is not None]
    if seen:
        import numpy as np

        alike = groups_by_direction(np.stack([look.direction for look in seen if look.direction is not None]))
        searches.append(DuplicateSearch("clip", CLIP_LIMIT, _groups(alike, seen)))
    return tuple(searches)


def _groups(groups: list[Group], looks: list[Look]) -> tuple[DuplicateGroup, ...]:
    return tuple(
        DuplicateGroup(tuple(looks[index].item.path for index in group.members), round(group.furthest, 6))
        for group in groups
    )


def _batches(items: Iterator[_Opened], size: int) -> Iterator[list[_Opened]]:
    while batch := list(islice(items, size)):
        yield batch


def _reason(text: str) -> str:
    return printable(" ".join(text.split()))[:MAX_REASON]
