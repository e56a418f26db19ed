"""Answers to single queries (:mod:`redy.criteria.queries`), by redy itself or by a solver."""

from __future__ import annotations

import time

import numpy as np
import torch

from redy.bounds import crown
from redy.branching.compiled import call
from redy.branching.layer import PROVED, REFUTED, decide_layer
from redy.branching.octet import octet
from redy.branching.packed import pack
from redy.criteria import comparison
from redy.criteria.comparison import Comparer, Region
from redy.criteria.queries import Kind, Query
from redy.encodings import duplicated, single
from redy.encodings.ranges import Ranges
from redy.encodings.rows import Row, with_rows
from redy.network.form import Network
from redy.search.witnesses import inner_ends, pool_points, unit_pool
from redy.solvers import Answer, Limits, Outcome, Problem, Solver, solver
from redy.tolerances import WITNESS_MARGIN
from redy.verdict import Proof, Proved, Reason, Refuted, Unknown, Verdict

POOL = 512
"""Points at which a claim is tried before it is proved."""

BUDGET = 300_000
"""Boxes that branch and bound examines for one query, at most."""

_FOUND = 64

REDY = "redy"
"""Names redy's own branch and bound among the backends."""


def answer(
    query: Query,
    network: Network,
    backend: str = REDY,
    seconds: float = 60.0,
    encoding: str = "difference",
) -> Verdict:
    """What ``backend``, :data:`REDY` or a solver's name, makes of ``query``.

    Proved by branch and bound it holds over the reals; proved by a solver it rests on the solver's
    word that the encoded negation has no point, up to its tolerances.

    Args:
        seconds: the solver's time limit; branch and bound is limited by :data:`BUDGET`.
        encoding: one of :data:`redy.encodings.duplicated.ENCODINGS`; a phase has but one.

    Raises:
        SolverError: there is no such backend, or it is not installed or not licensed.
    """
    answerer = Answerer(network)
    if backend == REDY:
        return answerer.by_branching(query)
    region = answerer.region(query)
    return answerer.by_solver(query, region, solver(backend), seconds, encoding)


