"""The programs of a bundle's slices: what is left of each network, in a form that runs fast.

All stand in two arrays. ``plan`` (int32):

    HEADER numbers; of a grid the parts of each input, and if it is a coarse one over a tree, per
    cell the node where going down starts, or -1 less the cell's slice; of a tree, per node, the
    input that it compares, the node of its lower half and MISSING, or for a leaf 0, itself and its
    slice;
    the count of the network's layers, and per layer where its weights begin in ``numbers``, and its
    units;
    per slice where its program begins, or MISSING;
    folded programs: where its weights begin in ``numbers``, the count of layers, and per layer
    ReLU units, units, count of runs, and per run its first entry and length;
    listed programs: MISSING, and per layer, inputs first, as :mod:`redy.dispatch.listing` says.

``numbers`` (float32 or float64):

    the domain's lower and upper ends; of the grid the inner edges; of a tree the cuts, +inf
    for a leaf;
    weights, of the network and of folded programs: per layer the biases, and per entry that it
    reads the weights of all its units.

Entries of a folded program are numbered through: the inputs, then the units of all layers, ReLUs
first in each.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import numpy as np

from redy.branching.compiled import call
from redy.branching.packed import pack, total_units
from redy.dispatch import folding, kernels
from redy.dispatch.entering import ends_in
from redy.dispatch.listing import Lister
from redy.dispatch.shortcuts import shortcuts
from redy.dispatch.wide import lanes_of
from redy.edits import Edit, Replacements
from redy.errors import UnsupportedError
from redy.formats.bundle import Content
from redy.network.fold import read_edits, unit_lines
from redy.network.form import Network
from redy.slicing.lookup import GridLookup, Lookup, in_single

MOST_UNITS = 2048
"""Networks of more units are evaluated by numpy: their programs would be long in the making, and
their layers large enough for matrix products."""

_MOST = 2**31 - 1
_BATCH = 256
_SPARE = 4 * max(lanes_of(np.zeros(0, dtype)) for dtype in (np.float32, np.float64))
"""Numbers after the last weight: what is loaded with it may reach so far."""
_CODE = np.zeros(len(Edit), dtype=np.int8)
_CODE[Edit.KEEP], _CODE[Edit.ZERO] = folding.RELU, folding.NOTHING
_CODE[Edit.IDENTITY] = _CODE[Edit.AFFINE] = folding.LINE


class Programs:
    """Programs in ``dtype``, made when they are asked for; any thread may ask.

    Args:
        content: the bundle.
        dtype: float32 or float64, of inputs, weights and arithmetic.

    Attributes:
        tables: ``plan`` and ``numbers`` as they are now. What they hold stays as it is; programs
            that are added later may be in others.
        short: (slices,) bool, whether the slice's program is there and has one layer.
        whole: every slice has its program.
        widest: the most entries that a program can have.
    """

    def __init__(self, content: Content, dtype: np.dtype) -> None:
        units = total_units(content.base)
        if units > MOST_UNITS:
            raise UnsupportedError(
                f"the network has {units} units; compiled slice by slice are at most {MOST_UNITS}"
            )
        self._content, self.dtype = content, dtype
        self._lister = Lister(content.base, dtype)
        self._folder = _Folder(content.base, self._lister)
        self._depth = content.base.depth
        self._lock = threading.Lock()
        self._places: dict[tuple[int, int], int] = {}
        self.widest = units
        self.short = np.zeros(content.slicing.slices, dtype=bool)
        self.whole = False
        fixed = _fixed(content, dtype, self._lister)
        self.tables = fixed
        self._filled = len(fixed[0]), len(fixed[1]) - _SPARE

    @property
    def nbytes(self) -> int:
        """Bytes of what there is of both arrays."""
        plan, numbers = self.tables
        return self._filled[0] * plan.itemsize + self._filled[1] * numbers.itemsize

    def complete(self) -> Iterator[int]:
        """Make all programs that are missing; yields how many slices have been looked at.

        Those without a neuron come first: they are short, most inputs may want them, and side by
        side they stay in the processor's caches.
        """
        every = np.arange(self._content.slicing.slices)
        rows = self._rows(every)
        kept = (self._content.edits.shapes == Edit.KEEP).any(axis=1)
        long = np.where(rows < 0, True, kept[rows])
        order = np.argsort(long, kind="stable")
        for start in range(0, order.size, _BATCH):
            self.add(order[start : start + _BATCH])
            yield min(start + _BATCH, order.size)
        self.whole = True

    def add(self, slices: np.ndarray) -> None:
        """Make those programs of ``slices`` (m,) that are missing."""
        with self._lock:
            plan = self.tables[0]
            at = plan[kernels.PROGRAMS]
            for start in range(0, len(slices), _BATCH):
                batch = slices[start : start + _BATCH]
                missing = batch[self.tables[0][at + batch] == kernels.MISSING]
                if missing.size:
                    self._add(missing)

    def trim(self) -> None:
        """Give back what is held in reserve for more programs."""
        with self._lock:
            plan, numbers = self.tables
            stop = self._filled[1] + _SPARE
            self.tables = plan[: self._filled[0]].copy(), numbers[:stop].copy()

    def _add(self, slices: np.ndarray) -> None:
        rows = self._rows(slices)
        keys = [self._key(int(row)) for row in rows]
        new = {key: row for key, row in zip(keys, rows, strict=True) if key not in self._places}
        if new:
            edits = [self._edits(int(row)) for row in new.values()]
            folded = np.stack([self._folded(int(row)) for row in new.values()])
            for key, (head, numbers) in zip(new, self._folder(edits, folded), strict=True):
                self._places[key] = self._append(head, numbers)
        plan = self.tables[0]
        places = np.array([self._places[key] for key in keys])
        self.short[slices] = (plan[places] != kernels.MISSING) & (plan[places + 1] == 1)
        # Last, so that whoever sees it finds all of the program.
        plan[plan[kernels.PROGRAMS] + slices] = places

    def _rows(self, slices: np.ndarray) -> np.ndarray:
        """The rows of ``slices`` in the bundle's tables, -1 for those that it does not hold."""
        held = self._content.slices
        rows = np.searchsorted(held, slices).clip(0, len(held) - 1)
        return np.where(held[rows] == slices, rows, -1)

    def _key(self, row: int) -> tuple[int, int]:
        """The same for slices whose networks are the same."""
        edits = self._content.edits
        return (-1, 0) if row < 0 else (int(edits.number[row]), int(edits.correction[row]))

    def _edits(self, row: int) -> Replacements:
        neurons = len(self._content.base.neurons)
        if row >= 0:
            return self._content.edits.at(row)
        return Replacements(np.zeros(neurons, dtype=np.uint8), np.zeros((neurons, 2)))

    def _folded(self, row: int) -> np.ndarray:
        return self._content.folded[row] if row >= 0 else np.zeros(self._depth, dtype=bool)

    def _make_room(self, end: int, stop: int) -> None:
        """Have ``end`` entries of ``plan`` and ``stop`` of ``numbers``, which keep what they hold.

        A larger ``numbers`` comes with another ``plan``: a thread that still reads the old pair
        must never find a program in its ``plan`` whose weights are not in its ``numbers``.
        """
        plan, numbers = self.tables
        if stop > numbers.size:
            self.tables = _larger(plan, end), _larger(numbers, stop)
        elif end > plan.size:
            self.tables = _larger(plan, end), numbers

    def _append(self, head: np.ndarray, numbers: np.ndarray) -> int:
        """Put a program behind the others; returns where it begins."""
        at, w = self._filled
        whole = head if head[0] == kernels.MISSING else np.concatenate([[w], head])
        end, stop = at + whole.size, w + numbers.size
        if max(end, stop) > _MOST:
            raise UnsupportedError("the programs of this bundle are too large to be held at once")
        self._make_room(end, stop + _SPARE)
        self.tables[0][at:end] = whole
        with np.errstate(over="ignore"):
            self.tables[1][w:stop] = numbers
        if not np.isfinite(self.tables[1][w:stop]).all():
            advice = "" if self.dtype == np.float64 else "; use float64"
            raise UnsupportedError(
                f"{self._content.file}: a weight of a simplified network is too large for "
                f"{self.dtype}{advice}"
            )
        self._filled = end, stop
        return at


