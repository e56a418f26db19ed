"""The bundle in memory, and the dispatcher: find the slice of an input, evaluate its network."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, overload

import numpy as np

from redy.domain import Box
from redy.edit_table import AllEdits
from redy.edits import Edits, Status, proof_of, verdict
from redy.errors import DomainError, UsageError
from redy.formats.bundle import (
    Content,
    is_from_run,
    read_bundle,
    run_record,
    to_bytes,
    write_bundle,
)
from redy.guarantee import Guarantee
from redy.network.cost import Cost, cost
from redy.network.evaluate import evaluate
from redy.network.fold import materialise, unit_counts
from redy.network.form import Network
from redy.search.witnesses import Witnesses
from redy.slicing import Slicing
from redy.verdict import Proof, Verdict

_CACHED_NETWORKS = 4096


@dataclass(frozen=True, eq=False)
class Slice:
    """One slice of the domain and what was found out about it.

    Attributes:
        index: its number in the slicing.
        box: the slice.
        status: (neurons,) uint8 of :class:`redy.edits.Status`, in the order of
            ``network.neurons`` of the original network.
        boxes: boxes that branch and bound examined.
        eps_proved: proved bound on the output error; 0 if exact, infinite where only the winner is
            proved the same.
        proof: what the proof of the edits as a whole rests on.
        folded: (hidden layers,) bool: linear units folded into skips, or kept as linear units.
    """

    index: int
    box: Box
    status: np.ndarray
    boxes: int
    eps_proved: float
    proof: Proof
    folded: np.ndarray
    _original: Network
    _extra: Edits | None
    _witnesses: Witnesses
    _pool: np.ndarray

    @cached_property
    def replacements(self) -> Edits:
        """What becomes of each neuron and of the outputs, and why."""
        return self._extra or Edits.exact(self._original, self.status)

    @property
    def edits(self) -> np.ndarray:
        """(neurons,) uint8 of :class:`redy.edits.Edit`: what becomes of each neuron."""
        return self.replacements.codes

    @property
    def criteria(self) -> np.ndarray:
        """(neurons,) uint8 of :class:`redy.edits.Criterion`: why."""
        return self.replacements.criteria

    @property
    def lines(self) -> np.ndarray:
        """(neurons, 2) slope and intercept of the neurons replaced by a line."""
        return self.replacements.lines

    @property
    def correction(self) -> np.ndarray | None:
        """(outputs, inputs + 1): [C | d] of what is added to the outputs, C x + d; or None."""
        return self.replacements.correction

    @cached_property
    def network(self) -> Network:
        """The simplified network of this slice."""
        return materialise(self._original, self.replacements, self.folded)

    @property
    def cost(self) -> Cost:
        """Neurons, multiply-accumulates and parameters of the simplified network."""
        return cost(self.network)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one evaluation."""
        return self.cost.macs

    @property
    def witnesses(self) -> np.ndarray:
        """(m, inputs) points that show every refuted neuron in both phases."""
        return self._witnesses.points(self.box.lower, self.box.upper, self._pool)

    @property
    def verdicts(self) -> dict[tuple[int, int], Verdict]:
        """Neuron (k, i) -> verdict on "it has one phase on the whole slice"."""
        witnesses = self.witnesses
        return {
            neuron: verdict(Status(code), witnesses)
            for neuron, code in zip(self._original.neurons, self.status, strict=True)
        }


class Slices(Sequence[Slice]):
    """The simplified slices by their number in the slicing."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._first_witness = np.concatenate([[0], np.cumsum(content.witness_count, dtype=int)])
        own = is_from_run(content.witness_pool)
        self._own_before = np.concatenate([[0], np.cumsum(own, dtype=int)])

    def __len__(self) -> int:
        return len(self._content.slices)

    def __iter__(self) -> Iterator[Slice]:
        return (self[int(index)] for index in self._content.slices)

    def __reversed__(self) -> Iterator[Slice]:
        return (self[int(index)] for index in self._content.slices[::-1])

    @overload
    def __getitem__(self, index: int) -> Slice: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Slice]: ...
    def __getitem__(self, index: int | slice) -> Slice | Sequence[Slice]:
        """Slice number ``index``, or the simplified ones among a range of numbers.

        Raises:
            UsageError: the slicing has no such slice, or it was not in the sample.
        """
        if isinstance(index, slice):
            wanted = range(*index.indices(self._content.slicing.slices))
            return [self[int(i)] for i in self._content.slices if i in wanted]
        return self._at(self.row(index))

    def row(self, index: int) -> int:
        """The row of slice ``index`` in the bundle's tables."""
        content = self._content
        if not 0 <= index < content.slicing.slices:
            raise UsageError(
                f"there is no slice {index}: they are numbered 0 to {content.slicing.slices - 1}"
            )
        row = int(np.searchsorted(content.slices, index))
        if row == len(content.slices) or content.slices[row] != index:
            raise UsageError(
                f"slice {index} was not simplified: the bundle holds a sample of "
                f"{len(content.slices)} slices, {content.slices[0]} being the first"
            )
        return row

    def _at(self, row: int) -> Slice:
        content = self._content
        index = int(content.slices[row])
        lower, upper = content.slicing.boxes(np.array([index]))
        first, last = self._first_witness[row : row + 2]
        rows = content.witness_pool[first:last]
        found = content.witness_found[self._own_before[first] : self._own_before[last]]
        extra, place = content.extra, content.extra.find(row)
        status = content.status[row]
        return Slice(
            index=index,
            box=Box(lower[0], upper[0]),
            status=status,
            boxes=int(content.boxes[row]),
            eps_proved=0.0 if place is None else float(extra.eps_proved[place]),
            proof=proof_of(status) if place is None else extra.proofs[place],
            folded=content.folded[row],
            _original=content.network,
            _extra=None if place is None else extra.at(place),
            _witnesses=Witnesses(rows[~is_from_run(rows)], found),
            _pool=content.pool,
        )


