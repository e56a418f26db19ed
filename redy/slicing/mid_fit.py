"""Makes the cells of mid-network slicing: bounds of the layer, and cells fitted to points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from redy.domain import Box
from redy.edits import Edit
from redy.errors import DomainError, UsageError
from redy.network.cost import cost
from redy.network.evaluate import evaluate
from redy.network.fold import plan_many
from redy.network.form import Network
from redy.network.rounding import evaluation_error
from redy.network.split import Split, possible_layers, split
from redy.slicing.cells import Enclosed, fit
from redy.slicing.mid import Mid, Seen
from redy.tolerances import TINY, gamma

_SAMPLED = 16384
_SEED = 20210526
_SAFETY = 2.0
"""The error is taken so many times as large as proved: a bound that is computed again, elsewhere,
with its sums in another order, is still below it."""
_GAP = 64.0
"""The gap, which leaves room for the rounding that proofs charge also to a sum of one term, is so
many times what that is. Neither decides what is true: a gap too small leaves neurons in."""
_BATCH = 64

MOST_CELLS = 2**16


@dataclass(frozen=True, eq=False)
class Points:
    """Inputs that the cells are made for, and what they are.

    Every second one is what cells are fitted to, the others what their shares are counted on: the
    share of points that a cell was fitted to would flatter it.
    """

    rows: np.ndarray
    what: str

    @classmethod
    def of(cls, given: np.ndarray | None, domain: Box) -> Points:
        """Those of ``given`` (n, inputs) that lie in ``domain``, or random ones.

        Raises:
            DomainError: another dimension, or fewer than two of them lie in the domain.
        """
        if given is None:
            rng = np.random.default_rng(_SEED)
            return cls(domain.sample(_SAMPLED, rng), f"{_SAMPLED} uniform random points")
        rows = np.asarray(given, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != domain.dimension:
            raise DomainError(
                f"--weights: shape {rows.shape}, but the domain has {domain.dimension} dimensions"
            )
        inside = rows[domain.contains(rows)]
        if len(inside) < 2:
            raise DomainError(
                f"--weights: {len(inside)} of {len(rows)} rows lie in the domain; give at least 2"
            )
        return cls(inside, f"{len(inside)} given inputs in the domain")

    @property
    def fitted(self) -> np.ndarray:
        """What cells are fitted to."""
        return self.rows[::2]

    @property
    def counted(self) -> np.ndarray:
        """What shares are counted on."""
        return self.rows[1::2]


def enclosure(prefix: Network, domain: Box) -> tuple[Box, np.ndarray]:
    """A box of z(x) over the reals for all x of ``domain``, and (units,) the error of float64.

    Raises:
        DomainError: the bounds overflow.
    """
    from redy.bounds import bound  # imports torch, which takes a second

    found = bound(prefix, [domain])
    ends = [
        (low[0].numpy(), high[0].numpy())
        for low, high in zip(found.lower, found.upper, strict=True)
    ]
    magnitudes = [np.maximum(np.abs(domain.lower), np.abs(domain.upper))]
    magnitudes += [np.maximum(np.abs(low), np.abs(high)) for low, high in ends[:-1]]
    error = evaluation_error(prefix, magnitudes)
    lower, upper = ends[-1]
    if not (np.isfinite(lower) & np.isfinite(upper) & np.isfinite(error)).all():
        raise DomainError(
            "the bounds of the layer to cut on are not finite on the domain; give a smaller domain"
        )
    return Box(lower, upper), error


def cells_of(parts: Split, domain: Box, count: int, points: Points, *, narrow: bool = False) -> Mid:
    """At most ``count`` cells of the layer that ``parts`` are cut at; ``narrow`` as of ``fit``.

    Each but cell 0 can be reached: a point it was fitted to lies in it, also over the reals.
    """
    box, error = enclosure(parts.prefix, domain)
    error = _SAFETY * error
    largest = np.maximum(np.abs(box.lower), np.abs(box.upper))
    gap = _GAP * gamma(parts.prefix.outputs + 1) * largest + TINY
    neurons = np.flatnonzero(parts.suffix.layers[0].relu)

    def enclosed(rows: np.ndarray) -> Enclosed:
        return Enclosed.of(evaluate(parts.prefix, rows), error)

    tree = fit(enclosed(points.fitted), neurons, gap, count, narrow=narrow)
    cells, asked = tree.cell_of(enclosed(points.counted))
    share = np.bincount(cells, minlength=tree.cells) / len(cells)
    seen = Seen(share, float(asked.mean()), points.what)
    return Mid(parts.layer, domain, box, error, tree, seen)


def best_cells(
    network: Network, domain: Box, layer: int | None, count: int, points: Points
) -> tuple[Split, Mid]:
    """The cells of ``layer``; if it is None, of that at which evaluation gets cheapest.

    Compared are the multiply-accumulates over the points: of the prefix, and of the suffix without
    the neurons of one phase by CROWN. So it is decided, too, whether cells end where their points
    do: what is proved of later layers is then more, but fewer points are in the smallest cells.

    Raises:
        UsageError: the network cannot be cut there, or anywhere; or ``count`` is out of range.
    """
    if not 1 <= count <= MOST_CELLS:
        raise UsageError(f"--slices {count}: give between 1 and {MOST_CELLS} cells")
    layers = possible_layers(network) if layer is None else [layer]
    if not layers:
        raise UsageError(
            "--slicing mid: every hidden layer is read past by a later one, or has no ReLU: the "
            "network can be cut nowhere; use --slicing grid"
        )
    made = []
    for parts in (split(network, k) for k in layers):
        # What follows from z alone are the phases of its own layer.
        narrow = (False, True) if count > 1 and parts.suffix.depth > 1 else (False,)
        made += [(parts, cells_of(parts, domain, count, points, narrow=how)) for how in narrow]
    return made[0] if len(made) == 1 else min(made, key=lambda one: _macs(*one))


def _macs(parts: Split, cells: Mid) -> float:
    """What evaluation costs on average, with the phases that CROWN proves."""
    macs = []
    for start in range(0, cells.slices, _BATCH):
        indices = np.arange(start, min(start + _BATCH, cells.slices))
        _, of_batch = plan_many(parts.suffix, _shapes(parts.suffix, *cells.boxes(indices)))
        macs.append(of_batch)
    return cost(parts.prefix).macs + float(cells.seen.share @ np.concatenate(macs))


def _shapes(suffix: Network, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """(boxes, neurons) what becomes of neurons on boxes, by CROWN."""
    from redy.bounds import ACTIVE, INACTIVE, bound

    found = bound(suffix, [Box(*ends) for ends in zip(lower, upper, strict=True)])
    phases = np.concatenate(
        [
            of_layer.numpy()[:, layer.relu]
            for of_layer, layer in zip(found.phases()[:-1], suffix.layers[:-1], strict=True)
        ],
        axis=1,
    )
    shapes = np.full(phases.shape, Edit.KEEP, dtype=np.uint8)
    shapes[phases == ACTIVE], shapes[phases == INACTIVE] = Edit.IDENTITY, Edit.ZERO
    return shapes
