"""The chain of digests over a training, and its replay."""
