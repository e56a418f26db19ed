"""The same open neurons of the same slices asked of redy and of Marabou: time per decided neuron.

    python -m experiments.versus_marabou N/1_1.onnx N/5_9.onnx --marabou-python VENV/bin/python

What is asked, and how redy's time is counted, stands in experiments.open_neurons. Marabou
(maraboupy, in a Python of its own) gets the network up to the neuron's layer with CROWN's bounds of
every neuron, and one query per neuron, for the phase that points leave possible; only its `solve`
is timed. Both on one core, slice by slice in one run. Exit code 1 if they contradict each other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from experiments.open_neurons import Sample, compare
from experiments.versus_solvers import by_marabou


def main(  # noqa: PLR0917 - typer reads the options from the parameters
    networks: Annotated[list[Path], typer.Argument(metavar="NET...")],
    marabou_python: Annotated[str, typer.Option(help="A Python that has maraboupy.")],
    domain: Annotated[str, typer.Option(help="As redy simplify takes it.")] = "acasxu",
    slices: Annotated[int, typer.Option(help="Of the whole domain.")] = 32768,
    sample: Annotated[int, typer.Option(help="Random slices of each network.")] = 40,
    seed: Annotated[int, typer.Option(help="Draws them.")] = 3,
    neurons: Annotated[int, typer.Option(help="Open neurons of each slice, at most.")] = 3,
    budget: Annotated[int, typer.Option(help="Boxes a slice, redy's.")] = 40_000,
    seconds: Annotated[float, typer.Option(help="Marabou's limit for a neuron.")] = 20.0,
) -> None:
    """Ask redy and Marabou the same neurons."""
    chosen = Sample(domain, slices, sample, seed, neurons, budget)
    if compare(networks, chosen, {"Marabou": by_marabou(marabou_python, seconds)}):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
