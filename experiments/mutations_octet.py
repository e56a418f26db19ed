"""Mutations of redy/branching/octet.py: name, text, what takes its place, why none can tell.

As in :class:`experiments.mutation.Mutation`, whose fields these are.
"""

from __future__ import annotations

_MARGIN = (
    "gamma counts every rounding twice, and the allowance for the sums that made the form is "
    "larger than what this one step rounds"
)

_INFINITE = "infinity less a share of infinity is not a number, which bounds nothing"

OCTET = (
    # Inputs.
    (
        "octet: input reach too short",
        "_larger(upper - middle, middle - lower)",
        "_smaller_of(upper - middle, middle - lower)",
        "",
    ),
    (
        "octet: input reach not rounded upward",
        "select(reach > 0.0, reach * UPWARD + TINY, 0.0)",
        "reach",
        "",
    ),
    (
        "octet: input noise dropped",
        "net.gamma * (abs(middle) + reach + FLOOR) * UPWARD)",
        "0.0)",
        "",
    ),
    (
        "octet: inputs without width taken for zero",
        "if some((abs(middle) > 0.0) | (reach > 0.0)):",
        "if some(reach > 0.0):",
        "",
    ),
    (
        "octet: inputs around zero taken for zero",
        "if some((abs(middle) > 0.0) | (reach > 0.0)):",
        "if some(abs(middle) > 0.0):",
        "",
    ),
    # Affine steps.
    ("octet: one of four weights wrong", "+ sources[2]] if", "+ sources[1]] if", ""),
    ("octet: a source that is not there counts", "if there > 1 else 0.0", "", ""),
    (
        "octet: fourth term forgotten",
        "(w[2] * v[2] + w[3] * v[3])",
        "(w[2] * v[2] + w[3] * v[2])",
        "",
    ),
    (
        "octet: noise signed",
        "abs(w[0]), abs(w[1]), abs(w[2]), abs(w[3])",
        "w[0], w[1], w[2], w[3]",
        "",
    ),
    (
        "octet: noise of one of four units dropped",
        "s1 + _weighted(_magnitudes(w1), v)",
        "s1",
        "",
    ),
    (
        "octet: weights of another unit",
        "store(t2, e, r2 + _weighted(w2",
        "store(t2, e, r2 + _weighted(w1",
        "",
    ),
    (
        "octet: bias rounding dropped",
        "abs(net.bias[unit]) * net.gamma + FLOOR * net.gamma)",
        "FLOOR * net.gamma)",
        "",
    ),
    (
        "octet: underflow of an affine step dropped",
        "abs(net.bias[unit]) * net.gamma + FLOOR * net.gamma)",
        "abs(net.bias[unit]) * net.gamma)",
        "",
    ),
    (
        "octet: everything taken for exact",
        "slack if _reads(net, eight, layer, unit) else splat(0.0)",
        "splat(0.0)",
        "",
    ),
    (
        "octet: what reads nothing is not exact",
        "slack if _reads(net, eight, layer, unit) else splat(0.0)",
        "slack",
        "",
    ),
    (
        "octet: sum of slacks not rounded upward",
        "load(eight.pre_slack, unit) * (1.0 + net.gamma)",
        "load(eight.pre_slack, unit)",
        _MARGIN,
    ),
    # The choice of slopes.
    (
        "octet: slopes chosen on the wrong side",
        "wanted = share > worth",
        "wanted = share > -worth",
        "",
    ),
    (
        "octet: s for 1 - s",
        "to_one = weight * (1.0 - slope)",
        "to_one = weight * slope",
        "",
    ),
    ("octet: sign of s", "to_zero = (0.0 - weight) * slope", "to_zero = weight * slope", ""),
    ("octet: drop forgotten", "shift * z_center - drop, 0.0)", "shift * z_center, 0.0)", ""),
    ("octet: drop added", "shift * z_center - drop, 0.0)", "shift * z_center + drop, 0.0)", ""),
    (
        "octet: dropped where nothing is chosen",
        "select(chosen, shift * z_center - drop, 0.0)",
        "shift * z_center + drop",
        "",
    ),
    (
        "octet: row not shifted",
        "store(row, e, load(row, e) + shift * load(z, e))",
        "store(row, e, load(row, e))",
        "",
    ),
    (
        "octet: generator cancelled where nothing is chosen",
        "select(chosen, 0.0, share)",
        "0.0",
        "",
    ),
    ("octet: generator not cancelled", "select(chosen, 0.0, share)", "share", ""),
    (
        "octet: slack of the neuron behind dropped",
        "abs(shift) * z_slack + 16.0 * UNIT_ROUNDOFF",
        "16.0 * UNIT_ROUNDOFF",
        "",
    ),
    ("octet: rounding of the choice dropped", "16.0 * UNIT_ROUNDOFF * scale", "0.0 * scale", ""),
    (
        "octet: slack not in the bound",
        "(_radius(row, count) + slack) * (1.0 + 16.0",
        "_radius(row, count) * (1.0 + 16.0",
        "",
    ),
    (
        "octet: radius not in the bound",
        "(_radius(row, count) + slack) * (1.0 + 16.0",
        "slack * (1.0 + 16.0",
        "",
    ),
    ("octet: upper bound for the lower", "bound = base - reach", "bound = base + reach", ""),
    (
        "octet: bound not rounded downward",
        "    bound = bound - 2.0 * UNIT_ROUNDOFF * abs(bound)\n",
        "",
        "",
    ),
    (
        "octet: underflow of a shift dropped",
        " + TINY * (z_reach + z_slack + 1.0)",
        "",
        "",
    ),
    (
        "octet: an infinite base is a bound",
        "select(abs(base) < inf, bound, -inf)",
        "bound",
        _INFINITE,
    ),
    # Plain bounds and what is known.
    (
        "octet: slack not in the plain bounds",
        "_radius(eight.pre_form[unit], count) + load(eight.pre_slack, unit)) * UPWARD",
        "_radius(eight.pre_form[unit], count)) * UPWARD",
        "",
    ),
    (
        "octet: an infinite center is a bound",
        "finite = (abs(center) < inf) & (reach >= 0.0)",
        "finite = reach >= 0.0",
        _INFINITE,
    ),
    (
        "octet: what is not a number is exact",
        "finite = (abs(center) < inf) & (reach >= 0.0)",
        "finite = abs(center) < inf",
        "",
    ),
    (
        "octet: known bounds loosened",
        "store(row, unit, _larger(bound, load(row, unit)))",
        "store(row, unit, bound)",
        "",
    ),
    (
        "octet: chosen upper bound of the wrong sign",
        "upper = 0.0 - _lower_bound(net, eight, unit, count, -1.0)",
        "upper = 0.0 - _lower_bound(net, eight, unit, count, 1.0)",
        "",
    ),
    # ReLU.
    (
        "octet: intercept from one end only",
        "0.5 * _larger((0.0 - slope) * lower, (1.0 - slope) * upper)",
        "0.5 * ((0.0 - slope) * lower)",
        "",
    ),
    (
        "octet: intercept from the other end only",
        "0.5 * _larger((0.0 - slope) * lower, (1.0 - slope) * upper)",
        "0.5 * ((1.0 - slope) * upper)",
        "",
    ),
    (
        "octet: intercept not rounded upward",
        "(1.0 - slope) * upper) * UPWARD + TINY",
        "(1.0 - slope) * upper)",
        "",
    ),
    (
        "octet: dead where another box is active",
        "dead = upper <= 0.0",
        "dead = upper <= 1.0",
        "",
    ),
    (
        "octet: active where another box crosses",
        "crossing = (lower < 0.0) & (upper > 0.0)\n    dead",
        "crossing = (lower < -1.0) & (upper > 0.0)\n    dead",
        "",
    ),
    ("octet: slack not carried through a ReLU", "(slope * slack + 4.0", "(4.0", ""),
    (
        "octet: rounding of a ReLU dropped",
        " + 4.0 * UNIT_ROUNDOFF * (slope * reach + middle)",
        "",
        "",
    ),
    (
        "octet: slack of what is active dropped",
        "select(crossing, relaxed, slack)",
        "select(crossing, relaxed, 0.0)",
        "",
    ),
    (
        "octet: new generator forgotten",
        "store(form, generator, middle)",
        "store(form, generator, 0.0)",
        "",
    ),
    (
        "octet: noise without gamma",
        "(load(eight.slack, unit) + net.gamma * magnitude)",
        "load(eight.slack, unit)",
        "",
    ),
    (
        "octet: dead on one box taken for dead on all",
        "if net.relu[unit] and not some(load(eight.known_upper, unit) > 0.0):",
        "if net.relu[unit] and some(load(eight.known_upper, unit) <= 0.0):",
        "",
    ),
    (
        "octet: a linear unit taken for a neuron",
        "if net.relu[unit] and not some(load(eight.known_upper, unit) > 0.0):",
        "if not some(load(eight.known_upper, unit) > 0.0):",
        "",
    ),
    # Targets.
    (
        "octet: bound of the target of the wrong side",
        "_reduce(eight.known_upper, unit, 0.0 - bound)",
        "_reduce(eight.known_upper, unit, bound)",
        "",
    ),
    (
        "octet: open for one sign only",
        "return load(eight.known_upper, unit) > 0.0",
        "return load(eight.known_upper, unit) > 1e9",
        "",
    ),
)
