"""An adapter of several contributors, published: who contributed is told, and each can withdraw its own picture."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from provenance.anchoring import anchor_pending
from provenance.dataset import sign_dataset
from provenance.errors import AdapterError
from provenance.home import Home
from provenance.identity import create_issuer
from provenance.journal import Journal
from provenance.release import publish_release
from provenance.verify import Verdict
from tests.provenance.federated_release import BASE, Sender, make_release

if TYPE_CHECKING:
    from conftest import World


@pytest.fixture
def own(make_world: Callable[[Path], World], tmp_path: Path) -> Iterator[World]:
    made = make_world(tmp_path / "world")
    yield made
    made.ledger.close()


@pytest.fixture
def senders(tmp_path: Path) -> list[Sender]:
    made = []
    for name, colour in (("Ada", "red"), ("Bea", "blue")):
        issuer = create_issuer(Home.create(tmp_path / name), name)
        (tmp_path / f"{name}-pictures").mkdir()
        Image.new("RGB", (16, 16), colour).save(tmp_path / f"{name}-pictures" / "0.png")
        (tmp_path / f"{name}-pictures" / "0.txt").write_text(colour)
        signed = sign_dataset(
            tmp_path / f"{name}-pictures", tmp_path / f"{name}-d", issuer=issuer, licence="MIT", holder=name
        )
        made.append((issuer, signed))
    return made


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "open"])
def test_a_published_adapter_tells_its_contributors_and_each_can_withdraw_a_picture(
    own: World, senders: list[Sender], tmp_path: Path, sealed: bool
) -> None:
    release = tmp_path / "shared"
    make_release(release, own.issuer, senders)
    token = _publish(own, release, release, sealed=sealed)
    files = own.tree(token.cid)
    assert "adapter/federated/contributor-01.json" in files
    assert ("adapter/adapter.safetensors.sealed" in files) == sealed
    assert not any(name.startswith("dataset/data/") for name in files)
    with Journal.of_home(own.home) as journal:
        own.issue("shared.png", 140, own.maker, token, journal)
        anchor_pending(own.home, own.ledger, own.store, journal, own.maker)
    report = own.verify("shared.png")
    assert report.verdict is Verdict.AUTHENTIC
    told = "\n".join(report.layer("adapter").checked)
    assert "Ada contributed 1 pictures" in told
    assert senders[1][1].digest in told

    own.ledger.revoke_consent(own.maker, token.token, record=senders[1][1].records[0].digest, reason="asked")
    report = own.verify("shared.png")
    assert report.verdict is Verdict.REVOKED


def test_pictures_that_nobody_here_has_are_not_published(own: World, senders: list[Sender], tmp_path: Path) -> None:
    make_release(tmp_path / "shared", own.issuer, senders)
    with pytest.raises(AdapterError, match="never left those who contributed them"):
        _publish(own, tmp_path / "shared", tmp_path / "shared", include_data=True)


def test_a_contributors_own_dataset_is_not_published_in_the_place_of_all(
    own: World, senders: list[Sender], tmp_path: Path
) -> None:
    make_release(tmp_path / "shared", own.issuer, senders)
    with pytest.raises(AdapterError, match="whose dataset lies in its own release") as refusal:
        _publish(own, tmp_path / "shared", tmp_path / "Ada-d")
    assert f"--dataset {tmp_path / 'shared'}" in str(refusal.value)


def test_a_release_moved_elsewhere_is_published_from_there(own: World, senders: list[Sender], tmp_path: Path) -> None:
    make_release(tmp_path / "shared", own.issuer, senders)
    shutil.move(tmp_path / "shared", tmp_path / "moved")
    assert _publish(own, tmp_path / "moved", tmp_path / "moved").base == BASE


def _publish(own: World, adapter: Path, dataset: Path, **options: bool):
    return publish_release(
        adapter,
        dataset,
        home=own.home,
        ledger=own.ledger,
        store=own.store,
        account=own.maker,
        trust=own.trust,
        **options,
    )
