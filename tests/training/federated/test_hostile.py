"""Messages made to harm the server of a secure aggregation: each is refused, and its sender named where that can be."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, Key
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as RecordDictProto

from tests.training.federated.parties import Party
from tests.training.federated.world import World
from training.federated.client import Contribution
from training.federated.errors import ContributionRefused, FederationError
from training.federated.terms import Terms

SECURE = Terms.of("shared", 2, 3, None, True, waits=300.0, round_time=300.0)
PLAIN = Terms.of("shared", 2, 3, None, False, waits=300.0, round_time=300.0)

Change = Callable[[ConfigRecord], None]


def hostile(key: Key, change: Change) -> type[Contribution]:
    """A contribution that changes what it answers in the stage that has this key."""

    @dataclass
    class Hostile(Contribution):
        def _stage(self, *arguments: Any) -> Any:
            answered = super()._stage(*arguments)
            content = recorddict_from_proto(RecordDictProto.FromString(answered["secagg"]))
            config = content.config_records[RECORD_KEY_CONFIGS]
            if key in config:
                change(config)
            return answered | {"secagg": recorddict_to_proto(content).SerializeToString()}

    return Hostile


def array(values: Any, **header: Any) -> bytes:
    file = io.BytesIO()
    if header:
        np.lib.format.write_array_header_1_0(file, header)
        return file.getvalue()
    np.save(file, values, allow_pickle=True)
    return file.getvalue()


def masked(data: bytes) -> Change:
    def change(config: ConfigRecord) -> None:
        config[Key.MASKED_PARAMETERS] = [config[Key.MASKED_PARAMETERS][0], data]

    return change


def run(world: World, contributors: Sequence[Party], kind: type[Contribution], terms: Terms = SECURE) -> None:
    make = {party.name: (lambda party=party: world.contribution(party)) for party in contributors}
    world.run(terms, make | {"Bea": lambda: world.contribution(contributors[1], kind=kind)})


HUGE = {"descr": "<i8", "fortran_order": False, "shape": (1 << 50,)}


@pytest.mark.parametrize(
    ("key", "change"),
    [
        (Key.PUBLIC_KEY_1, lambda config: config.update({Key.PUBLIC_KEY_1: b"no key"})),
        (Key.PUBLIC_KEY_2, lambda config: config.pop(Key.PUBLIC_KEY_2)),
        (Key.DESTINATION_LIST, lambda config: config.update({Key.DESTINATION_LIST: [7, 8]})),
        (Key.CIPHERTEXT_LIST, lambda config: config.update({Key.CIPHERTEXT_LIST: [b""]})),
        (Key.MASKED_PARAMETERS, lambda config: config.update({Key.MASKED_PARAMETERS: []})),
        (Key.MASKED_PARAMETERS, masked(b"")),
        (Key.MASKED_PARAMETERS, masked(b"PK\x03\x04")),
        (Key.MASKED_PARAMETERS, masked(array(np.array([{"an": "object"}], dtype=object)))),
        (Key.MASKED_PARAMETERS, masked(array(np.zeros(3, np.int64)))),
        (Key.MASKED_PARAMETERS, masked(array(None, **HUGE))),
        (Key.SHARE_LIST, lambda config: config.update({Key.SHARE_LIST: []})),
        (Key.NODE_ID_LIST, lambda config: config.update({Key.NODE_ID_LIST: [1, 1, 1]})),
    ],
    ids=[
        "no key", "a key less", "shares for others", "a share less", "nothing", "empty", "a zip", "a pickle",
        "another size", "a size of a petabyte", "no shares", "shares of others",
    ],
)  # fmt: skip
def test_something_else_than_the_stage_asks_for_is_refused_by_name(
    world: World, contributors: Sequence[Party], key: Key, change: Change
) -> None:
    with pytest.raises(ContributionRefused, match=r'"Bea" .* sent something else than the secure aggregation'):
        run(world, contributors, hostile(key, change))
    assert not (world.folder / "release").exists()


def test_an_answer_that_is_no_message_is_refused_by_name(world: World, contributors: Sequence[Party]) -> None:
    @dataclass
    class Silent(Contribution):
        def _stage(self, *arguments: Any) -> Any:
            return {"secagg": b"\x0a\xff\xff\xff\xff\x0f"}

    with pytest.raises(ContributionRefused, match=r'"Bea" .* sent a message that cannot be read'):
        run(world, contributors, Silent)


def test_shares_that_open_nothing_end_the_training_though_nobody_can_tell_whose_they_are(
    world: World, contributors: Sequence[Party]
) -> None:
    def change(config: ConfigRecord) -> None:
        shares = config[Key.SHARE_LIST]
        config[Key.SHARE_LIST] = [share[:4] + bytes(len(share) - 4) for share in shares]

    with pytest.raises(FederationError, match=r"masks of round 1 do not cancel out|goes further than") as refusal:
        run(world, contributors, hostile(Key.SHARE_LIST, change))
    assert not isinstance(refusal.value, ContributionRefused)
    assert not (world.folder / "release").exists()


def test_in_a_plain_round_what_is_no_single_file_is_refused_by_name(
    world: World, contributors: Sequence[Party]
) -> None:
    @dataclass
    class Two(Contribution):
        def train(self, weights: list[bytes], values: Any) -> Any:
            update, items, signed = super().train(weights, values)
            return [*update, *update], items, signed

    with pytest.raises(ContributionRefused, match='the update of "Bea"'):
        run(world, contributors, Two, PLAIN)
