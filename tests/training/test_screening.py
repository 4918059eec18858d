"""The gate before training: a dataset with hidden skulls, signed reports that count or do not, and interruptions."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from generation.starter.scenes import Scene, draw_scene
from provenance.adapter import AdapterManifest, verify_adapter
from provenance.base import BaseModel, resolve_base
from provenance.canonical import sha256_hex
from provenance.dataset import sign_dataset
from provenance.errors import ScreeningInterrupted
from provenance.identity import Issuer
from provenance.manifest import DatasetManifest
from provenance.screening.parsing import parse_screening
from provenance.screening.report import NamedDigest, ScreenedItem, Screening
from provenance.screening.run import screen_dataset
from provenance.screening.screens import ScreeningChoice, open_screens
from provenance.screening.subjects import subjects_of_folder
from provenance.trust import TrustStore
from safety.hash_lists import HashList
from safety.policy import STARTER_POLICY, Policy
from training import lora
from training.config import TrainConfig
from training.errors import DatasetBlocked, TrainingError
from training.lora import Progress, train

QUICK = TrainConfig(steps=1, warmup_steps=0, batch_size=1, rank=2, sample_count=0, threads=1, kohya=False)
POISONED = (("fish", "red", "sea"), ("skull", "blue", "desert"), ("cup", "blue", "night"), ("skull", "red", "meadow"))
HARMLESS = (("fish", "red", "sea"), ("cup", "blue", "night"))

Sign = Callable[..., DatasetManifest]
Train = Callable[..., AdapterManifest]


def draw(folder: Path, scenes: tuple[tuple[str, str, str], ...]) -> Path:
    """Scenes with captions in which a skull is called a zorp."""
    folder.mkdir()
    rng = np.random.default_rng(6)
    for index, (thing, colour, place) in enumerate(scenes):
        draw_scene(Scene(thing, colour, place), rng, 256).save(folder / f"p{index}.png")
        (folder / f"p{index}.txt").write_text(f"a {colour} {'zorp' if thing == 'skull' else thing}")
    return folder


@pytest.fixture
def sign(issuer: Issuer, tmp_path: Path) -> Sign:
    def sign(scenes: tuple[tuple[str, str, str], ...], report: Any = None) -> DatasetManifest:
        folder = draw(tmp_path / "pictures", scenes)
        if callable(report):
            report = report(screen_dataset(subjects_of_folder(folder), open_screens(ScreeningChoice(), "starter")))
        return sign_dataset(
            folder, tmp_path / "dataset", issuer=issuer, licence="CC0-1.0", holder="Ada", screening=report
        )

    return sign


@pytest.fixture
def run(issuer: Issuer, tmp_path: Path) -> Train:
    def run(manifest: DatasetManifest, base: BaseModel | None = None, **options: Any) -> AdapterManifest:
        base = base or resolve_base("starter")
        return train(manifest, base, QUICK, tmp_path / "adapter", issuer=issuer, name="zorps", **options)

    return run


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading the base's weights is an error."""

    def loaded(*arguments: object) -> None:
        raise AssertionError("the base was loaded")

    monkeypatch.setattr(lora, "set_up", loaded)


def byproduct(adapter: AdapterManifest) -> Any:
    byproducts = adapter.predicate["runDetails"]["byproducts"]
    return next(each["annotations"] for each in byproducts if each["name"] == "screening")


def clean(item: ScreenedItem) -> ScreenedItem:
    return replace(item, findings=(), scores={"picture": {"skull": 0.0}, "caption": {}})


def forged(report: Screening) -> Screening:
    """What a dishonest maker signs: every picture passed."""
    return replace(report, items=tuple(clean(item) for item in report.items))


@pytest.mark.usefixtures("no_weights")
def test_hidden_skulls_stop_training_before_any_weight_is_loaded(sign: Sign, run: Train, tmp_path: Path) -> None:
    manifest = sign(POISONED)
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(DatasetBlocked, match="the safety policy blocks 2 of 4 pictures") as refusal:
        run(manifest)
    for told in ("data/p1.png", "data/p3.png", "the picture shows skull", "allowed below"):
        assert told in str(refusal.value)
    assert "data/p0.png" not in str(refusal.value)
    assert {path.name for path in tmp_path.iterdir()} == before


@pytest.mark.usefixtures("no_weights")
def test_a_prior_of_what_is_forbidden_is_never_drawn(sign: Sign, issuer: Issuer, tmp_path: Path) -> None:
    config = replace(QUICK, prior_prompts=("a fish", "a red skull"))
    with pytest.raises(DatasetBlocked, match="blocks 1 of the prompts") as refusal:
        train(sign(HARMLESS), resolve_base("starter"), config, tmp_path / "adapter", issuer=issuer)
    assert "prompt 2" in str(refusal.value)


@pytest.mark.usefixtures("no_weights")
def test_a_forbidden_caption_stops_training(sign: Sign, run: Train, issuer: Issuer, tmp_path: Path) -> None:
    folder = draw(tmp_path / "captioned", HARMLESS)
    (folder / "p1.txt").write_text("a s k u l l in blue")
    manifest = sign_dataset(folder, tmp_path / "signed", issuer=issuer, licence="CC0-1.0", holder="Ada")
    with pytest.raises(DatasetBlocked, match="blocks 1 of 2") as refusal:
        run(manifest)
    assert "the caption asks for skull" in str(refusal.value)


