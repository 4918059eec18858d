"""What generation put on record is derived again from the delivered file alone, and the log of the rest is whole."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from generation.order import Issue, generate
from generation.request import GenerationRequest
from provenance.anchoring import anchor_pending
from provenance.credentials import read_credentials
from provenance.decisions import read_decisions
from provenance.files import read_file
from provenance.home import Home
from provenance.journal import Journal
from provenance.ledger import open_ledger, open_reader
from provenance.ledger.accounts import load_account
from provenance.rederivation import Rederivation
from provenance.setup import set_up
from provenance.stores import open_store
from provenance.trust import TrustStore
from provenance.verify import Report, Verdict
from provenance.verify.evidence import HomeEvidence
from provenance.verify.verifier import verify_with
from safety.log_audit import audit_log
from safety.policy import STARTER_POLICY

PROMPTS = ("a red fish in the desert", "a blue boat on the sea", "a green tree in the snow", "a purple cup at night")


@dataclass(frozen=True)
class Drawn:
    """A home in which pictures were drawn and anchored."""

    home: Home
    issue: Issue

    def again(self, path: Path) -> Report:
        """Verifies a picture, deciding on it again."""
        evidence = HomeEvidence(open_reader(self.home), open_store(self.home))
        return verify_with(path, evidence, TrustStore.of_home(self.home), rederive=Rederivation())


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    folder = tmp_path_factory.mktemp("drawn")
    home = set_up(folder / "home", name="Test Studio").home
    request = GenerationRequest(PROMPTS, seed=5, steps=4, clear_prompt=True)
    issue = generate(request, home=home, out=folder / "out")
    ledger = open_ledger(home)
    with Journal.of_home(home) as journal:
        anchor_pending(home, ledger, open_store(home), journal, load_account(home))
    ledger.close()
    return Drawn(home, issue)


def test_every_decision_is_confirmed_from_the_delivered_file(drawn: Drawn) -> None:
    assert len(drawn.issue.images) == len(PROMPTS)
    for image in drawn.issue.images:
        report = drawn.again(image.path)
        assert report.verdict is Verdict.AUTHENTIC
        assert report.layer("safety").status == "ok"
        words, shown = report.facts["rederived"]["decisions"]
        assert (words["outcome"], shown["outcome"]) == ("confirmed", "confirmed")
        # Drawn in a batch and scored alone: what arithmetic and six decimals lose.
        assert shown["difference"] <= 1e-5


def test_the_manifest_says_what_the_record_says_of_decisions(drawn: Drawn) -> None:
    for image in drawn.issue.images:
        claimed = read_credentials(read_file(image.path), "image/png").decisions
        assert claimed == read_decisions(image.record.safety)
        assert [decision.stage for decision in claimed] == ["prompt", "output"]


def test_a_recompressed_picture_confirms_no_more_than_that_it_stays_below(drawn: Drawn, tmp_path: Path) -> None:
    with Image.open(drawn.issue.images[0].path) as picture:
        picture.convert("RGB").save(tmp_path / "small.jpg", quality=75)
    report = drawn.again(tmp_path / "small.jpg")
    assert report.verdict is Verdict.RECOVERED
    assert report.facts["rederived"]["decisions"][1]["outcome"] == "below threshold"


def test_what_was_blocked_stands_in_a_log_that_is_whole(drawn: Drawn, tmp_path: Path) -> None:
    policy = tmp_path / "no-words.yaml"
    policy.write_text(STARTER_POLICY.read_text().replace("terms: [skull", "terms: [unmentioned"))
    shutil.copytree(drawn.home.path, tmp_path / "home")
    home = Home.open(tmp_path / "home")
    request = GenerationRequest(("a purple skull at night",), seed=5, steps=20, policy=policy)
    issue = generate(request, home=home, out=tmp_path / "out")
    report = audit_log(home.path / "safety.log")
    assert report.faults == report.notes == ()
    assert report.entries == len(issue.blocked) == 1
    assert (report.stages, report.rules) == ({"output": 1}, {"skull/score": 1})
