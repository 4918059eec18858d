"""Whole federated trainings in one process, over real gRPC: what comes out, and who is refused by name."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import torch
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from flwr.common import bytes_to_ndarray, ndarray_to_bytes
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, Key
from safetensors.torch import load_file

from provenance.adapter import AdapterManifest, verify_adapter
from provenance.base import BaseModel
from provenance.canonical import sha256_hex
from provenance.errors import SignatureError, UsageError
from provenance.federated.contributions import Contribution as KeptContribution
from provenance.federated.statements import SECURE, UPDATE_TYPE, Signed, Update
from provenance.moments import utc_now
from provenance.trust import TrustStore
from tests.training.federated.parties import QUICK, ROUNDS, SIZES, Party, make_party
from tests.training.federated.world import Steady, World
from training.config import TrainConfig
from training.federated import client, masked_client
from training.federated.addresses import Listening, Reaching
from training.federated.client import Contribution
from training.federated.client_link import stay_connected
from training.federated.errors import (
    ContributionRefused,
    ContributorLost,
    FederationError,
    FederationInterrupted,
    FederationUnavailable,
    ServerRefused,
)
from training.federated.local import local_training
from training.federated.masking import MODULUS, Agreement
from training.federated.privacy_floor import PrivacyFloor
from training.federated.server import Beginning
from training.federated.settings import contributor_config, reach
from training.federated.taking_part import take_part
from training.federated.terms import Terms
from training.federated.updates import largest, opening, pack
from training.loop import apply_gradients, compute_gradients
from training.setup import set_up

TOTAL = sum(SIZES.values())


def terms(secure: bool, **changes: Any) -> Terms:
    usual = {"name": "shared", "rounds": ROUNDS, "contributors": 3, "least": None, "secure": secure}
    return Terms.of(**(usual | {"waits": 300.0, "round_time": 300.0} | changes))


def run(
    world: World, contributors: Sequence[Party], how: Terms, bad: Mapping[str, Mapping[str, Any]] | None = None
) -> AdapterManifest:
    """Trains; ``bad`` changes the contributions of some by name."""
    changes = bad or {}

    def make(party: Party) -> Callable[[], Contribution]:
        return lambda: world.contribution(party, **changes.get(party.name, {}))

    return world.run(how, {party.name: make(party) for party in contributors})


@pytest.fixture(scope="module")
def by_hand(
    contributors: Sequence[Party], sd1_base: BaseModel, beginning: Mapping[str, torch.Tensor], tmp_path_factory: Any
) -> list[dict[str, torch.Tensor]]:
    """The adapter after each round, worked out with nothing of the federation: all train, and the mean is taken."""
    spill = tmp_path_factory.mktemp("spill")
    setups = {}
    for party in contributors:
        manifest = party.manifest()
        config = contributor_config(QUICK, manifest.digest)
        setups[party.name] = set_up(manifest, sd1_base, config, "cpu", spill, lambda done, total: None)
    weights, steps, after = dict(beginning), QUICK.steps // ROUNDS, []
    for number in range(ROUNDS):
        total = {name: torch.zeros_like(tensor, dtype=torch.float64) for name, tensor in weights.items()}
        for name, setup in setups.items():
            with torch.no_grad():
                for key, parameter in setup.parameters.items():
                    parameter.copy_(weights[key])
            setup.optimiser.state.clear()
            for step in range(number * steps, (number + 1) * steps):
                compute_gradients(setup, step)
                apply_gradients(setup, step)
            for key, parameter in setup.parameters.items():
                total[key] += SIZES[name] * (parameter.detach() - weights[key]).double()
        weights = {name: weights[name] + (tensor / TOTAL).float() for name, tensor in total.items()}
        after.append(weights)
    return after


def _released(world: World) -> dict[str, torch.Tensor]:
    """The released weights as the training had them: alpha / rank is multiplied into B in the file."""
    scale = QUICK.alpha / QUICK.rank
    file = load_file(world.folder / "release" / "adapter" / "adapter.safetensors")
    return {name: t / scale if ".lora_B." in name else t for name, t in file.items()}


def _difference(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def _quietly(*progress: float) -> None:
    """Shows no progress."""


def _real(world: World, party: Party, spill: Path) -> dict[str, Any]:
    """Real local training in the place of the steady one."""
    stack = ExitStack()
    trainer = stack.enter_context(
        local_training(
            party.manifest(), world.base, world.config, ROUNDS, spill, lambda d, t: None, lambda d, t, loss: None
        )
    )
    return {"trainer": trainer}


def test_the_result_is_the_mean_of_what_all_trained(
    world: World,
    contributors: Sequence[Party],
    by_hand: list[dict[str, torch.Tensor]],
    beginning: Mapping[str, torch.Tensor],
    tmp_path: Path,
) -> None:
    run(world, contributors, terms(False), {party.name: _real(world, party, tmp_path) for party in contributors})
    assert _difference(by_hand[-1], beginning) > 0.01
    assert _difference(_released(world), by_hand[-1]) <= 1e-6


def test_a_secure_sum_gives_the_same_mean_but_for_what_quantising_takes(
    world: World,
    contributors: Sequence[Party],
    by_hand: list[dict[str, torch.Tensor]],
    beginning: Mapping[str, torch.Tensor],
    tmp_path: Path,
) -> None:
    run(world, contributors, terms(True), {party.name: _real(world, party, tmp_path) for party in contributors})
    told = verify_adapter(world.folder / "release", world.trust).predicate["runDetails"]["byproducts"][0]["annotations"]
    bound = reach(QUICK, 1, ROUNDS, largest(beginning))
    quantising = Agreement(3, max(SIZES.values()), bound).error([*SIZES.values()])
    assert quantising < 1e-7
    # After the second round, in which AdamW makes more of so small a difference.
    assert _difference(_released(world), by_hand[-1]) <= 1e-4
    assert told["rounds"][0]["result"] != sha256_hex(pack(by_hand[0]))
    assert told["rounds"][0]["began_from"] == sha256_hex(pack(beginning))


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "secure"])
def test_the_adapter_tells_who_contributed_what_in_which_round(
    world: World, contributors: Sequence[Party], server: Party, secure: bool
) -> None:
    run(world, contributors, terms(secure))
    adapter = verify_adapter(world.folder / "release", TrustStore(frozenset({server.issuer.root_digest})))
    manifests = {party.manifest().digest: party for party in contributors}
    listed = adapter.predicate["buildDefinition"]["resolvedDependencies"]
    assert [entry["name"] for entry in listed] == ["dataset", "dataset:1", "dataset:2", "dataset:3", "base", "code"]
    assert {entry["digest"]["sha256"] for entry in listed[1:4]} == manifests.keys()
    assert {each.digest for each in adapter.contributors} == manifests.keys()
    told = adapter.predicate["runDetails"]["byproducts"][0]["annotations"]
    assert [each["round"] for each in told["rounds"]] == [1, 2]
    for number in (1, 2, 3):
        kept = KeptContribution.parse(adapter.read(f"federated/contributor-{number:02}.json"), "it")
        for each, envelope in zip(told["rounds"], kept.updates, strict=True):
            assert envelope is not None
            signed = Signed(envelope, kept.chain)
            update = Update.of(signed.verify(UPDATE_TYPE, TrustStore(), "it")[0], "it")
            assert {"dataset": update.dataset, "statement": signed.digest} in each["updates"]
            assert (update.began_from, update.items) == (
                each["began_from"], SIZES[manifests[update.dataset].name]
            )  # fmt: skip
            assert (update.commitment is not None) == secure
    assert sha256_hex(adapter.read("config.json")) == QUICK.digest
    assert all(isinstance(ended, dict) and ended["adapter"] == adapter.digest for ended in world.ended.values())


def test_each_contributor_keeps_to_the_privacy_that_was_agreed_on_for_its_own_pictures(
    world: World, contributors: Sequence[Party], tmp_path: Path
) -> None:
    private = replace(QUICK, dp_epsilon=8.0, dp_delta=0.05, batch_size=1)
    own = replace(world, config=private)
    # One of them trains: Opacus' switches are those of a whole process, and here all share one.
    adapter = run(own, contributors, terms(True), {"Ada": _real(own, contributors[0], tmp_path)})
    told = {each["name"]: each["annotations"] for each in adapter.predicate["runDetails"]["byproducts"]}
    privacies = told["privacy"]["privacies"]
    for party in contributors:
        promised = privacies[party.manifest().digest]
        assert (promised["items"], promised["steps"], promised["epsilon"]) == (SIZES[party.name], 4, 8.0)
        assert 0 < promised["spent"] <= 8.0


def test_a_contributor_that_promises_no_privacy_is_refused_where_all_others_do(
    world: World, contributors: Sequence[Party], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, spoilt = client.stated_privacy, [True]

    def less(config: TrainConfig, items: int) -> Any:
        promised = honest(config, items) | ({"epsilon": 80.0} if spoilt else {})
        spoilt.clear()
        return promised

    monkeypatch.setattr(client, "stated_privacy", less)
    own = replace(world, config=replace(QUICK, dp_epsilon=8.0, dp_delta=0.05))
    own.run(terms(False), _all(own, contributors), before={"less": lambda: own.contribution(contributors[2])})
    assert own.notes[0].startswith('refused: "Cid"')
    assert "the enrolment is for another privacy" in own.notes[0]


@pytest.mark.parametrize(
    ("planned", "found"),
    [
        ({}, "no differential privacy"),
        ({"dp_epsilon": 9.0, "dp_delta": 0.05}, "epsilon 9 at delta 0.05"),
        ({"dp_epsilon": 8.0, "dp_delta": 0.1}, "epsilon 8 at delta 0.1"),
    ],
    ids=["none", "greater epsilon", "greater delta"],
)
def test_a_plan_that_is_less_private_than_a_contributor_asks_for_is_refused_before_anything_is_sent(
    world: World, contributors: Sequence[Party], planned: Mapping[str, float], found: str
) -> None:
    own = replace(world, config=replace(QUICK, **planned))
    prepared: list[Any] = []
    contribution = own.contribution(
        contributors[0], floor=PrivacyFloor(8.0, 0.05), prepare=prepared.append, note=own.notes.append
    )
    with pytest.raises(FederationError, match="0 of 3 contributors came"):
        own.run(terms(False, waits=3.0), {"Ada": lambda: contribution})
    ended = own.ended["Ada"]
    assert isinstance(ended, ServerRefused)
    assert ended.what == "the server plans less privacy than is asked for here"
    assert found in (ended.found or "")
    assert not prepared
    assert any("declined (the server plans less privacy" in note for note in own.notes)
    assert not (own.folder / "Ada").exists()


def test_a_contributor_hears_what_privacy_it_is_about_to_promise(world: World, contributors: Sequence[Party]) -> None:
    own = replace(world, config=replace(QUICK, dp_epsilon=8.0, dp_delta=0.05, dp_clip=0.3))
    heard: list[str] = []

    def prepare(_: Any) -> Any:
        heard.append("screening")
        return {"by": "maker"}, Steady(own.shapes)

    run(
        own,
        contributors,
        terms(False),
        {"Ada": {"note": heard.append, "prepare": prepare, "floor": PrivacyFloor(8.0, 0.05)}},
    )
    assert heard[1:3] == [
        "it plans differential privacy: epsilon 8 at delta 0.05 for each picture, each one's gradient clipped to 0.3",
        "screening",
    ]


def test_no_picture_reaches_the_server(world: World, contributors: Sequence[Party]) -> None:
    run(world, contributors, terms(False))
    released = b"".join(path.read_bytes() for path in sorted((world.folder / "release").rglob("*")) if path.is_file())
    for party in contributors:
        assert party.dataset is not None
        for picture in (party.dataset / "dataset" / "data").iterdir():
            # Its compressed pixels, which no record of it has.
            assert picture.read_bytes()[60:160] not in released


def test_a_contributor_keeps_what_it_signed_and_can_open_its_commitments(
    world: World, contributors: Sequence[Party]
) -> None:
    run(world, contributors, terms(True))
    ended = world.ended["Ada"]
    assert isinstance(ended, dict)
    kept = Path(ended["kept"])
    assert {path.name for path in kept.iterdir()} == {
        "plan.json", "enrolment.json", "round-0001.json", "round-0002.json", "salts.json", "adapter.json"
    }  # fmt: skip
    salts = json.loads((kept / "salts.json").read_bytes())
    signed = Signed((kept / "round-0002.json").read_bytes(), contributors[0].issuer.certificates_pem)
    update = Update.of(signed.verify(UPDATE_TYPE, world.trust, "it")[0], "it")
    shapes = {name: tuple(tensor.shape) for name, tensor in _released(world).items()}
    assert opening(bytes.fromhex(salts["2"]), pack(Steady(shapes).train({}, 2))) == update.commitment
    assert update.aggregation == SECURE
    assert (kept / "salts.json").stat().st_mode & 0o077 == 0


@dataclass
class WrongKey(Contribution):
    """Signs its updates with a key of somebody else."""

    def _sign(self, joined: Any, *arguments: Any) -> Signed:
        own, self.issuer = self.issuer, OTHERS["issuer"]
        try:
            return super()._sign(joined, *arguments)
        finally:
            self.issuer = own


@dataclass
class WrongRound(Contribution):
    """Signs every update for the first round."""

    def _sign(self, joined: Any, number: int, *arguments: Any) -> Signed:
        return super()._sign(joined, 1, *arguments)


@dataclass
class WrongStart(Contribution):
    """Says that it began from other weights."""

    def _sign(self, joined: Any, number: int, began: str, *arguments: Any) -> Signed:
        return super()._sign(joined, number, "99" * 32, *arguments)


@dataclass
class WrongUpdate(Contribution):
    """Signs another update than it sends."""

    def _sign(self, joined: Any, number: int, began: str, update: str, *arguments: Any) -> Signed:
        return super()._sign(joined, number, began, "99" * 32, *arguments)


@dataclass
class Unsigned(Contribution):
    """Sends no statement."""

    def train(self, weights: list[bytes], values: Any) -> Any:
        update, items, signed = super().train(weights, values)
        return update, items, {name: value for name, value in signed.items() if name != "statement"}


OTHERS: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def _others(server: Party) -> None:
    OTHERS["issuer"] = server.issuer


class Spoilt:
    """Trains to something that no honest training gives, from the second round on."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], value: float) -> None:
        self.shapes, self.value = shapes, value

    def train(self, weights: Mapping[str, torch.Tensor], number: int) -> dict[str, torch.Tensor]:
        return {name: torch.full(shape, self.value if number > 1 else 0.0) for name, shape in self.shapes.items()}


