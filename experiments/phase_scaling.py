"""What deciding phases costs as slices get smaller and networks wider.

    python -m experiments.phase_scaling N/1_1.onnx N/5_9.onnx --picture phase_scaling.png

First table: the domain in 512, 4096 and 32768 slices, several budgets; the time for all slices is
that of a random sample, times their number. Second: networks of six layers of 25 to 100 neurons,
with random weights (He), and trained to give the first network's outputs, on 32768 slices; each row
is the mean of three networks. One process; seconds are those of one core.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import matplotlib as mpl
import numpy as np
import torch
import typer

import redy
from experiments.fifty_slices import short_name
from experiments.phase_methods import branch_and_bound
from redy.edits import Edit, Status, edits_of
from redy.formats.domains import read_domain
from redy.network.evaluate import evaluate
from redy.network.form import Layer, Network
from redy.simplify import Selection, cut

mpl.use("Agg")
from matplotlib import pyplot as plt

SLICES = (512, 4096, 32768)
WIDTHS = (25, 50, 75, 100)
DEPTH = 6
SEEDS = (0, 1, 2)
BUDGETS = (300, 1000, 3000, 10_000, 40_000)
BUDGET = 10_000
"""For the second table."""

STEPS, BATCH, RATE = 3000, 1024, 2e-3
"""Of training: Adam steps, points of each, and the first learning rate."""


@dataclass(frozen=True)
class Measured:
    """What one run found.

    Attributes:
        name: of the network.
        slices, budget: of the domain, and boxes per slice.
        proved, refuted: fractions of the neurons.
        boxes, seconds: per slice, on average.
    """

    name: str
    slices: int
    budget: int
    proved: float
    refuted: float
    boxes: float
    seconds: float

    @property
    def undecided(self) -> float:
        """The other neurons."""
        return max(0.0, 1.0 - self.proved - self.refuted)

    @property
    def minutes(self) -> float:
        """One core, all slices."""
        return self.seconds * self.slices / 60

    def row(self) -> str:
        """Of a table."""
        shares = (f"{share:.2%}" for share in (self.proved, self.refuted, self.undecided))
        times = (f"{1e3 * self.seconds:.1f}", f"{1e6 * self.seconds / self.boxes:.1f}")
        cells = (self.name, self.slices, self.budget, *shares, f"{self.boxes:.0f}", *times)
        return f"| {' | '.join(map(str, cells))} | {self.minutes:.1f} |"


def measure(
    name: str, network: Network, domain: redy.Box, slices: int, budget: int, sample: int
) -> Measured:
    """Decide the phases on random slices."""
    slicing = cut(domain, slices, None)
    chosen = Selection(min(sample, slices), 5).of(slicing)
    status, boxes, seconds = branch_and_bound(network, slicing, chosen, budget)
    proved = float((edits_of(status) != Edit.KEEP).mean())
    refuted = float((status == Status.REFUTED).mean())
    return Measured(name, slices, budget, proved, refuted, boxes, seconds)


def plain(model: torch.nn.Sequential) -> Network:
    """A chain of linear layers and ReLUs in redy's form."""
    linear = [part for part in model if isinstance(part, torch.nn.Linear)]
    layers = [
        Layer(
            {k: part.weight.detach().double().numpy()},
            part.bias.detach().double().numpy(),
            np.full(part.out_features, k < len(linear) - 1),
        )
        for k, part in enumerate(linear)
    ]
    return Network(linear[0].in_features, tuple(layers))


def random_model(inputs: int, width: int, outputs: int, seed: int) -> torch.nn.Sequential:
    """Six layers of ``width`` ReLUs, weights after He."""
    torch.manual_seed(seed)
    sizes = [inputs, *[width] * DEPTH, outputs]
    parts: list[torch.nn.Module] = []
    for before, after in pairwise(sizes):
        linear = torch.nn.Linear(before, after)
        torch.nn.init.kaiming_normal_(linear.weight)
        torch.nn.init.normal_(linear.bias, std=0.1)
        parts += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*parts[:-1])


