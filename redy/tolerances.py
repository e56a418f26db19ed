"""Every tolerance redy uses, in one place; the ones a result rests on are stored with it.

The rounding model is that of Higham, *Accuracy and Stability of Numerical Algorithms* (2nd ed.,
sections 2.1, 2.2 and 3.1), for IEEE double precision rounded to nearest, with subnormal numbers: a
float64 sum of n products, in any order, with or without fused multiply-add, satisfies

    |fl(x . y) - x . y|  <=  gamma(n) * |x| . |y|  +  n * 2**-1074,

where the last term pays for products that underflow (sums do not).
"""

from __future__ import annotations

import math

UNIT_ROUNDOFF = 2.0**-53
"""u: |fl(a op b) - (a op b)| <= u |a op b| for float64, unless it underflows."""

TINY = 2.0**-1022
"""The smallest normal float64: 2**52 products that underflow cost no more, in absolute terms."""

FLOOR = TINY / UNIT_ROUNDOFF
"""Added to a sum of magnitudes, it makes gamma times the sum cover underflow, TINY, as well."""

UPWARD = 1.0 + 8.0 * UNIT_ROUNDOFF
"""A computed non-negative number times this is at least the exact one, after <= 4 roundings."""

DIFFERENT = 1e-12
"""Outputs further apart than this, relative to their size, differ at a point for the search; what
a search believes is confirmed by replay, or proves nothing."""

FOLDED = 4.0
"""How many times the rounding error of the original is allowed to a folded network, whose weights
were rounded too, before the float check takes a difference for a contradiction."""

CLOSE = {32: 1e-5, 64: 1e-12}
"""Relative to the largest output, by how much sums of another order may differ in the self-test of
exported C code, by precision in bits."""

MOST_TERMS = 2**50
"""Beyond so many terms gamma answers infinity; up to here gamma(n) <= 1/7."""


def gamma(terms: int) -> float:
    """Relative error of a sum of ``terms`` products, nu / (1 - nu), rounded upward.

    Higham, lemma 3.1. As gamma(2n) >= 2 gamma(n), calling it with twice the terms also pays for
    the rounding of the sum of magnitudes that it multiplies.
    """
    if terms > MOST_TERMS:
        return math.inf
    relative = terms * UNIT_ROUNDOFF  # exact, and so is 1 - relative: both are multiples of u
    return math.nextafter(relative / (1.0 - relative), math.inf)


# What solvers are asked for, and what is accepted from them. An answer of theirs is a claim, up to
# these, and not a proof; what is proved is recomputed in outward-rounded arithmetic.

SOLVER_TOLERANCE = 1e-9
"""Violation of a row, an end, integrality or optimality that a backend may ignore, in absolute
terms: the tightest that Gurobi takes."""

SOLVER_INFINITY = 1e20
"""Gurobi, SCIP and HiGHS take an end of at least this for none at all."""

GUROBI_SMALLEST = 1e-13
"""Gurobi drops matrix coefficients below this."""

HIGHS_SMALLEST = 1e-12
"""HiGHS drops matrix coefficients up to this (option ``small_matrix_value``, its least setting)."""

HIGHS_LARGEST = 1e15
"""HiGHS refuses matrix coefficients from this on (option ``large_matrix_value``, its default)."""

SCIP_SMALLEST = 1e-12
"""SCIP takes numbers up to this for zero (parameter ``numerics/epsilon``, set by redy)."""

POINT_TOLERANCE = 1e-6
"""A solver's point that violates a row or an end by more, relative to the magnitudes summed there
(absolutely below 1), is not taken; nor is a bound that exceeds the value of its own point by so
much."""

Z3_WORK_PER_NODE = 20_000
"""Z3 has no nodes: this much of its deterministic resource count is one."""

MILP_ABSOLUTE = 1e-6
"""By this and :data:`MILP_RELATIVE` a MILP's dual bound is moved outward before it is used. What
it guards against are a solver's own tolerances; the bound still rests on its word."""

MILP_RELATIVE = 1e-6
"""Multiplies the largest magnitude of the objective: that of its constant and of all its terms."""

WITNESS_MARGIN = 1e-5
"""A solver's point that does not survive its replay is asked for again beyond the boundary by this,
ten times POINT_TOLERANCE: a point that is off by that much still refutes."""
