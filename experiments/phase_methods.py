"""How many neurons each method proves phase-redundant on the same slices, and in what time.

    python -m experiments.phase_methods NET --domain acasxu --slices 32768 --sample 192

Plain CROWN, batched over slices in torch, is the peer: times are also given as a ratio to its time
per slice in the same run. CROWN on uniform parts cuts every slice alike. Branch and bound is the
pipeline's phase stage, simulation included.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

import redy
from redy.bounds import crown
from redy.criteria.phase import PhaseDecider
from redy.edits import Edit, Status, edits_of
from redy.formats.domains import read_domain
from redy.run.bounds import compute_bounds
from redy.simplify import Selection, cut
from redy.slicing import Slicing
from redy.slicing.grid import Grid

PARTS = (32, 256)
BUDGETS = (100, 1000, 3000, 10_000, 20_000, 40_000, 100_000)


def one_shot(
    network: redy.Network, slicing: Slicing, chosen: np.ndarray, method: str
) -> tuple[float, float]:
    """Fraction proved and seconds per slice of a bound method of redy.bounds."""
    compute_bounds(network, slicing, chosen[:64], method, "cpu")
    start = time.perf_counter()
    table = compute_bounds(network, slicing, chosen, method, "cpu")
    seconds = time.perf_counter() - start
    proved = [
        ((low >= 0) | (high <= 0))[:, layer.relu]
        for low, high, layer in zip(table.lower, table.upper, network.layers, strict=True)
    ]
    return float(np.concatenate(proved, axis=1).mean()), seconds / len(chosen)


def uniform_parts(
    network: redy.Network, slicing: Slicing, chosen: np.ndarray, parts: int
) -> tuple[float, float]:
    """Fraction proved and seconds per slice of CROWN on ``parts`` equal parts of every slice."""
    proved = []
    start = time.perf_counter()
    for ends in zip(*slicing.boxes(chosen), strict=True):
        finer = Grid.bisecting(redy.Box(*ends), parts)
        lower, upper = (torch.from_numpy(end) for end in finer.boxes(np.arange(parts)))
        bounds = crown.bounds(network, lower, upper)
        for low, high, layer in zip(bounds.lower, bounds.upper, network.layers, strict=True):
            one_phase = (low >= 0).all(dim=0) | (high <= 0).all(dim=0)
            proved.append(one_phase.numpy()[layer.relu])
    seconds = time.perf_counter() - start
    return float(np.concatenate(proved).mean()), seconds / len(chosen)


def branch_and_bound(
    network: redy.Network, slicing: Slicing, chosen: np.ndarray, budget: int
) -> tuple[np.ndarray, float, float]:
    """Status (slices, neurons), boxes and seconds per slice of the phase stage."""
    decider = PhaseDecider(network)
    lower, upper = slicing.boxes(chosen)
    decider.decide(lower[0], upper[0], 10)
    start = time.perf_counter()
    results = [decider.decide(*box, budget) for box in zip(lower, upper, strict=True)]
    seconds = time.perf_counter() - start
    boxes = float(np.mean([result.boxes for result in results]))
    return np.stack([result.status for result in results]), boxes, seconds / len(chosen)


def main() -> None:
    """Print one Markdown table row per method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network")
    parser.add_argument("--domain")
    parser.add_argument("--slices", type=int, default=32768)
    parser.add_argument("--sample", type=int, default=192)
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    loaded = redy.load(arguments.network)
    inputs = loaded.network.inputs
    domain = read_domain(arguments.domain, inputs) if arguments.domain else loaded.domain
    if domain is None:
        raise SystemExit("give a --domain")
    slicing = cut(domain, arguments.slices, None)
    chosen = Selection(arguments.sample, arguments.seed).of(slicing)
    print("| method | proved | refuted | undecided | boxes | ms a slice | times CROWN's |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    _, peer = one_shot(loaded.network, slicing, chosen, "crown")
    for method in ("interval", "zonotope", "crown"):
        proved, seconds = one_shot(loaded.network, slicing, chosen, method)
        print(f"| {method} | {proved:.1%} | | | | {1e3 * seconds:.2f} | {seconds / peer:.2f} |")
    for parts in PARTS:
        few = chosen[:: max(1, len(chosen) // 48)]
        proved, seconds = uniform_parts(loaded.network, slicing, few, parts)
        print(
            f"| crown on {parts} uniform parts ({len(few)} slices) | {proved:.1%} | | | {parts} | "
            f"{1e3 * seconds:.1f} | {seconds / peer:.1f} |"
        )
    for budget in BUDGETS:
        status, boxes, seconds = branch_and_bound(loaded.network, slicing, chosen, budget)
        proved = (edits_of(status) != Edit.KEEP).mean()
        refuted = (status == Status.REFUTED).mean()
        print(
            f"| branch and bound, budget {budget} | {proved:.1%} | {refuted:.1%} | "
            f"{1 - proved - refuted:.1%} | {boxes:.0f} | {1e3 * seconds:.1f} | "
            f"{seconds / peer:.1f} |"
        )


if __name__ == "__main__":
    main()