def trained_model(width: int, teacher: Network, domain: redy.Box, seed: int) -> torch.nn.Sequential:
    """The same, trained to give the outputs of ``teacher`` on the domain."""
    model = random_model(teacher.inputs, width, teacher.outputs, seed)
    rng = np.random.default_rng(seed)
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    for _ in range(STEPS):
        points = rng.uniform(domain.lower, domain.upper, size=(BATCH, teacher.inputs))
        wanted = torch.from_numpy(evaluate(teacher, points)).float()
        optimiser.zero_grad()
        torch.nn.functional.mse_loss(model(torch.from_numpy(points).float()), wanted).backward()
        optimiser.step()
        schedule.step()
    return model


def mean_of(runs: list[Measured], name: str) -> Measured:
    """The mean of runs on networks of one kind."""
    means = {
        field: float(np.mean([getattr(run, field) for run in runs]))
        for field in ("proved", "refuted", "boxes", "seconds")
    }
    return replace(runs[0], name=name, **means)


def by_width(
    teacher: Network, domain: redy.Box, sample: int
) -> Iterator[tuple[str, int, Measured]]:
    """Random and trained networks of all widths: kind, width and what was measured."""
    for width in WIDTHS:
        for kind in ("random", "trained"):
            runs = []
            for seed in SEEDS:
                if kind == "random":
                    model = random_model(teacher.inputs, width, teacher.outputs, seed)
                else:
                    model = trained_model(width, teacher, domain, seed)
                run = measure(kind, plain(model), domain, SLICES[-1], BUDGET, sample)
                runs.append(run)
            yield kind, width, mean_of(runs, f"{kind}, {DEPTH} x {width}")


def draw(by_slices: list[Measured], widths: list[tuple[str, int, Measured]], path: Path) -> None:
    """Undecided against time, by slices; time and undecided by width."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    for name in dict.fromkeys(each.name for each in by_slices):
        for slices in SLICES:
            mine = [each for each in by_slices if (each.name, each.slices) == (name, slices)]
            times, left_open = zip(*((m.minutes, 100 * m.undecided) for m in mine), strict=True)
            left.loglog(times, left_open, "o-", ms=3, label=f"{name}, {slices} slices")
    left.set(xlabel="minutes of one core, all slices", ylabel="% undecided")
    left.legend(fontsize=7)
    for kind in ("random", "trained"):
        mine = [(width, each) for of, width, each in widths if of == kind]
        middle.plot([w for w, _ in mine], [1e3 * m.seconds for _, m in mine], "o-", label=kind)
        right.plot([w for w, _ in mine], [100 * m.undecided for _, m in mine], "o-", label=kind)
    middle.set(xlabel="neurons per layer", ylabel=f"ms a slice, budget {BUDGET}")
    right.set(xlabel="neurons per layer", ylabel="% undecided")
    middle.legend(fontsize=8)
    for axes in (left, middle, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def main(
    networks: Annotated[list[Path], typer.Argument(metavar="NET...")],
    domain: Annotated[str, typer.Option(help="As redy simplify takes it.")] = "acasxu",
    sample: Annotated[int, typer.Option(help="Random slices of each.")] = 64,
    widths_only: Annotated[bool, typer.Option(help="The second table alone.")] = False,
    picture: Annotated[Path | None, typer.Option(help="A picture to draw.")] = None,
) -> None:
    """Measure by number of slices and by width."""
    torch.set_num_threads(1)
    heads = ("network", "slices", "budget", "proved", "refuted", "undecided", "boxes a slice")
    heads += ("ms a slice", "us a box", "minutes of one core")
    print(f"| {' | '.join(heads)} |\n{'| --- ' * len(heads)}|", flush=True)
    by_slices, widths = [], []
    loaded = {short_name(path): redy.load(path).network for path in networks}
    for name, network in () if widths_only else loaded.items():
        box = read_domain(domain, network.inputs)
        for slices in SLICES:
            for budget in BUDGETS:
                by_slices.append(measure(name, network, box, slices, budget, sample))
                print(by_slices[-1].row(), flush=True)
    teacher = next(iter(loaded.values()))
    for found in by_width(teacher, read_domain(domain, teacher.inputs), sample):
        widths.append(found)
        print(found[-1].row(), flush=True)
    if picture is not None and by_slices:
        draw(by_slices, widths, picture)


if __name__ == "__main__":
    typer.run(main)
