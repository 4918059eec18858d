"""The import profiles of IPIP-499: every choice that a CID depends on, under one name.

Specification: https://specs.ipfs.tech/ipips/ipip-0499/.
"""

from __future__ import annotations

from dataclasses import dataclass

from provenance.errors import UsageError

HAMT_FANOUT = 256
HAMT_THRESHOLD = 256 * 1024
"""Bytes; a directory larger than this is sharded."""


@dataclass(frozen=True)
class Profile:
    """One profile. Sizes in bytes; ``directory_estimate`` is what is held against the threshold."""

    name: str
    cid_version: int
    raw_leaves: bool
    chunk_size: int
    max_links: int
    directory_estimate: str


V1_2025 = Profile("unixfs-v1-2025", 1, True, 1024 * 1024, 1024, "block")
V0_2015 = Profile("unixfs-v0-2015", 0, False, 256 * 1024, 174, "links")
PROFILES = {profile.name: profile for profile in (V1_2025, V0_2015)}


def profile_named(name: str | Profile) -> Profile:
    """The profile of that name; raises UsageError."""
    if isinstance(name, Profile):
        return name
    if name not in PROFILES:
        raise UsageError(
            f"there is no CID profile {name!r}", expected=" or ".join(PROFILES), fix="leave it out for unixfs-v1-2025"
        )
    return PROFILES[name]
