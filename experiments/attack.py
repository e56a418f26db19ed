"""Attacks every phase that redy proved on random slices: a contradiction would be a wrong proof.

    python -m experiments.attack NET --domain D --slices N --sample K --points 20000 --seed 0

On each slice, random points and corners are tried, then for every proved neuron projected signed
gradient descent from the points of smallest margin (sign of the phase times pre-activation) toward
the kink (Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR
2018). A contradiction is a point of the slice where the pre-activation has the wrong sign by more
than the error of its float64 evaluation. Exit code 1 if there is any.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import redy
from redy.edits import Edit, edits_of
from redy.formats.domains import read_domain
from redy.network.evaluate import preactivations
from redy.network.form import Network, dense
from redy.search.witnesses import CertainSigns
from redy.simplify import DEFAULT_BUDGET

_MOST_CORNERS = 1024


@dataclass(frozen=True)
class Strength:
    """How hard a slice is attacked.

    Attributes:
        points: random points per slice, a fifth of them moved to faces.
        starts: points per claim from which descent begins.
        steps: descent steps.
    """

    points: int
    starts: int
    steps: int


@dataclass
class Tally:
    """What the attack saw.

    Attributes:
        claims: (hidden layers,) proved neurons attacked, summed over slices.
        margin: (hidden layers,) smallest sign * z seen.
        touched: claims whose float64 value was on the wrong side, certain or not.
        contradictions: one line each.
    """

    claims: np.ndarray
    margin: np.ndarray
    touched: int = 0
    contradictions: list[str] = field(default_factory=list)


class Attack:
    """Attacks the claims of one network, slice after slice."""

    def __init__(self, network: Network, strength: Strength) -> None:
        self._network = network
        self._strength = strength
        self._signs = CertainSigns(network)
        self._neurons = np.array(network.neurons).reshape(-1, 2)
        self._weights = [
            {j: dense(matrix) for j, matrix in layer.weights.items()} for layer in network.layers
        ]
        self.tally = Tally(np.zeros(network.depth, dtype=np.int64), np.full(network.depth, np.inf))

    def run(self, part: redy.Slice, rng: np.random.Generator) -> None:
        """Attack every phase proved on ``part``."""
        edits = edits_of(part.status)
        phase = np.where(edits == Edit.IDENTITY, 1.0, np.where(edits == Edit.ZERO, -1.0, 0.0))
        claims = np.flatnonzero(phase)
        points = _spread(part.box, self._strength.points, rng)
        margins = self._margins(points, phase, claims)
        lowest = margins.min(axis=0)
        self._report(part, points, margins, phase, claims)
        best = np.argpartition(margins, min(self._strength.starts, len(points) - 1), axis=0)
        starts = best[: self._strength.starts]
        for k in range(1, self._network.depth + 1):
            mine = np.flatnonzero(self._neurons[claims, 0] == k)
            if not mine.size:
                continue
            targets = np.tile(mine, len(starts))
            begin = points[starts[:, mine].ravel()]
            reached = self._descend(part.box, begin, k, claims[targets], phase[claims[targets]])
            margins = self._margins(reached, phase, claims)
            lowest = np.minimum(lowest, margins.min(axis=0))
            self._report(part, reached, margins, phase, claims)
        for k in range(1, self._network.depth + 1):
            mine = self._neurons[claims, 0] == k
            self.tally.claims[k - 1] += mine.sum()
            smallest = lowest[mine].min(initial=np.inf)
            self.tally.margin[k - 1] = min(self.tally.margin[k - 1], smallest)
        self.tally.touched += int((lowest < 0).sum())

    def _margins(self, points: np.ndarray, phase: np.ndarray, claims: np.ndarray) -> np.ndarray:
        """(n, claims) sign * z."""
        pre = [
            z[:, layer.relu]
            for z, layer in zip(
                preactivations(self._network, points), self._network.layers, strict=True
            )
        ]
        return np.concatenate(pre, axis=1)[:, claims] * phase[claims]

    def _report(
        self,
        part: redy.Slice,
        points: np.ndarray,
        margins: np.ndarray,
        phase: np.ndarray,
        claims: np.ndarray,
    ) -> None:
        """Add the claims that ``points`` contradict for certain."""
        suspects = np.flatnonzero((margins < 0).any(axis=1))
        for row in suspects:
            if not bool(part.box.contains(points[row : row + 1])[0]):
                raise AssertionError("the attack left the slice")
            certain = self._signs(points[row : row + 1])[0]
            for claim in claims[(certain[claims] * phase[claims]) < 0]:
                neuron = tuple(int(v) for v in self._neurons[claim])
                self.tally.contradictions.append(
                    f"slice {part.index}: neuron {neuron} is claimed to have sign "
                    f"{phase[claim]:+.0f}, but not at {[float(x) for x in points[row]]}"
                )

    def _descend(
        self, box: redy.Box, points: np.ndarray, k: int, claims: np.ndarray, sign: np.ndarray
    ) -> np.ndarray:
        """Points of smallest margin found from ``points`` (n, inputs), row r for ``claims[r]``.

        The first steps reach the far corner of the box; a row that does not improve halves its
        step, and its next ones.
        """
        unit = self._neurons[claims, 1]
        width = box.upper - box.lower
        step = np.ones(len(points))
        value, gradient = self._gradient(points, k, unit, sign)
        for _ in range(self._strength.steps):
            moved = points - step[:, None] * width * np.sign(gradient)
            moved = np.clip(moved, box.lower, box.upper)
            new_value, new_gradient = self._gradient(moved, k, unit, sign)
            better = new_value < value
            step = np.where(better, step, 0.5 * step)
            points = np.where(better[:, None], moved, points)
            value = np.where(better, new_value, value)
            gradient = np.where(better[:, None], new_gradient, gradient)
        return points

    def _gradient(
        self, points: np.ndarray, k: int, unit: np.ndarray, sign: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Row r: sign * z of ``unit[r]`` of layer k, and its gradient in the inputs."""
        network = self._network
        pre: list[np.ndarray] = []
        for z in preactivations(network, points):
            pre.append(z)
            if len(pre) == k:
                break
        rows = np.arange(len(points))
        # Adjoints of h_0, h_1, ..., filled from layer k downward.
        adjoint = [np.zeros((len(points), network.width(j))) for j in range(k)]
        for j, matrix in self._weights[k - 1].items():
            adjoint[j] += sign[:, None] * matrix[unit]
        for layer in range(k - 1, 0, -1):
            relu = network.layers[layer - 1].relu
            back = np.where(relu & (pre[layer - 1] <= 0), 0.0, adjoint[layer])
            for j, matrix in self._weights[layer - 1].items():
                adjoint[j] += back @ matrix
        return sign * pre[k - 1][rows, unit], adjoint[0]


