from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from provenance.adapter import AdapterManifest
from provenance.base import BaseModel
from provenance.dataset import verify_dataset
from provenance.errors import FormatError
from provenance.home import Home
from provenance.identity import Issuer
from provenance.manifest import DatasetManifest
from provenance.screening.screens import ScreeningChoice
from provenance.trust import TrustStore
from training.config import TrainConfig
from training.dataset import cache as caching
from training.dataset import latent_store
from training.dataset.cache import Cache, build_cache
from training.dataset.latent_store import KEY, LatentStore
from training.families.opening import open_family
from training.families.protocol import Family
from training.lora import train
from training.replay.executing import replay
from training.replay.record import read_recorded

CONFIG = TrainConfig(crop="random", views=2, mask="alpha", prior_prompts=("a dot",), prior_count=2, sample_steps=1)
STACK = {"device": "cpu", "threads": "1"}


@pytest.fixture(scope="module")
def family(sd1_base: BaseModel) -> Family:
    return open_family(sd1_base, "cpu", TrainConfig())


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    from training.dataset import prior

    seen = {"encoded": 0, "drawn": 0}
    read, draw = caching.read_views, prior._draw

    def reading(*given: Any) -> Any:
        seen["encoded"] += 1
        return read(*given)

    def drawing(*given: Any) -> Any:
        seen["drawn"] += 1
        return draw(*given)

    monkeypatch.setattr(caching, "read_views", reading)
    monkeypatch.setattr(prior, "_draw", drawing)
    return seen


@pytest.fixture
def store(tmp_path: Path) -> LatentStore:
    return LatentStore.of(Home.create(tmp_path / "home"))


def built(
    family: Family, manifest: DatasetManifest, base: BaseModel, store: LatentStore, config: TrainConfig = CONFIG
) -> Cache:
    kept = store.for_run(base.digest, STACK)
    return build_cache(family, manifest, config, store.folder.parent, lambda *_: None, kept)


def entries(store: LatentStore) -> list[Path]:
    return sorted(store.folder.glob("*/*"))


def same(one: Cache, other: Cache) -> bool:
    return all(
        torch.equal(first, second)
        for a, b in zip(one.shelves, other.shelves, strict=True)
        for first, second in zip(a.tensors().values(), b.tensors().values(), strict=True)
    )


def test_a_second_training_encodes_nothing_and_has_the_same_bits(
    family: Family, manifest: DatasetManifest, sd1_base: BaseModel, store: LatentStore, counts: dict[str, int]
) -> None:
    first = built(family, manifest, sd1_base, store)
    assert counts == {"encoded": 5, "drawn": 2}
    assert same(built(family, manifest, sd1_base, store), first)
    assert counts == {"encoded": 5, "drawn": 2}
    assert same(build_cache(family, manifest, CONFIG, store.folder.parent, lambda *_: None), first)


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"size": 24}, {"views": 3}, {"mask_floor": 0.5}, {"flip": True}, {"crop": "centre", "views": 1}],
)
def test_another_view_is_another_entry(
    change: dict[str, Any],
    family: Family,
    manifest: DatasetManifest,
    sd1_base: BaseModel,
    store: LatentStore,
    counts: dict[str, int],
) -> None:
    plain = replace(CONFIG, prior_prompts=())
    built(family, manifest, sd1_base, store, plain)
    changed = replace(plain, **change)
    own = open_family(sd1_base, "cpu", changed)
    anew = build_cache(own, manifest, changed, store.folder.parent, lambda *_: None)
    assert same(built(own, manifest, sd1_base, store, changed), anew)
    assert counts["encoded"] == 15


def test_another_base_or_stack_is_another_entry(
    family: Family, manifest: DatasetManifest, store: LatentStore, counts: dict[str, int]
) -> None:
    plain = TrainConfig()
    for base, stack in (("a", STACK), ("b", STACK), ("a", STACK | {"threads": "2"}), ("a", STACK)):
        build_cache(family, manifest, plain, store.folder.parent, lambda *_: None, store.for_run(base, stack))
    assert counts["encoded"] == 15


