"""``redy verify``: the work of :mod:`redy.verification`, spread over processes, with progress."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import inf

import numpy as np

from redy.dispatch.bundle import Bundle
from redy.domain import Box
from redy.errors import DomainError, UsageError
from redy.formats.networks import LoadedNetwork
from redy.guarantee import EXACT, Guarantee
from redy.network.pair import require_alike
from redy.run.gauge import Gauge
from redy.run.spread import Workers
from redy.run.steps import Steps
from redy.slicing.grid import Grid, sample
from redy.slicing.mid import Mid
from redy.verification.answer import Answer, Finding, Outcome
from redy.verification.mid import Ground, not_refuted
from redy.verification.networks import decide_networks
from redy.verification.parts import Effort, Examined, Part, Task
from redy.verification.promise import Promise
from redy.verification.slices import Checked, SliceChecker, SliceTask
from redy.verification.subject import Subject

NETWORK_BUDGET = 200_000
"""Boxes for two networks, if no budget is given."""

SLICE_BUDGET = 50_000
"""Boxes for each slice of a bundle, if no budget is given."""

_TASK_SLICES = 8

EXIT_CODES = {Outcome.PROVED: 0, Outcome.REFUTED: 10, Outcome.UNKNOWN: 11}
"""How ``redy verify`` ends."""


@dataclass(frozen=True, eq=False)
class Options:
    """What is to be proved, and at what cost.

    Attributes:
        domain: where; None for the domain that one of both brings.
        guarantee: what; None for the bundle's own, ``exact`` for two networks.
        budget: boxes in all, or for each slice of a bundle.
        time_limit: seconds for everything.
        jobs: processes.
        slices: of two networks, how many parts the domain is cut into to begin with.
        sample, seed: of a bundle, a random sample of the slices instead of all.
    """

    domain: Box | None = None
    guarantee: Guarantee | None = None
    budget: int | None = None
    time_limit: float | None = None
    jobs: int = 1
    slices: int | None = None
    sample: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.jobs < 1 or (self.budget is not None and self.budget < 1):
            raise UsageError("--jobs and --budget must be positive")
        if self.time_limit is not None and not self.time_limit > 0:
            raise UsageError("--time-limit must be positive")

    @property
    def deadline(self) -> float:
        """When everything has to end, as of ``time.time``."""
        return inf if self.time_limit is None else time.time() + self.time_limit


def verify(
    first: LoadedNetwork, second: LoadedNetwork | Bundle, options: Options, gauge: Gauge
) -> Answer:
    """Whether ``second`` keeps the guarantee to ``first`` on the domain.

    Raises:
        UsageError: no domain, or options that do not go together.
        NetworkError: the numbers of inputs or outputs differ.
        DomainError: a domain of another dimension, or beyond that of the bundle.
        KeyboardInterrupt: after Ctrl-C; the processes are ended.
    """
    begin = time.time()
    with gauge:
        if isinstance(second, Bundle):
            return _Bundle(first, second, options, gauge).answer(begin)
        return _networks(first, second, options, gauge, begin)


def _networks(
    first: LoadedNetwork, second: LoadedNetwork, options: Options, gauge: Gauge, begin: float
) -> Answer:
    if options.sample is not None:
        raise UsageError("--sample goes with a bundle; two networks are compared everywhere")
    require_alike(first.network, second.network)
    domain = options.domain or first.domain or second.domain
    if domain is None:
        raise UsageError("neither network brings a domain of its own; give one with --domain")
    domain.require_dimension(first.network.inputs)
    guarantee = (options.guarantee or EXACT).on(first.network, domain)
    slicing = Grid.bisecting(domain, options.slices or 1)
    ends = slicing.boxes(np.arange(slicing.slices))
    shares = _shares(*ends, domain)
    parts = [Part(Box(*box), share) for *box, share in zip(*ends, shares, strict=True)]
    gauge.start("boxes", options.budget or NETWORK_BUDGET)

    def told(boxes: int, _: int, proved: float) -> None:
        gauge.reach(boxes, f"{proved:.2%} of the volume proved")

    finding = decide_networks(
        Subject(first),
        Subject(second),
        Promise(guarantee),
        parts,
        Effort(options.budget or NETWORK_BUDGET, options.deadline),
        _Ordered(options.jobs),
        told,
    )
    rounded = (*first.rounded, *second.rounded)
    return Answer(finding, guarantee, time.time() - begin, import_rounded=rounded)


@dataclass(frozen=True)
class _Ordered:
    """A :data:`redy.verification.parts.Spread` over processes; results in the tasks' order."""

    jobs: int

    def __call__(
        self, prover: Callable[[Task], Examined], tasks: Sequence[Task]
    ) -> Iterable[Examined]:
        numbered = list(enumerate(tasks))
        found = Workers(self.jobs, Steps())("", _Numbered(prover), numbered)
        return [examined for _, examined in sorted(found, key=lambda pair: pair[0])]


