"""Token buckets: how often each name may ask. Bounded in memory, safe between threads."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

CAPACITY = 10_000
"""Names remembered; beyond, the one that asked longest ago is forgotten."""


@dataclass
class _Bucket:
    left: float
    at: float
    refused: bool = False


@dataclass(frozen=True)
class Taken:
    """Whether one more was allowed: ``wait`` is 0, or the seconds until it would be.

    ``repeated`` says that the one before was refused too, so that a flood need not be written down request by request.
    """

    wait: float
    repeated: bool


class RateLimit:
    """At most ``burst`` at once and ``per_minute`` in the long run, for each name."""

    def __init__(self, *, burst: int, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst = float(burst)
        self._rate = per_minute / 60
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, name: str) -> Taken:
        """Takes one for a name, if there is one."""
        with self._lock:
            now = self._clock()
            bucket = self._buckets.pop(name, None) or _Bucket(self._burst, now)
            bucket.left = min(self._burst, bucket.left + (now - bucket.at) * self._rate)
            bucket.at = now
            self._buckets[name] = bucket
            if len(self._buckets) > CAPACITY:
                self._buckets.popitem(last=False)
            if bucket.left >= 1:
                bucket.left -= 1
                bucket.refused = False
                return Taken(0, False)
            repeated, bucket.refused = bucket.refused, True
            return Taken((1 - bucket.left) / self._rate, repeated)


def peer_name(address: str) -> str:
    """The name to limit a peer by: its address, or the /64 that one IPv6 host commonly has to itself."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if ip.version == 6 and ip.ipv4_mapped is None:
        return str(ipaddress.IPv6Network((int(ip) >> 64 << 64, 64)))
    return str(ip)
