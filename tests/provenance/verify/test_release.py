"""Publishing: what goes into the store is what the ledger names, and only what verifies is published."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from provenance.canonical import canonical_json, sha256_hex
from provenance.errors import AdapterError, FileRefused, FormatError, ProvenanceError
from provenance.release import open_release, publish_release
from provenance.stores import MemoryStore, add_tree
from provenance.verify import Verdict

if TYPE_CHECKING:
    from conftest import World


def publish(world: World, adapter: Path, dataset: Path, **options):
    return publish_release(
        adapter,
        dataset,
        home=world.home,
        ledger=world.ledger,
        store=world.store,
        account=options.pop("account", world.maker),
        trust=world.trust,
        **options,
    )


def test_a_release_holds_both_statements_and_the_digests_the_ledger_names(world: World) -> None:
    token = world.tokens[0]
    files = world.tree(token.cid)
    assert sha256_hex(files["adapter/adapter.safetensors"]) == token.weights
    assert sha256_hex(files["terms.json"]) == token.terms
    assert json.loads(files["release.json"])["dataset"] == token.dataset == world.datasets[0].digest
    assert {f"dataset/{record.path}" for record in world.datasets[0].records} <= files.keys()
    release = open_release(world.store, token.cid)
    assert (release.weights, release.dataset, release.base) == (token.weights, token.dataset, token.base)
    with pytest.raises(FileRefused, match=r"nothing\.txt is not in"):
        release.read("nothing.txt")


def test_publishing_twice_gives_the_same_token(world: World) -> None:
    assert publish(world, world.adapters[0], world.datasets[0].root) == world.tokens[0]


def test_another_dataset_is_refused(world: World) -> None:
    with pytest.raises(AdapterError, match="was trained on another dataset") as refusal:
        publish(world, world.adapters[0], world.datasets[1].root)
    assert "--dataset" in str(refusal.value)


def test_a_changed_adapter_is_not_published(world: World, tmp_path: Path) -> None:
    shutil.copytree(world.adapters[0], tmp_path / "adapter")
    (tmp_path / "adapter" / "adapter" / "config.json").write_text("{}")
    with pytest.raises(ProvenanceError, match=r"config\.json"):
        publish(world, tmp_path / "adapter", world.datasets[0].root)


def test_pictures_stay_private_unless_the_maker_publishes_them(
    make_world: Callable[[Path], World], tmp_path: Path
) -> None:
    from provenance.adapter import sign_adapter
    from provenance.anchoring import anchor_pending
    from provenance.journal import Journal

    world = make_world(tmp_path / "world")
    release = tmp_path / "three"
    shutil.copytree(world.adapters[0] / "adapter", release / "adapter")
    weights = release / "adapter" / "adapter.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    statement = json.loads((world.adapters[0] / "adapter.dsse.json").read_bytes())["payload"]
    import base64

    predicate = json.loads(base64.b64decode(statement))["predicate"]
    sign_adapter(release, issuer=world.issuer, predicate=predicate, dataset=world.datasets[0])
    token = publish(world, release, world.datasets[0].root)
    assert not [name for name in world.tree(token.cid) if name.startswith("dataset/data/")]
    with Journal.of_home(world.home) as journal:
        world.issue("private.png", 140, world.maker, token, journal)
        anchor_pending(world.home, world.ledger, world.store, journal, world.maker)
    report = world.verify("private.png")
    assert report.verdict is Verdict.AUTHENTIC
    assert "pictures not published; their digests are signed" in report.layer("dataset").checked
    world.ledger.close()


@pytest.mark.parametrize(
    "index",
    [
        {},
        {"type": "urn:prov:release:v2"},
        {"type": "urn:prov:release:v1", "data_included": 1, "weights": "", "dataset": "", "base": ""},
    ],
)
def test_a_folder_that_is_no_release_is_refused(index: dict) -> None:
    store = MemoryStore()
    cid = str(add_tree(store, {"release.json": canonical_json(index)}))
    with pytest.raises(FormatError, match="does not describe a release"):
        open_release(store, cid)
