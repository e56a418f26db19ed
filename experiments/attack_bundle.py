"""Attacks every slice of a bundle: a point at which a promise is broken would be a wrong proof.

    python -m experiments.attack_bundle BUNDLE NET --points 100000 --sabotage

The promise of a slice, f' = f, |f' - f| <= what was proved, or the same winner, is attacked as
`experiments.opponent` says, in float64 and, on the points tried first, against the original network
in onnxruntime. The worst points are judged in exact arithmetic. Every proved phase is attacked as
in `experiments.attack`, and every refuted one is replayed at its witnesses in onnxruntime.

With --sabotage, one edit per slice is spoiled, in several ways one after the other, to see whether
the attack notices (`experiments.sabotage`). Exit code 1 if anything is wrong.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import redy
from experiments.attack import Attack
from experiments.attack import Strength as PhaseStrength
from experiments.opponent import Finding, Opponent, Promise, Strength, spread, true_faces
from experiments.sabotage import Judge, spoiled
from redy.criteria.comparison import Outcome
from redy.edits import Status
from redy.errors import UsageError
from redy.formats.networks import Reference
from redy.network.winner import winners_changed
from redy.search.witnesses import both_phases, signs_of
from redy.tolerances import DIFFERENT

_SINGLE = 2  # an error of two evaluations, each as far off as the original in single precision


@dataclass
class Tally:
    """What was seen, all slices together.

    Attributes:
        wrong: one line for each thing that must not be.
        points: points looked at.
        exact: points judged in exact arithmetic.
        difference: the largest difference of an output, in float64.
        share: that difference as a share of what was promised, where an error was.
        share_proved: the same of what was proved of the slice.
        excess: the point that came nearest to another winner: the smaller of both margins.
        margin: the smallest margin of a winner of the original.
        deviation: the largest difference of an output to onnxruntime.
        refuted: refuted phases, replayed.
        on_winner: slices of which the winner alone is promised.
    """

    wrong: list[str] = field(default_factory=list)
    points: int = 0
    exact: int = 0
    difference: float = 0.0
    share: float = 0.0
    share_proved: float = 0.0
    excess: float = -np.inf
    margin: float = np.inf
    deviation: float = 0.0
    refuted: int = 0
    on_winner: int = 0


class Examination:
    """Attacks the slices of one bundle."""

    def __init__(self, bundle: redy.Bundle, reference: Reference, strength: Strength) -> None:
        self._bundle, self._reference, self._strength = bundle, reference, strength
        phases = PhaseStrength(points=max(1, strength.points // 10), starts=4, steps=20)
        self.phases = Attack(bundle.network, phases)
        self.tally = Tally()

    def promise_of(self, part: redy.Slice) -> Promise:
        """What the bundle promises on ``part``, by what was proved of it."""
        return Promise(
            original=self._bundle.network,
            edits=part.replacements,
            simplified=part.network,
            box=part.box,
            limit=part.eps_proved,
            sign=1.0 if self._bundle.guarantee.winner == "min" else -1.0,
        )

    def run(self, part: redy.Slice, rng: np.random.Generator) -> None:
        """Attack all that is claimed on ``part``."""
        promise = self.promise_of(part)
        points = spread(part.box, self._strength.points, rng)
        self._require_promised(part)
        self._replay(part)
        self._in_onnxruntime(part, promise, points)
        points = np.concatenate([points, true_faces(part.box, points)])
        opponent = Opponent(promise, self._strength, rng)
        finding = opponent.attack(points)
        self._count(promise, finding)
        for point in opponent.broken():
            self._report(part, f"the promise is broken over the reals at {point.tolist()}")
        if finding.beyond_rounding:
            worst = finding.worst[0].tolist()
            self._report(part, f"in float64 by {finding.excess[0]:.3e} at {worst}")
        self.phases.run(part, rng)

    def _report(self, part: redy.Slice, what: str) -> None:
        self.tally.wrong.append(f"slice {part.index}: {what}")

    def _require_promised(self, part: redy.Slice) -> None:
        if not 0.0 <= part.eps_proved <= self._bundle.guarantee.eps:
            self._report(part, f"proved is {part.eps_proved}, promised {self._bundle.guarantee}")

    def _replay(self, part: redy.Slice) -> None:
        """Every refuted neuron has to show both phases in onnxruntime, at points of the slice."""
        refuted = part.status == Status.REFUTED
        self.tally.refuted += int(refuted.sum())
        if not refuted.any():
            return
        points = part.witnesses
        if not part.box.contains(points).all():
            self._report(part, "a witness is outside of the slice")
        signs = signs_of(self._reference.preactivations(points), self._bundle.network)
        for neuron in np.flatnonzero(refuted & ~both_phases(signs)):
            self._report(part, f"no witness shows neuron {neuron} in both phases")

    def _in_onnxruntime(self, part: redy.Slice, promise: Promise, points: np.ndarray) -> None:
        before, after = promise.outputs(points)
        original = self._reference.outputs(points)
        rounding = float(np.abs(before - original).max()) + DIFFERENT * float(np.abs(before).max())
        deviation = float(np.abs(after - original).max())
        if promise.on_winner:
            side = self._bundle.guarantee.winner
            changed = winners_changed(original, after, side, _SINGLE * rounding)
            if changed:
                self._report(part, f"another winner than in onnxruntime at {changed} points")
            return
        self.tally.deviation = max(self.tally.deviation, deviation)
        if deviation > promise.limit + rounding:
            self._report(part, f"{deviation:.3e} from onnxruntime, {promise.limit:.3e} proved")

    def _count(self, promise: Promise, finding: Finding) -> None:
        tally = self.tally
        tally.points += finding.points
        tally.exact += len(finding.worst)
        if promise.on_winner:
            tally.on_winner += 1
            tally.excess = max(tally.excess, float(finding.excess.max()))
            tally.margin = min(tally.margin, finding.margin)
            return
        tally.difference = max(tally.difference, finding.difference)
        if promise.limit > 0.0:
            tally.share = max(tally.share, finding.difference / self._bundle.guarantee.eps)
            tally.share_proved = max(tally.share_proved, finding.difference / promise.limit)


@dataclass
class Noticed:
    """What became of one kind of spoiled claims.

    Attributes:
        tried: claims.
        found: of these, those that the attack broke over the reals.
        false: claims that branch and bound refuted.
        false_found: of these, those that the attack broke.
        true: claims that branch and bound proved.
    """

    tried: int = 0
    found: int = 0
    false: int = 0
    false_found: int = 0
    true: int = 0

    def add(self, outcome: Outcome, found: bool) -> None:
        """One more claim."""
        self.tried += 1
        self.found += found
        self.false += outcome is Outcome.REFUTED
        self.false_found += found and outcome is Outcome.REFUTED
        self.true += outcome is Outcome.PROVED


class Sabotage:
    """Spoils claims and lets them be attacked."""

    def __init__(self, examination: Examination, judge: Judge, strength: Strength) -> None:
        self._examination, self._judge, self._strength = examination, judge, strength
        self.noticed: dict[str, Noticed] = {}

    def run(self, part: redy.Slice, rng: np.random.Generator) -> None:
        """Spoil the claims on ``part``."""
        points = spread(part.box, self._strength.points, rng)
        promise = self._examination.promise_of(part)
        for what, claim in spoiled(promise, points, rng):
            opponent = Opponent(claim, self._strength, rng)
            opponent.attack(points)
            found = next(opponent.broken(), None)
            outcome = self._judge(claim, part)
            self.noticed.setdefault(what, Noticed()).add(outcome, found is not None)
            if outcome is Outcome.PROVED and found is not None:
                self._examination.tally.wrong.append(
                    f"slice {part.index}: {what}, which was proved, is wrong at {found.tolist()}"
                )


def _lines(bundle: redy.Bundle, examination: Examination) -> Iterator[str]:
    tally, phases = examination.tally, examination.phases.tally
    slices = len(bundle.slices)
    yield f"{tally.points:,} points looked at, {tally.exact:,} of them in exact arithmetic"
    if tally.on_winner < slices:
        yield f"{slices - tally.on_winner} slices whose outputs were proved:"
        yield f"  largest difference {tally.difference:.3e}; onnxruntime's: {tally.deviation:.3e}"
        if tally.share > 0.0:
            yield (
                f"  that is {tally.share:.1%} of the error promised; on a slice, up to "
                f"{tally.share_proved:.1%} of the error proved"
            )
    if tally.on_winner:
        yield f"{tally.on_winner} slices whose winner was proved:"
        yield f"  smallest margin of the original's winner {tally.margin:.3e}"
        yield f"  nearest to another winner {tally.excess:.3e}: the smaller of both margins"
    yield (
        f"{phases.claims.sum()} proved phases attacked, smallest margin {phases.margin.min():.3e}, "
        f"{len(phases.contradictions)} contradictions"
    )
    yield f"{tally.refuted} refuted phases replayed in onnxruntime"
    yield f"{len(tally.wrong) + len(phases.contradictions)} violations"


def _table(noticed: dict[str, Noticed]) -> Iterator[str]:
    yield "| spoiled | claims | broken by the attack | refuted by redy | of these broken | proved |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for what, n in noticed.items():
        yield f"| {what} | {n.tried} | {n.found} | {n.false} | {n.false_found} | {n.true} |"


def main(  # noqa: PLR0917 - typer reads the options from the parameters
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE")],
    net: Annotated[Path, typer.Argument(metavar="NET")],
    points: Annotated[int, typer.Option(help="Points per slice, before any ascent.")] = 100_000,
    starts: Annotated[int, typer.Option(help="Ascents per output and side.")] = 24,
    steps: Annotated[int, typer.Option(help="Steps of each ascent.")] = 60,
    sabotage: Annotated[bool, typer.Option(help="Attack false claims as well.")] = False,
    judge_budget: Annotated[int, typer.Option(help="Boxes to judge a false claim.")] = 20_000,
    seed: Annotated[int, typer.Option(help="Draws the points.")] = 0,
) -> None:
    """Attack a bundle; exit code 1 if a promise, a phase or a witness is wrong."""
    begin = time.perf_counter()
    simplified, loaded = redy.open(bundle), redy.load(net)
    if loaded.network.sha256 != simplified.network.sha256:
        raise UsageError(f"{bundle} was not made from {net}")
    strength = Strength(points, starts, steps)
    examination = Examination(simplified, Reference(loaded), strength)
    for part in simplified.slices:
        examination.run(part, np.random.default_rng([seed, part.index]))
    print(f"{bundle.name}: {len(simplified.slices)} slices, guarantee {simplified.guarantee}")
    print("\n".join(_lines(simplified, examination)))
    print(f"{time.perf_counter() - begin:.0f} s")
    if sabotage:
        spoiler = Sabotage(examination, Judge(loaded.network, judge_budget), strength)
        for part in simplified.slices:
            spoiler.run(part, np.random.default_rng([seed, part.index, 1]))
        print("\n".join(["", *_table(spoiler.noticed)]))
    wrong = examination.tally.wrong + examination.phases.tally.contradictions
    print("".join(f"{line}\n" for line in wrong), end="", file=sys.stderr)
    if wrong:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
