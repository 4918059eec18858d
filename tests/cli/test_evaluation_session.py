"""What a session says before anything is drawn."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.evaluation_session import EvaluationSession
from generation.audit.model import AuditedModel
from provenance.base import resolve_base
from provenance.byproducts import add_byproduct
from provenance.home import Home
from provenance.identity import create_issuer
from provenance.trust import TrustStore
from tests.provenance.test_byproducts import write_release


def test_figures_against_the_own_pictures_of_a_private_adapter_are_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Home.create(tmp_path / "home")
    issuer = create_issuer(home, "Ada")
    trust, release = TrustStore(frozenset({issuer.root_digest})), tmp_path / "release"
    made = write_release(release, issuer)
    model = AuditedModel("rockets", resolve_base("starter"), None, made.weights_digest, made.dataset_digest)
    session = EvaluationSession(home, trust, model, tmp_path / "out", release, None, False, False)
    session.note_privacy(made.dataset_digest)
    assert capsys.readouterr().err == ""
    privacy = {"name": "privacy", "digest": {"sha256": "9" * 64}, "annotations": {"epsilon": 3.5}}
    add_byproduct(release, privacy, weights=made.weights_digest, issuer=issuer, home=home)
    session.note_privacy("7" * 64)
    assert capsys.readouterr().err == ""
    session.note_privacy(made.dataset_digest)
    assert "beyond its epsilon" in capsys.readouterr().err
