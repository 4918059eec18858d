"""Merged adapters: what they change is the weighted sum of what their parents change, and nothing is left unsaid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load

from generation.adapters import weight_change
from provenance.adapter import WEIGHTS, AdapterManifest, sign_adapter
from provenance.adapter_layers import read_layers
from provenance.base import BaseModel
from provenance.canonical import Json, canonical_json, parse_json
from provenance.card import CardSource, model_card
from provenance.dataset import sign_dataset, verify_dataset
from provenance.dsse import IN_TOTO, Envelope
from provenance.errors import AdapterError, ProvenanceError
from provenance.federated.collective import collect
from provenance.home import Home
from provenance.identity import Issuer, create_issuer
from provenance.manifest import DatasetManifest
from provenance.merged.kept import KeptParent, parent_name
from provenance.moments import format_moment, utc_now
from provenance.statement import Statement
from provenance.trigger import EMBEDDINGS
from provenance.trust import TrustStore
from tests.training.adapted import adapted, changes_by_peft
from training.attestation import Run
from training.errors import ReplayUnavailable
from training.families.opening import load_pipeline
from training.merging import Weighted, merge, recompute
from training.metadata import adapter_metadata
from training.release import KOHYA_NAME, adapter_files
from training.replay.record import read_recorded

SCREENED = {"by": "maker", "policy": {"name": "house"}, "digest": "5c" * 32}
Adapter = Callable[..., AdapterManifest]


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer, trust: TrustStore) -> list[DatasetManifest]:
    """Two datasets of one picture each; the second is under another licence."""
    folder = tmp_path_factory.mktemp("datasets")
    made = []
    for number, licence in enumerate(("CC0-1.0", "CC-BY-4.0")):
        (folder / f"pictures-{number}").mkdir()
        Image.fromarray(np.full((16, 16, 3), 40 * number, np.uint8)).save(folder / f"pictures-{number}" / "one.png")
        (folder / f"pictures-{number}" / "one.txt").write_text("a grey square")
        release = folder / f"dataset-{number}"
        sign_dataset(folder / f"pictures-{number}", release, issuer=issuer, licence=licence, holder=f"Holder {number}")
        made.append(verify_dataset(release, trust))
    return made


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer, datasets: list[DatasetManifest]) -> Adapter:
    """Signs a release of an adapter with moved weights; one for each set of settings."""
    folder = tmp_path_factory.mktemp("adapters")
    known: dict[str, AdapterManifest] = {}

    def adapter(base: BaseModel, name: str, dataset: int = 0, prediction: str = "epsilon", **changes: Any) -> Any:
        if name not in known:
            kind = changes.pop("kind", "lora")
            trained = adapted(base, kind, **changes)
            moved = torch.Generator().manual_seed(len(known))
            weights = {
                key: value.detach() + 0.1 * torch.randn(value.shape, generator=moved)
                for key, value in trained.parameters.items()
            }
            release = folder / name
            (release / "adapter").mkdir(parents=True)
            metadata = adapter_metadata(datasets[dataset], base, trained.config, run_of(name, prediction))
            for file, data in adapter_files(weights, trained.config, metadata).items():
                (release / "adapter" / file).write_bytes(data)
            claim = predicate(base, datasets[dataset], name)
            known[name] = sign_adapter(release, issuer=issuer, predicate=claim, dataset=datasets[dataset])
        return known[name]

    return adapter


def run_of(name: str, prediction: str) -> Run:
    now = "2026-01-01T00:00:00Z"
    return Run(name, now, now, 0.0, 0.0, "cpu", 1, 32, prediction, (), (), None)


def predicate(base: BaseModel, dataset: DatasetManifest, name: str) -> Json:
    return {
        "buildDefinition": {
            "buildType": "urn:prov:lora-training:v1",
            "externalParameters": {"name": name},
            "internalParameters": {},
            "resolvedDependencies": [
                {"name": "dataset", "digest": {"sha256": dataset.digest}},
                {"name": "base", "uri": base.id, "digest": {"sha256": base.digest}},
                {"name": "code", "digest": {"sha256": "c0" * 32}},
            ],
        },
        "runDetails": {
            "builder": {"id": "urn:prov:trainer:v1"},
            "metadata": {"finishedOn": format_moment(utc_now())},
            "byproducts": [{"name": "screening", "annotations": SCREENED}],
        },
    }


@pytest.fixture(scope="module")
def pair(made: Adapter, sd1_base: BaseModel) -> tuple[AdapterManifest, AdapterManifest]:
    """Two parents that share some layers: with convolutions, of another rank and alpha, one with its text encoder."""
    one = made(sd1_base, "one", targets=("to_q", "conv1", "proj_in"), text_encoder_rank=2)
    two = made(sd1_base, "two", 1, targets=("to_q", "to_v"), rank=3, alpha=1.5, text_encoder_rank=0, save_dtype="fp16")
    return one, two


@pytest.fixture(scope="module")
def merged(
    tmp_path_factory: pytest.TempPathFactory, pair: tuple[AdapterManifest, AdapterManifest], issuer: Issuer
) -> AdapterManifest:
    weighted = [Weighted(pair[0], 0.7), Weighted(pair[1], -0.5)]
    return merge(weighted, "one and two", tmp_path_factory.mktemp("merged") / "both", issuer)


def changes(adapter: AdapterManifest) -> dict[str, torch.Tensor]:
    """What each layer changes, by the reader that pictures are drawn with, in double precision."""
    tensors = {name: tensor.double() for name, tensor in load(adapter.read(WEIGHTS)).items()}
    found = {}
    for layer in read_layers(adapter.read(WEIGHTS), WEIGHTS):
        parts = {part: tensors[f"{layer.name}.{part}"] for part in layer.parts}
        up, down = layer.parts["lora_B.weight"], layer.parts["lora_A.weight"]
        found[layer.name] = weight_change(layer.kind, parts, torch.zeros(up[0], *down[1:]))
    return found


def expected(pair: tuple[AdapterManifest, AdapterManifest]) -> dict[str, torch.Tensor]:
    one, two = (changes(each) for each in pair)
    nothing = torch.zeros(1)
    return {name: 0.7 * one.get(name, nothing) - 0.5 * two.get(name, nothing) for name in one.keys() | two.keys()}


def require_close(found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], within: float) -> None:
    assert found.keys() == wanted.keys()
    for name, change in wanted.items():
        assert change.norm() > 1e-3, name
        assert (found[name] - change).norm() <= within * change.norm(), name


def test_a_merge_changes_the_base_as_its_parents_do_together(
    merged: AdapterManifest, pair: tuple[AdapterManifest, AdapterManifest]
) -> None:
    wanted = expected(pair)
    alone = wanted.keys() - (changes(pair[0]).keys() & changes(pair[1]).keys())
    assert alone
    assert alone != wanted.keys()
    assert any(name.startswith("text_encoder.") for name in wanted)
    require_close(changes(merged), wanted, 1e-6)


def test_other_programs_change_the_base_by_it_as_we_do(
    merged: AdapterManifest, pair: tuple[AdapterManifest, AdapterManifest], sd1_base: BaseModel
) -> None:
    assert merged.root is not None
    pipe = load_pipeline(sd1_base)
    pipe.load_lora_weights(str(merged.root / "adapter"), weight_name=WEIGHTS)
    require_close(dict(changes_by_peft(pipe)), expected(pair), 1e-3)


def test_the_layout_of_kohya_holds_the_same_with_alpha(
    merged: AdapterManifest, pair: tuple[AdapterManifest, AdapterManifest]
) -> None:
    tensors = load(merged.read(KOHYA_NAME))
    found = {}
    for name in expected(pair):
        component, _, path = name.partition(".")
        key = f"{'lora_te' if component == 'text_encoder' else 'lora_unet'}_{path.replace('.', '_')}"
        down, up, alpha = (tensors.pop(f"{key}.{part}") for part in ("lora_down.weight", "lora_up.weight", "alpha"))
        product = up.double().flatten(1) @ down.double().flatten(1) * float(alpha) / down.shape[0]
        found[name] = product.reshape(up.shape[0], *down.shape[1:])
    assert not tensors
    require_close(found, expected(pair), 1e-6)


def test_every_layer_of_a_component_has_one_rank(merged: AdapterManifest) -> None:
    layers = read_layers(merged.read(WEIGHTS), WEIGHTS)
    found = {(layer.component, layer.parts["lora_A.weight"][0]) for layer in layers}
    assert found == {("unet", 7), ("text_encoder", 2)}


def test_a_merge_names_its_parents_their_weights_and_their_datasets(
    merged: AdapterManifest, pair: tuple[AdapterManifest, AdapterManifest], datasets: list[DatasetManifest]
) -> None:
    assert [(each.digest, each.weights, each.weight, each.name) for each in merged.parents] == [
        (pair[0].digest, pair[0].weights_digest, 0.7, "one"),
        (pair[1].digest, pair[1].weights_digest, -0.5, "two"),
    ]
    assert [each.digest for each in merged.contributors] == [each.digest for each in datasets]
    assert merged.dataset is not None
    assert {record.path: record.sha256 for record in merged.dataset.records} == {
        f"data/{each.digest[:16]}/one.png": each.records[0].sha256 for each in datasets
    }
    assert merged.dataset.licences == ("CC-BY-4.0", "CC0-1.0")
    said = merged.predicate["runDetails"]["byproducts"]
    screenings = {each.digest: SCREENED for each in pair}
    assert said == [{"name": "screening", "annotations": {"by": "parents", "screenings": screenings}}]


def test_the_file_says_what_it_is(merged: AdapterManifest, sd1_base: BaseModel) -> None:
    assert merged.root is not None
    assert merged.dataset is not None
    with safe_open(merged.root / "adapter" / WEIGHTS, "pt") as file:
        said = file.metadata()
    assert said["modelspec.architecture"] == "stable-diffusion-v1/lora"
    assert said["modelspec.title"] == "one and two"
    assert said["modelspec.merged_from"] == "one, two"
    assert said["modelspec.author"] == "Holder 0; Holder 1"
    assert said["prov.dataset_licences"] == "CC-BY-4.0 AND CC0-1.0"
    assert said["modelspec.prediction_type"] == "epsilon"
    assert said["ss_network_dim"] == said["ss_network_alpha"] == "7"
    assert (said["prov.base"], said["prov.dataset"]) == (sd1_base.digest, merged.dataset.digest)
    assert "prov.config" not in said


def test_a_merge_is_computed_again_bit_for_bit_from_its_parents(
    merged: AdapterManifest, pair: tuple[AdapterManifest, AdapterManifest]
) -> None:
    again = recompute(merged, tuple(reversed(pair)))
    assert again.agrees
    assert again.equal == (WEIGHTS, KOHYA_NAME)


def test_weights_that_the_parents_do_not_add_up_to_are_found(
    merged: AdapterManifest, pair: tuple[AdapterManifest, AdapterManifest], issuer: Issuer, tmp_path: Path
) -> None:
    forged = signed_again(merged, issuer, tmp_path / "forged", flip=True)
    assert recompute(forged, pair).differing == (WEIGHTS,)


def test_other_parents_are_refused(merged: AdapterManifest, pair: tuple[AdapterManifest, AdapterManifest]) -> None:
    with pytest.raises(AdapterError, match="not the adapters that it was merged from"):
        recompute(merged, [pair[0], pair[0]])
    with pytest.raises(AdapterError, match="was not merged from others"):
        recompute(pair[0], pair)


def test_a_merge_has_nothing_to_replay(merged: AdapterManifest) -> None:
    with pytest.raises(ReplayUnavailable, match="no training to replay") as refusal:
        read_recorded(merged)
    assert "prov model merge --check" in str(refusal.value)


def test_a_merge_of_merges_tells_of_every_generation(
    merged: AdapterManifest,
    made: Adapter,
    sd1_base: BaseModel,
    issuer: Issuer,
    tmp_path: Path,
    datasets: list[DatasetManifest],
) -> None:
    third = made(sd1_base, "three", targets=("to_k",), text_encoder_rank=0)
    grand = merge([Weighted(merged, 1.0), Weighted(third, 0.25)], "all", tmp_path / "all", issuer)
    assert [each.name for each in grand.parents] == ["one and two", "three"]
    assert [each.name for each in grand.parents[0].parents] == ["one", "two"]
    assert [each.digest for each in grand.contributors] == [each.digest for each in datasets]
    assert recompute(grand, [third, merged]).agrees
    card = model_card(CardSource(grand, None))
    assert "| one and two | 1 |" in card
    assert "prov model merge --check" in card


def test_a_learned_trigger_is_carried_as_it_was_released_and_two_are_refused(
    made: Adapter, pair: tuple[AdapterManifest, AdapterManifest], sd1_base: BaseModel, issuer: Issuer, tmp_path: Path
) -> None:
    dove, fox, also = (
        made(sd1_base, name, targets=("to_q",), text_encoder_rank=0, trigger=trigger)
        for name, trigger in (("dove", "<dove>"), ("fox", "<fox>"), ("also a dove", "<dove>"))
    )
    both = merge([Weighted(pair[0], 1.0), Weighted(dove, 0.5)], "dove", tmp_path / "dove", issuer)
    assert both.read(EMBEDDINGS) == dove.read(EMBEDDINGS)
    assert recompute(both, [dove, pair[0]]).equal == (WEIGHTS, EMBEDDINGS, KOHYA_NAME)
    for other, reason in ((fox, "learned trigger\n"), (also, "it is the same word")):
        with pytest.raises(AdapterError, match=reason):
            merge([Weighted(dove, 1.0), Weighted(other, 1.0)], "x", tmp_path / "x", issuer)


@pytest.mark.parametrize("kind", ["dora", "loha", "lokr"])
def test_kinds_whose_sum_is_none_of_theirs_are_refused_by_name(
    made: Adapter,
    pair: tuple[AdapterManifest, AdapterManifest],
    sd1_base: BaseModel,
    kind: str,
    issuer: Issuer,
    tmp_path: Path,
) -> None:
    other = made(sd1_base, kind, kind=kind, targets=("to_q",), text_encoder_rank=0)
    with pytest.raises(AdapterError, match=f"{kind} is of kind {kind}, which cannot be merged exactly"):
        merge([Weighted(pair[0], 1.0), Weighted(other, 1.0)], "x", tmp_path / "x", issuer)
    assert not (tmp_path / "x").exists()


def test_an_adapter_of_another_base_is_refused_by_name(
    made: Adapter, pair: tuple[AdapterManifest, AdapterManifest], v_base: BaseModel, issuer: Issuer, tmp_path: Path
) -> None:
    other = made(v_base, "foreign", targets=("to_q",), text_encoder_rank=0)
    with pytest.raises(AdapterError, match="foreign was trained on another base"):
        merge([Weighted(pair[0], 1.0), Weighted(other, 1.0)], "x", tmp_path / "x", issuer)


def test_an_adapter_trained_on_other_noise_is_refused_by_name(
    made: Adapter, pair: tuple[AdapterManifest, AdapterManifest], sd1_base: BaseModel, issuer: Issuer, tmp_path: Path
) -> None:
    other = made(sd1_base, "fast", prediction="v_prediction", targets=("to_q",), text_encoder_rank=0)
    with pytest.raises(AdapterError, match="trained on different noise") as refusal:
        merge([Weighted(pair[0], 1.0), Weighted(other, 1.0)], "x", tmp_path / "x", issuer)
    assert "v in fast" in str(refusal.value)


@pytest.mark.parametrize(
    ("weights", "reason"),
    [((1.0,), "several adapters"), ((1.0, 0.0), "not the weight"), ((1.0, float("nan")), "not the weight")],
)
def test_what_is_no_merge_is_refused(
    pair: tuple[AdapterManifest, AdapterManifest],
    weights: tuple[float, ...],
    reason: str,
    issuer: Issuer,
    tmp_path: Path,
) -> None:
    wanted = [Weighted(adapter, weight) for adapter, weight in zip(pair, weights, strict=False)]
    with pytest.raises(AdapterError, match=reason):
        merge(wanted, "x", tmp_path / "x", issuer)


def test_the_same_adapter_twice_is_refused(
    pair: tuple[AdapterManifest, AdapterManifest], issuer: Issuer, tmp_path: Path
) -> None:
    with pytest.raises(AdapterError, match="merged twice"):
        merge([Weighted(pair[0], 1.0), Weighted(pair[0], 0.5)], "x", tmp_path / "x", issuer)


def signed_again(
    merged: AdapterManifest,
    issuer: Issuer,
    target: Path,
    *,
    flip: bool = False,
    edit: Callable[[Json], object] = lambda claim: None,
    kept: Callable[[Json], object] = lambda parent: None,
) -> AdapterManifest:
    """The release with another last byte of its weights, another claim or another kept parent, signed like any."""
    assert merged.root is not None
    claim: Json = parse_json(Statement({}, "", merged.predicate).to_bytes(), "claim")["predicate"]
    for name in merged.files:
        data = bytearray(merged.read(name))
        if flip and name == WEIGHTS:
            data[-1] ^= 1
        (target / "adapter" / name).parent.mkdir(parents=True, exist_ok=True)
        (target / "adapter" / name).write_bytes(data)
    file = target / "adapter" / parent_name(2)
    parent = parse_json(file.read_bytes(), "parent")
    kept(parent)
    if parent != parse_json(file.read_bytes(), "parent"):
        file.write_bytes(canonical_json(parent))
    edit(claim)
    return sign_adapter(target, issuer=issuer, predicate=claim, dataset=merged.dataset)


def _parent_entry(claim: Json) -> Json:
    entry: Json = claim["buildDefinition"]["resolvedDependencies"][2]
    assert entry["name"] == "parent:2"
    return entry


def _forget_a_parent(claim: Json) -> None:
    claim["buildDefinition"]["resolvedDependencies"].remove(_parent_entry(claim))


FORGERIES: dict[str, tuple[Callable[[Json], object], str]] = {
    "another weight than a number": (lambda c: _parent_entry(c)["annotations"].update(weight="1"), "how much of each"),
    "another digest of weights": (
        lambda c: _parent_entry(c)["annotations"].update(weights="00" * 32),
        "names another parent than it keeps",
    ),
    "another statement": (lambda c: _parent_entry(c).update(digest={"sha256": "00" * 32}), "names another parent"),
    "a parent less": (_forget_a_parent, "does not keep the statements"),
    "a kinder screening": (
        lambda c: c["runDetails"]["byproducts"][0]["annotations"]["screenings"].clear(),
        "does not repeat what its parents said",
    ),
    "another base": (
        lambda c: c["buildDefinition"]["resolvedDependencies"][3].update(digest={"sha256": "00" * 32}),
        "trained on another base",
    ),
    "not a merge": (
        lambda c: c["buildDefinition"].update(buildType="urn:prov:lora-training:v1"),
        "does not keep the statements",
    ),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_claim_that_its_parents_do_not_bear_out_does_not_verify(
    merged: AdapterManifest, issuer: Issuer, tmp_path: Path, name: str
) -> None:
    edit, reason = FORGERIES[name]
    with pytest.raises(ProvenanceError, match=reason):
        signed_again(merged, issuer, tmp_path / "forged", edit=edit)


def test_a_kept_parent_that_was_changed_does_not_verify(
    merged: AdapterManifest, issuer: Issuer, tmp_path: Path
) -> None:
    def other_licence(parent: Json) -> None:
        records = parent["dataset"]["dataset/records.jsonl"]
        parent["dataset"]["dataset/records.jsonl"] = records.replace("CC-BY-4.0", "CC0-1.0")

    with pytest.raises(ProvenanceError, match="not what was signed"):
        signed_again(merged, issuer, tmp_path / "dataset", kept=other_licence)
    with pytest.raises(ProvenanceError, match=r"does not keep screening\.json as it was signed"):
        signed_again(
            merged, issuer, tmp_path / "more", kept=lambda parent: parent["kept"].update({"screening.json": ""})
        )


def test_a_dataset_that_leaves_out_a_parents_pictures_does_not_verify(
    merged: AdapterManifest, issuer: Issuer, datasets: list[DatasetManifest], tmp_path: Path
) -> None:
    less = collect("less", format_moment(utc_now()), datasets[:1], issuer)

    def point(claim: Json) -> None:
        claim["buildDefinition"]["resolvedDependencies"][0]["digest"]["sha256"] = less.digest

    with pytest.raises(AdapterError, match="not what its contributors' datasets add up to"):
        signed_again(replace(merged, dataset=less), issuer, tmp_path / "less", edit=point)


def test_a_parent_signed_by_somebody_else_is_not_taken_for_it(
    merged: AdapterManifest, issuer: Issuer, tmp_path: Path
) -> None:
    """A statement about the parent's weights that its kept certificates did not sign."""
    kept = KeptParent.parse(merged.read(parent_name(2)), "parent")
    stranger = create_issuer(Home.create(tmp_path / "stranger"), "Stranger")
    payload = Envelope.parse(kept.statement).payload

    def replaced(parent: Json) -> None:
        parent["statement"] = Envelope.sign(payload, IN_TOTO, stranger).to_json().decode()

    with pytest.raises(ProvenanceError):
        signed_again(merged, issuer, tmp_path / "forged", kept=replaced)
