"""The guarantee: what its text means, what is refused, percentages of the output range."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from redy.domain import Box
from redy.errors import UsageError
from redy.guarantee import EXACT, Guarantee
from redy.network.form import Layer, Network

UNIT = Box([0.0, 0.0], [1.0, 1.0])


def affine(*rows: list[float]) -> Network:
    return Network(2, (Layer({0: np.array(rows)}, np.zeros(len(rows)), np.zeros(len(rows), bool)),))


@pytest.mark.parametrize(
    ("text", "kind", "eps", "canonical"),
    [
        ("exact", "exact", 0.0, "exact"),
        ("decision", "decision", math.inf, "decision"),
        ("eps=1e-3", "eps", 1e-3, "eps=0.001"),
        ("eps=.5", "eps", 0.5, "eps=0.5"),
    ],
)
def test_texts(text: str, kind: str, eps: float, canonical: str) -> None:
    guarantee = Guarantee.parse(text)
    assert (guarantee.kind, guarantee.eps, guarantee.winner) == (kind, eps, "min")
    assert str(guarantee) == canonical
    assert Guarantee.parse(canonical) == guarantee
    assert guarantee.on(affine([1.0, 0.0]), UNIT) is guarantee
    assert Guarantee.restore(json.loads(json.dumps(guarantee.describe()))) == guarantee


def test_the_exact_one() -> None:
    assert Guarantee.parse("exact") == EXACT


@pytest.mark.parametrize(
    "text",
    ["", "Exact", "approximate", "eps", "eps=", "eps=x", "eps=0", "eps=-1", "eps=nan", "eps=inf",
     "eps=%", "eps=0%", "eps=-1%", "eps=nan%", "eps=inf%", "eps=1%%", "decision=1"],
)  # fmt: skip
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="guarantee"):
        Guarantee.parse(text)


def test_another_winner_is_refused() -> None:
    with pytest.raises(UsageError, match="--winner most: give min or max"):
        Guarantee.parse("decision", "most")


@pytest.mark.parametrize("winner", ["min", "max"])
def test_a_winner_goes_with_a_decision(winner: str) -> None:
    guarantee = Guarantee.parse("decision", winner)
    assert guarantee.winner == winner
    assert Guarantee.restore(json.loads(json.dumps(guarantee.describe()))) == guarantee
    for other in ("exact", "eps=1", "eps=1%"):
        with pytest.raises(UsageError, match=f"--winner {winner} goes with --guarantee decision"):
            Guarantee.parse(other, winner)


@pytest.mark.parametrize(
    ("kind", "eps"), [("exact", 0.5), ("decision", 0.5), ("eps", math.nan), ("other", 0.0)]
)
def test_parts_that_do_not_fit(kind: str, eps: float) -> None:
    with pytest.raises(UsageError):
        Guarantee(kind, eps)


def test_a_percentage_of_the_largest_span() -> None:
    network = affine([1.0, 0.0], [2.0, -3.0])  # spans 1 and 5
    guarantee = Guarantee.parse("eps=2%")
    resolved = guarantee.on(network, UNIT)
    assert 4.8 < resolved.span < 5.0
    assert resolved.eps == 0.02 * resolved.span
    assert float(f"{resolved.span:.2f}") == resolved.span
    assert str(guarantee) == str(resolved) == "eps=2.0%"
    assert guarantee.on(network, UNIT) == resolved.on(network, UNIT) == resolved
    assert Guarantee.restore(json.loads(json.dumps(resolved.describe()))) == resolved


@pytest.mark.parametrize("network", [affine([0.0, 0.0]), affine([1e308, 1e308])])
def test_a_percentage_of_nothing_is_refused(network: Network) -> None:
    with (
        np.errstate(over="ignore", invalid="ignore"),
        pytest.raises(UsageError, match="give eps=E, an absolute error"),
    ):
        Guarantee.parse("eps=1%").on(network, Box([-1.0, -1.0], [1.0, 1.0]))
