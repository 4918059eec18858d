"""A BLIP captioning model of random weights that knows a few words, made on the spot."""

from __future__ import annotations

from pathlib import Path

WORDS = ("a", "red", "fish", "in", "the", "sea", "boat", "sun", "on", "hill")


def save_tiny_blip(folder: Path) -> Path:
    import torch
    from transformers import (
        BertTokenizerFast,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )

    folder.mkdir(parents=True)
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "[ENC]"]
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join([*specials, *WORDS]) + "\n")
    tokenizer = BertTokenizerFast(str(vocabulary), bos_token="[DEC]", additional_special_tokens=["[ENC]"])
    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BlipConfig(
        text_config={
            **size,
            "vocab_size": len(specials) + len(WORDS),
            "encoder_hidden_size": 16,
            "bos_token_id": 5,
            "eos_token_id": 3,
            "sep_token_id": 3,
            "pad_token_id": 0,
            "max_position_embeddings": 64,
        },
        vision_config={**size, "image_size": 32, "patch_size": 16},
    )
    with torch.random.fork_rng():
        torch.manual_seed(4)
        model = BlipForConditionalGeneration(config)
        # Never a special token: a caption of words alone, as long as it may be.
        for name, parameter in model.named_parameters():
            if name.startswith("text_decoder.cls.predictions") and name.endswith("bias") and len(parameter) > 16:
                parameter.data[: len(specials)] = -1e4
    model.save_pretrained(folder)
    processor = BlipProcessor(BlipImageProcessor(size={"height": 32, "width": 32}), tokenizer)
    processor.save_pretrained(folder)
    return folder
