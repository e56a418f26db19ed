"""The histogram: how much of the domain is left with how many neurons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import FigureBase

from redy.dispatch.bundle import Bundle
from redy.pictures.shares import neurons_left, shares
from redy.pictures.style import BLUE, VERMILION

_BARS = 60


@dataclass(frozen=True, eq=False)
class Histogram:
    """Weight of slices by neurons left.

    Attributes:
        edges: (bars + 1,) first number of neurons of each bar, and one past the last bar's.
        share: (bars,) share of the simplified slices' weight; sum 1.
        mean: neurons left, weighted mean.
        of: what the weights are shares of.
    """

    edges: np.ndarray
    share: np.ndarray
    mean: float
    of: str


def histogram(left: np.ndarray, weights: np.ndarray, neurons: int, of: str = "volume") -> Histogram:
    """Of slices with ``left`` (m,) of ``neurons`` neurons left and shares ``weights`` (m,)."""
    step = next(s for s in _steps() if s * _BARS > neurons)
    edges = np.arange(0, neurons + step + 1, step)
    share, _ = np.histogram(left, bins=edges, weights=weights)
    return Histogram(edges, share, float(weights @ left), of)


def _steps() -> list[int]:
    return [digit * 10**power for power in range(12) for digit in (1, 2, 5)]


def of(bundle: Bundle) -> Histogram:
    """The histogram of ``bundle``."""
    weights = shares(bundle.slicing, bundle.done)
    by = bundle.slicing.weighted_by
    whole = len(bundle.done) == bundle.slicing.slices
    volume = "the domain's volume" if whole else "the simplified volume"
    of = volume if by == "volume" else by
    return histogram(neurons_left(bundle), weights, len(bundle.base.neurons), of)


def draw(into: FigureBase, shown: Histogram, neurons: int) -> None:
    """Draw the histogram on an empty figure."""
    axes = into.subplots()
    # Whole numbers stand in the middle of their bars.
    axes.stairs(100 * shown.share, shown.edges - 0.5, fill=True, color=BLUE)
    axes.axvline(shown.mean, color=VERMILION, linewidth=1.4)
    axes.annotate(
        f"mean {shown.mean:.1f}",
        (shown.mean, 0.98),
        xycoords=("data", "axes fraction"),
        xytext=(5, 0),
        textcoords="offset points",
        color=VERMILION,
        verticalalignment="top",
    )
    axes.set(
        xlabel=f"neurons left, of {neurons}",
        ylabel=f"% of {shown.of}",
        title="slices by neurons left",
        ylim=(0, 115 * shown.share.max()),
        xlim=(-0.5, shown.edges[-1] - 0.5),
    )
