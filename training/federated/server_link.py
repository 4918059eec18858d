"""The server's end of Flower's gRPC transport: a door that contributors come in by, and what is asked of them."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from flwr.common import Code, FitIns, FitRes, GetPropertiesIns, Parameters, ReconnectIns
from flwr.server import SimpleClientManager
from flwr.server.superlink.fleet.grpc_bidi.grpc_bridge import GrpcBridgeClosed
from flwr.server.superlink.fleet.grpc_bidi.grpc_server import start_grpc_server

from provenance.faults import printable
from training.federated.addresses import Address, Listening
from training.federated.errors import ContributionRefused, ContributorLost
from training.federated.flower import MAX_MESSAGE_BYTES
from training.federated.wire import MAX_REASON, SAFETENSORS, Scalars

# Beside the contributors there may be strangers, each of whom holds a thread until it is refused.
MAX_CONNECTIONS = 256
FAREWELL_SECONDS = 30.0

T = TypeVar("T")
U = TypeVar("U")


class Door(SimpleClientManager):  # type: ignore[misc]
    """Who is connected; ``joined`` holds those whom nobody has looked at yet. A closed door lets nobody in."""

    def __init__(self) -> None:
        super().__init__()
        self.joined: queue.Queue[Any] = queue.Queue()
        self.closed = False

    def register(self, client: Any) -> bool:
        """Flower calls this for every new connection; False sends it away."""
        if self.closed or self.num_available() >= MAX_CONNECTIONS or not super().register(client):
            return False
        self.joined.put(client)
        return True


@dataclass(frozen=True)
class Peer:
    """One connection, and what its contributor is called in messages."""

    proxy: Any
    name: str

    def ask(self, kind: str, timeout: float, **values: Any) -> Scalars:
        """Sends one message and gives the answer; raises ContributorLost, or ContributionRefused when it declines."""
        ins = GetPropertiesIns({"kind": kind, **values})
        answer = self._reached(lambda: self.proxy.get_properties(ins, timeout, None))
        self._require_willing(answer.status)
        properties: Scalars = answer.properties
        return properties

    def train(self, weights: Sequence[bytes], timeout: float, **values: Any) -> FitRes:
        """Asks for a round's work and gives the answer; raises as ``ask`` does."""
        ins = FitIns(Parameters([*weights], SAFETENSORS), values)
        answer = self._reached(lambda: self.proxy.fit(ins, timeout, None))
        self._require_willing(answer.status)
        return answer

    def dismiss(self, kind: str, **values: Any) -> None:
        """Tells a last thing and hangs up; whoever is gone already, or still at work, need not hear it."""
        try:
            self.ask(kind, FAREWELL_SECONDS, **values)
        except ContributionRefused:
            pass
        except ContributorLost:
            return
        try:
            self.proxy.reconnect(ReconnectIns(None), FAREWELL_SECONDS, None)
        except GrpcBridgeClosed:
            return
        except ValueError:
            # What Flower raises when an answer is still awaited.
            self.proxy.bridge.close()

    def _reached(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except GrpcBridgeClosed as error:
            raise ContributorLost(
                f"{self.name} went away",
                expected="an answer before the time limit",
                fix="see on its side why, and begin again",
            ) from error
        except Exception as error:  # Flower raises whatever its parts raise on what a stranger may have sent
            raise ContributionRefused(
                f"{self.name} sent an answer that cannot be read", found=f"{type(error).__name__}: {error}"[:200]
            ) from error

    def _require_willing(self, status: Any) -> None:
        if status.code != Code.OK:
            reason = printable(str(status.message)[:MAX_REASON].replace("\n", "; "))
            raise ContributionRefused(f"{self.name} declined", found=reason)


@contextmanager
def open_door(listening: Listening) -> Iterator[tuple[Door, str]]:
    """Listens, gives the door and the address that contributors come to, and sends away whoever is left at the end."""
    listening.address.require_free()
    door = Door()
    certificates = None
    if listening.certificate is not None:
        # The first is for clients' certificates, which are not asked for: contributors sign what they send.
        certificates = (listening.certificate, listening.certificate, listening.key)
    server = start_grpc_server(
        client_manager=door,
        server_address=str(listening.address),
        max_concurrent_workers=MAX_CONNECTIONS + 1,
        max_message_length=MAX_MESSAGE_BYTES,
        certificates=certificates,
    )
    try:
        yield door, str(Address(listening.address.host, int(server.bound_address.rpartition(":")[2])))
    finally:
        door.closed = True
        server.stop(0).wait(FAREWELL_SECONDS)


def at_once(work: Callable[[T], U], items: Sequence[T]) -> list[U | ContributorLost | ContributionRefused]:
    """Does the same with several peers at the same time; gives results or refusals, in order."""

    def tried(item: T) -> U | ContributorLost | ContributionRefused:
        try:
            return work(item)
        except (ContributorLost, ContributionRefused) as error:
            return error

    return all_or_none(tried, items)


def all_or_none(work: Callable[[T], U], items: Sequence[T]) -> list[U]:
    """The same, but raises the first refusal as soon as there is one, and leaves the others to themselves."""
    pool = ThreadPoolExecutor(max(len(items), 1))
    try:
        doing = [pool.submit(work, item) for item in items]
        for done in as_completed(doing):
            done.result()
        return [each.result() for each in doing]
    finally:
        # Not waited for: what is still awaited ends when the door closes.
        pool.shutdown(wait=False, cancel_futures=True)
