from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from generation.adapters import Adapter
from generation.audit.model import open_model
from generation.errors import GenerationError, LicenceRefused
from provenance.adapter import verify_adapter
from provenance.byproducts import require_unpublished
from provenance.errors import AdapterError, BaseRefused
from provenance.trust import TrustStore
from tests.generation.conftest import Published
from tests.training.conftest import save_tiny_pipeline


def test_a_release_is_opened_down_to_the_bytes_that_were_signed(published: Published) -> None:
    trust = TrustStore.of_home(published.home)
    made = verify_adapter(published.adapter, trust)
    model = open_model(str(published.adapter), published.home, trust)
    assert (model.adapter, model.weights, model.dataset) == (
        Adapter.of(made),
        made.weights_digest,
        made.dataset_digest,
    )
    assert model.base.id == "starter"
    assert model.alone.adapter is None


def test_a_token_is_opened_by_who_may_draw_with_it_and_by_nobody_else(published: Published) -> None:
    trust = TrustStore.of_home(published.home)
    of_folder = open_model(str(published.adapter), published.home, trust)
    of_token = open_model(str(published.token), published.home, trust)
    assert (of_token.adapter, of_token.weights, of_token.dataset) == (
        of_folder.adapter,
        of_folder.weights,
        of_folder.dataset,
    )
    with pytest.raises(LicenceRefused):
        open_model(str(published.token), published.home, trust, account="licensee")


def test_a_release_that_is_published_cannot_be_given_an_audit(published: Published) -> None:
    made = verify_adapter(published.adapter, TrustStore.of_home(published.home))
    with pytest.raises(AdapterError, match=f"published as token {published.token}"):
        require_unpublished(made, published.home)


def test_what_a_token_carries_is_shown(published: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROV_HOME", str(published.home.path))
    result = CliRunner().invoke(app, ["audit", "show", str(published.token)])
    assert result.exit_code == 0, result.stderr
    assert "no audit is attached" in result.stdout


def test_an_adapter_is_not_audited_on_another_base(published: Published, tmp_path: Path) -> None:
    other = save_tiny_pipeline(tmp_path / "tiny", "sd1")
    with pytest.raises(GenerationError, match="another base"):
        open_model(str(published.adapter), published.home, TrustStore.of_home(published.home), base=str(other))


@pytest.mark.parametrize(
    ("name", "refusal"), [("no-such-folder", BaseRefused), (".", BaseRefused)], ids=["nothing", "some folder"]
)
def test_what_is_neither_adapter_nor_base_is_refused(
    name: str, refusal: type[Exception], published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(refusal):
        open_model(name, published.home, TrustStore.of_home(published.home))
