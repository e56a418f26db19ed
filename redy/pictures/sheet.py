"""All figures of a bundle on one sheet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from redy.dispatch.bundle import Bundle
from redy.formats.atomic import write_bytes
from redy.pictures import by_layer, domain_map, graphs, histogram
from redy.pictures.style import house_style, new_figure, plain, to_bytes
from redy.pictures.view import View

_HEIGHTS = (1.15, 0.8, 1.25)


def write_sheet(path: Path, bundle: Bundle, view: View) -> None:
    """Draw ``bundle`` to ``path`` in the format that its suffix names, whole or not at all.

    Raises:
        UsageError: ``view`` names an input, a value or a slice that the bundle does not have.
        OutputError: the file cannot be written.
    """
    with house_style():
        content = to_bytes(sheet(bundle, view), path.suffix.lower().removeprefix("."))
    write_bytes(path, content)


def sheet(bundle: Bundle, view: View) -> Figure:
    """The map above, the histogram and the layers below it, the networks at the bottom."""
    neurons = len(bundle.base.neurons)
    shown = domain_map.domain_map(bundle, view)
    slices = graphs.chosen_slices(bundle, view.slices)
    figure = new_figure(11.0, 12.6)
    figure.suptitle(headline(bundle.summary), fontsize=10.5)
    top, middle, bottom = figure.subfigures(3, 1, squeeze=False, height_ratios=_HEIGHTS)[:, 0]
    if isinstance(shown, str):
        top.text(0.5, 0.5, shown, horizontalalignment="center")
    else:
        domain_map.draw(top, shown, neurons)
        top.supxlabel(shown.caption, fontsize=8)
    left, right = middle.subfigures(1, 2, squeeze=False, width_ratios=(1, 1.15))[0]
    histogram.draw(left, histogram.of(bundle), neurons)
    by_layer.draw(right, by_layer.of(bundle))
    graphs.draw(bottom, bundle, slices)
    return figure


def headline(summary: dict[str, Any]) -> str:
    """What the pictures are of: network, slices, guarantee, and the fraction removed."""
    name = plain(Path(summary["network"]).name)
    done, slices = summary["slices_done"], summary["slices"]
    some = f"{done:,} of {slices:,}" if done < slices else f"{slices:,}"
    plural = "" if slices == 1 else "s"
    return (
        f"{name}: {some} slice{plural}, guarantee {summary['guarantee']}, "
        f"{summary['removed_mean']:.1%} of {summary['neurons']} neurons removed on average"
    )