@pytest.mark.parametrize(
    ("kind", "secure", "reason"),
    [
        (WrongKey, False, "no certificate for the signing key"),
        (WrongKey, True, "no certificate for the signing key"),
        (WrongRound, False, "signed for another round"),
        (WrongStart, False, "signed for another began_from"),
        (WrongUpdate, False, "is not what was signed"),
        (WrongUpdate, True, "is not what was signed"),
        (Unsigned, False, "is not signed"),
        (Unsigned, True, "is not signed"),
    ],
)
def test_a_contributor_that_signs_something_else_is_refused_by_name(
    world: World, contributors: Sequence[Party], secure: bool, kind: type[Contribution], reason: str
) -> None:
    with pytest.raises(ContributionRefused, match=reason) as refusal:
        run(world, contributors, terms(secure), {"Bea": {"kind": kind}})
    assert '"Bea"' in str(refusal.value)
    assert not (world.folder / "release").exists()
    assert all(isinstance(ended, FederationError) for ended in world.ended.values())


@pytest.mark.parametrize(
    ("value", "reason"), [(float("nan"), "not finite"), (float("inf"), "not finite"), (3.0, "goes further")]
)
def test_a_spoilt_update_is_refused_by_name(
    world: World, contributors: Sequence[Party], value: float, reason: str
) -> None:
    with pytest.raises(ContributionRefused, match=rf'the update of "Cid" .*{reason}'):
        run(world, contributors, terms(False), {"Cid": {"trainer": Spoilt(world.shapes, value)}})
    assert not (world.folder / "release").exists()


