"""Winners and their margins."""

from __future__ import annotations

import numpy as np

from redy.network.winner import winners, winners_changed


def test_winners_and_margins() -> None:
    outputs = np.array([[1.0, 2.0, 4.0], [3.0, 0.5, 0.5]])
    for side, expected, margins in (("min", [0, 1], [1.0, 0.0]), ("max", [2, 0], [2.0, 2.5])):
        winner, margin = winners(outputs, side)
        assert winner.tolist() == expected
        assert margin.tolist() == margins


def test_one_output_always_wins() -> None:
    winner, margin = winners(np.array([[1.0], [2.0]]), "min")
    assert winner.tolist() == [0, 0]
    assert np.isinf(margin).all()


def test_changes_count_only_where_the_winner_is_certain() -> None:
    before = np.array([[0.0, 1.0], [0.0, 1.0], [0.0, 0.1], [0.0, 0.0]])
    after = np.array([[0.5, 1.0], [2.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    assert winners_changed(before, after, "min", 0.0) == 2
    assert winners_changed(before, after, "min", 0.1) == 1
    assert winners_changed(before, before, "max", 0.0) == 0
