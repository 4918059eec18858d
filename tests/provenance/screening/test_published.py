"""A signed report travels with the dataset: into the adapter's release, and into what is published."""

from __future__ import annotations

from pathlib import Path

from provenance.adapter import verify_adapter
from provenance.dataset import sign_dataset
from provenance.home import Home
from provenance.identity import create_issuer
from provenance.ledger.accounts import create_account
from provenance.ledger.embedded import open_embedded_ledger
from provenance.manifest import verify_dataset_files
from provenance.release import open_release, publish_release
from provenance.screening.report import Screening
from provenance.stores import open_store
from provenance.trust import TrustStore
from tests.provenance.verify.conftest import _adapter


def test_the_report_is_in_the_adapters_release_and_in_the_published_one(
    harmless: Path, report: Screening, tmp_path: Path
) -> None:
    home = Home.create(tmp_path / "home")
    issuer, trust = create_issuer(home, "Ada Example"), TrustStore.of_home(home)
    maker = create_account(home, "maker")
    dataset = sign_dataset(
        harmless, tmp_path / "dataset", issuer=issuer, licence="CC0-1.0", holder="Ada", screening=report
    )
    adapter = _adapter(tmp_path, issuer, dataset, "adapter", 1)
    carried = verify_adapter(adapter, trust).dataset
    assert carried is not None
    assert carried.screening == report

    ledger, store = open_embedded_ledger(home), open_store(home)
    ledger.fund(maker.address)
    token = publish_release(
        adapter, tmp_path / "dataset", home=home, ledger=ledger, store=store, account=maker, trust=trust
    )
    ledger.close()
    published = open_release(store, token.cid)
    found = verify_dataset_files(published.read, trust, with_data=False)
    assert found.digest == dataset.digest
    assert found.screening == report
