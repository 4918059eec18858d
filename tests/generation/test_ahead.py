"""One batch is drawn while the one before is finished: never more, always in order, and nobody is left drawing."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Event

import pytest

import generation.order
from generation.ahead import Abandoned, drawn_ahead
from generation.easel import Pictures, Plan
from generation.means import Means
from generation.order import generate
from generation.request import GenerationRequest
from provenance.home import Home
from provenance.record import ImageRecord
from provenance.setup import set_up

SOON = 20


def test_plans_come_back_in_their_order_with_what_was_drawn() -> None:
    with closing(drawn_ahead(range(5), lambda plan, _: plan * plan)) as drawn:
        assert list(drawn) == [(0, 0), (1, 1), (2, 4), (3, 9), (4, 16)]


def test_the_next_plan_is_drawn_while_one_is_finished() -> None:
    begun = [Event() for _ in range(3)]

    def draw(plan: int, _: Event) -> int:
        begun[plan].set()
        return plan

    with closing(drawn_ahead(range(3), draw)) as drawn:
        next(drawn)
        assert begun[1].wait(SOON)


def test_plans_are_taken_one_ahead_and_by_the_caller() -> None:
    taken: list[int] = []

    def plans() -> Iterator[int]:
        for number in range(10):
            assert threading.current_thread() is threading.main_thread()
            taken.append(number)
            yield number

    with closing(drawn_ahead(plans(), lambda plan, _: plan)) as drawn:
        for number, _ in drawn:
            assert taken == list(range(min(number + 2, 10)))


def test_nothing_is_drawn_by_two_at_once() -> None:
    drawing = threading.Semaphore(1)

    def draw(plan: int, _: Event) -> int:
        assert drawing.acquire(blocking=False)
        drawing.release()
        return plan

    assert len(list(drawn_ahead(range(20), draw))) == 20


def test_what_fails_is_raised_in_its_place() -> None:
    def draw(plan: int, _: Event) -> int:
        if plan == 2:
            raise ValueError("two")
        return plan

    finished: list[int] = []
    with closing(drawn_ahead(range(5), draw)) as drawn, pytest.raises(ValueError, match="two"):
        finished.extend(plan for plan, _ in drawn)
    assert finished == [0, 1]


def test_a_plan_that_cannot_be_made_lets_nobody_draw_on() -> None:
    before = threading.active_count()

    def plans() -> Iterator[int]:
        yield 0
        raise OSError("no serial left")

    with closing(drawn_ahead(plans(), lambda plan, _: plan)) as drawn, pytest.raises(OSError, match="no serial"):
        list(drawn)
    assert threading.active_count() == before


@pytest.mark.parametrize("end", [KeyboardInterrupt, ValueError])
def test_whoever_stops_early_stops_what_is_being_drawn(end: type[BaseException]) -> None:
    ended, before, begun = [], threading.active_count(), Event()

    def draw(plan: int, stop: Event) -> int:
        if plan == 0:
            return plan
        begun.set()
        if stop.wait(SOON):
            ended.append(plan)
            raise Abandoned
        return plan

    def finish() -> None:
        with closing(drawn_ahead(range(9), draw)) as drawn:
            for _ in drawn:
                assert begun.wait(SOON)
                raise end

    with pytest.raises(end):
        finish()
    assert ended == [1]
    assert threading.active_count() == before


def one_after_the_other(
    plans: Iterable[Plan], draw: Callable[[Plan, Event], Pictures]
) -> Generator[tuple[Plan, Pictures], None, None]:
    for plan in plans:
        yield plan, draw(plan, Event())


def test_pictures_are_those_that_are_drawn_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    request = GenerationRequest(("a red fish", "a blue boat", "a green tree"), seed=5, steps=2)

    made = set_up(tmp_path / "made", name="Test Studio").home

    def drawn(name: str) -> list[ImageRecord]:
        # One ledger twice: the payloads are in the noise, and make half of a picture.
        shutil.copytree(made.path, tmp_path / name)
        home = Home.open(tmp_path / name)
        issue = generate(request, home=home, out=tmp_path / f"{name}-out", means=Means(batch_size=1))
        return [image.record for image in issue.images]

    ahead = drawn("ahead")
    monkeypatch.setattr(generation.order, "drawn_ahead", one_after_the_other)
    in_turn = drawn("in-turn")
    torch.set_num_threads(threads)
    assert [record.payload for record in ahead] == [record.payload for record in in_turn]
    assert [record.pixels for record in ahead] == [record.pixels for record in in_turn]
    assert len(ahead) == 3