def _spread(box: redy.Box, count: int, rng: np.random.Generator) -> np.ndarray:
    """``count`` random points, every fifth on a face or an edge, and the corners."""
    unit = rng.random((count, box.dimension))
    on_faces = unit[::5]
    snapped = rng.random(on_faces.shape) < rng.random((len(on_faces), 1))
    on_faces[snapped] = on_faces[snapped].round()
    if 2**box.dimension <= _MOST_CORNERS:
        corners = (np.arange(2**box.dimension)[:, None] >> np.arange(box.dimension)) & 1
    else:
        corners = rng.integers(0, 2, (_MOST_CORNERS, box.dimension))
    # The ends themselves, not lower + 1 * (upper - lower), which may be rounded.
    exact_corners = np.where(corners == 1, box.upper, box.lower)
    inside = np.clip(box.lower + unit * (box.upper - box.lower), box.lower, box.upper)
    return np.concatenate([inside, exact_corners])


def _lines(tally: Tally, strength: Strength) -> Iterator[str]:
    yield "layer    claims   smallest margin"
    for k, (claims, margin) in enumerate(zip(tally.claims, tally.margin, strict=True), start=1):
        yield f"{k:5}  {claims:8}   {margin:.3e}"
    yield (
        f"{tally.claims.sum()} claims attacked with {strength.points} points and corners a slice, "
        f"{strength.starts} descents of {strength.steps} steps a claim"
    )
    yield f"{tally.touched} touched the kink within the error of evaluation"
    yield f"{len(tally.contradictions)} contradictions"


def main(  # noqa: PLR0917 - typer reads the options from the parameters
    net: Annotated[Path, typer.Argument(metavar="NET")],
    domain: Annotated[str | None, typer.Option(help="As redy simplify takes it.")] = None,
    slices: Annotated[int, typer.Option(help="Slices of the domain.")] = 32768,
    sample: Annotated[int, typer.Option(help="Random slices attacked.")] = 200,
    points: Annotated[int, typer.Option(help="Random points per slice.")] = 20_000,
    starts: Annotated[int, typer.Option(help="Descents per proved neuron.")] = 4,
    steps: Annotated[int, typer.Option(help="Steps of each descent.")] = 20,
    budget: Annotated[int, typer.Option(help="Boxes per slice.")] = DEFAULT_BUDGET,
    seed: Annotated[int, typer.Option(help="Draws slices and points.")] = 0,
) -> None:
    """Attack the phases proved on random slices; exit code 1 if one is wrong."""
    begin = time.perf_counter()
    loaded = redy.load(net)
    box = None if domain is None else read_domain(domain, loaded.network.inputs)
    selection = redy.Selection(sample, seed)
    bundle = redy.simplify(loaded, box, slices=slices, selection=selection, budget=budget)
    simplified = time.perf_counter()
    strength = Strength(points, starts, steps)
    attack = Attack(loaded.network, strength)
    for part in bundle.slices:
        attack.run(part, np.random.default_rng([seed, part.index]))
    print(f"{net.name}: {len(bundle.slices)} of {slices} slices, budget {budget}, seed {seed}")
    print("\n".join(_lines(attack.tally, strength)))
    done = time.perf_counter()
    print(f"{simplified - begin:.1f} s to simplify, {done - simplified:.1f} s to attack")
    for line in attack.tally.contradictions:
        print(line, file=sys.stderr)
    if attack.tally.contradictions:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
