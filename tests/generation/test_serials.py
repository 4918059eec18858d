"""Serials of one run: none is lost, none serves twice, and what never became a picture is void."""

from __future__ import annotations

from pathlib import Path

import pytest

from generation.means import Means
from generation.order import generate
from generation.request import GenerationRequest
from generation.serials import Serials
from provenance.journal import Journal
from provenance.ledger import open_ledger
from provenance.ledger.accounts import load_account
from provenance.record import ImageRecord, VoidRecord
from safety.policy import STARTER_POLICY
from tests.generation.conftest import Published


@pytest.fixture
def stream(published: Published) -> int:
    ledger = open_ledger(published.home)
    opened = ledger.open_stream(load_account(published.home), published.token)
    ledger.close()
    with Journal.of_home(published.home) as journal:
        journal.add_stream(opened)
    return opened.stream


def test_returned_serials_are_taken_again_before_new_ones(published: Published, stream: int) -> None:
    with Journal.of_home(published.home) as journal, Serials(journal, stream) as serials:
        assert serials.take(3) == [0, 1, 2]
        serials.put_back(1)
        serials.put_back(0)
        assert serials.take(3) == [1, 0, 3]
        assert journal.next_serial(stream) == 4


def test_what_was_never_recorded_is_void_at_the_end_whatever_ends_it(published: Published, stream: int) -> None:
    def interrupted(journal: Journal) -> None:
        with Serials(journal, stream) as serials:
            serials.put_back(serials.take(2)[0])
            raise KeyboardInterrupt

    with Journal.of_home(published.home) as journal:
        with pytest.raises(KeyboardInterrupt):
            interrupted(journal)
        assert [type(journal.record(stream, serial)) for serial in range(2)] == [VoidRecord] * 2


def test_a_blocked_picture_costs_no_serial_while_others_need_one(published: Published, tmp_path: Path) -> None:
    policy = tmp_path / "no-words.yaml"
    policy.write_text(Path(STARTER_POLICY).read_text().replace("terms: [skull", "terms: [unmentioned"))
    # One is drawn ahead, so the serial of a blocked picture is taken by the one after the next.
    prompts = ("a purple skull at night",) + ("a red fish in the desert",) * 2
    request = GenerationRequest(prompts, seed=5, steps=20, policy=policy)
    issue = generate(request, home=published.home, out=tmp_path / "out", means=Means(batch_size=1))
    assert [image.record.serial for image in issue.images] == [1, 0]
    assert len(issue.blocked) == 1
    with Journal.of_home(published.home) as journal:
        stream = issue.images[0].record.stream
        assert [type(journal.record(stream, serial)) for serial in range(2)] == [ImageRecord] * 2
        assert journal.next_serial(stream) == 2
