"""Lines in the place of ReLUs: which neurons, and which lines, for the least output error.

Lahav and Katz replace a ReLU by the line that halves its worst error on [lb, ub] (section III,
l_m). Here lines are fitted to sampled points of the slice, layer after layer, so that every line
makes up for what earlier ones changed, and the outputs get the affine correction of least largest
error (Lawson's algorithm for Chebyshev approximation). All of it only proposes.

Fitted lines differ from their ReLUs nearly everywhere, which makes proofs long. The other kind of
line is that of the phase which a neuron is in on most of the slice: it is exact there, only a
corner of the slice differs, and nothing is corrected. On slices where many neurons cross, far more
can be *proved* that way.

A set of lines is worth nothing if its error cannot be proved. A neuron that stays, and whose
pre-activation z differs by dz, adds about |dz| / 2 to the bound of every box on which it crosses
zero; so sets are chosen by their error and by how much they disturb neurons that stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from redy.search.affine import affine_basis, chebyshev
from redy.search.reduced import Reduced
from redy.search.work import Work

_FOUND_AT_ONCE = 64
_ATTACK_STEPS = 12
_BULK_SHARE = 12
"""At most one in so many of the neurons that stay is proposed in one step."""
_BULK_CAUTION = 0.6
"""Several neurons at once may use up this share of the allowed error."""
_PROSPECTS_COST = 5
"""Fits that a look at all neurons counts for, about what it takes in time."""
_DISTURBANCE = 1.0
"""Weight of the disturbance against the error; measured on hard slices of ACAS Xu, the proofs of
sets of the same size take up to 25 times fewer boxes than with 0, and hardly fewer beyond."""


@dataclass(frozen=True, eq=False)
class Proposal:
    """Neurons replaced by lines, and what is added to the outputs.

    Attributes:
        removed: (n,) bool, of the neurons of a :class:`Reduced`.
        lines: (n, 2) slope and intercept, single precision numbers.
        correction: (outputs, inputs + 1) of single precision numbers.
        error: largest output error over the sampled points.
    """

    removed: np.ndarray
    lines: np.ndarray
    correction: np.ndarray
    error: float


class Lines:
    """Lines on one slice [lower, upper] for the neurons of ``reduced``.

    ``points`` (m, inputs) are sampled; :meth:`add` takes counterexamples on.

    Attributes:
        fitted: lines are fitted; else they are those of the phases that prevail.
    """

    def __init__(
        self,
        reduced: Reduced,
        lower: np.ndarray,
        upper: np.ndarray,
        points: np.ndarray,
        *,
        fitted: bool,
    ) -> None:
        self._reduced, self.fitted = reduced, fitted
        self._lower, self._width = lower, np.where(upper > lower, upper - lower, 1.0)
        self._upper = upper
        self._none = np.zeros(reduced.count, dtype=bool)
        self._no_lines = np.zeros((reduced.count, 2))
        self._points = np.zeros((0, lower.size))
        self.add(points)

    def add(self, points: np.ndarray) -> None:
        """Sample ``points`` (m, inputs) as well."""
        self._points = np.concatenate([self._points, points])
        self._drive = self._reduced.drive(self._points)
        pre, self._post = self._reduced.forward(self._drive, self._none, self._no_lines)
        self._prevailing = self._no_lines.copy()
        self._prevailing[:, 0] = pre.max(axis=0) > -pre.min(axis=0)
        self._affine = self._affine_basis(self._points)
        self._solve = np.linalg.pinv(self._affine)
        vars(self).pop("_weight", None)  # cached of the points so far

    def _affine_basis(self, points: np.ndarray) -> np.ndarray:
        return affine_basis(points, self._lower, self._width)

    def _error(self, removed: np.ndarray) -> float:
        """Largest output error over the points with lines for ``removed`` (n,)."""
        _, _, post = self._fitted(removed)
        return float(np.abs(self._rest_of((post - self._post) @ self._reduced.output.T)).max())

    def _rest_of(self, difference: np.ndarray) -> np.ndarray:
        """What a correction by least squares leaves of ``difference`` (m, any)."""
        if not self.fitted:
            return difference
        return np.asarray(difference - self._affine @ (self._solve @ difference))

    def _prospects(self, removed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """To first order, what one more neuron would cost: (n,) error, (n,) what to order by.

        Every neuron's own line changes its post-activation, the sensitivity at each point carries
        that to the outputs: one pass backward for all neurons instead of one forward for each.
        """
        lines, pre, post = self._fitted(removed)
        slopes = np.where(removed, lines[:, 0], pre > 0)
        own = _least_squares(pre, self._post) if self.fitted else self._prevailing
        changed = own[:, 0] * pre + own[:, 1] - np.maximum(pre, 0.0)
        difference = (post - self._post) @ self._reduced.output.T
        error = np.zeros(self._reduced.count)
        for j in range(len(self._reduced.output)):
            reached = difference[:, j, None] + self._reduced.sensitivity(slopes, j) * changed
            error = np.maximum(error, np.abs(self._rest_of(reached)).max(axis=0))
        reach = np.abs(self._reduced.inner[~removed]).T @ self._weight[~removed]
        disturbed = reach * np.abs(changed).mean(axis=0)
        return error, error + _DISTURBANCE * disturbed

    @cached_property
    def _weight(self) -> np.ndarray:
        """What a disturbance of each neuron matters: its effect on outputs, if it crosses."""
        slopes = (self._post > 0).astype(float)
        outputs = range(len(self._reduced.output))
        effects = [np.abs(self._reduced.sensitivity(slopes, j)).mean(axis=0) for j in outputs]
        active = slopes.mean(axis=0)
        return np.asarray(np.max(effects, axis=0) * 4.0 * active * (1.0 - active))

    def _fitted(self, removed: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Lines, by least squares layer by layer; the pre- and post-activations they lead to."""
        if not self.fitted:
            return self._prevailing, *self._reduced.forward(self._drive, removed, self._prevailing)
        lines = np.zeros((self._reduced.count, 2))
        pres, post = np.empty_like(self._post), self._post
        for block, pre, post in self._reduced.layers(self._drive):
            pres[:, block] = pre
            post[:, block] = np.maximum(pre, 0.0)
            here = np.flatnonzero(removed[block])
            if here.size:
                z = pre[:, here]
                slope, shift = _least_squares(z, self._post[:, block][:, here]).T
                lines[block.start + here] = np.column_stack([slope, shift])
                post[:, block.start + here] = slope * z + shift
        return lines, pres, post

    def propose(self, removed: np.ndarray) -> Proposal:
        """Lines for ``removed`` (n,) and the correction of least largest error."""
        lines, _, _ = self._fitted(removed)
        return self._with_correction(removed, lines)

    def _difference(self, removed: np.ndarray, lines: np.ndarray) -> np.ndarray:
        _, post = self._reduced.forward(self._drive, removed, lines)
        return np.asarray((post - self._post) @ self._reduced.output.T)

    def _with_correction(self, removed: np.ndarray, lines: np.ndarray) -> Proposal:
        """``lines`` rounded to single precision, with the correction of least largest error."""
        lines = lines.astype(np.float32).astype(np.float64)
        difference = self._difference(removed, lines)
        if not self.fitted:
            none = np.zeros((difference.shape[1], self._points.shape[1] + 1))
            return Proposal(removed, lines, none, float(np.abs(difference).max(initial=0.0)))
        coefficients = np.stack(
            [chebyshev(self._affine, self._solve, column) for column in difference.T]
        )
        slope = -coefficients[:, 1:] / self._width
        shift = -coefficients[:, 0] - slope @ self._lower
        correction = np.column_stack([slope, shift]).astype(np.float32).astype(np.float64)
        rest = difference + self._points @ correction[:, :-1].T + correction[:, -1]
        return Proposal(removed, lines, correction, float(np.abs(rest).max(initial=0.0)))

    def attack(self, proposal: Proposal) -> np.ndarray:
        """Points (m, inputs) of large error, by projected ascent from the worst samples."""
        unit = self._affine[:, 1:]
        rest = self._rest(proposal, unit)
        worst = np.argsort(-np.abs(rest).max(axis=1))[:_FOUND_AT_ONCE]
        unit = unit[worst].clip(0.0, 1.0)
        output = np.abs(rest[worst]).argmax(axis=1)
        rows = np.arange(len(unit))
        step = 0.1
        for _ in range(_ATTACK_STEPS):
            here = np.abs(self._rest(proposal, unit)[rows, output])
            best, value = unit, here
            for d in range(unit.shape[1]):
                for side in (-step, step):
                    moved = unit.copy()
                    moved[:, d] = (moved[:, d] + side).clip(0.0, 1.0)
                    there = np.abs(self._rest(proposal, moved)[rows, output])
                    better = there > value
                    best = np.where(better[:, None], moved, best)
                    value = np.where(better, there, value)
            step = step if (value > here).any() else 0.5 * step
            unit = best
        return np.asarray(self._lower + unit * (self._upper - self._lower))

    def _rest(self, proposal: Proposal, unit: np.ndarray) -> np.ndarray:
        """Output errors (m, outputs) at relative positions ``unit`` (m, inputs)."""
        points = self._lower + unit * (self._upper - self._lower)
        drive = self._reduced.drive(points)
        _, original = self._reduced.forward(drive, self._none, self._no_lines)
        _, edited = self._reduced.forward(drive, proposal.removed, proposal.lines)
        difference = (edited - original) @ self._reduced.output.T
        return np.asarray(
            difference + points @ proposal.correction[:, :-1].T + proposal.correction[:, -1]
        )

    def errors_at(self, proposal: Proposal, points: np.ndarray) -> np.ndarray:
        """Largest output error at each of ``points`` (m, inputs): (m,)."""
        rest = self._rest(proposal, self._affine_basis(points)[:, 1:])
        return np.asarray(np.abs(rest).max(axis=1))

    def worst(self, proposal: Proposal) -> np.ndarray:
        """The sampled point (inputs,) of largest error."""
        return np.asarray(self._points[int(self.errors_at(proposal, self._points).argmax())])

    def culprit(self, removed: np.ndarray, point: np.ndarray) -> int:
        """The one of ``removed`` (n,) whose return leaves the least error at ``point``."""
        drive = self._reduced.drive(point[None])
        _, original = self._reduced.forward(drive, self._none, self._no_lines)
        errors = []
        for neuron in np.flatnonzero(removed):
            fewer = removed.copy()
            fewer[neuron] = False
            _, edited = self._reduced.forward(drive, fewer, self._prevailing)
            errors.append(np.abs((edited - original) @ self._reduced.output.T).max())
        return int(np.flatnonzero(removed)[int(np.argmin(errors))])

    def ladder(self, allowed: float, budget: int, work: Work) -> list[np.ndarray]:
        """Ever larger sets of neurons, each with an error of at most ``allowed``: (n,) bool each.

        Greedy: in every step the neurons that promise to cost least are added, several at once
        while they use up little of what is allowed. Work up to ``budget`` is spent.
        """
        removed, refused = self._none, self._none.copy()
        rungs: list[np.ndarray] = []
        end = work.left - budget
        while work.left > end:
            error, cost = self._prospects(removed)
            work.fits(_PROSPECTS_COST)
            candidates = np.flatnonzero(~removed & ~refused & (error <= allowed))
            if not candidates.size:
                break
            candidates = candidates[np.argsort(cost[candidates], kind="stable")]
            more = self._bulk(removed, candidates, allowed, work)
            for single in candidates:
                if more is not None or work.left <= end:
                    break
                work.fits(1)
                if self._error(_with(removed, [int(single)])) <= allowed:
                    more = _with(removed, [int(single)])
                else:
                    refused[single] = True
            if more is not None:
                removed = more
                rungs.append(removed)
        return rungs

    def _bulk(
        self, removed: np.ndarray, candidates: np.ndarray, allowed: float, work: Work
    ) -> np.ndarray | None:
        """``removed`` and the first few of ``candidates``, if together they cost little."""
        take = candidates.size // _BULK_SHARE
        while take > 1:
            work.fits(1)
            more = _with(removed, candidates[:take])
            if self._error(more) <= _BULK_CAUTION * allowed:
                return more
            take //= 2
        return None


def _least_squares(z: np.ndarray, h: np.ndarray) -> np.ndarray:
    """Column by column the line through the points (z, h) (m, n): (n, 2) slope and intercept."""
    middle, height = z.mean(axis=0), h.mean(axis=0)
    spread = z - middle
    square = (spread * spread).sum(axis=0)
    slope = (spread * (h - height)).sum(axis=0) / np.maximum(square, 1e-300)
    return np.column_stack([slope, height - slope * middle])


def _with(removed: np.ndarray, more: np.ndarray | list[int]) -> np.ndarray:
    both = removed.copy()
    both[more] = True
    return both
