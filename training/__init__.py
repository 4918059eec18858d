"""Signed dataset in, LoRA adapter with a training attestation out."""
