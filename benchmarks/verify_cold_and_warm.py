"""How long `prov verify` of one picture takes: as a whole process, and again inside a running one.

Run after `make demo`:  python benchmarks/verify_cold_and_warm.py demo-output
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

RUNS = 7


def main(demo: Path) -> None:
    """Prints medians in milliseconds, with the machine they were taken on."""
    home, picture = demo / "home", sorted((demo / "images").glob("*.png"))[0]
    environment = {**os.environ, "PROV_HOME": str(home)}
    command = [sys.executable, "-m", "cli.main", "verify", str(picture)]
    cold = [
        _timed(lambda: subprocess.run(command, env=environment, check=True, capture_output=True)) for _ in range(RUNS)
    ]

    from provenance.home import Home
    from provenance.ledger import open_reader
    from provenance.stores import open_store
    from provenance.trust import TrustStore
    from provenance.verify import verify_image

    opened = Home.open(home)
    reader, store, trust = open_reader(opened), open_store(opened), TrustStore.of_home(opened)
    warm = [_timed(lambda: verify_image(picture, reader=reader, store=store, trust=trust)) for _ in range(RUNS)]
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    for name, figures in (("whole process", cold), ("in a running process", warm)):
        print(f"{name:22} median {statistics.median(figures):6.0f} ms   max {max(figures):6.0f} ms")


def _timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    main(Path(sys.argv[1]))
