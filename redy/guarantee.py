"""What the user is promised for the whole simplified network, on the whole domain.

- ``exact``: f'(x) = f(x), over the reals.
- ``eps=E``: max over outputs |f'(x) - f(x)| <= E; ``eps=P%`` is E relative to the output range.
- ``decision``: wherever f has a unique winner, f' has the same one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import ROUND_DOWN, Context
from typing import Any, Literal, cast, get_args

import numpy as np

from redy.domain import Box
from redy.errors import UsageError
from redy.network.evaluate import evaluate
from redy.network.form import Network

Kind = Literal["exact", "eps", "decision"]
Winner = Literal["min", "max"]

_SPAN_POINTS = 16_384
_SPAN_SEED = 20210526
_SPAN_DIGITS = Context(prec=3, rounding=ROUND_DOWN)
"""Few digits: the last ones differ from machine to machine."""


@dataclass(frozen=True)
class Guarantee:
    """What holds for the simplified network.

    Attributes:
        kind: ``exact``, ``eps`` or ``decision``.
        eps: the largest output error allowed: 0 if exact, infinity under ``decision``; NaN while it
            is relative to an output range that is not known yet (:meth:`on`).
        winner: under ``decision``, whether the least or the greatest output wins.
        percent: eps relative to ``span``, in percent; None if it was given in absolute terms.
        span: the largest span of an output, at points of the domain; None unless relative.

    Raises:
        UsageError: no such guarantee, or an eps that is not a positive number.
    """

    kind: Kind
    eps: float
    winner: Winner = "min"
    percent: float | None = None
    span: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind) or self.winner not in get_args(Winner):
            raise UsageError(f"no guarantee {self.kind!r} with winner {self.winner!r}")
        expected = {"exact": 0.0, "decision": math.inf}
        if self.kind in expected and self.eps != expected[self.kind]:
            raise UsageError(f"the guarantee {self.kind} takes no eps")
        if self.kind == "eps":
            self._check_eps()

    def _check_eps(self) -> None:
        given = self.eps if self.percent is None else self.percent
        if not 0.0 < given < math.inf:
            raise UsageError(f"guarantee {self}: give a finite eps above 0, as in eps=1e-3")
        if self.span is not None and not 0.0 < self.eps < math.inf:
            raise UsageError(
                f"guarantee {self}: the outputs span {self.span:g} on points of the domain, of "
                "which no percentage can be allowed; give eps=E, an absolute error"
            )

    @classmethod
    def parse(cls, text: str, winner: str | None = None) -> Guarantee:
        """The guarantee that ``text`` names: ``exact``, ``eps=1e-3``, ``eps=1%`` or ``decision``.

        Raises:
            UsageError: it names none, or ``winner`` is neither ``min`` (as if None) nor ``max``, or
                goes with another guarantee than ``decision``.
        """
        if winner is not None and winner not in get_args(Winner):
            raise UsageError(f"--winner {winner}: give min or max")
        if text == "decision":
            return cls("decision", math.inf, cast("Winner", winner or "min"))
        if winner is not None:
            raise UsageError(f"--winner {winner} goes with --guarantee decision, not with {text}")
        if text == "exact":
            return EXACT
        if text.startswith("eps="):
            number = text.removeprefix("eps=")
            percent = number.endswith("%")
            value = _number(number.removesuffix("%"), text)
            return cls("eps", math.nan, percent=value) if percent else cls("eps", value)
        raise UsageError(
            f"--guarantee {text}: give exact, eps=E (an absolute output error, as in eps=1e-3), "
            "eps=P% (of the output range) or decision"
        )

    def on(self, network: Network, domain: Box) -> Guarantee:
        """This guarantee with its eps in absolute terms, for ``network`` on ``domain``.

        The span of an output is that at fixed random points, so no more than its true one, rounded
        down: the eps that is promised is at most the percentage that was asked for.
        """
        if self.percent is None or self.span is not None:
            return self
        span = output_span(network, domain)
        return replace(self, eps=self.percent / 100 * span, span=span)

    def winner_rule(self, asked: str | None = None) -> Winner | None:
        """Which output wins, as ``asked`` or as promised; None if neither says.

        Raises:
            UsageError: ``asked`` is neither ``min`` nor ``max``, or not what ``decision`` promises.
        """
        promised = self.winner if self.kind == "decision" else None
        if asked not in {None, *get_args(Winner)}:
            raise UsageError(f"winner {asked!r}: give 'min' or 'max', for which output wins")
        if promised is not None and asked not in {None, promised}:
            raise UsageError(f"winner {asked!r}: the guarantee is of {promised!r}")
        return promised if asked is None else cast("Winner", asked)

    def __str__(self) -> str:
        if self.kind != "eps":
            return self.kind
        return f"eps={self.eps!r}" if self.percent is None else f"eps={self.percent!r}%"

    def describe(self) -> dict[str, Any]:
        """As JSON; :meth:`restore` is the inverse."""
        return {
            "kind": self.kind,
            "eps": self.eps if math.isfinite(self.eps) else None,
            "winner": self.winner,
            "percent": self.percent,
            "span": self.span,
        }

    @classmethod
    def restore(cls, description: dict[str, Any]) -> Guarantee:
        """The guarantee that :meth:`describe` described; its eps is in absolute terms."""
        if description["percent"] is not None and description["span"] is None:
            raise UsageError("the guarantee is relative to an output range that is not given")
        eps = description["eps"]
        return cls(**{**description, "eps": math.inf if eps is None else float(eps)})


EXACT = Guarantee("exact", 0.0)


def _number(text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"--guarantee {whole}: {text!r} is not a number") from None


def output_span(network: Network, domain: Box) -> float:
    """The largest span of an output of ``network`` at points of ``domain``, rounded down."""
    points = domain.sample(_SPAN_POINTS, np.random.default_rng(_SPAN_SEED))
    outputs = evaluate(network, points)
    span = float((outputs.max(axis=0) - outputs.min(axis=0)).max())
    return float(_SPAN_DIGITS.create_decimal_from_float(span)) if math.isfinite(span) else span
