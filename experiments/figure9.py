"""The paper's figure 9 from bundles: the neurons removed on random slices, by criterion.

    python -m experiments.figure9 FOLDER/*.redy --out experiments/figure9.png

One group of bars per network, one bar per guarantee, over its bar what was removed in all. The line
is the paper's figure for its whole pipeline on 50 random slices (Lahav and Katz, FMCAD 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import matplotlib as mpl
import typer

import redy
from experiments.fifty_slices import short_name

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

PAPER = 82.5
"""Percent of the neurons that the paper removed on 50 random slices, by all criteria together."""

CRITERIA = {
    "phase": ("phase", "#7fa7c9"),
    "forward": ("forward", "#c9d8e6"),
    "decision": ("result-preserving", "#8fb996"),
    "relaxed": ("relaxed", "#e8c468"),
}
_KINDS = ("exact", "eps", "decision")
_FIGURE: dict[str, Any] = {
    "ha": "center",
    "va": "bottom",
    "fontsize": 8,
    "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.8},
}
"""How the figure over a bar is written: readable on the paper's line, too."""

_GAP = 0.6
"""Between the bars of two networks, in bars."""


def _order(summary: dict[str, Any]) -> tuple[str, int, float]:
    """By network, then from the strictest guarantee on."""
    kind = summary["guarantee"].split("=")[0]
    return short_name(summary["network"]), _KINDS.index(kind), summary["eps"] or 0.0


def _label(summary: dict[str, Any]) -> str:
    """``eps=0.001`` as ``ε = 0.001``."""
    return str(summary["guarantee"]).replace("eps=", "ε = ")


def _places(names: Sequence[str]) -> list[float]:
    """Where the bars stand, those of one network side by side."""
    places, groups = [], 0
    for place, name in enumerate(names):
        groups += place > 0 and name != names[place - 1]
        places.append(place + _GAP * groups)
    return places


def draw(axes: Axes, summaries: Sequence[dict[str, Any]]) -> None:
    """The bars, stacked by criterion, and the paper's line."""
    names = [short_name(summary["network"]) for summary in summaries]
    places = _places(names)
    bottom = [0.0] * len(places)
    for key, (label, color) in CRITERIA.items():
        heights = [100 * summary["removed_by"][key] for summary in summaries]
        axes.bar(places, heights, bottom=bottom, width=0.85, color=color, label=label)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    for place, height in zip(places, bottom, strict=True):
        axes.text(place, height + 1.2, f"{height:.1f}", **_FIGURE)
    axes.axhline(PAPER, color="#c05746", linewidth=1, label=f"the paper, {PAPER} %")
    labels = [_label(summary) for summary in summaries]
    axes.set_xticks(places, labels, rotation=45, ha="right", fontsize=8)
    for name in dict.fromkeys(names):
        mine = [place for place, other in zip(places, names, strict=True) if other == name]
        axes.text(sum(mine) / len(mine), 107, name, ha="center", fontsize=10)
    axes.set(ylabel="% of neurons removed", ylim=(0, 113), yticks=range(0, 101, 20))
    axes.spines[["top", "right"]].set_visible(False)


def main(
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLE...")],
    out: Annotated[Path, typer.Option(help="The picture to write.")] = Path(
        "experiments/figure9.png"
    ),
) -> None:
    """Draw what was removed under every guarantee."""
    summaries = sorted((redy.open(path).summary for path in bundles), key=_order)
    slices = sorted({summary["slices_done"] for summary in summaries})
    width = max(5.0, 2.2 + 0.5 * len(summaries))
    figure, axes = plt.subplots(figsize=(width, 4.4), layout="constrained")
    draw(axes, summaries)
    counted = " or ".join(map(str, slices))
    axes.set_title(f"neurons removed on {counted} random slices of ACAS Xu", fontsize=10)
    figure.legend(loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    typer.run(main)
