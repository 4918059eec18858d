"""Whatever goes wrong, nothing passes unscreened: every fault blocks, says so, and leaves no picture anywhere."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image

import generation.order
from provenance.errors import ProvenanceError
from provenance.home import Home
from provenance.journal import Journal
from provenance.record import ImageRecord
from safety.clip_filter import OpenClipContentFilter
from safety.content import open_content_filter
from safety.errors import SafetyError
from safety.log_audit import audit_log
from safety.policy import Policy
from tests.generation.faults import FAULTS, Fault, Site
from tests.generation.faults.site import PROMPT
from tests.safety.tiny_clip import policy_for, save_tiny_clip

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


@dataclass(frozen=True)
class Ready:
    """What every test starts from: a home that has generated before, and what its pipeline drew then."""

    home: Path
    model: Path
    policy: bytes
    pipeline: Any
    picture: NDArray[np.uint8]


def lenient_policy(model: Path) -> bytes:
    """Screens words, prompts by CLIP and pictures for one concept; only what fails is blocked."""
    value = yaml.safe_load(policy_for(model, block=1.0, text=1.0).canonical)
    concept = value["concepts"]["violence"]
    value["concepts"] = {"violence": {**concept, "prompts": ["a mutilated body"], "anchors": ["a landscape"]}}
    return yaml.safe_dump(value).encode()


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Ready:
    from generation.loading import load_pipeline
    from generation.sampling import sample
    from provenance.base import resolve_base
    from provenance.setup import set_up

    root = tmp_path_factory.mktemp("ready")
    home = set_up(root / "home", name="Test Studio").home
    model = save_tiny_clip(root / "model")
    pipeline = load_pipeline(resolve_base("starter"), None)
    drawn: list[NDArray[np.uint8]] = []

    def remember(*given: Any, **named: Any) -> list[NDArray[np.uint8]]:
        drawn.extend(sample(*given, **named))
        return list(drawn)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation.order, "load_pipeline", lambda *_, **__: pipeline)
        patch.setattr(generation.order, "sample", remember)
        site = Site(root, home, model, pipeline, np.zeros((0,), np.uint8), patch)
        site.policy.write_bytes(lenient_policy(model))
        (image,) = site.generate().images
    assert image.path.is_file()
    return Ready(home.path, model, site.policy.read_bytes(), pipeline, drawn[0])


@pytest.fixture
def site(ready: Ready, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    shutil.copytree(ready.home, tmp_path / "home")
    (tmp_path / "temp").mkdir()
    (tmp_path / "policy.yaml").write_bytes(ready.policy)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
    monkeypatch.setattr(generation.order, "load_pipeline", lambda *_, **__: ready.pipeline)
    monkeypatch.setattr(
        generation.order, "sample", lambda pipeline, prompts, *_, **__: [ready.picture.copy()] * len(prompts)
    )
    home = Home.open(tmp_path / "home")
    return Site(tmp_path, home, ready.model, ready.pipeline, ready.picture, monkeypatch)


def records_in(site: Site) -> int:
    with Journal.of_home(site.home) as journal:
        found = [journal.record(stream, n) for stream in journal.streams() for n in range(journal.next_serial(stream))]
    return sum(isinstance(record, ImageRecord) for record in found)


def refusal_of(site: Site) -> str:
    """What the user is told; fails when a picture comes out, or an error that is not one of ours."""
    try:
        issue = site.generate()
    except (SafetyError, ProvenanceError) as error:
        return str(error)
    assert issue.images == ()
    assert issue.blocked
    return "\n".join(f"{blocked.reason}\n  do next:  {blocked.fix}" for blocked in issue.blocked)


def test_without_a_fault_the_picture_is_written(site: Site) -> None:
    before = records_in(site)
    (image,) = site.generate().images
    assert site.files_with_pictures() == [image.path]
    assert records_in(site) == before + 1
    assert audit_log(site.log).entries == 0


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_blocks_and_says_so_and_leaves_no_picture(fault: Fault, site: Site) -> None:
    fault.inject(site)
    before = _records_before(site)
    message = refusal_of(site)
    assert site.files_with_pictures() == []
    for words in fault.says:
        assert words in message
    assert "do next" in message or "expected" in message
    assert PROMPT not in message
    if fault.logged is not None:
        report = audit_log(site.log)
        assert (report.entries, report.faults) == (fault.logged, ())
    if before is not None:
        assert records_in(site) == before + fault.recorded


def _records_before(site: Site) -> int | None:
    """How many pictures are on record; None where the fault is the journal's own."""
    try:
        return records_in(site)
    except ProvenanceError:
        return None


def test_the_faults_are_many_and_each_is_its_own() -> None:
    assert len(FAULTS) >= 40
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


def test_a_filter_cannot_change_what_is_delivered(site: Site) -> None:
    real = OpenClipContentFilter.screen_batch

    def paint_over(self: OpenClipContentFilter, images: Any, stage: str = "output") -> Any:
        decisions = real(self, images, stage)
        for image in images:
            image[...] = 127
        return decisions

    site.patch.setattr(OpenClipContentFilter, "screen_batch", paint_over)
    (image,) = site.generate().images
    with Image.open(image.path) as delivered:
        again = real(open_content_filter(Policy.load(site.policy), "starter"), [np.asarray(delivered)])
    assert [image.record.safety[1]] == [decision.to_json() for decision in again]
