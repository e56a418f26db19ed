"""Neurons whose phase is open, and what it costs redy to decide them: the yardstick for others.

A neuron of a slice is open if 512 points show it in one phase only, so that this phase is all that
can be asked for, and CROWN's bounds on the whole slice do not prove it. Peers are asked a random
part of the open neurons, one by one; redy decides a slice as a whole, simulation included, and all
of that time is divided among the open neurons.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import redy
from experiments.fifty_slices import short_name
from experiments.versus_solvers import Timed, Unlicensed
from redy.criteria.answers import Answerer
from redy.criteria.comparison import Region
from redy.criteria.phase import POOL, PhaseDecider
from redy.criteria.queries import Kind, Query
from redy.domain import Box
from redy.edits import Edit, Edits, Status, edits_of
from redy.formats.domains import read_domain
from redy.search.witnesses import CertainSigns, pool_points, unit_pool
from redy.simplify import Selection, cut
from redy.verdict import Proved, Refuted, Verdict


@dataclass(frozen=True)
class Sample:
    """Which neurons of which slices.

    Attributes:
        domain, slices: as redy simplify takes them.
        sample, seed: so many random slices.
        neurons: of each slice at most so many open neurons, drawn at random.
        budget: boxes a slice that redy may examine.
    """

    domain: str
    slices: int
    sample: int
    seed: int
    neurons: int
    budget: int


@dataclass(frozen=True, eq=False)
class OpenNeuron:
    """One neuron of one slice, and redy's verdict on it.

    Attributes:
        answerer: for the network.
        query: that the neuron has the phase that points leave possible.
        verdict: proved, refuted or unknown, redy's.
        seconds: of redy, this neuron's part of its slice.
    """

    answerer: Answerer
    query: Query
    verdict: str
    seconds: float


Ask = Callable[[Answerer, Query], Timed]
"""Asks a peer; returns its verdict and the seconds it took."""


def open_neurons(path: Path, sample: Sample) -> Iterator[list[OpenNeuron]]:
    """For each slice its open neurons, or as many as are wanted, with redy's verdicts."""
    network = redy.load(path).network
    slicing = cut(read_domain(sample.domain, network.inputs), sample.slices, None)
    chosen = Selection(sample.sample, sample.seed).of(slicing)
    decider, answerer, signs = PhaseDecider(network), Answerer(network), CertainSigns(network)
    unit, rng = unit_pool(network.inputs, POOL), np.random.default_rng(sample.seed)
    boxes = list(zip(*slicing.boxes(chosen), strict=True))
    decider.decide(*boxes[0], 10)  # compiles what is to be compiled
    for lower, upper in boxes:
        begin = time.perf_counter()
        phases = decider.decide(lower, upper, sample.budget)
        seconds = time.perf_counter() - begin
        seen = signs(pool_points(lower, upper, unit))
        active, inactive = (seen > 0).any(axis=0), (seen < 0).any(axis=0)
        queries = [
            _query(network, lower, upper, n, 1 if active[n] else -1)
            for n in np.flatnonzero(active ^ inactive)
        ]
        region = answerer.region(queries[0]) if queries else None
        left = [query for query in queries if not _by_crown(network, region, query)]
        found = [_said(network, phases.status, query) for query in left]
        neurons = [
            OpenNeuron(answerer, query, word, seconds / len(left))
            for query, word in zip(left, found, strict=True)
        ]
        some = rng.permutation(len(neurons))[: sample.neurons]
        yield [neurons[i] for i in some]


def _query(network: redy.Network, lower: np.ndarray, upper: np.ndarray, n: int, sign: int) -> Query:
    k, i = network.neurons[n]
    none = Edits.by_phase(np.zeros(len(network.neurons), dtype=np.uint8))
    return Query(Kind.PHASE, Box(lower, upper), none, k, i, sign)


def _by_crown(network: redy.Network, region: Region, query: Query) -> bool:
    unit = sum(network.width(k) for k in range(query.layer)) + query.unit
    ends = region.known_lower[unit], -region.known_upper[unit]
    return bool(ends[0 if query.sign > 0 else 1] >= 0.0)


def _said(network: redy.Network, status: np.ndarray, query: Query) -> str:
    n = network.neurons.index((query.layer, query.unit))
    if status[n] == Status.REFUTED:
        return "refuted"
    return "proved" if edits_of(status)[n] != Edit.KEEP else "unknown"


def word_for(verdict: Verdict | Unlicensed) -> str:
    """The verdict in a word."""
    if isinstance(verdict, Proved):
        return "proved"
    return "refuted" if isinstance(verdict, Refuted) else "unknown"


@dataclass(frozen=True)
class Asked:
    """What one backend said of one neuron, and in what time."""

    verdict: str
    seconds: float


def compare(networks: Sequence[Path], sample: Sample, peers: dict[str, Ask]) -> int:
    """Ask redy and all peers the same neurons, print the table; returns the contradictions."""
    table: dict[str, list[Asked]] = {name: [] for name in ("redy", *peers)}
    wrong = 0
    for path in networks:
        for count, neurons in enumerate(open_neurons(path, sample), start=1):
            for neuron in neurons:
                answers = {"redy": Asked(neuron.verdict, neuron.seconds)}
                for name, ask in peers.items():
                    timed = ask(neuron.answerer, neuron.query)
                    answers[name] = Asked(word_for(timed.verdict), timed.seconds)
                words = {answer.verdict for answer in answers.values()}
                wrong += {"proved", "refuted"} <= words
                for name, answer in answers.items():
                    table[name].append(answer)
            done = f"{short_name(path)}: slice {count} of {sample.sample}"
            print(f"{done}, {len(table['redy'])} neurons", file=sys.stderr, flush=True)
    print_table(table)
    print(f"\ncontradictions: {wrong}")
    return wrong


def print_table(table: dict[str, list[Asked]]) -> None:
    """One row per backend; ratios are to redy."""
    heads = ("backend", "neurons", "proved", "refuted", "undecided", "median s", "mean s")
    heads += ("s per decided neuron", "times redy's", "decided, and not by redy")
    print(f"| {' | '.join(heads)} |\n{'| --- ' * len(heads)}|")
    cost = {name: per_decided(answers) for name, answers in table.items()}
    for name, answers in table.items():
        words = [answer.verdict for answer in answers]
        seconds = [answer.seconds for answer in answers]
        more = sum(
            mine.verdict != "unknown" and redys.verdict == "unknown"
            for mine, redys in zip(answers, table["redy"], strict=True)
        )
        cells = (
            name,
            len(answers),
            *(words.count(word) for word in ("proved", "refuted", "unknown")),
            f"{statistics.median(seconds):.4f}",
            f"{statistics.mean(seconds):.4f}",
            f"{cost[name]:.5f}",
            f"{cost[name] / cost['redy']:.0f}",
            more,
        )
        print(f"| {' | '.join(map(str, cells))} |")


def per_decided(answers: Sequence[Asked]) -> float:
    """All seconds, over the neurons that were decided."""
    decided = sum(answer.verdict != "unknown" for answer in answers)
    return sum(answer.seconds for answer in answers) / decided if decided else float("inf")