class Bundle:
    """A simplified network: call it on inputs, look at its slices, save it.

    A slice that is not in the bundle (``--sample``) is evaluated on the original network.
    """

    def __init__(self, content: Content, record: dict[str, Any] | None = None) -> None:
        self._content = content
        self._record = record or {}
        self.slices = Slices(content)
        self._network_of = lru_cache(_CACHED_NETWORKS)(self._materialised)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Bundle:
        """The bundle at ``path``; raises :class:`FormatError` if it is not a sound one."""
        return cls(read_bundle(path), run_record(path))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the bundle to ``path``, whole or not at all; raises :class:`OutputError`."""
        write_bundle(path, self._content)

    def __reduce__(self) -> tuple[type[Bundle], tuple[Content, dict[str, Any]]]:
        return Bundle, (self._content, self._record)

    @property
    def network(self) -> Network:
        """The original network."""
        return self._content.network

    @property
    def slicing(self) -> Slicing:
        """How the domain is cut."""
        return self._content.slicing

    @property
    def domain(self) -> Box:
        """The box of inputs on which the guarantee holds."""
        return self._content.slicing.domain

    @property
    def guarantee(self) -> Guarantee:
        """What holds for the simplified network on the domain."""
        return self._content.guarantee

    @cached_property
    def summary(self) -> dict[str, Any]:
        """What ``redy show --json`` prints; every key is described in README."""
        size = len(to_bytes(self._content))
        timed = {key: self._record.get(key) for key in ("seconds", "stage_seconds")}
        return {**self._content.summary, "bundle_bytes": size, **timed}

    @property
    def done(self) -> np.ndarray:
        """The slices that were simplified, ascending: (m,) int64."""
        return self._content.slices

    @property
    def status(self) -> np.ndarray:
        """(simplified slices, neurons) uint8 of :class:`redy.edits.Status`."""
        return self._content.status

    @cached_property
    def _all_edits(self) -> AllEdits:
        return AllEdits.of(self.network, self.status, self._content.extra)

    @property
    def edits(self) -> np.ndarray:
        """(simplified slices, neurons) uint8 of :class:`redy.edits.Edit`."""
        return self._all_edits.codes

    @property
    def criteria(self) -> np.ndarray:
        """(simplified slices, neurons) uint8 of :class:`redy.edits.Criterion`."""
        return self._all_edits.criteria

    @cached_property
    def network_neurons(self) -> np.ndarray:
        """(simplified slices,) int64: ReLU neurons of each slice's network.

        Fewer than its edits keep where no output reads what is kept.
        """
        kept, _ = unit_counts(self.network, self._all_edits.shapes)
        return np.asarray(kept.sum(axis=1))

    def slice_of(self, points: np.ndarray) -> np.ndarray:
        """The slice of each of ``points`` (n, inputs): (n,) int64.

        Raises:
            DomainError: a point is not finite, lies outside of the domain, or has another
                dimension; the message names the point.
        """
        return self.slicing.slice_of(self._checked(points))

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Outputs (n, outputs) of ``points`` (n, inputs), in float64; raises as slice_of."""
        points = self._checked(points)
        owner = self.slicing.slice_of(points)
        order = np.argsort(owner, kind="stable")
        outputs = np.empty((len(points), self.network.outputs))
        borders = np.flatnonzero(np.diff(owner[order])) + 1
        for group in np.split(order, borders):
            if group.size:
                outputs[group] = evaluate(self._network_of(int(owner[group[0]])), points[group])
        return outputs

    def _materialised(self, index: int) -> Network:
        slices = self._content.slices
        row = int(np.searchsorted(slices, index))
        if row == len(slices) or slices[row] != index:
            return self.network
        return self.slices[index].network

    def _checked(self, points: np.ndarray) -> np.ndarray:
        points = np.asarray(points, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != self.network.inputs:
            raise DomainError(
                f"inputs must have shape (n, {self.network.inputs}), got {points.shape}"
            )
        outside = np.flatnonzero(~self.domain.contains(points))
        if outside.size:
            raise DomainError(_why_outside(int(outside[0]), points[outside[0]], self.domain))
        return points


def _why_outside(row: int, point: np.ndarray, domain: Box) -> str:
    inside = (point >= domain.lower) & (point <= domain.upper)
    d = int(np.flatnonzero(~inside)[0])
    return (
        f"input row {row}: coordinate {d} is {point[d]}, outside of the domain's "
        f"[{domain.lower[d]}, {domain.upper[d]}]; nothing is proved there"
    )
