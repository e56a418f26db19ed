"""The same queries asked of redy's branch and bound, of MILP solvers, of Z3 and of Marabou.

    python -m experiments.versus_solvers experiments/queries/acasxu.json.gz --networks FOLDER \
        --marabou-python VENV/bin/python --cache answers.jsonl --seconds 20

Every query is asked of all backends one after the other, on one core, in a shuffled order, so that
a ratio compares what was measured within the same minute and a part of the queries is a fair sample
of all. Answers are kept in the cache as they come, and not asked for again.

What is timed: redy from the query alone, simulation, bounds and replay included. The others are
given bounds of every neuron (CROWN and a zonotope), which costs them nothing; MILP solvers are
timed with the building of their problem, Marabou in its own `solve` alone. The limit is that of the
others; redy's is a number of boxes. A query's negation is closed, and a point counts once it was
replayed (redy.criteria.queries). Verdicts must not contradict: the exit code says whether they do.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.marabou_backend import Marabou, MarabouQuery
from experiments.queries.recorded import Recorded, read
from redy.criteria.answers import BUDGET, REDY, Answerer
from redy.criteria.queries import Kind, Query
from redy.encodings.builder import Builder
from redy.solvers import fits
from redy.solvers.guarded import Guarded
from redy.tolerances import WITNESS_MARGIN
from redy.verdict import Proof, Proved, Reason, Refuted, Unknown, Verdict

MILP = ("gurobi", "highs", "scip")
MARABOU = "marabou"
SHUFFLE = 1
DECIDED = ("proved", "refuted")
Answered = dict[str, Any]


@dataclass(frozen=True)
class Unlicensed:
    """The licence does not allow a problem of this size: it was not asked."""


class Timed(NamedTuple):
    """A verdict, and the seconds it took: on the wall, and of the processor where it is known."""

    verdict: Verdict | Unlicensed
    seconds: float
    processor: float | None = None


Backend = Callable[[Answerer, Query], Timed]


def by_redy(answerer: Answerer, query: Query) -> Timed:
    """Branch and bound, nothing known beforehand."""
    begin, processor = time.perf_counter(), time.process_time()
    verdict = answerer.by_branching(query, budget=BUDGET)
    return Timed(verdict, time.perf_counter() - begin, time.process_time() - processor)


def by_solver(name: str, encoding: str, seconds: float) -> Backend:
    """A backend of redy.solvers, in a process that is ended if it overruns its time."""
    backend = Guarded(name)
    capabilities = backend.probe()
    nothing = Builder()
    nothing.variable(0.0, 1.0)
    backend.solve(nothing.problem())  # starts its process, before anything is timed

    def ask(answerer: Answerer, query: Query) -> Timed:
        region = answerer.region(query)
        if not fits(answerer.problem(query, region, encoding), capabilities):
            return Timed(Unlicensed(), 0.0)
        begin = time.perf_counter()
        verdict = answerer.by_solver(query, region, backend, seconds, encoding)
        return Timed(verdict, time.perf_counter() - begin)

    return ask


def by_marabou(python: str, seconds: float) -> Backend:
    """Marabou on the plain duplicated network; asked again beyond the boundary, as solvers are."""
    worker = Marabou(python)

    def ask(answerer: Answerer, query: Query) -> Timed:
        ranges = answerer.ranges(query, answerer.region(query))
        spent = processor = 0.0
        for by in (0.0, WITNESS_MARGIN):
            posed = MarabouQuery(answerer.network, query, ranges, by)
            answer = worker.ask(posed, seconds - spent)
            spent += answer["seconds"]
            processor += answer["processor"]
            verdict = said(answerer, query, answer, proves=not by)
            if verdict is not None or spent >= seconds:
                break
        return Timed(verdict or Unknown(Reason.NUMERICAL), spent, processor)

    return ask


def said(answerer: Answerer, query: Query, answer: dict[str, Any], proves: bool) -> Verdict | None:
    """What Marabou's answer comes to; None where its point does not survive the replay."""
    match answer["status"]:
        case "unsat":
            return Proved(Proof.SOLVER) if proves else Unknown(Reason.NUMERICAL)
        case "sat":
            verdict = answerer.replayed(query, np.array(answer["point"]))
            return verdict if isinstance(verdict, Refuted) else None
        case "TIMEOUT" | "ended":
            return Unknown(Reason.TIME_LIMIT)
        case _:
            return Unknown(Reason.NUMERICAL)


