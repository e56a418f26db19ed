"""The histogram: how much of the domain is left with how many neurons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import FigureBase

from redy.dispatch.bundle import Bundle
from redy.pictures.shares import neurons_left, volume_shares
from redy.pictures.style import BLUE, VERMILION

_BARS = 60


@dataclass(frozen=True, eq=False)
class Histogram:
    """Volume by neurons left.

    Attributes:
        edges: (bars + 1,) first number of neurons of each bar, and one past the last bar's.
        share: (bars,) share of the simplified slices' volume; sum 1.
        mean: neurons left, mean by volume.
        whole: whether these slices are all of the domain.
    """

    edges: np.ndarray
    share: np.ndarray
    mean: float
    whole: bool = True


def histogram(left: np.ndarray, volume: np.ndarray, neurons: int, whole: bool = True) -> Histogram:
    """Of slices with ``left`` (m,) of ``neurons`` neurons left and shares ``volume`` (m,)."""
    step = next(s for s in _steps() if s * _BARS > neurons)
    edges = np.arange(0, neurons + step + 1, step)
    share, _ = np.histogram(left, bins=edges, weights=volume)
    return Histogram(edges, share, float(volume @ left), whole)


def _steps() -> list[int]:
    return [digit * 10**power for power in range(12) for digit in (1, 2, 5)]


def of(bundle: Bundle) -> Histogram:
    """The histogram of ``bundle``."""
    volume = volume_shares(bundle.slicing, bundle.done)
    whole = len(bundle.done) == bundle.slicing.slices
    return histogram(neurons_left(bundle), volume, len(bundle.network.neurons), whole)


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
        ylabel="% of the domain's volume" if shown.whole else "% of the simplified volume",
        title="volume by neurons left",
        ylim=(0, 115 * shown.share.max()),
        xlim=(-0.5, shown.edges[-1] - 0.5),
    )
