"""Prompt in, image out, in the only order allowed: licence, screen, sample, screen, watermark, sign, record."""

from generation.request import GenerationRequest, read_prompts

__all__ = ["GenerationRequest", "read_prompts"]