@dataclass(frozen=True)
class _Numbered:
    """Applies ``prover`` to a numbered task, and keeps the number."""

    prover: Callable[[Task], Examined]

    def __call__(self, task: tuple[int, Task]) -> tuple[int, Examined]:
        return task[0], self.prover(task[1])


def _shares(lower: np.ndarray, upper: np.ndarray, domain: Box) -> np.ndarray:
    """The share of the domain's volume that boxes (n, inputs) have; inputs of no width aside."""
    wide = domain.lower < domain.upper
    half = 0.5 * domain.upper[wide] - 0.5 * domain.lower[wide]  # the width might overflow
    return np.asarray(((0.5 * upper[:, wide] - 0.5 * lower[:, wide]) / half).prod(axis=1))


class _Bundle:
    """A network and a bundle."""

    def __init__(
        self, first: LoadedNetwork, bundle: Bundle, options: Options, gauge: Gauge
    ) -> None:
        if options.slices is not None:
            raise UsageError("--slices goes with two networks; a bundle has its own slices")
        require_alike(first.network, bundle.network)
        self._bundle, self._options, self._gauge = bundle, options, gauge
        self._domain = options.domain or bundle.domain
        self._domain.require_dimension(first.network.inputs)
        covered = bundle.domain.contains(np.stack([self._domain.lower, self._domain.upper]))
        if not covered.all():
            raise DomainError(
                "the domain reaches beyond that of the bundle, which says nothing out there"
            )
        self._guarantee = options.guarantee or bundle.guarantee
        self._guarantee = self._guarantee.on(first.network, self._domain)
        self._promise = Promise(self._guarantee)
        self._rounded = first.rounded
        self._ground = Ground.of(first, bundle, self._domain)
        compared = first if self._ground is None else self._ground.suffix
        self._checker = SliceChecker(compared, bundle.base, bundle.slicing, self._promise)
        self._effort = Effort(options.budget or SLICE_BUDGET, options.deadline)

    def answer(self, begin: float) -> Answer:
        """What becomes of the bundle."""
        unsound = None if self._ground is None else self._ground.unsound()
        if unsound is not None:
            return self._answer(self._whole(unsound), begin)
        wanted, boxes, shares = self._slices()
        chosen = np.arange(len(wanted))
        if self._options.sample is not None:
            chosen = sample(len(wanted), self._options.sample, self._options.seed)
        self._gauge.start("slices", len(chosen))
        # In random order the estimate of the time left is honest from the start.
        order = np.random.default_rng(0).permutation(chosen)
        total = _Total(dict(zip(wanted.tolist(), shares.tolist(), strict=True)))
        tasks = [self._task(int(wanted[i]), Box(*boxes[:, i])) for i in order]
        size = max(1, min(_TASK_SLICES, len(tasks) // (4 * self._options.jobs)))
        batches = [tasks[start : start + size] for start in range(0, len(tasks), size)]
        results = Workers(self._options.jobs, Steps())("", self._checker, batches)
        for checked in results:
            total.add(checked if self._ground is None else map(_not_refuted, checked))
            self._gauge.reach(total.done, f"{total.counts['proved']} proved")
            if total.refuted is not None:
                break
        counts = {
            "total": self._bundle.slicing.slices,
            "simplified": len(self._bundle.done),
            "asked": len(chosen),
            "checked": total.done,
            **{outcome.value: total.counts[outcome.value] for outcome in Outcome},
        }
        sampled = len(chosen) < len(wanted)
        finding = self._whole(total.finding(len(chosen), self._unchanged(wanted)))
        if finding.outcome is Outcome.PROVED and not sampled:
            finding = replace(finding, proved=1.0)  # and not what shares add up to
        return self._answer(finding, begin, counts, sampled)

    def _answer(
        self,
        finding: Finding,
        begin: float,
        counts: dict[str, int] | None = None,
        sampled: bool = False,
    ) -> Answer:
        slicing = self._bundle.slicing
        return Answer(
            finding,
            self._guarantee,
            time.time() - begin,
            counts,
            sampled,
            self._rounded,
            slicing.seen.what if isinstance(slicing, Mid) else None,
        )

    def _whole(self, found: Finding) -> Finding:
        """``found`` of the cells of a hidden layer as one of the inputs, which alone refute."""
        if self._ground is None or found.outcome is Outcome.PROVED:
            return found
        witness = self._ground.attacked(self._promise)
        if witness is None:
            return found
        return Finding(Outcome.REFUTED, found.boxes, found.proved, inf, witness)

    def _slices(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The slices to check, their boxes (2, m, inputs) in the domain, their shares of it.

        A slice that the bundle leaves as it is needs no check against the bundle's own network.
        """
        bundle = self._bundle
        wanted = bundle.done if self._checker.own else np.arange(bundle.slicing.slices)
        if self._ground is not None:
            lower, upper = self._ground.boxes(wanted)
            meets = (lower <= upper).all(axis=1)
            shares = bundle.slicing.weights(wanted[meets])
            return wanted[meets], np.stack([lower[meets], upper[meets]]), shares
        lower, upper = bundle.slicing.boxes(wanted)
        lower, upper = np.maximum(lower, self._domain.lower), np.minimum(upper, self._domain.upper)
        meets = (lower <= upper).all(axis=1)
        lower, upper = lower[meets], upper[meets]
        return wanted[meets], np.stack([lower, upper]), _shares(lower, upper, self._domain)

    def _unchanged(self, wanted: np.ndarray) -> float:
        """The share of the domain in slices that are as they were."""
        if not self._checker.own or len(wanted) == self._bundle.slicing.slices:
            return 0.0
        if self._ground is not None:
            return max(0.0, 1.0 - float(self._bundle.slicing.weights(self._bundle.done).sum()))
        lower, upper = self._bundle.slicing.boxes(wanted)
        lower, upper = np.maximum(lower, self._domain.lower), np.minimum(upper, self._domain.upper)
        return max(0.0, 1.0 - float(_shares(lower, upper, self._domain).sum()))

    def _task(self, index: int, box: Box) -> SliceTask:
        done = self._bundle.done
        if not np.isin(index, done):
            return SliceTask(index, box, None, None, self._effort)
        part = self._bundle.slices[index]
        return SliceTask(index, box, part.replacements, part.folded, self._effort)


def _not_refuted(checked: Checked) -> Checked:
    return Checked(checked.index, not_refuted(checked.finding))


class _Total:
    """Adds up what becomes of slices; ``shares`` are those of the domain's volume."""

    def __init__(self, shares: dict[int, float]) -> None:
        self._shares = shares
        self.counts: Counter[str] = Counter()
        self.refuted: Checked | None = None
        self._unknown: Checked | None = None
        self._boxes, self._proved, self._eps = 0, 0.0, 0.0

    @property
    def done(self) -> int:
        """Slices checked."""
        return self.counts.total()

    def add(self, checked: Iterable[Checked]) -> None:
        """Count these slices."""
        for one in checked:
            found = one.finding
            self.counts[found.outcome.value] += 1
            self._boxes += found.boxes
            self._proved += self._shares[one.index] * found.proved
            self._eps = max(self._eps, found.eps)
            if found.outcome is Outcome.REFUTED:
                self.refuted = self.refuted or one
            elif found.outcome is Outcome.UNKNOWN:
                self._unknown = self._unknown or one

    def finding(self, asked: int, unchanged: float) -> Finding:
        """All together; ``unchanged`` is a share that needs no proof."""
        proved = min(1.0, self._proved + unchanged)
        if self.refuted is not None:
            witness = self.refuted.finding.witness
            return Finding(Outcome.REFUTED, self._boxes, proved, inf, witness)
        if self._unknown is not None:
            reason = (
                f"{self.counts['unknown']} slices are unknown; slice {self._unknown.index}: "
                f"{self._unknown.finding.reason}"
            )
            return Finding(Outcome.UNKNOWN, self._boxes, proved, self._eps, reason=reason)
        if self.counts["proved"] != asked:
            reason = f"{asked - self.counts['proved']} slices were not checked"
            return Finding(Outcome.UNKNOWN, self._boxes, proved, inf, reason=reason)
        return Finding(Outcome.PROVED, self._boxes, proved, self._eps)
