"""Sealed weights: encrypted before they are published, their key wrapped for each licensee."""

from __future__ import annotations

from provenance.sealing.handover import known_public_key, licensed, wrap_for
from provenance.sealing.wrapping import WrappedKey, parse_public_key, public_key_of

__all__ = ["WrappedKey", "known_public_key", "licensed", "parse_public_key", "public_key_of", "wrap_for"]