class Answerer:
    """Answers queries about one network, one after the other.

    Attributes:
        network: the original.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self._net = pack(network)
        self._octet = octet(self._net)
        self._comparer = Comparer(network)
        self._pool = unit_pool(network.inputs, POOL)

    # What is known before a query is asked

    def unknown(self, query: Query) -> Region:
        """The query's slice; nothing is known on it."""
        box = query.box
        rest = np.full(int(self._net.start[-1]) - box.dimension, np.inf)
        lower, upper = np.concatenate([box.lower, -rest]), np.concatenate([box.upper, rest])
        return Region(box.lower, box.upper, lower, upper)

    def region(self, query: Query) -> Region:
        """The query's slice with the bounds of CROWN, without cutting it."""
        box = query.box
        lower, upper = (torch.from_numpy(end.copy())[None] for end in (box.lower, box.upper))
        bounds = crown.bounds(self.network, lower, upper)
        known = [
            np.concatenate([end, *(part[0].numpy() for part in parts)])
            for end, parts in ((box.lower, bounds.lower), (box.upper, bounds.upper))
        ]
        return Region(box.lower, box.upper, *known)

    def ranges(self, query: Query, region: Region) -> Ranges:
        """Ranges of both networks and their difference, up to the layer compared."""
        return self._comparer.ranges(query.edits, region, query.layer)

    # Redy itself

    def by_branching(
        self, query: Query, region: Region | None = None, budget: int = BUDGET
    ) -> Verdict:
        """By simulation, then by branch and bound over at most ``budget`` boxes."""
        region = self.unknown(query) if region is None else region
        pool = pool_points(query.box.lower, query.box.upper, self._pool)
        failing = np.flatnonzero(query.fails(self.network, pool))
        for row in failing[:_FOUND]:
            if self.survives(query, pool[row]):
                return Refuted(pool[row : row + 1])
        if query.kind is Kind.PHASE:
            return self._phase(query, region, budget)
        found = self._comparer.decide(query.edits, query.claim, region, budget)
        match found.outcome:
            case comparison.Outcome.PROVED:
                return Proved(Proof.BRANCH_AND_BOUND)
            case comparison.Outcome.REFUTED:
                return self.replayed(query, found.witness)
            case comparison.Outcome.UNKNOWN:
                return Unknown(Reason.BUDGET)

    def _phase(self, query: Query, region: Region, budget: int) -> Verdict:
        """One neuron of one layer, by :func:`redy.branching.layer.decide_layer`."""
        lower, upper = region.lower, region.upper
        sign = np.zeros(self.network.width(query.layer), dtype=np.int8)
        sign[query.unit] = query.sign
        found = np.zeros((_FOUND, self.network.inputs))
        known = (region.known_lower.copy(), region.known_upper.copy())
        inner = inner_ends(lower, upper)
        state, _, _, points = call(
            decide_layer,
            self._net,
            self._octet,
            query.layer,
            lower,
            upper,
            inner,
            *known,
            sign,
            budget,
            found,
        )
        if state[query.unit] == PROVED:
            return Proved(Proof.BRANCH_AND_BOUND)
        if state[query.unit] == REFUTED and points:
            return self.replayed(query, found[points - 1])
        return Unknown(Reason.BUDGET)

    # A solver

    def problem(self, query: Query, region: Region, encoding: str, by: float = 0.0) -> Problem:
        """The points of the slice that violate the claim by ``by`` at least.

        Raises:
            ValueError: bounds that the encoding needs are not finite.
        """
        rows = query.shifted(by, self.network.width(query.layer))
        ranges = self.ranges(query, region)
        if not duplicated.usable(ranges, query.layer):
            raise ValueError("bounds that are not finite cannot be encoded")
        if query.kind is Kind.PHASE:
            return self._phase_problem(query, ranges, rows[0])
        both = duplicated.encode(
            self.network, query.edits, query.box, ranges, query.layer, encoding
        )
        return both.having(rows)

    def _phase_problem(self, query: Query, ranges: Ranges, row: Row) -> Problem:
        k = query.layer
        bounds = ranges.layers(k, 0), ranges.layers(k, 1)
        encoding = single.encode(self.network, query.box, *bounds, k, exact=True)
        pre, factor = encoding.targets[query.unit], row.original[query.unit]
        terms = dict(zip(pre.columns.tolist(), (factor * pre.coefficients).tolist(), strict=True))
        return with_rows(encoding.base, [(terms, row.least - factor * pre.constant)])

    def by_solver(
        self, query: Query, region: Region, backend: Solver, seconds: float, encoding: str
    ) -> Verdict:
        """By asking ``backend`` for a point that violates the claim, within ``seconds``."""
        end = time.perf_counter() + seconds
        for by in (0.0, WITNESS_MARGIN):
            left = end - time.perf_counter()
            if left <= 0.0:
                return Unknown(Reason.TIME_LIMIT)
            try:
                problem = self.problem(query, region, encoding, by)
            except ValueError:
                return Unknown(Reason.NUMERICAL)
            verdict = self._read(query, backend.solve(problem, Limits(seconds=left)), proves=not by)
            if verdict is not None:
                return verdict
        return Unknown(Reason.NUMERICAL)

    def _read(self, query: Query, found: Answer, proves: bool) -> Verdict | None:
        """What a solver's answer comes to; None where its point does not survive the replay."""
        match found.outcome:
            case Outcome.INFEASIBLE:
                return Proved(Proof.SOLVER) if proves else Unknown(Reason.NUMERICAL)
            case Outcome.OPTIMAL | Outcome.LIMIT:
                if found.point is not None:
                    verdict = self.replayed(query, found.point[: query.box.dimension])
                    return verdict if isinstance(verdict, Refuted) else None
                return Unknown(Reason.TIME_LIMIT)
            case Outcome.UNBOUNDED | Outcome.FAILED:
                return Unknown(Reason.NUMERICAL)

    # Replay

    def survives(self, query: Query, point: np.ndarray) -> bool:
        """Whether the claim fails at ``point`` (inputs,) in double and in single precision."""
        double = np.asarray(point, dtype=np.float64)[None]
        single_ = double.astype(np.float32)
        return bool(query.fails(self.network, double)[0] and query.fails(self.network, single_)[0])

    def replayed(self, query: Query, point: np.ndarray) -> Verdict:
        """REFUTED if the claim fails where ``point`` is rounded to, in the slice."""
        if not np.isfinite(point).all():
            return Unknown(Reason.NUMERICAL)
        inner = inner_ends(query.box.lower, query.box.upper)
        rounded = np.clip(point.astype(np.float32).astype(np.float64), *inner)
        if self.survives(query, rounded):
            return Refuted(rounded[None])
        return Unknown(Reason.NUMERICAL)
