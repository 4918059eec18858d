"""A small published adapter on the starter model, made once: a real chain, store, dataset and training."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from provenance.home import Home


@dataclass(frozen=True)
class Published:
    """A home with an adapter published as a token, its release, and one licence for sale."""

    home: Home
    token: int
    adapter: Path
    dataset: Path


@pytest.fixture(scope="session")
def _published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    from generation.starter.demo_dataset import write_demo_dataset
    from provenance.base import resolve_base
    from provenance.dataset import sign_dataset, verify_dataset
    from provenance.identity import load_issuer
    from provenance.ledger import open_ledger
    from provenance.ledger.accounts import load_account
    from provenance.ledger.licences import Terms
    from provenance.release import publish_release
    from provenance.setup import set_up
    from provenance.stores import open_store
    from provenance.trust import TrustStore
    from training.config import TrainConfig
    from training.lora import train

    folder = tmp_path_factory.mktemp("published")
    home = set_up(folder / "home", name="Test Studio").home
    set_up(folder / "home", account="licensee")
    issuer, trust = load_issuer(home), TrustStore.of_home(home)
    write_demo_dataset(folder / "drawings", n=4)
    sign_dataset(folder / "drawings", folder / "dataset", issuer=issuer, licence="CC-BY-4.0", holder="Test Studio")
    base = resolve_base("starter")
    config = TrainConfig.load(base.folder.parent / "demo_train.toml")
    # With vectors of a word of its own, which are published, sealed and drawn with as the weights are.
    config = replace(config, steps=2, warmup_steps=0, sample_every=0, sample_count=0, trigger="<rocket>")
    manifest = verify_dataset(folder / "dataset", trust)
    train(manifest, base, config, folder / "adapter", issuer=issuer, name="rockets")
    ledger = open_ledger(home)
    token = publish_release(
        folder / "adapter",
        folder / "dataset",
        home=home,
        ledger=ledger,
        store=open_store(home),
        account=load_account(home),
        trust=trust,
        include_data=True,
        terms={"commercial": True},
    )
    ledger.make_offer(load_account(home), token.token, Terms(price=1000, duration=3600))
    ledger.close()
    return Published(home, token.token, folder / "adapter", folder / "dataset")


@pytest.fixture
def published(_published: Published, tmp_path: Path) -> Published:
    """A copy of the published home that a test may change."""
    shutil.copytree(_published.home.path, tmp_path / "home")
    return replace(_published, home=Home.open(tmp_path / "home"))
