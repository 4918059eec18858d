"""A learned word of an adapter: a trigger such as ``<dove>``, which stands for vectors that were trained for it.

Textual inversion: arXiv:2208.01618. The vectors lie in ``embeddings.safetensors`` beside the weights.
"""

from __future__ import annotations

import re
from typing import Any

EMBEDDINGS = "embeddings.safetensors"
MAX_VECTORS = 32
# Lower case, because tokenisers fold case; angle brackets, so that it is never part of another word.
TRIGGER = re.compile(r"<[a-z0-9][a-z0-9-]{0,30}>")


def is_learned(trigger: str) -> bool:
    """Whether a trigger is a word to be learned, such as ``<dove>``, and not one that the base knows."""
    return TRIGGER.fullmatch(trigger) is not None


def teach_tokeniser(tokeniser: Any, trigger: str, vectors: int) -> int:
    """Makes a tokeniser of transformers read every ``trigger`` as that many new tokens; gives the first one's id.

    Raises ValueError when it knows the word already.
    """
    from tokenizers import AddedToken, normalizers

    names = [f"{trigger[:-1]}:{index}>" for index in range(vectors)]
    if any(name in tokeniser.get_vocab() for name in names):
        raise ValueError(f"the tokeniser knows {trigger} already")
    tokeniser.add_tokens([AddedToken(name, normalized=True, special=False) for name in names])
    backend = tokeniser.backend_tokenizer
    spelling = normalizers.Replace(trigger, " ".join(names))
    known = backend.normalizer
    backend.normalizer = spelling if known is None else normalizers.Sequence([spelling, known])
    first: int = tokeniser.convert_tokens_to_ids(names[0])
    return first


def make_room(encoder: Any, tokeniser: Any) -> Any:
    """Gives the table of a CLIP text encoder a row for every token of its tokeniser, and returns the table.

    Old configurations of CLIP find the end of a text at its largest token, which a new token would be.
    """
    if encoder.get_input_embeddings().weight.shape[0] < len(tokeniser):
        encoder.resize_token_embeddings(len(tokeniser), mean_resizing=False)
    inner = getattr(encoder, "text_model", encoder)
    encoder.config.eos_token_id = inner.eos_token_id = tokeniser.eos_token_id
    return encoder.get_input_embeddings()
