"""The starter's CLIP tokenizer: byte-pair merges learned from our own captions, bytes for every other word."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from generation.starter.scenes import SCENES, every_caption

MAX_LENGTH = 24
START, END = "<|startoftext|>", "<|endoftext|>"
# CLIP's own way of splitting text into words.
WORDS = r"""'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""

# Words users are likely to write about small pictures, so that most take one token. The starter never saw them.
EVERYDAY_WORDS = """
airplane anchor and apple arrow ball banana bee bell bicycle bird black boat book bottle bow bright brown bus
butterfly cactus cake candle car castle cat chair cheerful cherry chicken clock cloud clown colourful cow crab crown
cute dark diamond dinosaur dog dragon drum duck elephant eye face flag forest fox frog ghost gift girl giraffe glass
gold guitar hand happy hat heart helicopter hill horse ice key kite lamp leaf light lion little logo man monkey moon
mountain mouse new octopus of old on owl paint palm panda pear pencil penguin person piano pig pink plane planet
poster rabbit rain rainbow ring river road robot rocket rose sad scissors shark sheep ship shoe silver simple sky small
snail snake snowman spider spoon spring square strawberry style sun sword table teapot tent tiger toy train triangle
truck turtle umbrella vase violin watch water whale wheel white window with wizard wolf woman zebra
"""


def training_captions() -> list[str]:
    """Every form of every scene's caption; words alone are learned from them, so held-out scenes may be among them."""
    return [caption for scene in SCENES for caption in every_caption(scene)]


def learn_tokenizer(captions: Iterable[str], folder: Path) -> CLIPTokenizer:
    """Learns merges from captions and writes the tokenizer's files into a folder."""
    texts = [*captions, *EVERYDAY_WORDS.split()]
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=4096, min_frequency=1, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False
    )
    learner.train_from_iterator(texts, trainer)
    merges = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    # CLIP's order: every byte, every byte that ends a word, the merges in turn, the two marks.
    names = [*alphabet, *(f"{byte}</w>" for byte in alphabet)]
    names += [joined for a, b in merges if (joined := a + b) not in set(names)]
    vocabulary = {name: number for number, name in enumerate(dict.fromkeys([*names, START, END]))}
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = CLIPTokenizer(
        vocab=vocabulary,
        merges=merges,
        model_max_length=MAX_LENGTH,
        bos_token=START,
        eos_token=END,
        unk_token=END,
        pad_token=END,
    )
    tokenizer.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(f"{a} {b}" for a, b in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tokenizer
