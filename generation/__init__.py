"""Prompt in, image out, in the only order allowed: licence, screen, sample, screen, watermark, sign, record."""
