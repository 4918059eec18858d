"""Challenges that were issued and not yet answered; each is taken once."""

from __future__ import annotations

import threading
from collections import OrderedDict

from provenance.keyservice.challenge import Challenge
from provenance.keyservice.refusal import Refusal

CAPACITY = 10_000


class PendingChallenges:
    """Bounded in memory, safe between threads, empty after a restart: then clients ask anew."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, Challenge] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, challenge: Challenge) -> None:
        """Remembers a challenge; raises Refusal (busy) when too many are waiting."""
        with self._lock:
            # Issued in order of time, which is kept: what has expired stands in front.
            while self._open and next(iter(self._open.values())).expires_at <= challenge.issued_at:
                self._open.popitem(last=False)
            if len(self._open) >= CAPACITY:
                raise Refusal("busy", "too many challenges are waiting for their answer", wait=60)
            self._open[challenge.nonce] = challenge

    def take(self, challenge: Challenge, now: int) -> None:
        """Uses a challenge up, whatever comes of it; raises Refusal unless it is one of ours, whole, and in time."""
        with self._lock:
            issued = self._open.pop(challenge.nonce, None)
        if issued is None:
            raise Refusal(
                "challenge-unknown",
                "this challenge was never issued, or was used already",
                fix="ask for a new one; each serves once",
            )
        if issued != challenge:
            raise Refusal("challenge-unknown", "this challenge was issued with another content")
        if now >= issued.expires_at:
            raise Refusal(
                "challenge-expired",
                "the challenge has expired",
                expected=f"an answer before {issued.expires_at}",
                found=f"{now}",
                fix="ask for a new one",
            )
