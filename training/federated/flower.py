"""Flower, made fit for use here, before anything of it is imported: no telemetry, no log of its own, nothing fetched.

Of Flower (flwr 1.42, Apache-2.0) are used its gRPC transport between a server and its clients, in one process each; its
weighted average; and its secure aggregation SecAgg+ on both sides. Its SuperLink, SuperNode and app bundles are not:
they start processes of their own and install packages by themselves.
"""

from __future__ import annotations

import importlib
import logging
import os

from training.federated.errors import FederationUnavailable

MAX_MESSAGE_BYTES = 1 << 30
# What is used of Flower beside its public interface, and may therefore be elsewhere in another release.
_INNER = (
    "flwr.client.mod.secure_aggregation.secaggplus_mod",
    "flwr.common.secure_aggregation.secaggplus_constants",
    "flwr.compat.client.grpc_client.connection",
    "flwr.server.superlink.fleet.grpc_bidi.grpc_server",
    "flwr.server.workflow.secure_aggregation.secaggplus_workflow",
)


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
    try:
        for name in _INNER:
            importlib.import_module(name)
    except ImportError as error:
        raise FederationUnavailable(
            "this release of Flower is built in another way than is known here",
            expected="flwr 1.42, as constraints.txt names it",
            found=str(error),
            fix="pip install 'flwr==1.42.0'",
        ) from error
    # Read from the environment when it was first imported, which may have been before this.
    telemetry.FLWR_TELEMETRY_ENABLED = "0"
    # What concerns the user is reported by this package; their own lines would only repeat it, with tracebacks.
    for name in ("flwr", "grpc"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
