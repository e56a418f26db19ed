"""The main job: simplify a network slice by slice and collect the result in a bundle."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np

from redy.criteria import STAGES, Effort, chosen_stages
from redy.criteria.phase import POOL
from redy.cutting import Cut, cut_mid
from redy.dispatch.bundle import Bundle
from redy.domain import Box
from redy.edit_table import EditTable, codes_and_criteria
from redy.errors import StoreError, UsageError
from redy.formats.bundle import Content
from redy.formats.evidence import PROOFS, Evidence, Sealed, join_witnesses
from redy.formats.networks import LoadedNetwork, in_memory
from redy.guarantee import Guarantee
from redy.network.fold import plan_many
from redy.network.form import Network
from redy.pipeline import SliceResult
from redy.report import stage_seconds, summarise
from redy.report_mid import of_the_whole
from redy.run.backends import DEFAULT, Pool, opened
from redy.run.execute import Job, execute, run_key
from redy.run.grow import Growth, grow
from redy.run.progress import Progress
from redy.run.rows import require_run, unreadable_as
from redy.run.shards import Shard, keep_whole
from redy.run.steps import Steps
from redy.run.store import Store
from redy.search.witnesses import unit_pool
from redy.search.work import extreme_boxes
from redy.slicing import STRATEGIES, Slicing
from redy.slicing.adaptive import Adaptive
from redy.slicing.grid import Grid, sample
from redy.slicing.growth import PROOF_BOXES
from redy.slicing.mid import Mid
from redy.solvers import versions

DEFAULT_BUDGET = 1000
"""Boxes per slice: ACAS Xu with 32768 slices takes minutes on two cores."""

_MAX_BUDGET = 10**9
"""Boxes per slice, days of work; counters of boxes hold it."""

_CHECK_POINTS = 100_000
"""Over all slices: the points at which the result is compared with the original."""


@dataclass(frozen=True)
class Selection:
    """Which slices are simplified: all, or a random ``sample`` of them drawn with ``seed``."""

    sample: int | None = None
    seed: int = 0

    def of(self, slicing: Slicing) -> np.ndarray:
        """The slices, ascending: (n,) int64."""
        if self.sample is None:
            return np.arange(slicing.slices, dtype=np.int64)
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: give 0 or more")
        return sample(slicing.slices, self.sample, self.seed)


def cut(domain: Box, slices: int | None, grid: Sequence[int] | None) -> Grid:
    """The grid that ``slices`` or ``grid`` asks for; one slice if neither is given."""
    if slices is not None and grid is not None:
        raise UsageError("give either --slices or --grid, not both")
    if grid is not None:
        return Grid(domain, tuple(grid))
    return Grid.bisecting(domain, 1 if slices is None else slices)


def _require_options(slicing: str, grid: object, layer: object, weights: object) -> None:
    """Options that go with another way of slicing are refused, not ignored."""
    if slicing not in STRATEGIES:
        raise UsageError(f"--slicing {slicing}: there is {', '.join(STRATEGIES)}")
    if slicing != Grid.name and grid is not None:
        raise UsageError("--grid goes with --slicing grid; give the number of parts with --slices")
    if slicing != Mid.name and layer is not None:
        raise UsageError("--layer goes with --slicing mid")
    if slicing == Grid.name and weights is not None:
        raise UsageError("--weights goes with --slicing adaptive or mid")


def _require_effort(budget: int, time_limit: float | None) -> None:
    if not 1 <= budget <= _MAX_BUDGET:
        raise UsageError(f"--budget {budget}: give between 1 and {_MAX_BUDGET} boxes")
    if time_limit is not None and not time_limit > 0:
        raise UsageError(f"--time-limit {time_limit:g}: give more than 0 seconds")


def _usable_solver(name: str | None, stages: Sequence[str]) -> str:
    """The solver that ``stages`` shall ask, found to be there.

    Raises:
        UsageError: one is named, but no stage asks a solver.
        SolverError: there is none of that name, or it is not installed or not licensed.
    """
    chosen = name or "auto"
    if any(STAGES[stage].asks_solver for stage in stages):
        versions(chosen)
    elif name is not None:
        asking = ", ".join(other for other in STAGES if STAGES[other].asks_solver)
        raise UsageError(
            f"--solver {name}: none of the stages {', '.join(stages)} asks a solver; "
            f"name one in --stages that does: {asking}"
        )
    return chosen


def simplify(
    net: LoadedNetwork | Network,
    domain: Box | None = None,
    *,
    slices: int | None = None,
    grid: Sequence[int] | None = None,
    slicing: str = Grid.name,
    layer: int | None = None,
    weights: np.ndarray | None = None,
    guarantee: str = "exact",
    winner: str | None = None,
    stages: Sequence[str] | None = None,
    selection: Selection | None = None,
    shard: str | None = None,
    jobs: int | None = None,
    backend: str = DEFAULT,
    scheduler: str | None = None,
    budget: int = DEFAULT_BUDGET,
    time_limit: float | None = None,
    solver: str | None = None,
    store: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    steps: Steps | None = None,
) -> Bundle:
    """Simplify ``net`` on every slice of ``domain``.

    Args:
        net: what :func:`redy.load` returns, or a network in redy's form.
        domain: the box of inputs; may be left out for a ``.nnet``, which brings its own.
        slices: number of slices, a power of two: the inputs are bisected in turn; of ``adaptive``
            and ``mid``, at most so many leaves or cells.
        grid: instead, the number of equal parts of each input.
        slicing: ``grid``; ``adaptive``: boxes are halved where the simplified networks gain most
            (:class:`redy.slicing.adaptive.Adaptive`); ``mid``: what a hidden layer makes of the
            domain is cut into cells (:class:`redy.slicing.mid.Mid`), for networks with many inputs.
        layer: of ``mid``, the hidden layer to cut on; if left out, where evaluation gets cheapest.
        weights: (n, inputs) such as the network is used on. Leaves of ``adaptive`` count for as
            much as they hold of them, not for their volume; cells of ``mid`` are made for one half
            of them and weighed by the other, by default of random points of the domain.
        guarantee: what holds over the reals on the whole domain. ``exact``: the outputs are the
            same; ``eps=E``: they differ by at most E each; ``eps=P%``: by at most P percent of the
            largest span of an output; ``decision``: wherever the network has a unique winner, the
            result has the same.
        winner: under ``decision``, ``min`` if the least output wins, as in ACAS Xu, else ``max``.
        stages: what is tried, in this order; those that suit the guarantee if left out.
        selection: a random sample of the slices instead of all.
        shard: ``I/M``: only part I of M of the slices, as one job of an array on a cluster. The
            bundle holds these slices; :func:`redy.merge` makes one of all from the stores.
        jobs: worker processes of this machine, 1 by default.
        backend: what runs them: loky, dask or ray.
        scheduler: of dask and ray, the address of a cluster whose workers are used instead.
        budget: boxes that branch and bound may examine per slice, about; with the same budget
            the result does not depend on the machine's speed, the backend, the number of jobs or
            of shards, or on workers that are killed.
        time_limit: seconds per slice, an outer guard; a slice it cut short is counted as such.
        solver: for the stages that ask one (``milp``): auto, gurobi, highs, scip or z3.
        store: SQLite file that keeps finished slices; the same call resumes from it.
        progress: is told of every finished slice.
        steps: of ``adaptive``, is told of every leaf while the domain is cut.

    Raises:
        UsageError, DomainError, SolverError, StoreError: see the classes; the message names the
            culprit.
    """
    _require_options(slicing, grid, layer, weights)
    part = None if shard is None else Shard.parse(shard)
    promised = Guarantee.parse(guarantee, winner)
    names = chosen_stages(promised, stages)
    loaded = in_memory(net) if isinstance(net, Network) else net
    box = domain or loaded.domain
    if box is None:
        raise UsageError(f"{loaded.path} brings no domain of its own; give one with --domain")
    box.require_dimension(loaded.network.inputs)
    _require_effort(budget, time_limit)
    parts = 1 if slices is None else slices
    promised = promised.on(loaded.network, box)
    effort = Effort(budget, time_limit, 0, _usable_solver(solver, names))
    selected = selection or Selection()
    chosen = {**vars(selected), "shard": None if part is None else str(part)}
    path = store or ":memory:"
    with opened(backend, jobs, scheduler) as pool:
        if slicing == Adaptive.name:
            proof = PROOF_BOXES if promised.kind == "exact" else extreme_boxes(budget)
            growth = Growth(loaded.network, promised, box, parts, weights, proof)
            key = {**run_key(loaded, promised, names, effort), "slicing": growth.describe()}
            with closing(Store(path, {**key, **chosen}, loaded.network)) as kept:
                made = Cut(loaded, grow(growth, kept, pool, steps or Steps()))
                asked = plan(loaded, made, promised, names, effort, selected)
                return _run(asked, part, kept, pool, progress)
        if slicing == Mid.name:
            made = cut_mid(loaded, box, parts, layer, weights)
        else:
            made = Cut(loaded, cut(box, slices, grid))
        asked = plan(loaded, made, promised, names, effort, selected)
        with closing(Store(path, {**asked.job.key(), **chosen}, made.base.network)) as kept:
            return _run(asked, part, kept, pool, progress)


@dataclass(frozen=True, eq=False)
class Plan:
    """What a run is to do.

    Attributes:
        loaded: the network.
        made: how it is cut.
        job: what the workers need to know.
        chosen: (n,) the slices that are simplified, by all shards together.
    """

    loaded: LoadedNetwork
    made: Cut
    job: Job
    chosen: np.ndarray


def plan(
    loaded: LoadedNetwork,
    made: Cut,
    guarantee: Guarantee,
    stages: tuple[str, ...],
    effort: Effort,
    selected: Selection,
) -> Plan:
    """What has to be done for what was asked."""
    chosen = selected.of(made.slicing)
    checked = replace(effort, check_points=-(-_CHECK_POINTS // len(chosen)) + 1)
    return Plan(loaded, made, Job(made.base, made.slicing, checked, guarantee, stages), chosen)


def _run(
    asked: Plan, part: Shard | None, store: Store, pool: Pool, progress: Progress | None
) -> Bundle:
    chosen = asked.chosen if part is None else part.of(asked.chosen)
    if part is not None:
        keep_whole(store, asked.loaded, asked.made.slicing)
    with progress or Progress() as shown:
        execute(asked.job, chosen, store, pool, shown)
        return collected(asked, chosen, store)


def collected(asked: Plan, chosen: np.ndarray, store: Store) -> Bundle:
    """The bundle of the slices ``chosen``, all that ``store`` holds; raises StoreError if not."""
    damaged = store.damaged("what it says of the slices")
    return collect(asked, chosen, list(store.results()), store.seconds, damaged)


def collect(
    asked: Plan,
    chosen: np.ndarray,
    results: Sequence[SliceResult],
    seconds: float,
    damaged: StoreError,
) -> Bundle:
    """The bundle of ``results``, in the order of the slices ``chosen``, which took so long.

    Raises:
        StoreError: ``damaged``, where the results are not those of these slices.
    """
    job, made = asked.job, asked.made
    network = job.loaded.network
    status = np.stack([result.status for result in results])
    own = [result.edits for result in results]
    codes, criteria = codes_and_criteria(network, status, own)
    evidence = _evidence(network, results, status, criteria)
    with unreadable_as(damaged):
        require_run(results, chosen, job.guarantee)
        evidence.require_fit(codes)
    edits = EditTable.collect(network, codes, own)
    folded, macs = plan_many(network, edits.shapes, edits.skips_input)
    summary = summarise(job, results, criteria, folded, macs)
    slices = np.array([result.slice for result in results], dtype=np.int64)
    if made.parts is not None and isinstance(made.slicing, Mid):
        summary = of_the_whole(summary, asked.loaded, made.parts, made.slicing, slices, codes)
    content = Content(
        network=asked.loaded.network,
        slicing=job.slicing,
        guarantee=job.guarantee,
        slices=slices,
        edits=edits,
        eps_proved=np.array([result.eps_proved for result in results]),
        folded=folded,
        sealed=Sealed.seal(evidence),
        summary=summary,
    )
    return Bundle(content, {"seconds": seconds, "stage_seconds": stage_seconds(results)})


def _evidence(
    network: Network, results: Sequence[SliceResult], status: np.ndarray, criteria: np.ndarray
) -> Evidence:
    witnesses = [result.witnesses for result in results]
    rows = [join_witnesses(each.pool, len(each.found)) for each in witnesses]
    return Evidence(
        status=status,
        criteria=criteria,
        proof=np.array([PROOFS.index(result.proof) for result in results], dtype=np.uint8),
        boxes=np.array([result.boxes for result in results], dtype=np.int64),
        pool=unit_pool(network.inputs, POOL),
        witness_count=np.array([len(row) for row in rows]),
        witness_pool=np.concatenate(rows),
        witness_found=np.concatenate([each.found for each in witnesses]),
    )
