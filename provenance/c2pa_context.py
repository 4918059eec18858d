"""The settings under which C2PA is written and read: nothing is fetched from any network, no thumbnails are made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provenance.canonical import Json

if TYPE_CHECKING:
    import c2pa


def context(anchors_pem: bytes = b"") -> c2pa.Context:
    """A context that trusts the root certificates given and no others."""
    import c2pa

    settings: Json = {
        "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": True},
        "builder": {"thumbnail": {"enabled": False}},
    }
    if anchors_pem:
        settings["trust"] = {"trust_anchors": anchors_pem.decode()}
    return c2pa.Context(c2pa.Settings.from_dict(settings))
