"""Secure aggregation, stage by stage: masks from whole keys, and contributors that no curious server talks round."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

import numpy as np
import pytest
from flwr.app import ConfigRecord, RecordDict
from flwr.common import FitIns, Parameters
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, Key, Stage
from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.compat.common.recorddict_compat import fitins_to_recorddict
from flwr.proto.recorddict_pb2 import RecordDict as RecordDictProto

from provenance.errors import FormatError
from tests.training.federated.parties import Party
from training.federated.errors import ServerRefused
from training.federated.joining import Members
from training.federated.masked_client import MaskedRound
from training.federated.masking import MASKING_MODULES, RECORD, Agreement, mask, strengthen_masks

REACH, ITEMS = 0.5, 5


def test_masks_are_made_of_the_whole_key_where_flowers_own_are_made_of_32_bits() -> None:
    """Two keys whose words fold to the same seed; should this fail, Flower has mended it and ours may go."""
    one, other = bytes(range(32)), bytes([*range(4, 8), *range(4), *range(8, 32)])
    assert np.array_equal(pseudo_rand_gen(one, 1 << 32, [(9,)])[0], pseudo_rand_gen(other, 1 << 32, [(9,)])[0])
    assert not np.array_equal(mask(one, 1 << 32, [(9,)])[0], mask(other, 1 << 32, [(9,)])[0])


def test_masks_are_uniform_whole_numbers_and_the_same_on_both_sides() -> None:
    single, grid, scalar = mask(b"a seed", 1 << 32, [(100_000,), (10, 20), ()])
    assert (single.shape, grid.shape, scalar.shape, single.dtype) == ((100_000,), (10, 20), (), np.int64)
    assert 0 <= single.min() < 1 << 17
    assert (1 << 32) - (1 << 17) < single.max() < 1 << 32
    assert abs(single.mean() / (1 << 31) - 1) < 0.01
    assert np.array_equal(single, mask(b"a seed", 1 << 32, [(100_000,)])[0])
    assert mask(b"a seed", 1 << 8, [(100,)])[0].max() < 1 << 8


def test_both_sides_of_flower_take_these_masks() -> None:
    strengthen_masks()
    strengthen_masks()
    assert [importlib.import_module(name).pseudo_rand_gen for name in MASKING_MODULES] == [mask, mask]


def _rounds(contributors: Sequence[Party]) -> list[MaskedRound]:
    enrolments = {number: f"{number}e" * 32 for number in (1, 2, 3)}
    keys = {number: party.issuer.key_id for number, party in enumerate(contributors, start=1)}
    names = {number: party.name for number, party in enumerate(contributors, start=1)}
    return [
        MaskedRound(
            Members(number, enrolments, keys, names, ITEMS),
            1,
            party.issuer,
            lambda data, number=number: (np.full(4, number / 100), number, REACH),
        )
        for number, party in enumerate(contributors, start=1)
    ]


def _message(stage: str, values: dict, extra: dict | None = None, weights: bytes | None = None) -> bytes:
    fitins = FitIns(Parameters([weights], "safetensors"), {})
    content = RecordDict() if weights is None else fitins_to_recorddict(fitins, True)
    content[RECORD_KEY_CONFIGS] = ConfigRecord({Key.STAGE: stage, **values})
    if extra:
        content[RECORD] = ConfigRecord(extra)
    return recorddict_to_proto(content).SerializeToString()


def _reply(answered: tuple[bytes, list[bytes]]) -> RecordDict:
    return recorddict_from_proto(RecordDictProto.FromString(answered[0]))


SETUP = Agreement(3, ITEMS, REACH).to_config()


def _set_up(rounds: Sequence[MaskedRound], contributors: Sequence[Party]) -> tuple[dict, dict]:
    """The first stage; gives public keys and what is signed of them, as the server passes them on."""
    replies = [_reply(each.answer(_message(Stage.SETUP, SETUP))) for each in rounds]
    keys, signed = {}, {}
    for number, reply in enumerate(replies, start=1):
        config = reply.config_records[RECORD_KEY_CONFIGS]
        keys[str(number)] = [config[Key.PUBLIC_KEY_1], config[Key.PUBLIC_KEY_2]]
        signed[f"keys-{number}"] = reply.config_records[RECORD]["keys"]
        signed[f"chain-{number}"] = contributors[number - 1].issuer.certificates_pem
    return keys, signed


def _collected(rounds: Sequence[MaskedRound], contributors: Sequence[Party]) -> list[tuple[bytes, list[bytes]]]:
    keys, signed = _set_up(rounds, contributors)
    sent: dict[int, dict[int, bytes]] = {1: {}, 2: {}, 3: {}}
    for number, each in enumerate(rounds, start=1):
        config = _reply(each.answer(_message(Stage.SHARE_KEYS, keys, signed))).config_records[RECORD_KEY_CONFIGS]
        for to, ciphertext in zip(config[Key.DESTINATION_LIST], config[Key.CIPHERTEXT_LIST], strict=True):
            sent[to][number] = ciphertext
    return [
        each.answer(
            _message(
                Stage.COLLECT_MASKED_VECTORS,
                {Key.SOURCE_LIST: [*sent[number]], Key.CIPHERTEXT_LIST: [*sent[number].values()]},
                weights=b"weights",
            )
        )
        for number, each in enumerate(rounds, start=1)
    ]


def test_what_leaves_a_contributor_is_masked_and_its_secrets_are_asked_for_once(contributors: Sequence[Party]) -> None:
    rounds = _rounds(contributors)
    collected = _collected(rounds, contributors)
    assert all(len(masked) == 2 for _, masked in collected)
    assert len({masked[1] for _, masked in collected}) == 3
    everybody = {Key.ACTIVE_NODE_ID_LIST: [1, 2, 3], Key.DEAD_NODE_ID_LIST: []}
    rounds[0].answer(_message(Stage.UNMASK, everybody))
    assert rounds[0].is_over
    with pytest.raises(ServerRefused, match="out of turn"):
        rounds[0].answer(_message(Stage.UNMASK, everybody))


@pytest.mark.parametrize(
    ("active", "dead"),
    [([1, 2], [3]), ([1, 2, 3], [3]), ([1, 2], []), ([], [1, 2, 3]), ([1, 2, 3, 4], [])],
)
def test_nobodys_secret_is_given_away_on_the_servers_word_that_it_is_gone(
    contributors: Sequence[Party], active: list[int], dead: list[int]
) -> None:
    rounds = _rounds(contributors)
    _collected(rounds, contributors)
    with pytest.raises(ServerRefused, match="counts other contributors in or out"):
        rounds[0].answer(_message(Stage.UNMASK, {Key.ACTIVE_NODE_ID_LIST: active, Key.DEAD_NODE_ID_LIST: dead}))


@pytest.mark.parametrize(
    "change",
    [
        {Key.THRESHOLD: 1},
        {Key.SAMPLE_NUMBER: 2},
        {Key.SHARE_NUMBER: 5},
        {Key.MOD_RANGE: 1 << 23},
        {Key.TARGET_RANGE: 1 << 31},
        {Key.MAX_WEIGHT: 1e-6},
    ],
    ids=lambda change: str(next(iter(change))),
)
def test_other_numbers_than_were_agreed_on_are_refused(contributors: Sequence[Party], change: dict) -> None:
    with pytest.raises(ServerRefused, match="another secure aggregation"):
        _rounds(contributors)[0].answer(_message(Stage.SETUP, SETUP | change))


def test_a_place_to_cut_updates_off_that_the_settings_do_not_give_is_refused(contributors: Sequence[Party]) -> None:
    rounds = _rounds(contributors)
    rounds[0].work = lambda data: (np.zeros(4), 1, 2 * REACH)
    with pytest.raises(ServerRefused, match="cuts updates off at another place"):
        _collected(rounds, contributors)


def test_keys_that_a_server_made_itself_are_refused(contributors: Sequence[Party]) -> None:
    rounds, servers_own = _rounds(contributors), _rounds(contributors)
    keys, signed = _set_up(rounds, contributors)
    forged, _ = _set_up(servers_own, contributors)
    with pytest.raises(ServerRefused, match="the keys of contributor 2 are not what that contributor signed"):
        rounds[0].answer(_message(Stage.SHARE_KEYS, keys | {"2": forged["2"]}, signed))


def test_keys_signed_by_another_contributor_or_in_another_round_are_refused(contributors: Sequence[Party]) -> None:
    rounds = _rounds(contributors)
    keys, signed = _set_up(rounds, contributors)
    swapped = signed | {"keys-2": signed["keys-3"], "chain-2": signed["chain-3"]}
    with pytest.raises(ServerRefused, match="the keys of contributor 2"):
        rounds[0].answer(_message(Stage.SHARE_KEYS, keys | {"2": keys["3"]}, swapped))
    later = _rounds(contributors)
    for each in later:
        each.number = 2
    _set_up(later, contributors)
    with pytest.raises(ServerRefused, match="the keys of contributor 2"):
        later[0].answer(_message(Stage.SHARE_KEYS, keys, signed))


def test_keys_that_nobody_signed_are_refused(contributors: Sequence[Party]) -> None:
    rounds = _rounds(contributors)
    keys, signed = _set_up(rounds, contributors)
    del signed["keys-3"]
    with pytest.raises(ServerRefused, match="the keys of contributor 3 are missing"):
        rounds[0].answer(_message(Stage.SHARE_KEYS, keys, signed))
    with pytest.raises(ServerRefused, match="counts other contributors in or out"):
        _after_set_up(contributors).answer(_message(Stage.SHARE_KEYS, {"1": keys["1"], "2": keys["2"]}, signed))


def _after_set_up(contributors: Sequence[Party]) -> MaskedRound:
    rounds = _rounds(contributors)
    _set_up(rounds, contributors)
    return rounds[0]


@pytest.mark.parametrize("stage", [Stage.SHARE_KEYS, Stage.COLLECT_MASKED_VECTORS, Stage.UNMASK, "fifth", ""])
def test_stages_out_of_turn_are_refused(contributors: Sequence[Party], stage: str) -> None:
    with pytest.raises(ServerRefused, match="out of turn"):
        _rounds(contributors)[0].answer(_message(stage, SETUP))


@pytest.mark.parametrize("data", [b"", b"\x00", b"not a message at all", b"\x0a\xff\xff\xff\xff\x0f"])
def test_a_message_that_cannot_be_read_is_refused(contributors: Sequence[Party], data: bytes) -> None:
    with pytest.raises((ServerRefused, FormatError)):
        _rounds(contributors)[0].answer(data)
