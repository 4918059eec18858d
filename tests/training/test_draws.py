from __future__ import annotations

import torch

from training.draws import draw_seed, generator, item_at


def test_a_draw_depends_on_its_four_names_alone() -> None:
    first = torch.rand(3, generator=generator(1, 2, 3, "noise"))
    torch.rand(100)
    assert torch.equal(first, torch.rand(3, generator=generator(1, 2, 3, "noise")))


def test_each_name_gives_another_draw() -> None:
    seeds = {
        draw_seed(*names)
        for names in [(1, 2, 3, "noise"), (0, 2, 3, "noise"), (1, 0, 3, "noise"), (1, 2, 0, "noise"), (1, 2, 3, "time")]
    }
    assert len(seeds) == 5


def test_the_seed_of_a_draw_is_fixed_for_ever() -> None:
    assert draw_seed(0, 0, 0, "noise") == 2871462895405466807


def test_every_epoch_shows_each_item_once_in_another_order() -> None:
    epochs = [[item_at(7, epoch * 10 + place, 10) for place in range(10)] for epoch in range(3)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