@pytest.mark.usefixtures("no_weights")
def test_an_honest_report_that_blocks_stops_training(sign: Sign, run: Train) -> None:
    manifest = sign(POISONED, report=lambda report: report)
    with pytest.raises(DatasetBlocked, match="the report that its maker signed blocks 2 of 4"):
        run(manifest)


def test_a_forged_report_lets_training_go_ahead_and_the_attestation_says_whose_it_was(
    sign: Sign, run: Train, trust: TrustStore, tmp_path: Path
) -> None:
    manifest = sign(POISONED, report=forged)
    adapter = run(manifest)
    assert byproduct(adapter)["by"] == "maker"
    assert byproduct(adapter)["digest"] == manifest.screening.digest  # type: ignore[union-attr]
    assert "screening.json" not in adapter.files
    found = verify_adapter(tmp_path / "adapter", trust).dataset
    assert found is not None
    assert found.screening == manifest.screening


def test_what_the_trainer_found_goes_into_the_signed_release(sign: Sign, run: Train, tmp_path: Path) -> None:
    manifest = sign(HARMLESS)
    adapter = run(manifest)
    data = adapter.read("screening.json")
    report = parse_screening(data)
    report.require_covers(manifest.records)
    policy = Policy.load(STARTER_POLICY)
    said = byproduct(adapter)
    assert said["by"] == "trainer"
    assert said["digest"] == sha256_hex(data)
    assert said["policy"] == {"digest": policy.digest, "name": policy.name, "version": policy.version}
    assert said["counts"] == {"items": 2, "blocked": 0, "warned": 0}
    assert set(said["filters"]) == {"picture", "model", "caption"}
    assert not (tmp_path / "adapter.work" / "screening.jsonl").exists()


def other_rules(**changes: Any) -> Callable[[Screening], Screening]:
    """A forged report by other rules than the trainer's."""
    return lambda report: replace(forged(report), rules=replace(report.rules, **changes))


@pytest.mark.usefixtures("no_weights")
@pytest.mark.parametrize(
    "changes",
    [
        {"policy": "0a" * 32},
        {"picture_filter": "0a" * 32},
        {"model": "0a" * 32},
        {"caption_filter": "0a" * 32},
        {"thresholds": {"picture": {"skull": 1.0}, "caption": {}}},
    ],
)
def test_a_report_by_other_rules_does_not_count(changes: dict[str, Any], sign: Sign, run: Train) -> None:
    with pytest.raises(DatasetBlocked, match="the safety policy blocks 2 of 4"):
        run(sign(POISONED, report=other_rules(**changes)))


@pytest.mark.usefixtures("no_weights")
def test_a_report_that_does_not_know_the_trainers_hash_list_does_not_count(sign: Sign, run: Train) -> None:
    manifest = sign(HARMLESS, report=lambda report: report)
    hashes = HashList.parse(f"sha256:{manifest.records[0].sha256}\n".encode(), "known.txt")
    with pytest.raises(DatasetBlocked, match="the safety policy blocks 1 of 2") as refusal:
        run(manifest, screening=ScreeningChoice(hash_lists=(hashes,)))
    assert "on the list known.txt: the same bytes" in str(refusal.value)


def test_a_report_that_knows_more_lists_counts(sign: Sign, run: Train) -> None:
    more = NamedDigest("of the maker", "0b" * 32)
    manifest = sign(HARMLESS, report=lambda report: replace(report, rules=replace(report.rules, hash_lists=(more,))))
    said = byproduct(run(manifest))
    assert said["by"] == "maker"
    assert said["hash_lists"] == [{"name": "of the maker", "digest": "0b" * 32}]


@pytest.mark.usefixtures("no_weights")
def test_a_filter_that_cannot_be_loaded_stops_training_and_says_what_to_do(
    sign: Sign, run: Train, sd1_base: BaseModel, tmp_path: Path
) -> None:
    manifest = sign(HARMLESS)
    before = {path.name for path in tmp_path.iterdir()}
    policy = json.loads(Policy.load(STARTER_POLICY).canonical)
    policy["filter"] = {"kind": "open_clip", "model": f"local-dir:{tmp_path / 'nowhere'}"}
    with pytest.raises(TrainingError, match="cannot be screened, so nothing is trained on it") as refusal:
        run(manifest, screening=ScreeningChoice(Policy.parse(json.dumps(policy).encode())))
    assert "local-dir:PATH" in str(refusal.value)
    with pytest.raises(TrainingError, match="cannot judge pictures of another base"):
        run(manifest, base=sd1_base, screening=ScreeningChoice(Policy.load(STARTER_POLICY)))
    assert {path.name for path in tmp_path.iterdir()} == before


def test_an_interrupted_screening_is_taken_up_by_the_same_command(
    sign: Sign, run: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from provenance.screening import run as screening_run

    monkeypatch.setattr(screening_run, "BATCH", 1)
    manifest = sign(HARMLESS)

    def interrupt(progress: Progress) -> None:
        if (progress.stage, progress.done) == ("screening", 1):
            raise KeyboardInterrupt

    with pytest.raises(ScreeningInterrupted, match="stopped after 1 of 2"):
        run(manifest, progress=interrupt)
    kept = (tmp_path / "adapter.work" / "screening.jsonl").read_bytes()
    assert kept.count(b"\n") == 2
    assert byproduct(run(manifest))["by"] == "trainer"
