"""A contributor's end of Flower's gRPC transport."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import grpc
from flwr.app import Context, RecordDict
from flwr.client import Client
from flwr.client.message_handler.message_handler import handle_control_message
from flwr.clientapp import ClientApp
from flwr.common import Code, FitIns, FitRes, GetPropertiesIns, GetPropertiesRes, Parameters, Status
from flwr.compat.client.grpc_client.connection import grpc_connection

from provenance.errors import ProvenanceError
from training.federated.addresses import Reaching
from training.federated.errors import FederationInterrupted, FederationUnavailable
from training.federated.flower import MAX_MESSAGE_BYTES
from training.federated.wire import MAX_REASON, SAFETENSORS, Scalars

_NOTHING = Parameters([], SAFETENSORS)
_PARTING_SECONDS = 30.0


class Answering(Protocol):
    """What a contributor answers; either may raise a ProvenanceError, which ends its part and tells the server why."""

    def answer(self, kind: str, values: Scalars) -> Scalars:
        """The answer to a message."""

    def train(self, weights: list[bytes], values: Scalars) -> tuple[list[bytes], int, Scalars]:
        """The answer to a round: update, number of items, and what is signed about it."""


class _Client(Client):  # type: ignore[misc]
    def __init__(self, contributor: Answering) -> None:
        self._contributor = contributor
        self.fault: ProvenanceError | None = None

    def get_properties(self, ins: GetPropertiesIns) -> GetPropertiesRes:
        """Flower calls this for a message."""
        answered = self._try(lambda: self._contributor.answer(str(ins.config.get("kind")), dict(ins.config)))
        if answered is None:
            return GetPropertiesRes(Status(Code.GET_PROPERTIES_NOT_IMPLEMENTED, self._reason()), {})
        return GetPropertiesRes(Status(Code.OK, ""), answered)

    def fit(self, ins: FitIns) -> FitRes:
        """Flower calls this for a round."""
        answered = self._try(lambda: self._contributor.train(ins.parameters.tensors, dict(ins.config)))
        if answered is None:
            return FitRes(Status(Code.FIT_NOT_IMPLEMENTED, self._reason()), _NOTHING, 0, {})
        update, items, signed = answered
        return FitRes(Status(Code.OK, ""), Parameters(update, SAFETENSORS), items, signed)

    def _try(self, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except ProvenanceError as error:
            self.fault = error
            return None

    def _reason(self) -> str:
        # What was found may quote files of this machine; what went wrong is enough for the server.
        return "" if self.fault is None else self.fault.what[:MAX_REASON]


def stay_connected(
    reaching: Reaching, contributor: Answering, is_done: Callable[[], bool], patience: float = 86400.0
) -> None:
    """Answers the server until it says that all is done, or is silent for ``patience`` seconds.

    Raises what the contributor raised, FederationUnavailable when the server cannot be reached or goes away before, or
    FederationInterrupted.
    """
    client = _Client(contributor)
    app = ClientApp(client_fn=lambda _: client)
    context = Context(run_id=0, node_id=0, node_config={}, state=RecordDict(), run_config={})
    lost: BaseException | None = None
    try:
        with (
            ThreadPoolExecutor(1) as listener,
            grpc_connection(str(reaching.address), not reaching.tls, None, MAX_MESSAGE_BYTES, reaching.roots) as link,
        ):
            # Leaving the inner context closes the channel, which ends a listener that still waits.
            receive, send, *_ = link
            while client.fault is None:
                message = listener.submit(receive).result(patience)
                parting, _ = handle_control_message(message)
                if parting is not None:
                    send(parting)
                    break
                send(app(message, context))
            else:
                # The server, told the reason, sends one more message or hangs up; only then is this answer through.
                listener.submit(receive).result(min(patience, _PARTING_SECONDS))
    except (grpc.RpcError, StopIteration, TimeoutError) as error:
        lost = error
    except KeyboardInterrupt as error:
        raise FederationInterrupted("stopped; what was not sent yet never left this machine") from error
    if client.fault is not None:
        raise client.fault
    if not is_done():
        raise FederationUnavailable(
            f"the server at {reaching.address} cannot be reached or went away",
            expected="a server that stays until the training is done",
            found=_reason(lost),
            fix="see on its side why; every training begins anew with `prov federate server`",
        ) from lost


def _reason(error: BaseException | None) -> str | None:
    if isinstance(error, grpc.Call):
        return f"{error.code().name}: {(error.details() or '')[:300]}"
    if isinstance(error, TimeoutError):
        return "no word from it for too long"
    return None if error is None else "the server closed the connection"