def backends(arguments: argparse.Namespace) -> dict[str, Backend]:
    """All backends that were asked for, by the name in the table."""
    chosen: dict[str, Backend] = {REDY: by_redy}
    if arguments.marabou_python:
        chosen[MARABOU] = by_marabou(arguments.marabou_python, arguments.seconds)
    for name in MILP:
        chosen[name] = by_solver(name, "difference", arguments.seconds)
    for name in MILP:
        chosen[f"{name} plain"] = by_solver(name, "plain", arguments.seconds)
    chosen["z3"] = by_solver("z3", "difference", arguments.z3_seconds)
    only = arguments.only.split(",") if arguments.only else [*chosen]
    return {name: ask for name, ask in chosen.items() if name in only}


class Cache:
    """Answers by query and backend, one JSON object a line, appended as they come."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self._known = {(a["query"], a["backend"]): a for a in map(json.loads, lines)}

    def get(self, query: str, backend: str, ask: Callable[[], Answered]) -> Answered:
        """The answer that is known, else the one ``ask`` gives."""
        key = (query, backend)
        if key not in self._known:
            self._known[key] = {"query": query, "backend": backend} | ask()
            with self._path.open("a") as file:
                file.write(json.dumps(self._known[key]) + "\n")
        return self._known[key]


def described(timed: Timed) -> Answered:
    """A verdict and its time as JSON."""
    match verdict := timed.verdict:
        case Unlicensed():
            name, detail = "not asked", "too large"
        case Proved():
            name, detail = "proved", verdict.proof.name
        case Refuted():
            name, detail = "refuted", verdict.witnesses[0].tolist()
        case Unknown():
            name, detail = "unknown", verdict.reason.name
    times = {"seconds": timed.seconds, "processor": timed.processor}
    return {"verdict": name, "detail": detail} | times


def asked(arguments: argparse.Namespace) -> Iterator[Answered]:
    """The answers to all queries of all backends, one query after the other."""
    networks, queries = read(arguments.queries, lambda name: arguments.networks / name)
    answerers = {name: Answerer(loaded.network) for name, loaded in networks.items()}
    cache, chosen = Cache(arguments.cache), backends(arguments)
    for name, answerer in answerers.items():  # compile before anything is timed
        warm_up(answerer, [q for q in queries if q.network == name])
    order = np.random.default_rng(SHUFFLE).permutation(len(queries))[: arguments.first]
    for count, place in enumerate(order, start=1):
        each = queries[place]
        for name, ask in chosen.items():
            if each.query.kind is Kind.PHASE and name.endswith("plain"):
                continue  # a phase has one network, and one encoding
            asking = partial(asked_now, ask, answerers[each.network], each.query)
            answer = cache.get(each.name, name, asking)
            print(f"{count}/{len(order)} {describe_line(answer)}", file=sys.stderr, flush=True)
            yield answer


def asked_now(ask: Backend, answerer: Answerer, query: Query) -> Answered:
    """One answer, as JSON."""
    return described(ask(answerer, query))


def describe_line(answer: Answered) -> str:
    """One answer for the log."""
    detail = answer["detail"] if isinstance(answer["detail"], str) else "replayed"
    return (
        f"{answer['query']:32} {answer['backend']:14} {answer['verdict']:8} {detail:16} "
        f"{answer['seconds']:9.4f} s"
    )


def warm_up(answerer: Answerer, queries: list[Recorded]) -> None:
    """Have everything compiled: of each kind, ask until simulation alone does not decide."""
    for kind in Kind:
        for each in [q for q in queries if q.query.kind is kind]:
            if not isinstance(answerer.by_branching(each.query, budget=10), Refuted):
                break


def summary(answers: list[Answered]) -> dict[str, Any]:
    """What the table shows, and every query that two backends contradict each other on."""
    of_redy = {a["query"]: a for a in answers if a["backend"] == REDY}
    rows = {}
    for name in dict.fromkeys(a["backend"] for a in answers):
        mine = [a for a in answers if a["backend"] == name and a["verdict"] != "not asked"]
        seconds = [a["seconds"] for a in mine]
        pairs = [(a, of_redy[a["query"]]) for a in mine if a["query"] in of_redy]
        ratios = [theirs["seconds"] / ours["seconds"] for theirs, ours in pairs]
        rows[name] = {
            "asked": len(mine),
            **{v: sum(a["verdict"] == v for a in mine) for v in (*DECIDED, "unknown")},
            "median_seconds": statistics.median(seconds),
            "mean_seconds": statistics.mean(seconds),
            "median_ratio": statistics.median(ratios) if ratios else None,
            "ratio_of_medians": statistics.median(seconds)
            / statistics.median([ours["seconds"] for _, ours in pairs])
            if pairs
            else None,
            "median_processor_ratio": processor_ratio(pairs),
            "unknown_because": Counter(a["detail"] for a in mine if a["verdict"] == "unknown"),
            "decided_but_not_by_redy": [
                theirs["query"]
                for theirs, ours in pairs
                if theirs["verdict"] in DECIDED and ours["verdict"] == "unknown"
            ],
        }
    return {"backends": rows, "contradictions": contradictions(answers)}


def processor_ratio(pairs: list[tuple[Answered, Answered]]) -> float | None:
    """Median ratio of processor times, which other work on the machine disturbs less."""
    known = [(a["processor"], b["processor"]) for a, b in pairs if a["processor"] is not None]
    return statistics.median([theirs / ours for theirs, ours in known]) if known else None


def contradictions(answers: list[Answered]) -> list[str]:
    """Queries that one backend proves and another refutes."""
    verdicts: dict[str, set[str]] = {}
    for answer in answers:
        verdicts.setdefault(answer["query"], set()).add(answer["verdict"])
    return sorted(name for name, found in verdicts.items() if {"proved", "refuted"} <= found)


def table(found: dict[str, Any]) -> str:
    """The summary in Markdown."""
    heads = ("backend", "queries", "proved", "refuted", "undecided", "median s", "mean s")
    heads += ("median of ratios to redy", "of processor times", "ratio of medians")
    heads += ("decided, and not by redy",)
    lines = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    for name, row in found["backends"].items():
        counts = (row[part] for part in ("asked", "proved", "refuted", "unknown"))
        times = (f"{row['median_seconds']:.4f}", f"{row['mean_seconds']:.3f}")
        parts = ("median_ratio", "median_processor_ratio", "ratio_of_medians")
        ratios = ("" if row[part] is None else f"{row[part]:.1f}" for part in parts)
        cells = (name, *counts, *times, *ratios, len(row["decided_but_not_by_redy"]))
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main() -> None:
    """Ask, and print the table and, below it, the same as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("queries", type=Path)
    parser.add_argument("--networks", type=Path, required=True, help="folder of the networks")
    parser.add_argument("--cache", type=Path, required=True, help="answers, to go on from")
    parser.add_argument("--marabou-python", help="a Python that has maraboupy; none: not asked")
    parser.add_argument("--seconds", type=float, default=20.0, help="limit of a query")
    parser.add_argument("--z3-seconds", type=float, default=5.0)
    parser.add_argument("--first", type=int, help="ask only so many queries")
    parser.add_argument("--only", help="backends, separated by commas")
    arguments = parser.parse_args()
    found = summary(list(asked(arguments)))
    print(table(found))
    print()
    print(json.dumps(found, indent=1))
    if found["contradictions"]:
        raise SystemExit(f"contradictions: {', '.join(found['contradictions'])}")


if __name__ == "__main__":
    main()
