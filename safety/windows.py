"""A text of any length as windows that a CLIP text tower reads whole, half overlapping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from safety.errors import FilterError

SHORT_WINDOW = 16


def token_windows(tokens: Sequence[int], room: int) -> list[tuple[int, ...]]:
    """Windows of at most ``room`` tokens, each token in at least one, neighbours sharing half; one for no tokens."""
    if room < 2:
        raise FilterError(
            "the text tower has no room for a text",
            expected="a context of 4 tokens",
            found=str(room + 2),
            fix="name another model in the policy",
        )
    step = room // 2
    last = max(0, len(tokens) - room)
    starts = [*range(0, last, step), last]
    return [tuple(tokens[start : start + room]) for start in starts]


def require_windows(model: Any, tokenizer: Any) -> int:
    """The context length of a text tower; raises FilterError when prompts cannot be split for it.

    Only CLIP's own byte-pair tokenizer gives ids that can be cut anywhere and framed anew.
    """
    from open_clip.tokenizer import SimpleTokenizer

    context = getattr(model, "context_length", None)
    if not isinstance(tokenizer, SimpleTokenizer) or not isinstance(context, int):
        raise FilterError(
            "prompts cannot be split for this model",
            expected="open_clip's byte-pair tokenizer and a text tower with a context length",
            found=type(tokenizer).__name__,
            fix="name another model in the policy, or leave open_clip_text out of its thresholds",
        )
    return context


def text_tokens(tokenizer: Any, text: str, context: int) -> Any:
    """Token ids (windows, context) int64 of all windows of a text: whole ones, and short ones against dilution.

    ``tokenizer`` is one that ``require_windows`` takes.
    """
    import torch

    tokens = tokenizer.encode(text)
    room = context - 2
    windows = token_windows(tokens, room)
    if len(tokens) > SHORT_WINDOW < room:
        windows += token_windows(tokens, SHORT_WINDOW)
    rows = torch.zeros(len(windows), context, dtype=torch.int64)
    for row, window in zip(rows, windows, strict=True):
        ids = [tokenizer.sot_token_id, *window, tokenizer.eot_token_id]
        row[: len(ids)] = torch.tensor(ids)
    return rows
