"""What a stage of the pipeline takes and gives, and the registry of stages.

A criterion is a file of this package with a stage under ``@stage(name, ...)``; the command line's
choices and the pipeline follow from that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from redy.branching.packed import total_units
from redy.edits import Edits, Status
from redy.errors import UsageError
from redy.formats.networks import LoadedNetwork
from redy.guarantee import Guarantee, Kind
from redy.network.form import Network
from redy.search.witnesses import Witnesses
from redy.verdict import Proof


@dataclass(frozen=True)
class Effort:
    """How much work a slice may cost.

    Attributes:
        budget: boxes that a stage may examine, about. The result depends on it alone.
        time_limit: seconds, an outer guard; None for no guard. A stage is given what is left.
        check_points: points at which the folded network is compared with the original.
        solver: name of a backend of :mod:`redy.solvers`, or "auto", for the stages that ask one.
    """

    budget: int
    time_limit: float | None
    check_points: int
    solver: str = "auto"


@dataclass(frozen=True)
class StageLog:
    """What one stage did on one slice.

    Attributes:
        name: the stage.
        removed: neurons removed after it, less those removed before; the pipeline counts them.
        queries: claims it tried to decide.
        boxes: boxes examined.
        proved, refuted, unknown: what became of the claims.
        seconds: time it took, measured by the pipeline; no part of a bundle.
    """

    name: str
    removed: int = 0
    queries: int = 0
    boxes: int = 0
    proved: int = 0
    refuted: int = 0
    unknown: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class SliceState:
    """What is known of one slice, and what becomes of its neurons.

    The edits of every state that a stage returns hold under the run's guarantee, proved as a whole
    against the original network.

    Attributes:
        index: the slice.
        lower, upper: (inputs,) its box.
        status: (neurons,) uint8 of :class:`redy.edits.Status`.
        known_lower, known_upper: (total units,) sound bounds on the pre-activations over the slice,
            numbered as in :class:`redy.branching.packed.Packed`, inputs first; infinite where
            nothing is known.
        edits: what becomes of the neurons.
        witnesses: points that show every refuted neuron in both phases.
        eps_proved: proved bound on max over outputs |f'(x) - f(x)|; infinite where only the winner
            is proved the same.
        proof: what the proof of the edits as a whole rests on. None stands for the phases of
            ``status``, and only for edits that follow from them (:meth:`Edits.follows_from`).
        cut_short: the time limit ended a search.
        log: one entry per stage.
    """

    index: int
    lower: np.ndarray
    upper: np.ndarray
    status: np.ndarray
    known_lower: np.ndarray
    known_upper: np.ndarray
    edits: Edits
    witnesses: Witnesses
    eps_proved: float = 0.0
    proof: Proof | None = None
    cut_short: bool = False
    log: tuple[StageLog, ...] = ()

    @classmethod
    def start(
        cls, network: Network, index: int, lower: np.ndarray, upper: np.ndarray
    ) -> SliceState:
        """Nothing is known but the box."""
        rest = total_units(network) - network.inputs
        return cls(
            index=index,
            lower=lower,
            upper=upper,
            status=np.full(len(network.neurons), Status.UNKNOWN_BUDGET, dtype=np.uint8),
            known_lower=np.concatenate([lower, np.full(rest, -np.inf)]),
            known_upper=np.concatenate([upper, np.full(rest, np.inf)]),
            edits=Edits.none(network),
            witnesses=Witnesses(
                np.zeros(0, dtype=np.uint16), np.zeros((0, network.inputs), dtype=np.float32)
            ),
        )

    def with_exact_edits(self, network: Network) -> SliceState:
        """With all edits that follow from the phases, unless there are others, proved already."""
        if self.proof is not None:
            return self
        return replace(self, edits=Edits.exact(network, self.status))

    def logged(self, entry: StageLog) -> SliceState:
        """With one more entry in the log."""
        return replace(self, log=(*self.log, entry))


class Stage(Protocol):
    """One step of the pipeline."""

    def run(self, state: SliceState, effort: Effort) -> SliceState:
        """``state`` with facts or edits added, and one more entry in its log."""


StageFactory = Callable[[LoadedNetwork, Guarantee, Effort], Stage]


@dataclass(frozen=True)
class Registered:
    """A stage that can be chosen.

    Attributes:
        make: makes it for one network and run.
        guarantees: the kinds of guarantee that allow its edits.
        reason: why no others do, to be read after "the stage NAME ...".
        asks_solver: it uses :attr:`Effort.solver`.
    """

    make: StageFactory
    guarantees: tuple[Kind, ...]
    reason: str
    asks_solver: bool = False


STAGES: dict[str, Registered] = {}
"""Name of a stage -> how it is made."""

DEFAULT_STAGES: dict[Kind, tuple[str, ...]] = {
    "exact": ("phase", "forward"),
    "eps": ("phase", "relaxed"),
    "decision": ("phase", "decision"),
}
"""In the order in which they run; those that are registered do."""

_FIRST = "phase"
"""All other stages need its bounds."""


def stage(
    name: str,
    guarantees: Sequence[Kind] = ("exact", "eps", "decision"),
    reason: str = "",
    *,
    asks_solver: bool = False,
) -> Callable[[StageFactory], StageFactory]:
    """Register what makes a stage (a class or a function) in :data:`STAGES`.

    Args:
        name: what ``--stages`` calls it.
        guarantees: the kinds of guarantee under which its edits are allowed.
        reason: if these are not all, why: "may change the outputs by up to eps".
        asks_solver: see :class:`Registered`.
    """

    def register(make: StageFactory) -> StageFactory:
        STAGES[name] = Registered(make, tuple(guarantees), reason, asks_solver)
        return make

    return register


def chosen_stages(guarantee: Guarantee, names: Sequence[str] | None = None) -> tuple[str, ...]:
    """The stages ``names`` in their order, or the default ones of ``guarantee``.

    Raises:
        UsageError: a stage that there is not, is named twice, or that the guarantee does not allow;
            or the first is not ``phase``.
    """
    if names is None:
        return tuple(name for name in DEFAULT_STAGES[guarantee.kind] if name in STAGES)
    for name in names:
        if name not in STAGES:
            raise UsageError(f"--stages: no stage {name!r}; there is {', '.join(STAGES)}")
        registered = STAGES[name]
        if guarantee.kind not in registered.guarantees:
            raise UsageError(
                f"--stages: the stage {name} {registered.reason}, which the guarantee {guarantee} "
                f"does not allow; it goes with {' or '.join(registered.guarantees)}"
            )
    if len(set(names)) < len(names):
        raise UsageError(f"--stages {','.join(names)}: names a stage twice")
    if not names or names[0] != _FIRST:
        raise UsageError(f"--stages: {_FIRST} comes first, the others need its bounds")
    return tuple(names)
