"""The bundle in memory, and the dispatcher: find the slice of an input, evaluate its network."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from redy.branching.packed import total_units
from redy.dispatch.evaluator import Evaluator
from redy.dispatch.interpreter import Dispatcher, Interpreter
from redy.dispatch.programs import MOST_UNITS
from redy.domain import Box
from redy.edits import Edits, Replacements, Status, verdict
from redy.errors import UsageError
from redy.formats.bundle import Content, read_bundle, run_record, to_bytes, write_bundle
from redy.formats.evidence import PROOFS, Evidence
from redy.guarantee import Guarantee, Winner
from redy.network.cost import Cost, cost
from redy.network.fold import materialise, require_cheap, unit_counts
from redy.network.form import Network
from redy.network.split import Split, join
from redy.slicing import Slicing
from redy.verdict import Proof, Verdict

if TYPE_CHECKING:
    from redy.dispatch.module import SlicedModule


@dataclass(frozen=True, eq=False)
class Slice:
    """One slice of the domain and what was found out about it.

    In mid-network slicing, the original network is here the suffix, and its inputs are the
    pre-activations of the layer that was cut on.

    Attributes:
        index: its number in the slicing.
        box: the slice.
    """

    index: int
    box: Box
    _content: Content
    _row: int

    @property
    def eps_proved(self) -> float:
        """Proved bound on the output error.

        It is 0 if the slice is exact, infinite where only the winner is proved the same.
        """
        return float(self._content.eps_proved[self._row])

    @property
    def folded(self) -> np.ndarray:
        """(hidden layers,) bool: linear units folded into skips, or kept as linear units."""
        return np.asarray(self._content.folded[self._row])

    @property
    def status(self) -> np.ndarray:
        """(neurons,) uint8 of :class:`redy.edits.Status`, in the order of the bundle's network."""
        return np.asarray(self._evidence.status[self._row])

    @property
    def boxes(self) -> int:
        """Boxes that branch and bound examined."""
        return int(self._evidence.boxes[self._row])

    @property
    def proof(self) -> Proof:
        """What the proof of the edits as a whole rests on."""
        return PROOFS[int(self._evidence.proof[self._row])]

    @cached_property
    def replacements(self) -> Edits:
        """What becomes of each neuron and of the outputs, and why."""
        plain = self._replacements
        return Edits(plain.codes, self.criteria, plain.lines, plain.correction)

    @property
    def edits(self) -> np.ndarray:
        """(neurons,) uint8 of :class:`redy.edits.Edit`: what becomes of each neuron."""
        return self._replacements.codes

    @property
    def criteria(self) -> np.ndarray:
        """(neurons,) uint8 of :class:`redy.edits.Criterion`: why."""
        return np.asarray(self._evidence.criteria[self._row])

    @property
    def lines(self) -> np.ndarray:
        """(neurons, 2) slope and intercept of the neurons replaced by a line."""
        return self._replacements.lines

    @property
    def correction(self) -> np.ndarray | None:
        """(outputs, inputs + 1): [C | d] of what is added to the outputs, C x + d; or None."""
        return self._replacements.correction

    @cached_property
    def network(self) -> Network:
        """The simplified network of this slice; raises :class:`FormatError` if there is none."""
        base, edits = self._content.base, self._replacements
        with self._content.malformed():
            require_cheap(base, edits, self.folded)
            return materialise(base, edits, self.folded)

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
        own = self._evidence.witnesses(self._row)
        return own.points(self.box.lower, self.box.upper, self._evidence.pool)

    @property
    def verdicts(self) -> dict[tuple[int, int], Verdict]:
        """Neuron (k, i) -> verdict on "it has one phase on the whole slice"."""
        witnesses = self.witnesses
        return {
            neuron: verdict(Status(code), witnesses)
            for neuron, code in zip(self._content.base.neurons, self.status, strict=True)
        }

    @cached_property
    def _replacements(self) -> Replacements:
        return self._content.edits.at(self._row)

    @property
    def _evidence(self) -> Evidence:
        return self._content.evidence


class Slices(Sequence[Slice]):
    """The simplified slices by their number in the slicing."""

    def __init__(self, content: Content) -> None:
        self._content = content

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
        index = int(self._content.slices[row])
        lower, upper = self._content.slicing.boxes(np.array([index]))
        return Slice(index, Box(lower[0], upper[0]), self._content, row)


