"""The map: how many neurons are left over two of the inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import FigureBase

from redy.dispatch.bundle import Bundle
from redy.domain import Box
from redy.errors import UsageError
from redy.pictures.shares import input_boxes, neurons_left, relative_widths
from redy.pictures.style import BLUE, UNKNOWN
from redy.pictures.view import View

PIXELS = 256
"""Along each input; a power of two, as most numbers of cuts are."""

_POSITIONS = 4
_NAMED = 6
_ROWS = 2**15


@dataclass(frozen=True, eq=False)
class Left:
    """Boxes of a domain and the neurons left in each.

    Attributes:
        domain: the box of all inputs.
        lower, upper: (m, inputs) ends of the boxes, which share faces only.
        left: (m,) neurons left.
    """

    domain: Box
    lower: np.ndarray
    upper: np.ndarray
    left: np.ndarray

    @property
    def wide(self) -> list[int]:
        """The inputs that are more than one value."""
        return [int(d) for d in np.flatnonzero(self.domain.lower < self.domain.upper)]

    def pixels(self, d: int) -> np.ndarray:
        """Middles of ``PIXELS`` equal parts of input d: (pixels,)."""
        return middles(self.domain, d, PIXELS)


def middles(domain: Box, d: int, count: int) -> np.ndarray:
    """Middles of ``count`` equal parts of input d of ``domain``: (count,)."""
    share = (np.arange(count) + 0.5) / count
    return np.asarray(domain.lower[d] * (1.0 - share) + domain.upper[d] * share)


def mean_left(data: Left, inputs: tuple[int, ...], at: Mapping[int, float]) -> np.ndarray:
    """The mean of the neurons left over all inputs but ``inputs`` and those that ``at`` fixes.

    The mean is exact, an integral over the boxes that hold a point with these values.

    Args:
        data: boxes that may leave parts of the domain unknown; the mean is over the known ones.
        inputs: one or two of the inputs.
        at: input -> value, for other inputs.

    Returns:
        (pixels,) or, for inputs (x, y), (pixels of y, pixels of x); NaN where nothing is known.
    """
    held = np.ones(len(data.left), dtype=bool)
    for d, value in at.items():
        held &= (data.lower[:, d] <= value) & (value < data.upper[:, d])
    total = np.zeros((PIXELS,) * len(inputs))
    known = np.zeros_like(total)
    for rows in np.array_split(np.flatnonzero(held), 1 + held.sum() // _ROWS):
        lower, upper = data.lower[rows], data.upper[rows]
        widths = relative_widths(lower, upper, data.domain)
        widths[:, [*inputs, *at]] = 1.0
        weight = widths.prod(axis=1)
        holds = [_holds(lower[:, d], upper[:, d], data.pixels(d)) for d in inputs]
        known += _sum(weight, holds)
        total += _sum(weight * data.left[rows], holds)
    return np.divide(total, known, out=np.full_like(total, np.nan), where=known > 0.0)


def _holds(lower: np.ndarray, upper: np.ndarray, values: np.ndarray) -> np.ndarray:
    """1 where an interval (m,) holds a value (pixels,): (m, pixels) float64."""
    return ((lower[:, None] <= values) & (values < upper[:, None])).astype(np.float64)


def _sum(weight: np.ndarray, holds: list[np.ndarray]) -> np.ndarray:
    if len(holds) == 1:
        return np.asarray(weight @ holds[0])
    return np.asarray((weight[:, None] * holds[1]).T @ holds[0])


def influence(data: Left) -> np.ndarray:
    """How much what is left varies along each input: (inputs,) neurons.

    The standard deviation, over the input's values, of the mean over all other inputs.
    """
    found = np.zeros(data.domain.dimension)
    cut = (data.lower > data.domain.lower) | (data.upper < data.domain.upper)
    for d in np.flatnonzero(cut.any(axis=0)):
        means = mean_left(data, (int(d),), {})
        known = means[np.isfinite(means)]
        found[d] = known.std() if known.size else 0.0
    return found


@dataclass(frozen=True, eq=False)
class DomainMap:
    """What the map shows.

    Attributes:
        inputs: the input to the right and the one upwards; one for a line instead of a map.
        domain: the box of all inputs.
        panels: titles and neurons left, (pixels of y, pixels of x) or (pixels,); NaN if unknown.
        caption: how to read it.
    """

    inputs: tuple[int, ...]
    domain: Box
    panels: tuple[tuple[str, np.ndarray], ...]
    caption: str


def domain_map(bundle: Bundle, view: View) -> DomainMap | str:
    """The map of ``bundle``, or in words why there is none.

    Raises:
        UsageError: ``view`` names inputs or values that the domain does not have.
    """
    boxes = input_boxes(bundle.slicing, bundle.done)
    if boxes is None:
        return _without(view, "the slices are not boxes of inputs")
    data = Left(bundle.domain, *boxes, neurons_left(bundle))
    if not data.wide:
        return _without(view, "the domain is a single point")
    if view.inputs is not None:
        _check(view, data)
    varies = influence(data)
    order = [d for d in np.argsort(-varies, kind="stable").tolist() if d in data.wide]
    inputs = view.inputs or tuple(sorted(order[:2]))
    others = [d for d in order if d not in inputs]
    if view.at is not None:
        return _fixed(bundle, data, inputs, view.at)
    panels = [("mean over the other inputs" if others else "", mean_left(data, inputs, {}))]
    caption = "Neurons left over " + " and ".join(f"input {d}" for d in inputs)
    if others:
        most = "" if view.inputs else ", along which what is left varies most"
        caption += f"{most}; mean over the other inputs"
    whole = len(bundle.done) == bundle.slicing.slices
    if len(inputs) == 2 and others and varies[others[0]] > 0.0 and whole:
        panels += _along(data, inputs, others[0])
        caption += f", and the same at {_POSITIONS} values of input {others[0]}, the next of them"
    return DomainMap(inputs, data.domain, tuple(panels), f"{caption}.{_unknown(bundle)}")


def _along(data: Left, inputs: tuple[int, ...], d: int) -> list[tuple[str, np.ndarray]]:
    """The means at some values of input ``d``."""
    values = middles(data.domain, d, _POSITIONS).tolist()
    return [(f"input {d} = {value:.4g}", mean_left(data, inputs, {d: value})) for value in values]


def _without(view: View, reason: str) -> str:
    if view.inputs is not None:
        raise UsageError(f"--inputs: there is no map, {reason}")
    return f"There is no map: {reason}."


def _unknown(bundle: Bundle) -> str:
    if len(bundle.done) == bundle.slicing.slices:
        return ""
    return " Of the slices that were simplified only; grey where there is none."


def _check(view: View, data: Left) -> None:
    inputs = data.domain.dimension
    for d in view.inputs or ():
        if not 0 <= d < inputs:
            raise UsageError(
                f"--inputs: there is no input {d}: they are numbered 0 to {inputs - 1}"
            )
        if d not in data.wide:
            raise UsageError(f"--inputs: input {d} has only one value in the domain")


def _fixed(bundle: Bundle, data: Left, inputs: tuple[int, ...], at: tuple[float, ...]) -> DomainMap:
    """The map at one value of every other input, each pixel's slice found as by the dispatcher."""
    others = [d for d in range(data.domain.dimension) if d not in inputs]
    if len(at) != len(others):
        raise UsageError(f"--at: give {len(others)} numbers, for the inputs {others}")
    for d, value in zip(others, at, strict=True):
        if not data.domain.lower[d] <= value <= data.domain.upper[d]:
            ends = f"[{data.domain.lower[d]}, {data.domain.upper[d]}]"
            raise UsageError(f"--at: {value} is outside of the domain's {ends} of input {d}")
    points = np.empty((PIXELS, PIXELS, data.domain.dimension))
    points[..., others] = at
    points[..., inputs[0]] = data.pixels(inputs[0])
    points[..., inputs[1]] = data.pixels(inputs[1])[:, None]
    owner = bundle.slice_of(points.reshape(-1, data.domain.dimension)).reshape(PIXELS, PIXELS)
    row = np.searchsorted(bundle.done, owner).clip(max=len(bundle.done) - 1)
    values = np.where(bundle.done[row] == owner, data.left[row], np.nan)
    fixed = [f"input {d} = {value:.4g}" for d, value in zip(others, at, strict=True)]
    title = ", ".join(fixed[:_NAMED]) + (", ..." if len(fixed) > _NAMED else "")
    where = f", where {title}" if others else ""
    caption = f"Neurons left over input {inputs[0]} and input {inputs[1]}{where}."
    return DomainMap(inputs, data.domain, ((title, values),), caption + _unknown(bundle))


