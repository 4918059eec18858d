"""What a record says of the mark in a picture's initial noise: ``{"alg": "org.prov.latent.1", "nonce": 0 to 65535}``.

The payload is the record's own. The nonce is no secret: a reader finds it in the picture.
"""

from __future__ import annotations

from typing import Any

from provenance.canonical import Json

LATENT_ALGORITHM = "org.prov.latent.1"
NONCE_LIMIT = 1 << 16


def latent_entry(nonce: int) -> Json:
    """The entry ``latent`` of a record's ``watermark``."""
    return {"alg": LATENT_ALGORITHM, "nonce": nonce}


def is_latent_entry(value: Any) -> bool:
    """Whether a value is such an entry."""
    if not isinstance(value, dict) or set(value) != {"alg", "nonce"}:
        return False
    return value["alg"] == LATENT_ALGORITHM and type(value["nonce"]) is int and 0 <= value["nonce"] < NONCE_LIMIT