def test_the_others_go_on_without_one_that_fails_where_that_was_agreed_on(
    world: World, contributors: Sequence[Party]
) -> None:
    adapter = run(world, contributors, terms(False, least=2), {"Cid": {"trainer": Spoilt(world.shapes, float("nan"))}})
    told = adapter.predicate["runDetails"]["byproducts"][0]["annotations"]
    assert [len(each["updates"]) for each in told["rounds"]] == [3, 2]
    (left_out,) = told["left_out"]
    assert left_out["round"] == 2
    assert '"Cid"' in left_out["reason"]
    # Its pictures had their part in the first round, so it is told of all the same.
    assert {each.issuer.name for each in adapter.contributors} == set(SIZES)
    assert isinstance(world.ended["Cid"], ServerRefused)
    after = {name: t for name, t in _released(world).items()}
    beginning = Beginning.of(world.base, QUICK).weights
    first = 0.001 * (SIZES["Ada"] + SIZES["Bea"]) / TOTAL
    assert _difference(after, {name: t + first + 0.002 for name, t in beginning.items()}) < 1e-6


def test_a_sum_that_is_beyond_the_reach_is_not_released(
    world: World, contributors: Sequence[Party], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A contributor that ignores the range in which honest ones quantise; who it was, nobody can tell."""
    honest = masked_client.secaggplus_mod

    def spoilt(message: Any, context: Any, following: Any) -> Any:
        reply = honest(message, context, following)
        config = reply.content.config_records[RECORD_KEY_CONFIGS]
        if Key.MASKED_PARAMETERS in config:
            weight, vector = (bytes_to_ndarray(data) for data in config[Key.MASKED_PARAMETERS])
            further = (vector + (1 << 30)) % MODULUS
            config[Key.MASKED_PARAMETERS] = [ndarray_to_bytes(weight), ndarray_to_bytes(further)]
        return reply

    monkeypatch.setattr(masked_client, "secaggplus_mod", spoilt)
    with pytest.raises(FederationError, match="goes further than the agreed training can"):
        run(world, contributors, terms(True))
    assert not (world.folder / "release").exists()


def _all(world: World, contributors: Sequence[Party]) -> dict[str, Callable[[], Contribution]]:
    return {party.name: (lambda party=party: world.contribution(party)) for party in contributors}


def test_a_contributor_with_another_base_does_not_take_part(
    world: World, contributors: Sequence[Party], v_base: BaseModel
) -> None:
    bad = {"other base": lambda: world.contribution(contributors[1], base=v_base)}
    adapter = world.run(terms(False), _all(world, contributors), before=bad)
    assert "the server trains on another base" in str(world.ended["other base"])
    assert "declined (the server trains on another base)" in world.notes[0]
    assert len(adapter.contributors) == 3


@pytest.mark.parametrize("field", ["base", "plan", "items", "dataset"])
def test_an_enrolment_for_something_else_is_refused_by_name(
    world: World, contributors: Sequence[Party], field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, spoilt = client.Enrolment, [True]

    def changed(**values: Any) -> Any:
        wrong = {field: 7 if field == "items" else "99" * 32} if spoilt else {}
        spoilt.clear()
        return honest(**(values | wrong))

    monkeypatch.setattr(client, "Enrolment", changed)
    bad = {"spoilt": lambda: world.contribution(contributors[1])}
    world.run(terms(False), _all(world, contributors), before=bad)
    assert world.notes[0].startswith('refused: "Bea" (connection')
    assert f"the enrolment is for another {field}" in world.notes[0]
    assert isinstance(world.ended["spoilt"], ServerRefused)


def test_a_contributor_that_is_not_trusted_is_refused_by_name(
    world: World, contributors: Sequence[Party], tmp_path: Path
) -> None:
    (tmp_path / "stranger").mkdir()
    stranger = make_party(tmp_path / "stranger", "Mallory", 2)
    own = replace(world, trust=TrustStore(world.trust.roots | {stranger.issuer.root_digest}))
    world.run(terms(False), _all(world, contributors), before={"stranger": lambda: own.contribution(stranger)})
    assert 'refused: "Mallory"' in world.notes[0]
    assert "not trusted" in world.notes[0]


def test_whoever_enrols_a_dataset_of_somebody_else_is_refused_by_name(
    world: World, contributors: Sequence[Party]
) -> None:
    bad = {"borrowed": lambda: world.contribution(contributors[1], manifest=contributors[0].manifest())}
    adapter = world.run(terms(False), _all(world, contributors), before=bad)
    assert world.notes[0].startswith('refused: "Bea"')
    assert "enrols a dataset that somebody else signed" in world.notes[0]
    assert len(adapter.contributors) == 3


def test_a_dataset_of_somebody_else_is_not_taken_to_a_server(
    world: World, contributors: Sequence[Party], everybody: TrustStore
) -> None:
    ada, bea, _ = contributors
    with pytest.raises(UsageError, match="only whoever signed a dataset can contribute it"):
        take_part(
            ada.manifest(),
            world.base,
            Reaching.of("127.0.0.1:9", False, None),
            home=bea.home,
            issuer=bea.issuer,
            trust=everybody,
            note=lambda _: None,
        )


def test_an_enrolment_with_a_changed_signature_is_refused_by_name(world: World, contributors: Sequence[Party]) -> None:
    @dataclass
    class Changed(Contribution):
        """Changes what it enrols with after signing."""

        def _enrol(self, signed: Signed) -> Any:
            values = super()._enrol(signed)
            envelope = json.loads(values["enrolment"])
            signature = bytearray(base64.b64decode(envelope["signatures"][0]["sig"]))
            signature[-1] ^= 1
            envelope["signatures"][0]["sig"] = base64.b64encode(signature).decode()
            return values | {"enrolment": json.dumps(envelope).encode()}

    bad = {"changed": lambda: world.contribution(contributors[1], kind=Changed)}
    world.run(terms(False), _all(world, contributors), before=bad)
    assert world.notes[0].startswith('refused: "Bea"')
    assert "no valid signature" in world.notes[0]


def test_nobody_takes_part_twice(world: World, contributors: Sequence[Party]) -> None:
    """The second of one root is refused, and when all others are there the first one's place is still its own."""
    ada, *others = contributors
    make = {party.name: (lambda party=party: world.contribution(party)) for party in others}
    twice = {name: (lambda: world.contribution(ada)) for name in ("Ada", "Ada again")}

    def later(contribution: Contribution, reaching: Reaching) -> Any:
        while contribution.manifest.name != "Ada's pictures" and len(world.notes) < 2:
            time.sleep(0.01)
        stay_connected(reaching, contribution, lambda: contribution.finished is not None, 600.0)
        return contribution.finished

    adapter = world.run(terms(False), twice | make, reached=later)
    assert [type(world.ended[name]) for name in twice].count(ServerRefused) == 1
    assert any('"Ada"' in note and "takes part already" in note for note in world.notes)
    assert len(adapter.contributors) == 3


def test_a_server_that_is_not_trusted_learns_nothing(world: World, contributors: Sequence[Party]) -> None:
    own = TrustStore(frozenset({contributors[0].issuer.root_digest}))
    wary = {"wary": lambda: world.contribution(contributors[0], trust=own)}
    world.run(terms(False), _all(world, contributors), before=wary)
    assert isinstance(world.ended["wary"], SignatureError)
    assert world.notes[0].startswith("refused: connection ")
    assert not any(contributors[0].name in note for note in world.notes[:1])


def test_a_sum_with_contributors_that_are_not_trusted_is_only_gone_into_when_asked_for(
    world: World, contributors: Sequence[Party], server: Party
) -> None:
    few = TrustStore(frozenset({server.issuer.root_digest, contributors[0].issuer.root_digest}))
    with pytest.raises(ContributionRefused, match=r'"Ada".* declined'):
        run(world, contributors, terms(True), {"Ada": {"trust": few}})
    assert "a server that made it up would see this update" in str(world.ended["Ada"])
    run(world, contributors, terms(True), {"Ada": {"trust": few, "any_peers": True}})
    assert isinstance(world.ended["Ada"], dict)


def test_a_contributor_that_vanishes_is_named_and_the_others_are_told(
    world: World, contributors: Sequence[Party]
) -> None:
    def leave(contribution: Contribution, reaching: Reaching) -> Any:
        if contribution.manifest.name != "Cid's pictures":
            stay_connected(reaching, contribution, lambda: contribution.finished is not None, 600.0)
            return contribution.finished
        # As soon as it is asked to train, its connection is gone.
        contribution.train = _gone  # type: ignore[method-assign]
        return stay_connected(reaching, contribution, lambda: True, 600.0)

    make = {party.name: (lambda party=party: world.contribution(party)) for party in contributors}
    with pytest.raises(ContributorLost, match=r'"Cid" .* went away'):
        world.run(terms(True), make, reached=leave)
    for name in ("Ada", "Bea"):
        assert isinstance(world.ended[name], ServerRefused | FederationUnavailable)


def _gone(weights: list[bytes], values: Any) -> Any:
    raise StopIteration


@pytest.mark.parametrize("when", ["takes part", "round 1/2"])
def test_a_server_that_is_stopped_tells_its_contributors(
    world: World, contributors: Sequence[Party], when: str
) -> None:
    class Pressed(list[str]):
        """Ctrl-C while something is noted."""

        def append(self, note: str) -> None:
            if when in note:
                raise KeyboardInterrupt

    world.notes = Pressed()
    with pytest.raises(FederationInterrupted, match="nothing was released") as stopped:
        world.run(terms(False), _all(world, contributors[:1] if when == "takes part" else contributors))
    assert stopped.value.exit_code == 130
    assert "the training was stopped at the server" in str(world.ended["Ada"])
    assert not (world.folder / "release").exists()


def test_by_tls_only_who_knows_the_servers_root_talks_to_it(
    world: World, contributors: Sequence[Party], tmp_path: Path
) -> None:
    certificate, key = _certificate(tmp_path)

    def by_tls(contribution: Contribution, reaching: Reaching) -> Any:
        address = str(reaching.address)
        with pytest.raises(FederationUnavailable):
            stay_connected(Reaching.of(address, True, None), contribution, lambda: False, 600.0)
        with pytest.raises(FederationUnavailable):
            stay_connected(reaching, contribution, lambda: False, 600.0)
        known = Reaching.of(address, False, certificate)
        stay_connected(known, contribution, lambda: contribution.finished is not None, 600.0)
        return contribution.finished

    listening = Listening.of("127.0.0.1:0", certificate, key)
    adapter = world.run(terms(True), _all(world, contributors), reached=by_tls, listening=listening)
    assert len(adapter.contributors) == 3


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "federation")])
    now = utc_now()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "tls.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "tls.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder / "tls.pem", folder / "tls.key"


