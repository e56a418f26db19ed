"""Inequalities on what an original and an edited network compute, and a problem that takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf

import numpy as np
from scipy import sparse

from redy.encodings.builder import ZERO
from redy.solvers.problem import Problem


@dataclass(frozen=True)
class Row:
    """The inequality  sum of original[i] f_i  +  sum of difference[i] (f'_i - f_i)  >=  least.

    f are the pre-activations compared, the outputs as a rule. Factors are small whole numbers, so
    that no rounding comes in.
    """

    original: Mapping[int, int]
    difference: Mapping[int, int]
    least: float


@dataclass(frozen=True, eq=False)
class Duplicated:
    """A problem whose points include, for every input of a box, both networks' values there.

    Attributes:
        base: the problem, with objective zero.
        inputs: columns of the inputs.
        original: columns of f.
        second: columns of f' (plain) or of f' - f, ZERO where that is structurally zero.
        plain: which of the two.
    """

    base: Problem
    inputs: np.ndarray
    original: np.ndarray
    second: np.ndarray
    plain: bool

    def having(self, rows: Sequence[Row]) -> Problem:
        """The points that satisfy all ``rows`` besides."""
        return with_rows(self.base, [(self.terms(row), row.least) for row in rows])

    def terms(self, row: Row) -> dict[int, int]:
        """The left-hand side of ``row``: column -> factor."""
        terms: dict[int, int] = {}
        for i, factor in row.original.items():
            _add(terms, int(self.original[i]), factor)
        for i, factor in row.difference.items():
            _add(terms, int(self.second[i]), factor)
            if self.plain:
                _add(terms, int(self.original[i]), -factor)
        return {column: factor for column, factor in terms.items() if factor}


def _add(terms: dict[int, int], column: int, factor: int) -> None:
    if column != ZERO:
        terms[column] = terms.get(column, 0) + factor


def with_rows(problem: Problem, rows: Sequence[tuple[Mapping[int, float], float]]) -> Problem:
    """``problem`` with the rows  sum of terms[j] x_j >= least  for each (terms, least)."""
    columns = [np.array([*terms], dtype=int) for terms, _ in rows]
    matrix = sparse.csr_array(
        (
            np.concatenate([np.zeros(0), *([*terms.values()] for terms, _ in rows)]),
            np.concatenate([np.zeros(0, dtype=int), *columns]),
            np.cumsum([0, *(part.size for part in columns)]),
        ),
        shape=(len(rows), problem.lower.size),
    )
    return replace(
        problem,
        rows=sparse.csr_array(sparse.vstack([problem.rows, matrix])),
        row_lower=np.concatenate([problem.row_lower, [least for _, least in rows]]),
        row_upper=np.concatenate([problem.row_upper, np.full(len(rows), inf)]),
    )
