"""The server's part of one secure aggregation: Flower's SecAgg+ workflow over its gRPC transport.

Of the updates the server sees their sum. What each contributor sends is looked at as far as it can be: that it is of
the right form, and that its masked vector is what it signed.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.common import FitIns, Parameters, parameters_to_ndarrays
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, Key, Stage
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.compat.common.recorddict_compat import parameters_to_arrayrecord
from flwr.proto.recorddict_pb2 import RecordDict as RecordDictProto
from flwr.server import LegacyContext, SimpleClientManager
from flwr.server.strategy import Strategy
from flwr.server.workflow import SecAggPlusWorkflow
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD
from flwr.server.workflow.constant import Key as WorkflowKey
from flwr.serverapp import Grid
from flwr.supercore.primitives.asymmetric import bytes_to_public_key
from flwr.supercore.task_identity import TaskIdentity
from google.protobuf.message import DecodeError

from training.federated.errors import ContributionRefused, FederationError
from training.federated.masking import LEVELS, MODULUS, RECORD, Agreement, strengthen_masks
from training.federated.server_link import Peer, all_or_none
from training.federated.wire import SAFETENSORS

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A share of a secret is 52 bytes and a ciphertext of two of them a few hundred.
_MAX_SMALL = 1 << 16
_CURVE = "secp384r1"


@dataclass(frozen=True)
class Member:
    """One contributor to a sum: its number, its connection, its items, and its certificates."""

    number: int
    peer: Peer
    items: int
    chain: bytes


@dataclass
class MaskedSum:
    """One round: ``check`` is called with number, masked vectors and the signed statement of each contributor."""

    members: Mapping[int, Member]
    number: int
    size: int
    reach: float
    timeout: float
    check: Callable[[int, list[bytes], object], None]

    def mean(self, weights: bytes) -> NDArray[np.float64]:
        """The mean of all updates from these weights, weighted by items, as one vector.

        Raises ContributorLost, ContributionRefused or FederationError.
        """
        strengthen_masks()
        # Who this process is to Flower, which every message is marked with.
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 0, SUPERLINK_NODE_ID
        agreement = Agreement(len(self.members), max(member.items for member in self.members.values()), self.reach)
        strategy = _Round(self.members, weights)
        grid = _Grid(self)
        context = LegacyContext(
            Context(run_id=0, node_id=0, node_config={}, state=RecordDict(), run_config={}),
            strategy=strategy,
            client_manager=SimpleClientManager(),
        )
        context.state[MAIN_CONFIGS_RECORD] = ConfigRecord({WorkflowKey.CURRENT_ROUND: self.number})
        context.state[MAIN_PARAMS_RECORD] = parameters_to_arrayrecord(strategy.weights, keep_input=True)
        workflow = SecAggPlusWorkflow(
            num_shares=1.0,
            reconstruction_threshold=1.0,
            max_weight=float(agreement.most_items),
            clipping_range=self.reach,
            quantization_range=LEVELS,
            modulus_range=MODULUS,
            timeout=self.timeout,
        )
        try:
            workflow(grid, context)
        except (ValueError, KeyError, IndexError, TypeError, AssertionError) as error:
            # Secrets that do not fit together: some contributor's shares are wrong, and nobody can tell whose.
            raise FederationError(
                f"the masks of round {self.number} do not cancel out",
                expected="shares of every contributor's secret that fit together",
                found=f"{type(error).__name__}: {error}"[:200],
                fix="without secure aggregation a wrong update can be told by its sender",
            ) from error
        if strategy.mean is None:
            raise FederationError(f"the secure aggregation of round {self.number} came to nothing")
        self._check_mean(strategy.mean, agreement)
        return strategy.mean

    def _check_mean(self, mean: NDArray[np.float64], agreement: Agreement) -> None:
        most = self.reach + agreement.error([member.items for member in self.members.values()])
        if mean.shape != (self.size,) or not np.isfinite(mean).all() or float(np.abs(mean).max()) > most:
            raise FederationError(
                f"the sum of round {self.number} goes further than the agreed training can",
                expected=f"{self.size} values of at most {most:.6g}",
                found=f"{float(np.abs(mean).max()):.6g}" if mean.size else "nothing",
                fix="some contributor's update is wrong, and secure aggregation hides whose: ask all to show theirs, "
                "or train with --no-secure-aggregation, where it is named",
            )


class _Round(Strategy):  # type: ignore[misc]
    """What Flower's workflow asks a strategy for: whom to ask, and where to put the mean."""

    def __init__(self, members: Mapping[int, Member], weights: bytes) -> None:
        self._members = members
        self.weights = Parameters([weights], SAFETENSORS)
        self.mean: NDArray[np.float64] | None = None

    def configure_fit(self, server_round: int, parameters: Any, client_manager: Any) -> list[tuple[Any, FitIns]]:
        for number, member in self._members.items():
            member.peer.proxy.node_id = number
        return [(member.peer.proxy, FitIns(self.weights, {})) for member in self._members.values()]

    def aggregate_fit(self, server_round: int, results: Any, failures: Any) -> tuple[None, dict[str, Any]]:
        if not failures and len(results) == len(self._members):
            (self.mean,) = parameters_to_ndarrays(results[0][1].parameters)
        return None, {}

    def initialize_parameters(self, client_manager: Any) -> None:
        return None

    def configure_evaluate(self, server_round: int, parameters: Any, client_manager: Any) -> list[Any]:
        return []

    def aggregate_evaluate(self, server_round: int, results: Any, failures: Any) -> tuple[None, dict[str, Any]]:
        return None, {}

    def evaluate(self, server_round: int, parameters: Any) -> None:
        return None


