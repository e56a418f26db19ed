"""Mid-network slicing: the pre-activations z of one hidden layer are cut into cells.

For networks with many inputs. The layers up to the cut are shared; what follows is a network of its
own, g (:mod:`redy.network.split`), and is simplified cell by cell, as a network is slice by slice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from redy.domain import Box
from redy.slicing.cells import CellTree, Enclosed


@dataclass(frozen=True, eq=False)
class Seen:
    """How points fall into cells.

    Attributes:
        share: (cells,) the share of the points in each; adds up to one.
        comparisons: how many comparisons find the cell of one, on average.
        what: what these points are, in words.
    """

    share: np.ndarray
    comparisons: float
    what: str


class Mid:
    """Cells of z, the pre-activations of hidden layer ``layer``; cell 0 is all that z can be.

    *What covers.* ``domain`` is a box of z that holds z(x), over the reals, for every x of the box
    ``inputs``: cell 0 alone is a cover. Every other cell is a box of its own in it; cells overlap,
    and :meth:`slice_of` chooses one for each point.

    *Why the choice is sound.* A dispatcher has z only as computed in float64, off by at most
    ``error`` from the real z(x) wherever x lies in ``inputs``. A point is given to a cell other
    than 0 only if all numbers within the error of the computed ones, rounded outward, lie in the
    cell's closed box, on which its network is proved: then the real z(x) does. All other points,
    those on or next to an end included, are cell 0's.

    Args:
        layer: k, from 1.
        inputs: the domain of the whole network.
        domain: the box of z.
        error: (units,) proved bounds of |computed z - z|.
        tree: the cells.
        seen: how points fall into them.

    Raises:
        ValueError: the parts do not fit together, or a cell is empty.
    """

    name: ClassVar[str] = "mid"

    def __init__(
        self,
        layer: int,
        inputs: Box,
        domain: Box,
        error: np.ndarray,
        tree: CellTree,
        seen: Seen,
    ) -> None:
        consistent = (
            tree.lower.shape[1] == domain.dimension
            and error.shape == (domain.dimension,)
            and ((error >= 0) & np.isfinite(error)).all()
            and seen.share.shape == (tree.cells,)
            and (seen.share >= 0).all()
        )
        if not consistent:
            raise ValueError("the cells do not fit the layer")
        self.layer, self.inputs, self.domain = layer, inputs, domain
        self.error, self.tree, self.seen = error, tree, seen
        lower, upper = self.boxes(np.arange(tree.cells))
        if (lower > upper).any():
            raise ValueError("a cell is empty: it lies outside of what z can be")

    @property
    def slices(self) -> int:
        """Number of cells, cell 0 included."""
        return self.tree.cells

    def boxes(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper ends of the cells ``indices`` (m,), of z: two arrays (m, units)."""
        return self.boxes_in(self.domain, indices)

    def boxes_in(self, domain: Box, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The cells' parts of another box of z; empty where lower is above upper."""
        rows = np.asarray(indices, dtype=np.int64)
        lower = np.maximum(domain.lower, self.tree.lower[rows])
        return lower, np.minimum(domain.upper, self.tree.upper[rows])

    def slice_of(self, points: np.ndarray) -> np.ndarray:
        """The cell of each of ``points`` (n, units), z as computed in float64: (n,) int64."""
        return self.tree.cell_of(Enclosed.of(points, self.error))[0]

    def lookup(self) -> None:
        """None: what finds a cell is an interval, not a point."""

    @property
    def weighted_by(self) -> str:
        """What the weights are shares of."""
        return self.seen.what

    def weights(self, indices: np.ndarray) -> np.ndarray:
        """The share of each of the cells ``indices`` (m,); they add up to one over all cells."""
        return np.asarray(self.seen.share[np.asarray(indices, dtype=np.int64)])

    def describe(self) -> dict[str, Any]:
        """Name, layer and what was seen, as JSON; the rest stands in :meth:`arrays`."""
        return {
            "name": self.name,
            "layer": self.layer,
            "comparisons": self.seen.comparisons,
            "weighted_by": self.seen.what,
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """The tree and its cells, errors, shares and both boxes."""
        return {
            "unit": self.tree.unit.astype("<i4"),
            "child": self.tree.child.astype("<i4"),
            "cell": self.tree.cell.astype("<i4"),
            "lower": self.tree.lower,
            "upper": self.tree.upper,
            "error": self.error,
            "share": self.seen.share,
            "inputs": np.stack([self.inputs.lower, self.inputs.upper]),
            "domain": np.stack([self.domain.lower, self.domain.upper]),
        }

    @classmethod
    def from_description(cls, description: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Mid:
        """The cells that :meth:`describe` and :meth:`arrays` described."""
        return cls(
            int(description["layer"]),
            Box(*arrays["inputs"]),
            Box(*arrays["domain"]),
            arrays["error"],
            CellTree(*(arrays[name] for name in ("unit", "child", "cell", "lower", "upper"))),
            Seen(
                arrays["share"], float(description["comparisons"]), str(description["weighted_by"])
            ),
        )