def _larger(array: np.ndarray, wanted: int) -> np.ndarray:
    """A copy with room for ``wanted`` entries, and for as many again as there are."""
    size = array.size if wanted <= array.size else min(_MOST, max(wanted, 2 * array.size))
    larger = np.zeros(size, dtype=array.dtype)
    larger[: array.size] = array
    return larger


def _fixed(content: Content, dtype: np.dtype, lister: Lister) -> tuple[np.ndarray, np.ndarray]:
    """``plan`` and ``numbers`` without programs."""
    slicing, network = content.slicing, content.base
    parts, edges, starts, nodes, cuts = _finder(
        slicing.lookup(), network.inputs, single=dtype == np.float32
    )
    ends = ends_in(slicing.domain, dtype)
    header = np.zeros(kernels.HEADER, dtype=np.int64)
    header[kernels.INPUTS], header[kernels.OUTPUTS] = network.inputs, network.outputs
    header[kernels.PARTS], header[kernels.EDGES] = header.size, ends.size
    header[kernels.STARTS] = header.size + parts.size
    first_node = header[kernels.STARTS] + starts.size
    header[kernels.NODES] = first_node if nodes.size else kernels.MISSING
    header[kernels.CUTS] = ends.size + edges.size
    header[kernels.LAYERS] = first_node + nodes.size
    layers = lister.layers.copy()
    layers[:, 0] += header[kernels.CUTS] + cuts.size
    layers = np.array([len(layers), *layers.ravel()])
    header[kernels.PROGRAMS] = header[kernels.LAYERS] + layers.size
    programs = np.full(slicing.slices, kernels.MISSING, dtype=np.int32)
    fixed = header, parts, starts, nodes, layers
    plan = np.concatenate([*(each.astype(np.int32) for each in fixed), programs])
    numbers = np.concatenate([ends, edges, cuts, lister.weights, np.zeros(_SPARE)])
    return plan, numbers.astype(dtype)