@pytest.mark.parametrize("attack", ["flip", "cut", "empty", "swap", "other key"])
def test_an_entry_that_this_home_did_not_write_is_encoded_anew(
    attack: str,
    family: Family,
    manifest: DatasetManifest,
    sd1_base: BaseModel,
    store: LatentStore,
    counts: dict[str, int],
    tmp_path: Path,
) -> None:
    plain = TrainConfig()
    first = built(family, manifest, sd1_base, store, plain)
    one, other = entries(store)[:2]
    data = one.read_bytes()
    if attack == "flip":
        one.write_bytes(data[:-5] + bytes([data[-5] ^ 1]) + data[-4:])
    elif attack == "cut":
        one.write_bytes(data[:-8])
    elif attack == "empty":
        one.write_bytes(b"")
    elif attack == "swap":
        shutil.copy(other, one)
    else:
        stranger = LatentStore.of(Home.create(tmp_path / "stranger"))
        one.write_bytes(stranger.tag(one.name, data[32:]) + data[32:])
    assert same(built(family, manifest, sd1_base, store, plain), first)
    assert counts["encoded"] == 6
    # It was written again, and well.
    assert one.read_bytes() == data


def test_what_was_not_used_for_longest_goes_first(
    family: Family, manifest: DatasetManifest, sd1_base: BaseModel, store: LatentStore
) -> None:
    built(family, manifest, sd1_base, store, TrainConfig())
    kept = entries(store)
    for age, path in enumerate(kept):
        os.utime(path, (1000 - age, 1000 - age))
    store.prune(sum(path.stat().st_size for path in kept[:2]))
    assert entries(store) == kept[:2]
    store.prune()
    assert entries(store) == kept[:2]


def test_an_entry_that_another_training_prunes_meanwhile_is_made_anew(
    store: LatentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = store.for_run("b" * 64, STACK)
    kept.put({"picture": "p"}, {"means": torch.ones(2)})
    read = latent_store.read_file

    def too_late(path: Path, **options: Any) -> bytes:
        path.unlink()
        return read(path, **options)

    monkeypatch.setattr(latent_store, "read_file", too_late)
    assert kept.get({"picture": "p"}) is None
    (store.folder / "aa").mkdir()
    (store.folder / "aa" / "gone").symlink_to("nowhere")
    store.prune()


def test_the_key_is_this_home_s_own_and_nobody_else_s_to_read(store: LatentStore) -> None:
    path = store.folder.parent / KEY
    assert path.stat().st_mode & 0o777 == 0o600
    assert LatentStore.of(Home.open(path.parent)).key == store.key
    path.write_bytes(b"short")
    with pytest.raises(FormatError, match=r"latents\.key is damaged"):
        LatentStore.of(Home.open(path.parent))


def test_a_training_from_kept_latents_has_the_same_bits_and_its_replay_encodes_anew(
    dataset: Path,
    trust: TrustStore,
    issuer: Issuer,
    sd1_base: BaseModel,
    lenient: ScreeningChoice,
    store: LatentStore,
    counts: dict[str, int],
    tmp_path: Path,
) -> None:
    config = TrainConfig(steps=2, warmup_steps=0, batch_size=1, rank=2, sample_count=0, threads=1, kohya=False)
    manifest = verify_dataset(dataset, trust)

    def trained(name: str, config: TrainConfig = config) -> AdapterManifest:
        release = tmp_path / name
        return train(manifest, sd1_base, config, release, issuer=issuer, name="x", screening=lenient, store=store)

    first, second = read_recorded(trained("first")), read_recorded(trained("second"))
    assert counts["encoded"] == 5
    assert first.chain.links[-1].parts == second.chain.links[-1].parts
    assert replay(second, manifest, sd1_base, (0,)).verdict == "agrees"
    assert counts["encoded"] == 10
    trained("third", replace(config, deterministic=True))
    assert counts["encoded"] == 15
