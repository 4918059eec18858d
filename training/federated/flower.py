"""Flower, made fit for use here, before anything of it is imported: no telemetry, no log of its own, nothing fetched.

Of Flower (flwr 1.42, Apache-2.0) are used its gRPC transport between a server and its clients, in one process each; its
weighted average; and its secure aggregation SecAgg+ on both sides. Its SuperLink, SuperNode and app bundles are not:
they start processes of their own and install packages by themselves.
"""

from __future__ import annotations

import logging
import os

from training.federated.errors import FederationUnavailable

MAX_MESSAGE_BYTES = 1 << 30


def require_flower() -> None:
    """Prepares Flower for import; raises FederationUnavailable when it is not installed."""
    os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        from flwr.supercore import telemetry
    except ModuleNotFoundError as error:
        raise FederationUnavailable(
            "federated training needs Flower", found=str(error), fix="pip install 'prov[federated]'"
        ) from error
    # Read from the environment when it was first imported, which may have been before this.
    telemetry.FLWR_TELEMETRY_ENABLED = "0"
    # What concerns the user is reported by this package; their own lines would only repeat it, with tracebacks.
    for name in ("flwr", "grpc"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