def draw(into: FigureBase, shown: DomainMap, neurons: int) -> None:
    """Draw the map on an empty figure."""
    if len(shown.inputs) == 1:
        _draw_line(into.subplots(), shown)
        return
    single = len(shown.panels) == 1
    grid = into.subplot_mosaic("A" if single else "AABC;AADE", sharex=True, sharey=True)
    highest = max(float(np.nan_to_num(v).max(initial=1.0)) for _, v in shown.panels)
    scale = Normalize(0, highest)
    colours = colormaps["magma_r"].with_extremes(bad=UNKNOWN)
    for number, axes in enumerate(grid.values()):
        _draw_panel(axes, shown, number, scale, colours)
        if number:
            axes.tick_params(labelsize=7, labelleft=False, labelbottom=number > 2)
            axes.title.set_fontsize(8.5)
        axes.locator_params(nbins=5)
    x, y = shown.inputs
    grid["A"].set(xlabel=f"input {x}", ylabel=f"input {y}")
    bar = into.colorbar(
        ScalarMappable(scale, colours), ax=list(grid.values()), pad=0.01, fraction=0.04
    )
    bar.set_label(f"neurons left, of {neurons}")


def _draw_panel(
    axes: Axes, shown: DomainMap, number: int, scale: Normalize, colours: Colormap
) -> None:
    (x, y), domain = shown.inputs, shown.domain
    title, values = shown.panels[number]
    axes.set_title(title)
    axes.imshow(
        np.ma.masked_invalid(values),
        origin="lower",
        extent=(domain.lower[x], domain.upper[x], domain.lower[y], domain.upper[y]),
        aspect="auto",
        interpolation="nearest",
        cmap=colours,
        norm=scale,
    )


def _draw_line(axes: Axes, shown: DomainMap) -> None:
    (d,) = shown.inputs
    ((_, values),) = shown.panels
    axes.step(middles(shown.domain, d, PIXELS), values, where="mid", color=BLUE)
    axes.set(xlabel=f"input {d}", ylabel="neurons left", ylim=(0, None))