class Bundle:
    """A simplified network: call it on inputs, look at its slices, save it.

    A slice that is not in the bundle (``--sample``) is evaluated on the original network. Of
    mid-network slicing, the prefix is evaluated once, and then the suffix of the cell that the
    result falls in.
    """

    def __init__(self, content: Content, record: dict[str, Any] | None = None) -> None:
        self._content = content
        self._record = record or {}
        self.slices = Slices(content)

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
    def content(self) -> Content:
        """All that the bundle's file holds."""
        return self._content

    @property
    def network(self) -> Network:
        """The original network."""
        return self._content.network

    @property
    def base(self) -> Network:
        """The network that slices have edits of: the original, or its suffix after a cut."""
        return self._content.base

    @property
    def parts(self) -> Split | None:
        """Of mid-network slicing, the original network cut in two; else None."""
        return self._content.parts

    @property
    def slicing(self) -> Slicing:
        """How the domain is cut."""
        return self._content.slicing

    @property
    def domain(self) -> Box:
        """The box of inputs on which the guarantee holds."""
        return self._content.domain

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
        return self._content.evidence.status

    @property
    def edits(self) -> np.ndarray:
        """(simplified slices, neurons) uint8 of :class:`redy.edits.Edit`."""
        return self._content.edits.codes

    @property
    def criteria(self) -> np.ndarray:
        """(simplified slices, neurons) uint8 of :class:`redy.edits.Criterion`."""
        return self._content.evidence.criteria

    @cached_property
    def network_neurons(self) -> np.ndarray:
        """(simplified slices,) int64: ReLU neurons of each slice's network.

        Fewer than its edits keep where no output reads what is kept.
        """
        kept, _ = unit_counts(self.base, self._content.edits.shapes)
        return np.asarray(kept.sum(axis=1))

    def evaluator(
        self, *, precision: int = 64, outside: str = "error", threads: int = 1
    ) -> Evaluator:
        """The compiled dispatcher with other options than calling the bundle has.

        Raises:
            UsageError: an option that there is not; see :class:`Evaluator`.
            UnsupportedError: the network is too large to be compiled slice by slice.
        """
        return Evaluator(self._content, precision=precision, outside=outside, threads=threads)

    def slice_of(self, points: np.ndarray) -> np.ndarray:
        """The slice of each of ``points`` (n, inputs): (n,) int64.

        Raises:
            DomainError: a point is not finite, lies outside of the domain, or has another
                dimension; the message names the point.
        """
        return self._dispatcher.slice_of(points)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Outputs (n, outputs) of ``points`` (n, inputs), or (outputs,) of one, in float64.

        Raises as slice_of.
        """
        return self._dispatcher(points)

    @cached_property
    def _dispatcher(self) -> Dispatcher:
        large = total_units(self.base) > MOST_UNITS
        return Interpreter(self._content) if large else self.evaluator()

    def whole(self, index: int) -> Network:
        """The network of slice ``index`` from the inputs on; see :meth:`Slices.__getitem__`."""
        network = self.slices[index].network
        return network if self.parts is None else join(self.parts.prefix, network)

    def predict(self, points: np.ndarray, winner: Winner | None = None) -> np.ndarray:
        """Which output wins, the first of equals: (n,) int64 for (n, inputs), () for one point.

        Args:
            points: (n, inputs) or (inputs,).
            winner: whether the least (``min``) or the greatest (``max``) output wins. Needless
                under ``decision``, whose guarantee says so; under ``exact`` and ``eps`` nothing
                does.

        Raises:
            UsageError: ``winner`` is missing, or not that of the guarantee.
            DomainError: as :meth:`slice_of`.
        """
        chosen = self.guarantee.winner_rule(winner)
        if chosen is None:
            raise UsageError("winner: give 'min' or 'max', which the guarantee does not say")
        outputs = self(points)
        best = outputs.argmin(axis=-1) if chosen == "min" else outputs.argmax(axis=-1)
        return np.asarray(best, dtype=np.int64)

    def module(self) -> SlicedModule:
        """The dispatcher as a ``torch.nn.Module``; see :class:`redy.dispatch.module.SlicedModule`.

        Importing torch takes seconds, and is done here.
        """
        from redy.dispatch.module import SlicedModule

        return SlicedModule(self)
