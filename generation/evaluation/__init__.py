"""Evaluation of an adapter: its pictures and those of its base alone, for the same prompts and noise, and a dataset."""
