"""Second stage: the text tower learns to point at the pictures that a text is true of; the vision tower stays locked.

Zhai et al., "LiT: Zero-Shot Transfer with Locked-image text Tuning" (2022). A text is usually true of many pictures
of a batch, so the targets of both softmaxes are shared: for a text, evenly among its pictures; for a picture, among
its texts in inverse proportion to how many pictures each is true of. Both have their best value where the logit is the
text's pointwise mutual information with the picture: "a skull" ten times as telling as "an object".
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from safety.starter.captions import STRAY, Captions
from safety.starter.clip_files import CONTEXT
from safety.starter.vision_stage import VisionRecipe, rise_and_fall

PARTS = 4


@dataclass(frozen=True)
class TextRecipe:
    """How the text tower is trained; the scale is fixed, so that a score of a filter keeps its meaning."""

    steps: int = 1500
    texts: int = 192
    pictures: int = 512
    rate: float = 2e-3
    decay: float = 0.01
    warmup: float = 0.05
    scale: float = 20.0


@dataclass(frozen=True)
class Seen:
    """What the locked vision tower makes of pictures: unit embeddings (N, D) and labels (N, 3) int64."""

    embeddings: Tensor
    labels: NDArray[np.int64]


def train_text(model: Any, captions: Captions, seen: Seen, recipe: TextRecipe, seed: int) -> None:
    """Trains the text tower of ``model`` in place and fixes its scale."""
    tokens = encode(captions.texts)
    known = known_tokens(tokens)
    # Only what captions say is trained: a few hundred rows of the vocabulary's 49,408.
    rows_of = nn.Parameter(model.token_embedding.weight.detach()[known].clone())
    numbered = torch.searchsorted(known, tokens.where(tokens != stray_token(), 0))
    strays = (tokens == stray_token()) | (tokens == 0)
    tower = [rows_of, *text_parameters(model)]
    optimiser = torch.optim.AdamW(tower, lr=recipe.rate, weight_decay=recipe.decay)
    shape = VisionRecipe(steps=recipe.steps, warmup=recipe.warmup)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rise_and_fall(step, shape))
    rng = np.random.default_rng(seed)
    began, mean = time.monotonic(), 0.0
    for step in range(recipe.steps):
        rows = rng.integers(len(tokens), size=recipe.texts)
        shown = rng.integers(len(seen.labels), size=recipe.pictures)
        # Texts of like length are read together, for less padding; their order means nothing.
        rows = rows[np.argsort((tokens[rows] != 0).sum(1).numpy(), kind="stable")]
        true = torch.from_numpy(captions.true_of(rows, seen.labels[shown]))
        said = torch.cat(
            [
                read(model, rows_of[numbered[part]].masked_fill(strays[part][..., None], 0), tokens[part])
                for part in np.array_split(rows, PARTS)
            ]
        )
        loss = shared_loss(recipe.scale * said @ seen.embeddings[shown].T, true)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(tower, 1.0)
        optimiser.step()
        schedule.step()
        mean = loss.item() if step == 0 else 0.98 * mean + 0.02 * loss.item()
        if (step + 1) % 200 == 0:
            print(f"text {step + 1} {time.monotonic() - began:.0f}s loss {mean:.3f}", file=sys.stderr, flush=True)
    with torch.no_grad():
        # Words never taught then all look the same, and strays have shown what that means: nothing in particular.
        model.token_embedding.weight.zero_()[known[1:]] = rows_of.detach()[1:]
        model.logit_scale.fill_(float(np.log(recipe.scale)))


def shared_loss(logits: Tensor, true: Tensor) -> Tensor:
    """Cross-entropy both ways of logits (texts, pictures) with the targets shared as the module says."""
    truth = true.float()
    pictures_of = truth.sum(1, keepdim=True)
    heard = pictures_of[:, 0] > 0  # by chance a batch may show nothing of what a text says
    share = truth / pictures_of.clamp(min=1)
    of_texts = -(share * logits.log_softmax(1)).sum(1)[heard].mean()
    among_texts = share / share.sum(0, keepdim=True).clamp(min=1e-9)
    of_pictures = -(among_texts * logits.log_softmax(0)).sum(0).mean()
    return (of_texts + of_pictures) / 2


def encode(texts: tuple[str, ...]) -> Tensor:
    """Token ids (N, 32) int64 of captions; a stray word becomes one token that nothing else uses."""
    tokenizer = _tokenizer()
    pieces = {word: tokenizer.encode(word) for word in sorted({word for text in texts for word in text.split()})}
    pieces[STRAY] = [stray_token()]
    ids = torch.zeros(len(texts), CONTEXT, dtype=torch.int64)
    for row, text in zip(ids, texts, strict=True):
        inner = [token for word in text.split() for token in pieces[word]][: CONTEXT - 2]
        row[: len(inner) + 2] = torch.tensor([tokenizer.sot_token_id, *inner, tokenizer.eot_token_id])
    return ids


def stray_token() -> int:
    """The last merge of the vocabulary: a rare word, which stands for all that training does not know."""
    return int(_tokenizer().sot_token_id) - 1


def known_tokens(tokens: Tensor) -> Tensor:
    """The tokens that captions have, strays apart, in order; the first also pads."""
    found = torch.unique(tokens)
    return torch.cat([torch.zeros(1, dtype=torch.int64), found[(found != 0) & (found != stray_token())]])


def read(model: Any, embedded: Tensor, tokens: Tensor) -> Tensor:
    """Unit embeddings (N, D) of texts by their tokens' embeddings (N, 32, W) and ids (N, 32).

    Columns that only pad are left out, which changes nothing but the time.
    """
    longest = int((tokens != 0).sum(1).max())
    x = embedded[:, :longest] + model.positional_embedding[:longest]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:longest, :longest]))
    ends = tokens[:, :longest].argmax(1)
    return F.normalize(x[torch.arange(len(x)), ends] @ model.text_projection, dim=1)


def text_parameters(model: Any) -> list[nn.Parameter]:
    """The parameters of the text tower but for the embeddings of its tokens."""
    outside = ("visual.", "logit_", "token_embedding.")
    return [p for name, p in model.named_parameters() if not name.startswith(outside)]


@cache
def _tokenizer() -> Any:
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer(context_length=CONTEXT)
