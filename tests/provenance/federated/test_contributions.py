from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from provenance.adapter import PREDICATE_TYPE, STATEMENT, verify_adapter
from provenance.canonical import Json
from provenance.dataset import sign_dataset
from provenance.dsse import IN_TOTO, Envelope
from provenance.errors import AdapterError, FormatError, ProvenanceError, SignatureError
from provenance.federated.contributions import Contribution, contribution_name
from provenance.federated.statements import ENROLMENT_TYPE, PLAN_TYPE, Plan, Signed
from provenance.home import Home
from provenance.identity import Issuer, create_issuer, renew_issuer
from provenance.manifest import CHAIN, verify_dataset_files
from provenance.merged.kept import KeptParent, is_kept
from provenance.merged.parents import open_parent
from provenance.statement import Statement
from provenance.trust import TrustStore
from tests.provenance.federated_release import Sender, make_release, plan

PRIVACY: Json = {"epsilon": 8.0, "delta": 0.1, "spent": 1.0}


def _privacies(each: Json) -> Json:
    return {"name": "privacy", "annotations": {"by": "contributors", "privacies": each}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    return create_issuer(Home.create(tmp_path_factory.mktemp("server")), "Server")


@pytest.fixture(scope="module")
def senders(tmp_path_factory: pytest.TempPathFactory) -> list[Sender]:
    made = []
    for name, colour in (("Ada", "red"), ("Bea", "blue")):
        folder = tmp_path_factory.mktemp(name)
        issuer = create_issuer(Home.create(folder / "home"), name)
        (folder / "pictures").mkdir()
        for index in range(2):
            Image.new("RGB", (16, 16), colour).save(folder / "pictures" / f"{index}.png")
            (folder / "pictures" / f"{index}.txt").write_text(f"{colour} {index}")
        made.append(
            (issuer, sign_dataset(folder / "pictures", folder / "d", issuer=issuer, licence="MIT", holder=name))
        )
    return made


@pytest.fixture
def trust(server: Issuer) -> TrustStore:
    return TrustStore(frozenset({server.root_digest}))


def test_an_adapter_names_every_contributor_and_its_dataset(
    tmp_path: Path, server: Issuer, senders: Sequence[Sender], trust: TrustStore
) -> None:
    make_release(tmp_path / "r", server, senders)
    adapter = verify_adapter(tmp_path / "r", trust)
    assert [each.digest for each in adapter.contributors] == [dataset.digest for _, dataset in senders]
    assert [(each.issuer.name, each.issuer.trusted) for each in adapter.contributors] == [
        ("Ada", False),
        ("Bea", False),
    ]
    assert adapter.dataset is not None
    assert adapter.dataset_digest == adapter.dataset.digest
    assert adapter.dataset.issuer.name == "Server"


def test_the_collective_dataset_has_every_record_below_its_contributors_name_and_verifies_like_any_other(
    tmp_path: Path, server: Issuer, senders: Sequence[Sender], trust: TrustStore
) -> None:
    make_release(tmp_path / "r", server, senders)
    whole = verify_dataset_files(lambda name: (tmp_path / "r" / name).read_bytes(), trust, with_data=False)
    expected = {
        f"data/{dataset.digest[:16]}/{index}.png": dataset.records[index].sha256
        for _, dataset in senders
        for index in range(2)
    }
    assert {record.path: record.sha256 for record in whole.records} == expected
    assert {record.rights_holder for record in whole.records} == {"Ada", "Bea"}
    assert not (tmp_path / "r" / "dataset" / "data").exists()


def test_a_collective_dataset_that_leaves_a_contributor_out_is_refused(
    tmp_path: Path, server: Issuer, senders: Sequence[Sender]
) -> None:
    with pytest.raises(AdapterError, match="not what its contributors' datasets add up to"):
        make_release(tmp_path / "r", server, senders, collected=[senders[0][1]])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"round": 1}, "another round"),
        ({"began_from": "99" * 32}, "another began_from"),
        ({"dataset": "99" * 32}, "another dataset"),
        ({"items": 7}, "another items"),
        ({"base": "99" * 32}, "another base"),
        ({"config": "99" * 32}, "another config"),
        ({"plan": "99" * 32}, "another plan"),
        ({"enrolment": "99" * 32}, "another enrolment"),
        ({"aggregation": "secure", "commitment": "99" * 32}, "another aggregation"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_update_that_is_signed_for_something_else_is_refused(
    tmp_path: Path, server: Issuer, senders: Sequence[Sender], changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(AdapterError, match=rf"contributor-02\.json, round 2 is signed for {reason}"):
        make_release(tmp_path / "r", server, senders, changes=changes)


def test_an_update_by_another_contributors_key_is_refused(
    tmp_path: Path, server: Issuer, senders: Sequence[Sender]
) -> None:
    with pytest.raises(SignatureError, match="no certificate for the signing key"):
        make_release(tmp_path / "r", server, senders, changes={"signer": senders[0][0]})


def test_contributors_signatures_are_not_taken_under_the_weights_of_whoever_did_not_make_the_plan(
    tmp_path: Path, server: Issuer, senders: Sequence[Sender]
) -> None:
    stranger = create_issuer(Home.create(tmp_path / "home"), "Mallory")
    with pytest.raises(AdapterError, match="signed by somebody else than the plan") as refusal:
        make_release(tmp_path / "r", stranger, senders, planner=server)
    assert (refusal.value.expected, refusal.value.found) == (
        f'"Server", root {server.root_digest}',
        f'"Mallory", root {stranger.root_digest}',
    )


def test_a_merge_takes_a_federated_parent_from_whoever_made_its_plan_alone(
    tmp_path: Path, server: Issuer, senders: Sequence[Sender], trust: TrustStore
) -> None:
    adapter = make_release(tmp_path / "r", server, senders)
    assert adapter.dataset is not None
    release = tmp_path / "r"
    kept = KeptParent(
        server.certificates_pem,
        (release / STATEMENT).read_bytes(),
        {name: adapter.dataset.read_part(name) for name in (*adapter.dataset.part_names, CHAIN)},
        {name: adapter.read(name) for name in adapter.files if is_kept(name)},
    )
    parent = open_parent(kept, 1.0, trust, "it")
    assert [each.issuer.name for each in parent.contributors] == ["Ada", "Bea"]
    stranger = create_issuer(Home.create(tmp_path / "home"), "Mallory")
    claim = Statement(adapter.files, PREDICATE_TYPE, adapter.predicate)
    forged = replace(
        kept,
        chain=stranger.certificates_pem,
        statement=Envelope.sign(claim.to_bytes(), IN_TOTO, stranger).to_json(),
    )
    with pytest.raises(AdapterError, match="signed by somebody else than the plan"):
        open_parent(forged, 1.0, trust, "it")


def test_nobody_is_told_as_a_contributor_whose_dataset_somebody_else_enrolled(
    tmp_path: Path, server: Issuer, senders: Sequence[Sender]
) -> None:
    stranger = create_issuer(Home.create(tmp_path / "home"), "Mallory")
    with pytest.raises(AdapterError, match=r"contributor-02\.json enrols a dataset that somebody else signed"):
        make_release(tmp_path / "r", server, senders, changes={"enroller": stranger})


def test_a_plan_is_still_its_makers_after_a_renewal_of_the_key(tmp_path: Path, senders: Sequence[Sender]) -> None:
    home = Home.create(tmp_path / "home")
    before = create_issuer(home, "Server")
    after = renew_issuer(home)
    assert before.key_id != after.key_id
    adapter = make_release(tmp_path / "r", after, senders, planner=before)
    assert [each.issuer.name for each in adapter.contributors] == ["Ada", "Bea"]


def _without_one(claim: Json, adapter: Path) -> None:
    (adapter / contribution_name(2)).unlink()


def _one_not_listed(claim: Json, adapter: Path) -> None:
    del claim["buildDefinition"]["resolvedDependencies"][2]


def _none_listed(claim: Json, adapter: Path) -> None:
    del claim["buildDefinition"]["resolvedDependencies"][1:3]


def _swapped(claim: Json, adapter: Path) -> None:
    listed = claim["buildDefinition"]["resolvedDependencies"]
    listed[1]["digest"], listed[2]["digest"] = listed[2]["digest"], listed[1]["digest"]


def _broken_chain(claim: Json, adapter: Path) -> None:
    claim["runDetails"]["byproducts"][0]["annotations"]["rounds"][0]["result"] = "99" * 32


def _unsigned_update(claim: Json, adapter: Path) -> None:
    rounds = claim["runDetails"]["byproducts"][0]["annotations"]["rounds"]
    rounds[1]["updates"].append({"dataset": "99" * 32, "statement": "98" * 32})


def _untold_update(claim: Json, adapter: Path) -> None:
    claim["runDetails"]["byproducts"][0]["annotations"]["rounds"][1]["updates"].pop()


def _other_plan(claim: Json, adapter: Path) -> None:
    claim["runDetails"]["byproducts"][0]["annotations"]["plan"] = "99" * 32


def _untold_rounds(claim: Json, adapter: Path) -> None:
    claim["runDetails"]["byproducts"] = []


def _contribution_without_its_dataset(claim: Json, adapter: Path) -> None:
    path = adapter / contribution_name(1)
    value = json.loads(path.read_bytes())
    del value["dataset"]["dataset/records.jsonl"]
    path.write_text(json.dumps(value))


def _other_base(claim: Json, adapter: Path) -> None:
    claim["buildDefinition"]["resolvedDependencies"][3]["digest"]["sha256"] = "99" * 32


def _other_settings(claim: Json, adapter: Path) -> None:
    claim["buildDefinition"]["externalParameters"]["config"]["dp_epsilon"] = 1.0


def _other_screening(claim: Json, adapter: Path) -> None:
    screenings = claim["runDetails"]["byproducts"][1]["annotations"]["screenings"]
    screenings[next(iter(screenings))] = {"by": "nobody"}


def _privacy_nobody_promised(claim: Json, adapter: Path) -> None:
    claim["runDetails"]["byproducts"].append(_privacies({"99" * 32: PRIVACY}))


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (_without_one, "does not keep the statements of all"),
        (_one_not_listed, "does not keep the statements of all"),
        (_none_listed, "does not keep the statements of all"),
        (_swapped, "names another contributor's dataset"),
        (_broken_chain, "other weights than the round before gave"),
        (_unsigned_update, "updates that no contributor's statement is kept for"),
        (_untold_update, "does not tell of this update in round 2"),
        (_other_plan, "the rounds of another plan"),
        (_untold_rounds, "does not tell its rounds"),
        (_contribution_without_its_dataset, "lacks a file of its dataset"),
        (_other_base, "another base or other settings than the plan"),
        (_other_settings, "another base or other settings than the plan"),
        (_other_screening, "another screening than its contributors signed"),
        (_privacy_nobody_promised, "another privacy than its contributors signed"),
    ],
)
def test_a_release_that_tells_something_else_than_contributors_signed_is_refused(
    tmp_path: Path,
    server: Issuer,
    senders: Sequence[Sender],
    edit: Callable[[Json, Path], None],
    reason: str,
) -> None:
    with pytest.raises(ProvenanceError, match=reason):
        make_release(tmp_path / "r", server, senders, edit=edit)