def _finder(
    lookup: Lookup | None, inputs: int, *, single: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Parts and edges of a grid; starts, nodes and cuts of a tree, none if there is none."""
    whole, real = np.zeros(0, dtype=np.int64), np.zeros(0)
    if lookup is None:  # slices are found otherwise
        return whole, real, whole, whole, real
    lookup = in_single(lookup) if single else lookup
    if isinstance(lookup, GridLookup):
        return *_of_grid(lookup), whole, whole, real
    grid, starts = shortcuts(lookup, inputs)
    leaf, itself = lookup.inputs < 0, np.arange(lookup.inputs.size)
    columns = (
        np.where(leaf, 0, lookup.inputs),
        np.where(leaf, itself, lookup.links),
        np.where(leaf, lookup.links, kernels.MISSING),
    )
    nodes, cuts = np.column_stack(columns).ravel(), np.where(leaf, np.inf, lookup.cuts)
    return *_of_grid(grid), starts, nodes, cuts


def _of_grid(grid: GridLookup) -> tuple[np.ndarray, np.ndarray]:
    """How many parts each input has, and all edges."""
    parts = np.array([edges.size + 1 for edges in grid.edges])
    return parts, np.concatenate(grid.edges)


class _Folder:
    """Makes programs of one network."""

    def __init__(self, network: Network, lister: Lister) -> None:
        self._network, self._net, self._lister = network, pack(network), lister
        total, layers = int(self._net.start[-1]), len(network.layers)
        whole, real = np.zeros(total, dtype=np.int64), np.zeros(total)
        rows, used = np.zeros((total, total)), np.zeros(total, dtype=bool)
        self._work = whole, whole.copy(), real, rows, used
        self._head = np.zeros(1 + layers * (3 + 2 * total), dtype=np.int64)
        self._numbers = np.zeros(total * (total + 1))
        self._uncorrected = np.zeros((network.outputs, network.inputs + 1))

    def __call__(
        self, edits: Sequence[Replacements], folded: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Head and weights of each program, of linear units ``folded`` (m, depth) or kept.

        A listed one has no weights.
        """
        for each, code, fold in zip(edits, self._codes(edits), folded, strict=True):
            lines = np.tile([1.0, 0.0], (code.size, 1))
            spread = unit_lines(self._network, each)
            start = self._network.inputs
            for of_layer in spread:
                lines[start : start + len(of_layer)] = of_layer
                start += len(of_layer)
            listed = None if each.correction is not None else self._lister(code, lines)
            if listed is not None and self._lister.pays(code):
                yield listed, np.zeros(0)
                continue
            keeps = np.concatenate([[True], ~fold, [True]])
            correction = self._uncorrected if each.correction is None else each.correction
            filled, w = call(
                folding.fold,
                self._net,
                code,
                lines,
                keeps,
                correction,
                self._work,
                self._head,
                self._numbers,
            )
            if listed is not None and self._lister.pays(code, w):
                yield listed, np.zeros(0)
            else:
                yield self._head[:filled].copy(), self._numbers[:w].copy()

    def _codes(self, edits: Sequence[Replacements]) -> np.ndarray:
        """What each unit computes: (m, total units) int8."""
        network = self._network
        units = read_edits(network, np.stack([each.shape for each in edits]))
        hidden = [_CODE[of_layer] for of_layer in units]
        inputs, outputs = (
            np.full((len(edits), width), folding.LINE, dtype=np.int8)
            for width in (network.inputs, network.outputs)
        )
        return np.concatenate([inputs, *hidden, outputs], axis=1)
