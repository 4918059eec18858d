"""A contributor's part of one secure aggregation: Flower's SecAgg+, guarded against a server that is curious."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flwr.app import ConfigRecord, Context, Message, Metadata, RecordDict
from flwr.app.message import make_message
from flwr.app.message_type import MessageType
from flwr.client.mod.secure_aggregation.secaggplus_mod import secaggplus_mod
from flwr.common import Code, FitRes, Status, ndarrays_to_parameters
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, Key, Stage
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.compat.common.recorddict_compat import fitres_to_recorddict, recorddict_to_fitins
from flwr.proto.recorddict_pb2 import RecordDict as RecordDictProto
from flwr.supercore.date import now
from google.protobuf.message import DecodeError

from provenance.canonical import sha256_hex
from provenance.federated.statements import Signed
from provenance.identity import Issuer
from provenance.moments import format_moment, utc_now
from provenance.trust import TrustStore
from training.federated.errors import ServerRefused
from training.federated.joining import Members
from training.federated.masking import KEYS_TYPE, RECORD, Agreement, Keys, strengthen_masks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# An hour is not enough for a round; Flower's own lifetime of messages does not matter on this transport.
_LIFETIME = 10 * 86400.0


@dataclass
class MaskedRound:
    """One round: the four stages of SecAgg+ in order, each once, with the numbers that were agreed on.

    ``work`` trains from weights as they came and gives the update as one vector, its number of items and the reach of
    this round; it is called in the third stage, when all keys are known to be those of the members.
    """

    members: Members
    number: int
    issuer: Issuer
    work: Callable[[bytes], tuple[NDArray[np.float64], int, float]]
    _context: Context = field(init=False)
    _stages: list[str] = field(init=False)
    _reach: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        strengthen_masks()
        node = self.members.own
        self._context = Context(run_id=0, node_id=node, node_config={}, state=RecordDict(), run_config={})
        self._stages = [Stage.SETUP, Stage.SHARE_KEYS, Stage.COLLECT_MASKED_VECTORS, Stage.UNMASK]

    @property
    def is_over(self) -> bool:
        """Whether all stages are done."""
        return not self._stages

    def answer(self, data: bytes) -> tuple[bytes, list[bytes]]:
        """The answer to one message of SecAgg+, and the masked vectors in it; raises ServerRefused."""
        content = _parse(data)
        config = content.config_records.get(RECORD_KEY_CONFIGS) or {}
        if not self._stages or config.get(Key.STAGE) != self._stages[0]:
            raise ServerRefused(
                "the server asks for a stage of the secure aggregation out of turn",
                expected=self._stages[0] if self._stages else "the next round",
                found=str(config.get(Key.STAGE))[:80],
            )
        stage = self._stages.pop(0)
        self._guard(stage, content, config)
        # What is ours is looked at above; SecAgg+ takes everything beside its own entries for keys.
        content.pop(RECORD, None)
        message = _message(content, self.members.own)
        trained = self._trained(message) if stage == Stage.COLLECT_MASKED_VECTORS else message
        try:
            reply = secaggplus_mod(message, self._context, lambda message, context: trained)
        except Exception as error:  # SecAgg+ raises whatever its libraries raise on what other parties sent
            raise ServerRefused(
                f"what the server or another contributor sent for the stage {stage} of the secure aggregation is wrong",
                found=f"{type(error).__name__}: {error}"[:200],
            ) from error
        answered = reply.content
        if stage == Stage.SETUP:
            answered[RECORD] = ConfigRecord({"keys": self._signed_keys(answered.config_records[RECORD_KEY_CONFIGS])})
        masked = answered.config_records[RECORD_KEY_CONFIGS].get(Key.MASKED_PARAMETERS, [])
        return recorddict_to_proto(answered).SerializeToString(), list(masked)

    def _guard(self, stage: str, content: RecordDict, config: Mapping[str, Any]) -> None:
        match stage:
            case Stage.SETUP:
                self._check_numbers(config)
            case Stage.SHARE_KEYS:
                self._check_keys(content, config)
            case Stage.COLLECT_MASKED_VECTORS:
                _require_members(config.get(Key.SOURCE_LIST), self.members.others)
            case Stage.UNMASK:
                _require_members(config.get(Key.ACTIVE_NODE_ID_LIST), self.members.others | {self.members.own})
                _require_members(config.get(Key.DEAD_NODE_ID_LIST), frozenset())

    def _check_numbers(self, config: Mapping[str, Any]) -> None:
        reach = config.get(Key.CLIPPING_RANGE)
        self._reach = reach if isinstance(reach, float) else 0.0
        agreed = Agreement(len(self.members.enrolments), self.members.most_items, self._reach).to_config()
        differing = [name for name, value in agreed.items() if config.get(name) != value]
        if differing:
            raise ServerRefused(
                "the server asks for another secure aggregation than was agreed on", found=", ".join(differing)
            )

    def _check_keys(self, content: RecordDict, config: Mapping[str, Any]) -> None:
        """Every public key must be signed by the contributor whose number it has, or the server could be all others."""
        record = content.config_records.get(RECORD) or {}
        _require_members([int(name) for name in config if name.isdigit()], self.members.others | {self.members.own})
        for number in sorted(self.members.others):
            what = f"the keys of contributor {number}"
            envelope, chain = record.get(f"keys-{number}"), record.get(f"chain-{number}")
            pair = config.get(str(number))
            if not isinstance(envelope, bytes) or not isinstance(chain, bytes) or pair is None or not _is_pair(pair):
                raise ServerRefused(f"{what} are missing")
            statement, signer = Signed(envelope, chain).verify(KEYS_TYPE, TrustStore(), what)
            signed = Keys.of(statement, what)
            if signer.key_id != self.members.keys[number] or not signed.are(
                self.members.enrolments[number], self.number, *pair
            ):
                raise ServerRefused(f"{what} are not what that contributor signed for this round")

    def _signed_keys(self, config: Mapping[str, Any]) -> bytes:
        keys = Keys(
            format_moment(utc_now()),
            self.members.enrolments[self.members.own],
            self.number,
            sha256_hex(config[Key.PUBLIC_KEY_1]),
            sha256_hex(config[Key.PUBLIC_KEY_2]),
        )
        return Signed.by(self.issuer, keys.to_statement()).envelope

    def _trained(self, message: Message) -> Message:
        fitins = recorddict_to_fitins(message.content, keep_input=True)
        if len(fitins.parameters.tensors) != 1:
            raise ServerRefused("the server did not send the weights to begin from")
        vector, items, reach = self.work(fitins.parameters.tensors[0])
        if not abs(reach - self._reach) <= 1e-9 * reach:
            raise ServerRefused(
                "the server cuts updates off at another place than the settings give",
                expected=f"{reach:.9g}",
                found=f"{self._reach:.9g}",
            )
        result = FitRes(Status(Code.OK, ""), ndarrays_to_parameters([vector]), items, {})
        return Message(fitres_to_recorddict(result, keep_input=False), reply_to=message)


def _message(content: RecordDict, node: int) -> Message:
    metadata = Metadata(
        run_id=0,
        message_id="1",
        src_node_id=0,
        dst_node_id=node,
        reply_to_message_id="",
        group_id="",
        created_at=now().timestamp(),
        ttl=_LIFETIME,
        message_type=MessageType.TRAIN,
    )
    return make_message(metadata=metadata, content=content)


def _parse(data: bytes) -> RecordDict:
    try:
        return recorddict_from_proto(RecordDictProto.FromString(data))
    except (DecodeError, ValueError, TypeError, KeyError) as error:
        raise ServerRefused("the server sent a message that cannot be read", found=str(error)[:200]) from error


def _require_members(found: Any, expected: frozenset[int]) -> None:
    if not isinstance(found, Sequence) or sorted(found) != sorted(expected):
        raise ServerRefused(
            "the server counts other contributors in or out than take part",
            expected=str(sorted(expected)),
            found=str(found)[:200],
        )


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(each, bytes) for each in value)