def test_a_server_that_is_not_there_is_said_so(world: World, contributors: Sequence[Party]) -> None:
    contribution = world.contribution(contributors[0])
    with pytest.raises(FederationUnavailable, match="cannot be reached or went away") as refusal:
        stay_connected(Reaching.of("127.0.0.1:9", False, None), contribution, lambda: False, 30.0)
    assert refusal.value.exit_code == 3


def test_a_server_without_contributors_ends_by_itself(world: World) -> None:
    with pytest.raises(FederationError, match="0 of 3 contributors came within 1 s"):
        world.run(terms(False, waits=1.0), {})


def test_strangers_do_not_disturb(world: World, contributors: Sequence[Party]) -> None:
    """Somebody who talks no gRPC, and somebody who answers nothing."""
    held = []

    def disturbed(contribution: Contribution, reaching: Reaching) -> Any:
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 4096):
            stranger = socket.create_connection((reaching.address.host, reaching.address.port))
            stranger.sendall(data)
            held.append(stranger)
        stay_connected(reaching, contribution, lambda: contribution.finished is not None, 600.0)
        return contribution.finished

    make = {party.name: (lambda party=party: world.contribution(party)) for party in contributors}
    try:
        adapter = world.run(terms(False), make, reached=disturbed)
    finally:
        for stranger in held:
            stranger.close()
    assert len(adapter.contributors) == 3


def test_two_contributors_are_not_promised_a_secure_sum() -> None:
    assert Terms.of("n", 1, 3, None, None).secure
    assert not Terms.of("n", 1, 2, None, None).secure
    assert not Terms.of("n", 1, 4, 3, None).secure
    with pytest.raises(UsageError, match="a sum of two hides nothing"):
        Terms.of("n", 1, 2, None, True)
    with pytest.raises(UsageError, match="nobody can be left out"):
        Terms.of("n", 1, 4, 3, True)
    with pytest.raises(UsageError, match="a round and two contributors"):
        Terms.of("n", 1, 3, 1, False)