@dataclass
class _Grid(Grid):  # type: ignore[misc]
    """Carries the messages of SecAgg+ in those of the gRPC transport, and looks at every answer."""

    round: MaskedSum
    _keys: dict[int, bytes] = field(default_factory=dict)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        return all_or_none(self._exchange, [*messages])

    def _exchange(self, message: Message) -> Message:
        member = self.round.members[message.metadata.dst_node_id]
        content = RecordDict({**message.content})
        stage = str(content.config_records[RECORD_KEY_CONFIGS][Key.STAGE])
        if stage == Stage.SHARE_KEYS:
            content[RECORD] = ConfigRecord(
                {f"keys-{number}": envelope for number, envelope in self._keys.items()}
                | {f"chain-{number}": other.chain for number, other in self.round.members.items()}
            )
        data = recorddict_to_proto(content).SerializeToString()
        answer = member.peer.train([], self.round.timeout, round=self.round.number, secagg=data)
        reply = _parse(answer.metrics.get("secagg"), member.peer.name)
        try:
            self._check(stage, member, reply, answer.metrics)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise ContributionRefused(
                f"{member.peer.name} sent something else than the secure aggregation's stage {stage}",
                found=f"{type(error).__name__}: {error}"[:200],
            ) from error
        return Message(reply, reply_to=message)

    def _check(self, stage: str, member: Member, reply: RecordDict, metrics: Mapping[str, Any]) -> None:
        config = reply.config_records[RECORD_KEY_CONFIGS]
        everybody = sorted(self.round.members)
        match stage:
            case Stage.SETUP:
                for key in (config[Key.PUBLIC_KEY_1], config[Key.PUBLIC_KEY_2]):
                    _require(isinstance(key, bytes) and len(key) <= _MAX_SMALL, "public keys")
                    _require(bytes_to_public_key(key).curve.name == _CURVE, f"keys on {_CURVE}")
                keys = reply.config_records[RECORD]["keys"]
                _require(isinstance(keys, bytes) and len(keys) <= _MAX_SMALL, "signed keys")
                self._keys[member.number] = keys
            case Stage.SHARE_KEYS:
                others = [number for number in everybody if number != member.number]
                _require(sorted(config[Key.DESTINATION_LIST]) == others, "shares for all others")
                _require_small(config[Key.CIPHERTEXT_LIST], len(others))
            case Stage.COLLECT_MASKED_VECTORS:
                masked = config[Key.MASKED_PARAMETERS]
                _require(len(masked) == 2, "a weight and a vector")
                _check_masked(masked[0], 1)
                _check_masked(masked[1], self.round.size)
                self.round.check(member.number, masked, metrics.get("statement"))
            case Stage.UNMASK:
                _require(sorted(config[Key.NODE_ID_LIST]) == everybody, "a share of everybody's mask")
                _require_small(config[Key.SHARE_LIST], len(everybody))

    def set_run(self, run: Any) -> None:
        raise ValueError("there are no runs on this transport")

    @property
    def run(self) -> Any:
        raise ValueError("there are no runs on this transport")

    def create_message(self, *arguments: Any, **named: Any) -> Message:
        return Message(*arguments, **named)

    def get_node_ids(self) -> list[int]:
        return [*self.round.members]

    def push_messages(self, messages: Any) -> Any:
        raise ValueError("on this transport messages are answered at once: use send_and_receive")

    def pull_messages(self, message_ids: Any) -> Any:
        raise ValueError("on this transport messages are answered at once: use send_and_receive")


def _parse(data: Any, name: str) -> RecordDict:
    try:
        return recorddict_from_proto(RecordDictProto.FromString(data))
    except (DecodeError, ValueError, TypeError, KeyError) as error:
        raise ContributionRefused(f"{name} sent a message that cannot be read", found=str(error)[:200]) from error


def _check_masked(data: bytes, size: int) -> None:
    """Looks at an array before NumPy makes room for what its header says."""
    file = io.BytesIO(data)
    _require(np.lib.format.read_magic(file) == (1, 0), "an array of NumPy's format 1.0")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    _require(shape == (size,) and dtype == np.dtype("<i8"), f"{size} whole numbers")
    values = np.frombuffer(file.read(), dtype="<i8")
    _require(len(values) == size and bool(((values >= 0) & (values < MODULUS)).all()), f"values below {MODULUS}")


def _require_small(values: Any, count: int) -> None:
    fits = all(isinstance(each, bytes) and len(each) <= _MAX_SMALL for each in values)
    _require(len(values) == count and fits, f"{count} short values")


def _require(holds: bool, expected: str) -> None:
    if not holds:
        raise ValueError(f"not {expected}")
