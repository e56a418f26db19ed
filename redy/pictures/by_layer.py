"""The bars: what became of each layer's neurons, and why."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import FigureBase

from redy.dispatch.bundle import Bundle
from redy.edits import Criterion, Edit, Status
from redy.pictures.shares import shares
from redy.pictures.style import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, YELLOW

COLOURS = {
    "one phase: zero": SKY,
    "one phase: linear": BLUE,
    "forward": GREEN,
    "decision": PURPLE,
    "relaxed": YELLOW,
    "left, undecided": ORANGE,
    "left, has both phases": VERMILION,
}


def layer_shares(
    status: np.ndarray, codes: np.ndarray, criteria: np.ndarray, weights: np.ndarray
) -> dict[str, float]:
    """What became of some neurons -> the fraction of them, weighted mean; sum 1.

    Unlike the figures of ``redy show``, whose ``refuted`` says what was found out about a neuron's
    phase, a neuron that was removed for another reason counts as removed only.

    Args:
        status, codes, criteria: (slices, neurons), see :mod:`redy.edits`.
        weights: (slices,) sum 1.
    """
    phase, left = criteria == Criterion.PHASE, codes == Edit.KEEP
    refuted = status == Status.REFUTED
    parts = {
        "one phase: zero": phase & (codes == Edit.ZERO),
        "one phase: linear": phase & (codes != Edit.ZERO),
        "forward": criteria == Criterion.FORWARD,
        "decision": criteria == Criterion.DECISION,
        "relaxed": criteria == Criterion.RELAXED,
        "left, undecided": left & ~refuted,
        "left, has both phases": left & refuted,
    }
    return {name: float(weights @ part.mean(axis=1)) for name, part in parts.items()}


def of(bundle: Bundle) -> dict[int, dict[str, float]]:
    """Layer -> its :func:`layer_shares`, for layers with ReLU neurons."""
    layer_of = np.array([k for k, _ in bundle.base.neurons], dtype=np.int64)
    weights = shares(bundle.slicing, bundle.done)
    before = 0 if bundle.parts is None else bundle.parts.layer - 1
    shown = {}
    for k in np.unique(layer_of):
        here = layer_of == k
        tables = bundle.status[:, here], bundle.edits[:, here], bundle.criteria[:, here]
        shown[before + int(k)] = layer_shares(*tables, weights)
    return shown


def draw(into: FigureBase, shown: dict[int, dict[str, float]]) -> None:
    """Draw the bars on an empty figure."""
    axes = into.subplots()
    layers = list(shown)
    base = np.zeros(len(layers))
    for name, colour in COLOURS.items():
        share = np.array([100 * shown[k][name] for k in layers])
        if share.any():
            axes.bar(
                [str(k) for k in layers],
                share,
                bottom=base,
                color=colour,
                label=name,
                width=0.8,
                edgecolor="white",
                linewidth=0.5,
            )
        base += share
    axes.set(xlabel="layer", ylabel="% of its neurons", title="by layer", ylim=(0, 100))
    if not layers:
        axes.text(0.5, 0.5, "no ReLU neurons", transform=axes.transAxes, ha="center")
    else:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), reverse=True)