def _promised(told: Json) -> Callable[[Json, Path], None]:
    return lambda claim, adapter: claim["runDetails"]["byproducts"].append(told)


def test_the_privacy_that_is_told_is_that_which_each_contributor_signed(
    tmp_path: Path, server: Issuer, senders: Sequence[Sender]
) -> None:
    ada, bea = (dataset.digest for _, dataset in senders)
    private: Json = {"settings": {"dp_epsilon": 8.0, "dp_delta": 0.1}, "privacies": [PRIVACY, PRIVACY]}
    as_signed = {ada: PRIVACY, bea: PRIVACY}
    make_release(tmp_path / "kept", server, senders, edit=_promised(_privacies(as_signed)), **private)
    with pytest.raises(AdapterError, match="another privacy than its contributors signed"):
        make_release(tmp_path / "untold", server, senders, **private)
    for number, told in enumerate(({ada: PRIVACY}, as_signed | {bea: PRIVACY | {"epsilon": 1.0}})):
        with pytest.raises(AdapterError, match="another privacy than its contributors signed"):
            make_release(tmp_path / f"r{number}", server, senders, edit=_promised(_privacies(told)), **private)


@pytest.mark.parametrize(
    ("settings", "promised"),
    [
        ({"dp_epsilon": 8.0, "dp_delta": 0.1}, None),
        ({"dp_epsilon": 1.0, "dp_delta": 0.1}, PRIVACY),
        ({"dp_epsilon": 8.0, "dp_delta": 0.01}, PRIVACY),
        ({}, PRIVACY),
    ],
    ids=["none", "greater epsilon", "greater delta", "not planned"],
)
def test_an_enrolment_for_another_privacy_than_planned_is_refused(
    tmp_path: Path, server: Issuer, senders: Sequence[Sender], settings: Json, promised: Json | None
) -> None:
    with pytest.raises(AdapterError, match=r"contributor-01\.json, enrolment, is for another privacy"):
        make_release(tmp_path / "r", server, senders, settings=settings, privacies=[promised, promised])


