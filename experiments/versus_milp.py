"""The same open neurons of the same slices asked of redy and of MILP solvers, one MILP a neuron.

    python -m experiments.versus_milp N/1_1.onnx N/5_9.onnx --solvers gurobi,scip,highs

What is asked, and how redy's time is counted, stands in experiments.open_neurons. A solver gets the
big-M encoding of the network up to the neuron's layer, with CROWN's bounds of every neuron, and the
side that points leave possible, which is half of what it would have to be asked without them; only
solving is timed, not building. All on one core, slice by slice in one run. Exit code 1 if two
contradict each other.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from experiments.open_neurons import Ask, Sample, compare
from experiments.versus_solvers import Timed, Unlicensed
from redy.criteria.answers import Answerer
from redy.criteria.queries import Query
from redy.encodings.builder import Builder
from redy.solvers import Answer, Capabilities, Limits, Problem, fits
from redy.solvers.guarded import Guarded


class Clocked:
    """A backend in a process of its own, and how long it took to solve."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seconds = 0.0
        self._guarded = Guarded(name)
        nothing = Builder()
        nothing.variable(0.0, 1.0)
        self._guarded.solve(nothing.problem())  # starts its process, before anything is timed

    def probe(self) -> Capabilities:
        """As the backend."""
        return self._guarded.probe()

    def solve(
        self, problem: Problem, limits: Limits | None = None, start: np.ndarray | None = None
    ) -> Answer:
        """As the backend, by the clock."""
        begin = time.perf_counter()
        answer = self._guarded.solve(problem, limits, start)
        self.seconds += time.perf_counter() - begin
        return answer


def by_milp(name: str, limit: float) -> Ask:
    """Asks a solver for a point in the other phase."""
    backend = Clocked(name)
    capabilities = backend.probe()

    def ask(answerer: Answerer, query: Query) -> Timed:
        region = answerer.region(query)
        if not fits(answerer.problem(query, region, "difference"), capabilities):
            return Timed(Unlicensed(), 0.0)
        backend.seconds = 0.0
        verdict = answerer.by_solver(query, region, backend, limit, "difference")
        return Timed(verdict, backend.seconds)

    return ask


def main(  # noqa: PLR0917 - typer reads the options from the parameters
    networks: Annotated[list[Path], typer.Argument(metavar="NET...")],
    solvers: Annotated[str, typer.Option(help="Separated by commas.")] = "gurobi,scip,highs",
    domain: Annotated[str, typer.Option(help="As redy simplify takes it.")] = "acasxu",
    slices: Annotated[int, typer.Option(help="Of the whole domain.")] = 32768,
    sample: Annotated[int, typer.Option(help="Random slices of each network.")] = 40,
    seed: Annotated[int, typer.Option(help="Draws them.")] = 3,
    neurons: Annotated[int, typer.Option(help="Open neurons of each slice, at most.")] = 2,
    budget: Annotated[int, typer.Option(help="Boxes a slice, redy's.")] = 40_000,
    seconds: Annotated[float, typer.Option(help="A solver's limit for a neuron.")] = 10.0,
) -> None:
    """Ask redy and MILP solvers the same neurons."""
    chosen = Sample(domain, slices, sample, seed, neurons, budget)
    peers = {name: by_milp(name, seconds) for name in solvers.split(",")}
    if compare(networks, chosen, peers):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
