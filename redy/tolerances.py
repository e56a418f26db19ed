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