def test_a_changed_contribution_no_longer_verifies(
    tmp_path: Path, server: Issuer, senders: Sequence[Sender], trust: TrustStore
) -> None:
    make_release(tmp_path / "r", server, senders)
    shutil.copy(tmp_path / "r/adapter" / contribution_name(1), tmp_path / "r/adapter" / contribution_name(2))
    with pytest.raises(AdapterError, match=r"contributor-02\.json was changed after signing"):
        verify_adapter(tmp_path / "r", trust)


def test_a_contribution_is_read_back_as_it_was_written() -> None:
    made = Contribution(b"chain", {"dataset.sig": b"{}"}, b"e", (b"u", None))
    assert Contribution.parse(made.to_bytes(), "it") == made
    with pytest.raises(FormatError, match="not a contribution"):
        Contribution.parse(b'{"type":"urn:prov:contribution:v1"}', "it")


def test_a_statement_of_another_kind_is_not_taken_for_a_plan(server: Issuer, trust: TrustStore) -> None:
    proposed = plan()
    signed = Signed.by(server, proposed.to_statement())
    statement, signer = signed.verify(PLAN_TYPE, trust, "the plan")
    assert Plan.of(statement, "the plan") == proposed
    assert signer.trusted
    with pytest.raises(FormatError, match="another kind of claim"):
        signed.verify(ENROLMENT_TYPE, trust, "the plan")
    statement.predicate["rounds"] = 0
    with pytest.raises(FormatError, match="is not the plan of a federated training"):
        Plan.of(statement, "the plan")
