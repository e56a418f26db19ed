"""Breaks the bounds on purpose, one line at a time, and looks whether the tests notice.

    python -m experiments.mutation [NAME ...]

Each mutation is one exact replacement in a copy of the sources; a mutation whose text is gone is an
error, and so are tests that fail without any. Kernels run interpreted, which is quicker than to
compile them. What survives is listed; exit code 1 if it is not known to be equivalent.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from experiments.mutations_octet import OCTET
from experiments.mutations_winner import BESIDE, WINNER

_ROOT = Path(__file__).resolve().parents[1]
_COPIED = ("redy", "tests", "acasxu_nets", "pyproject.toml")

_COMPARISON = [["tests/unit/test_difference.py"], ["tests/property/test_comparison_exact.py"]]

_BESIDE = [
    ["tests/unit/test_beside.py"],
    ["tests/property/test_comparison_exact.py", "-k", "beside"],
]

_TESTS = {
    "branching": [
        ["tests/unit/test_branching.py", "-k", "not samples_of"],
        ["tests/property/test_phase_exact.py"],
    ],
    "branching/octet.py": [
        ["tests/unit/test_branching.py", "-k", "octet and not samples_of"],
        ["tests/unit/test_branching.py", "-k", "not box and not octet and not samples_of"],
        ["tests/property/test_phase_exact.py"],
    ],
    "branching/winner.py": _BESIDE,
    "network/beside.py": _BESIDE,
    "branching/difference.py": _COMPARISON,
    "branching/compare.py": _COMPARISON,
    "bounds": [["tests/unit/test_bounds.py"], ["tests/property/test_bounds_exact.py"]],
}
"""Package, or file with tests of its own -> arguments of pytest, the quick tests first."""

_PATIENCE = 300
"""Seconds after which a test that loops for ever has noticed; each run takes less than half."""


@dataclass(frozen=True)
class Mutation:
    """One replacement.

    Attributes:
        name: what is broken.
        file: under redy/.
        old, new: the text, which must occur once, and what takes its place.
        equivalent: why no test can tell, if none can.
    """

    name: str
    file: str
    old: str
    new: str
    equivalent: str = ""


_BOX, _LAYER, _POINT = "branching/box.py", "branching/layer.py", "branching/point.py"
_PACKED, _OCTET = "branching/packed.py", "branching/octet.py"
_DIFFERENCE, _COMPARE = "branching/difference.py", "branching/compare.py"
_AFFINE, _CROWN = "bounds/affine.py", "bounds/crown.py"
_ZONOTOPE, _CHORD = "bounds/zonotope.py", "bounds/relaxation.py"

_MARGIN = (
    "gamma counts every rounding twice, and the allowance for the sums that made the form is "
    "larger than what this one step rounds"
)

_INFINITE = "infinity less a share of infinity is not a number, which bounds nothing"

MUTATIONS = (
    # Inputs.
    Mutation("input reach too short", _BOX, "reach = max(upper[d]", "reach = min(upper[d]"),
    Mutation("input reach not rounded upward", _BOX, "reach * UPWARD + TINY", "reach"),
    Mutation(
        "input noise dropped",
        _BOX,
        "ws.noise[d] = net.gamma * (abs(middle) + reach + FLOOR) * UPWARD",
        "ws.noise[d] = 0.0",
    ),
    Mutation(
        "input noise without the middle", _BOX, "(abs(middle) + reach + FLOOR)", "(reach + FLOOR)"
    ),
    Mutation(
        "input noise without the reach",
        _BOX,
        "(abs(middle) + reach + FLOOR)",
        "(abs(middle) + FLOOR)",
    ),
    Mutation(
        "underflow of the input noise dropped",
        _BOX,
        "(abs(middle) + reach + FLOOR)",
        "(abs(middle) + reach)",
    ),
    Mutation(
        "inputs around zero taken for zero",
        _BOX,
        "if middle != 0.0 or reach > 0.0:",
        "if middle != 0.0:",
    ),
    Mutation(
        "inputs without width taken for zero",
        _BOX,
        "if middle != 0.0 or reach > 0.0:",
        "if reach > 0.0:",
    ),
    # Affine steps.
    Mutation("the last terms taken for unread", _BOX, "            reads |= w != 0.0\n", ""),
    Mutation(
        "the second of four terms taken for unread",
        _BOX,
        "w0 != 0.0 or w1 != 0.0 or",
        "w0 != 0.0 or",
    ),
    Mutation("everything taken for exact", _BOX, "* (1.0 + net.gamma) if reads else 0.0", "* 0.0"),
    Mutation("what reads nothing is not exact", _BOX, " if reads else 0.0", ""),
    Mutation("bias rounding dropped", _BOX, "slack = abs(center) * net.gamma + ", "slack = "),
    Mutation(
        "underflow of an affine step dropped",
        _BOX,
        "abs(center) * net.gamma + FLOOR * net.gamma",
        "abs(center) * net.gamma",
    ),
    Mutation(
        "noise of four terms dropped",
        _BOX,
        "slack += (abs(w0) * ws.noise[p0] + abs(w1) * ws.noise[p1]) + (",
        "slack += 0.0 * (",
    ),
    Mutation(
        "noise of the second of four terms dropped",
        _BOX,
        " + abs(w1) * ws.noise[p1]) + (",
        ") + (",
    ),
    Mutation(
        "noise of the last terms dropped", _BOX, "slack += abs(w) * ws.noise[p]", "slack += 0.0"
    ),
    Mutation("noise signed", _BOX, "slack += abs(w) * ws.noise[p]", "slack += w * ws.noise[p]"),
    Mutation(
        "third form of four forgotten", _BOX, "w1 * f1[e] + w2 * f2[e]", "w1 * f1[e] + w2 * f1[e]"
    ),
    Mutation(
        "generators of later layers forgotten",
        _BOX,
        "for e in range(have):\n                target[e] += w * f[e]",
        "for e in range(min(have, net.start[1])):\n                target[e] += w * f[e]",
    ),
    Mutation(
        "sum of slacks not rounded upward",
        _BOX,
        "slack * (1.0 + net.gamma)",
        "slack",
        _MARGIN,
    ),
    # The choice of slopes.
    Mutation(
        "slopes chosen on the wrong side",
        _BOX,
        "if row[g] <= worthwhile or",
        "if row[g] >= -worthwhile or",
    ),
    Mutation(
        "s for 1 - s",
        _BOX,
        "to_one = weight * (1.0 - ws.slope[g])",
        "to_one = weight * ws.slope[g]",
    ),
    Mutation(
        "sign of s", _BOX, "to_zero = -weight * ws.slope[g]", "to_zero = weight * ws.slope[g]"
    ),
    Mutation(
        "drop forgotten",
        _BOX,
        "base += shift * ws.pre_center[neuron] - drop",
        "base += shift * ws.pre_center[neuron]",
    ),
    Mutation(
        "center forgotten", _BOX, "base += shift * ws.pre_center[neuron] - drop", "base -= drop"
    ),
    Mutation(
        "drop added",
        _BOX,
        "base += shift * ws.pre_center[neuron] - drop",
        "base += shift * ws.pre_center[neuron] + drop",
    ),
    Mutation("row not shifted", _BOX, "row[e] += shift * z[e]", "row[e] += 0.0"),
    Mutation("generator not cancelled", _BOX, "        row[g] = 0.0\n", ""),
    Mutation(
        "slack of the neuron behind dropped",
        _BOX,
        "abs(shift) * ws.pre_slack[neuron] + 16.0",
        "16.0",
    ),
    Mutation(
        "slack of the neuron behind signed",
        _BOX,
        "slack += abs(shift) * ws.pre_slack[neuron]",
        "slack += shift * ws.pre_slack[neuron]",
    ),
    Mutation("rounding of the choice dropped", _BOX, "16.0 * UNIT_ROUNDOFF * scale", "0.0 * scale"),
    Mutation(
        "scale without what moved",
        _BOX,
        "scale += moved + drop",
        "scale += 0.0 * moved",
        "a choice that pays moves no more than the form has, but for its rounding",
    ),
    Mutation("pre-slack of the target dropped", _BOX, "ws.pre_slack[unit], 0.0)", "0.0, 0.0)"),
    Mutation(
        "slack not in the bound",
        _BOX,
        "reach = (radius_of(row, count) + apart + slack) *",
        "reach = (radius_of(row, count) + apart) *",
    ),
    Mutation(
        "radius not in the bound",
        _BOX,
        "reach = (radius_of(row, count) + apart + slack) *",
        "reach = (apart + slack) *",
    ),
    Mutation(
        "radius of the bound not rounded upward",
        _BOX,
        "        1.0 + 16.0 * (count + 1) * UNIT_ROUNDOFF\n",
        "        1.0\n",
        "radius_of rounds upward itself and the slack has a margin",
    ),
    Mutation(
        "bound not rounded downward",
        _BOX,
        "return bound - 2.0 * UNIT_ROUNDOFF * abs(bound)",
        "return bound",
    ),
    Mutation("upper bound for the lower", _BOX, "bound = base - reach", "bound = base + reach"),
    Mutation(
        "rest of the cancelled generator dropped",
        _BOX,
        "slack += abs(row[g] - drop) + TINY",
        "slack += TINY",
        "the allowance for rounding pays for it, and TINY times the reach if it underflows",
    ),
    Mutation(
        "underflow of a shift dropped",
        _BOX,
        " + TINY * (ws.reach[g] + ws.pre_slack[neuron] + 1.0)",
        "",
    ),
    Mutation(
        "an infinite base is a bound",
        _BOX,
        " if isfinite(base) else -inf",
        "",
        _INFINITE,
    ),
    # Plain bounds.
    Mutation(
        "an infinite center is a bound",
        _BOX,
        "if not isfinite(ws.pre_center[unit]):",
        "if False:",
        _INFINITE,
    ),
    Mutation(
        "what has no slack has no radius",
        _BOX,
        "if reach == 0.0:",
        "if ws.pre_slack[unit] == 0.0:",
        "only what has no form has no slack",
    ),
    Mutation(
        "slack not in the plain bounds",
        _BOX,
        "(radius_of(ws.pre_form[unit], count) + ws.pre_slack[unit]",
        "(radius_of(ws.pre_form[unit], count)",
    ),
    Mutation(
        "radius not in the plain bounds",
        _BOX,
        "(radius_of(ws.pre_form[unit], count) + ws.pre_slack[unit]",
        "ws.pre_slack[unit]",
    ),
    Mutation(
        "plain lower bound not rounded downward",
        _BOX,
        "lower - 2.0 * UNIT_ROUNDOFF * abs(lower) - TINY",
        "lower",
        _MARGIN,
    ),
    Mutation(
        "plain upper bound not rounded upward",
        _BOX,
        "upper + 2.0 * UNIT_ROUNDOFF * abs(upper) + TINY",
        "upper",
        _MARGIN,
    ),
    Mutation(
        "radius not rounded upward", _BOX, "* (1.0 + 2.0 * count * UNIT_ROUNDOFF)", "* 1.0", _MARGIN
    ),
    Mutation(
        "radius forgets its last generator",
        _BOX,
        "return _magnitude(row, count) *",
        "return _magnitude(row, count - 1) *",
    ),
    # What is known.
    Mutation(
        "lower and upper swapped",
        _BOX,
        "if lower > known_lower[unit]:\n        known_lower[unit] = lower\n    if upper",
        "if upper > known_lower[unit]:\n        known_lower[unit] = upper\n    if upper",
    ),
    Mutation(
        "chosen upper bound of the wrong sign",
        _BOX,
        "upper = -_lower_bound(net, ws, unit, count, -1.0)",
        "upper = -_lower_bound(net, ws, unit, count, 1.0)",
    ),
    Mutation(
        "known bounds loosened",
        _BOX,
        "        if lower > known_lower[unit]:\n            known_lower[unit] = lower\n        if",
        "        known_lower[unit] = lower\n        if",
    ),
    # ReLU.
    Mutation(
        "intercept from one end only",
        _BOX,
        "0.5 * max(-slope * lower, (1.0 - slope) * upper)",
        "0.5 * (-slope * lower)",
    ),
    Mutation(
        "intercept from the other end only",
        _BOX,
        "0.5 * max(-slope * lower, (1.0 - slope) * upper)",
        "0.5 * ((1.0 - slope) * upper)",
    ),
    Mutation("intercept from the smaller end", _BOX, "0.5 * max(-slope", "0.5 * min(-slope"),
    Mutation(
        "intercept not rounded upward",
        _BOX,
        "upper) * UPWARD + TINY\n    reach",
        "upper)\n    reach",
    ),
    Mutation(
        "slope of the other end",
        _BOX,
        "slope = upper / (upper - lower)",
        "slope = lower / (lower - upper)",
    ),
    Mutation(
        "intercept not added",
        _BOX,
        "slope * ws.pre_center[unit] + middle\n",
        "slope * ws.pre_center[unit]\n",
    ),
    Mutation(
        "form not scaled",
        _BOX,
        "ws.form[unit, e] = slope * ws.pre_form[unit, e]",
        "ws.form[unit, e] = ws.pre_form[unit, e]",
    ),
    Mutation("slack not carried through a ReLU", _BOX, "slope * ws.pre_slack[unit] + 4.0", "4.0"),
    Mutation(
        "rounding of a ReLU dropped", _BOX, " + 4.0 * UNIT_ROUNDOFF * (slope * reach + middle)", ""
    ),
    Mutation("new generator forgotten", _BOX, "    ws.form[unit, generator] = middle\n", ""),
    Mutation(
        "old generators left in a linear form",
        _BOX,
        "= ws.pre_form[unit, e]\n    for e in range(before, after):\n        ws.form[unit, e] = 0",
        "= ws.pre_form[unit, e]\n    for e in range(before, before):\n        ws.form[unit, e] = 0",
    ),
    Mutation(
        "slack of a linear unit dropped",
        _BOX,
        "ws.slack[unit] = ws.pre_slack[unit]",
        "ws.slack[unit] = 0.0",
    ),
    Mutation(
        "noise without gamma", _BOX, "(ws.slack[unit] + net.gamma * magnitude)", "(ws.slack[unit])"
    ),
    Mutation(
        "noise without slack",
        _BOX,
        "(ws.slack[unit] + net.gamma * magnitude)",
        "(net.gamma * magnitude)",
    ),
    Mutation(
        "noise without the center", _BOX, "magnitude = abs(ws.center[unit]) + ", "magnitude = "
    ),
    Mutation(
        "crossing taken for active",
        _BOX,
        "if net.relu[unit] and known_lower[unit] < 0.0:\n",
        "if net.relu[unit] and known_lower[unit] < -1.0:\n",
    ),
    Mutation(
        "crossing taken for inactive",
        _BOX,
        "if net.relu[unit] and known_upper[unit] <= 0.0:\n            continue\n        if",
        "if net.relu[unit] and known_upper[unit] <= 0.1:\n            continue\n        if",
    ),
    Mutation(
        "linear units taken for neurons",
        _BOX,
        "if net.relu[unit] and known_upper[unit] <= 0.0:\n            continue\n        if",
        "if known_upper[unit] <= 0.0:\n            continue\n        if",
    ),
    # A layer on a slice.
    Mutation("open boxes not counted", _LAYER, "open_boxes[i] += 1", "open_boxes[i] += 0"),
    Mutation(
        "too small a box forgotten",
        _LAYER,
        "            state[i] = GIVEN_UP\n\n",
        "            state[i] = OPEN\n\n",
    ),
    Mutation(
        "proved although open",
        _LAYER,
        "if state[i] == OPEN and open_boxes[i] == 0:",
        "if state[i] == OPEN and open_boxes[i] <= 1:",
    ),
    Mutation(
        "given up taken for proved", _LAYER, "state[worst] = GIVEN_UP", "state[worst] = PROVED"
    ),
    Mutation(
        "half of a box lost",
        _LAYER,
        "            if part & parts:\n                eight.lower[at] = middle",
        "            if part & 1:\n                eight.lower[at] = middle",
    ),
    Mutation("refuted without an error bound", _LAYER, "< -error[begin + i]\n", "< 0.0\n"),
    Mutation(
        "refuted by the other sign",
        _LAYER,
        "isfinite(value) and sign[i] * value <",
        "isfinite(value) and -sign[i] * value <",
    ),
    Mutation("open for one sign only", _LAYER, "or (sign < 0 and known_upper > 0.0)", ""),
    Mutation(
        "root bounds of a smaller box",
        _LAYER,
        "            if root:\n                for unit",
        "            if True:\n                for unit",
    ),
    Mutation(
        "proved phase of the wrong sign",
        _LAYER,
        "known_lower[unit] = max(known_lower[unit], 0.0)",
        "known_upper[unit] = min(known_upper[unit], 0.0)",
    ),
    Mutation("budget overrun", _LAYER, "if LANES * still <= room:", "if still <= room:"),
    Mutation(
        "witness outside of the slice",
        _LAYER,
        "eight.point[at] = min(max(corner, inner[0][d]), inner[1][d])",
        "eight.point[at] = corner",
    ),
    Mutation("at the root whatever happened", _LAYER, "at_root[i] = root", "at_root[i] = True"),
    Mutation("refuted by an infinite value", _LAYER, "isfinite(value) and ", ""),
    Mutation(
        "a part of a box lost",
        _LAYER,
        "for part in range(parts):\n        if _closed_part",
        "for part in range(parts - 1):\n        if _closed_part",
    ),
    Mutation(
        "a part with the ends of another",
        _LAYER,
        "lower[boxes, d] = eight.lower[d * LANES + part]",
        "lower[boxes, d] = eight.lower[d * LANES]",
    ),
    Mutation(
        "a box the less kept",
        _LAYER,
        "        boxes += 1\n    return boxes",
        "    return boxes + 1",
    ),
    Mutation(
        "value at eight points without bias",
        _POINT,
        "v0, v1 = splat(net.bias[u0]), splat(net.bias[u1])",
        "v0, v1 = splat(0.0), splat(0.0)",
    ),
    # Octets.
    *(Mutation(name, _OCTET, old, new, why) for name, old, new, why in OCTET),
    *(Mutation(name, "branching/winner.py", old, new, why) for name, old, new, why in WINNER),
    *(Mutation(name, "network/beside.py", old, new, why) for name, old, new, why in BESIDE),
    # Points.
    Mutation(
        "underflow of the error of a term dropped",
        _POINT,
        "gamma * (abs(post[p]) + FLOOR)",
        "gamma * abs(post[p])",
    ),
    Mutation("value without bias", _POINT, "total = net.bias[unit]", "total = 0.0"),
    Mutation(
        "values without ReLU",
        _POINT,
        "total if total > 0.0 or not net.relu[unit] else 0.0 * total",
        "total",
    ),
    Mutation(
        "error of the bias dropped",
        _POINT,
        "noise = (abs(net.bias[unit]) + FLOOR) * net.gamma",
        "noise = FLOOR * net.gamma",
    ),
    Mutation("error floor dropped", _POINT, "(abs(net.bias[unit]) + FLOOR)", "abs(net.bias[unit])"),
    Mutation(
        "error of the terms dropped",
        _POINT,
        "(error[p] + gamma * (abs(post[p]) + FLOOR))",
        "error[p]",
    ),
    Mutation(
        "error of earlier layers dropped",
        _POINT,
        "(error[p] + gamma * (abs(post[p]) + FLOOR))",
        "(gamma * (abs(post[p]) + FLOOR))",
    ),
    Mutation("error terms signed", _POINT, "total += abs(weights[p]) *", "total += weights[p] *"),
    # The packed network.
    Mutation("gamma of too few terms", _PACKED, "gamma(2 * (fan_in + 4))", "gamma(1)"),
    Mutation("fan-in of the narrowest layer", _PACKED, "fan_in = max(", "fan_in = min("),
    Mutation(
        "later blocks in the place of the first",
        _PACKED,
        "offset.append(position)",
        "offset.append(0)",
    ),
    # The difference.
    Mutation("any difference taken for none", _DIFFERENCE, "                same = False\n", ""),
    Mutation(
        "stale form of a difference",
        _DIFFERENCE,
        "                for e in range(count):\n                    target[e] = 0.0\n",
        "",
    ),
    Mutation(
        "noise of a difference dropped",
        _DIFFERENCE,
        "slack += abs(w) * ds.noise[p]",
        "slack += 0.0",
    ),
    Mutation(
        "noise of a difference signed",
        _DIFFERENCE,
        "slack += abs(w) * ds.noise[p]",
        "slack += w * ds.noise[p]",
    ),
    Mutation(
        "underflow of a difference dropped", _DIFFERENCE, "(slack + FLOOR * net.gamma) *", "slack *"
    ),
    Mutation(
        "own generators forgotten by consumers",
        _DIFFERENCE,
        "for e in range(capacity, capacity + have_own):",
        "for e in range(capacity, capacity):",
    ),
    Mutation(
        "radius of a difference without its own",
        _DIFFERENCE,
        "return (shared + own + ds",
        "return (shared + ds",
    ),
    Mutation(
        "radius of a difference without its slack",
        _DIFFERENCE,
        "(shared + own + ds.pre_slack[unit]) * UPWARD",
        "(shared + own) * UPWARD",
    ),
    Mutation(
        "bounds of z' without own generators",
        _DIFFERENCE,
        "around = total + _own_radius(dz, ws.row.size, ds.own[layer - 1])",
        "around = total",
    ),
    Mutation(
        "bounds of z' without slack",
        _DIFFERENCE,
        "    around += ws.pre_slack[unit] + ds.pre_slack[unit]\n",
        "",
    ),
    Mutation(
        "bounds of z' without the slack of z",
        _DIFFERENCE,
        "around += ws.pre_slack[unit] + ds.pre_slack[unit]",
        "around += ds.pre_slack[unit]",
    ),
    Mutation(
        "rounding of the sum of both forms dropped",
        _DIFFERENCE,
        "    around += 4.0 * (count + 8) * UNIT_ROUNDOFF * size + TINY\n",
        "",
        _MARGIN,
    ),
    Mutation(
        "rounding of the bounds of z' dropped",
        _DIFFERENCE,
        "margin = 8.0 * UNIT_ROUNDOFF * (size + abs(lower) + abs(upper)) + TINY",
        "margin = 0.0",
        _MARGIN,
    ),
    Mutation(
        "forms of z and dz subtracted",
        _DIFFERENCE,
        "total += abs(z[e] + dz[e])",
        "total += abs(z[e] - dz[e])",
    ),
    Mutation(
        "range of z' from dz of the wrong side",
        _DIFFERENCE,
        "lower + (ds.pre_center[unit] - reach)",
        "lower + (ds.pre_center[unit] + reach)",
    ),
    Mutation(
        "upper range of z' from the lower end",
        _DIFFERENCE,
        "upper + (ds.pre_center[unit] + reach)",
        "lower + (ds.pre_center[unit] + reach)",
    ),
    Mutation(
        "bounds of z' that overflowed",
        _DIFFERENCE,
        "if isfinite(low) and isfinite(high) and isfinite(center):",
        "if True:",
    ),
    Mutation(
        "chord of one end only",
        _DIFFERENCE,
        "0.5 * max(-slope * lower, (1.0 - slope) * upper)",
        "0.5 * (-slope * lower)",
    ),
    Mutation(
        "chord of the other end only",
        _DIFFERENCE,
        "0.5 * max(-slope * lower, (1.0 - slope) * upper)",
        "0.5 * ((1.0 - slope) * upper)",
    ),
    Mutation(
        "chord not rounded upward",
        _DIFFERENCE,
        "(1.0 - slope) * upper) * UPWARD + TINY",
        "(1.0 - slope) * upper)",
    ),
    Mutation(
        "chord without ends", _DIFFERENCE, "        return 0.0, inf\n", "        return 0.0, 0.0\n"
    ),
    Mutation(
        "removed: slope of the wrong sign", _DIFFERENCE, "terms[0] = a - p\n", "terms[0] = p - a\n"
    ),
    Mutation(
        "removed: dz taken for none",
        _DIFFERENCE,
        "terms[1] = 0.0 if ds.same[unit] else a",
        "terms[1] = 0.0",
    ),
    Mutation(
        "removed: dz whole",
        _DIFFERENCE,
        "terms[1] = 0.0 if ds.same[unit] else a",
        "terms[1] = 0.0 if ds.same[unit] else 1.0",
    ),
    Mutation(
        "removed: intercept of the wrong sign",
        _DIFFERENCE,
        "terms[2] = b - q\n",
        "terms[2] = b + q\n",
    ),
    Mutation(
        "removed: generator forgotten",
        _DIFFERENCE,
        "terms[2] = b - q\n    terms[3] = q\n",
        "terms[2] = b - q\n    terms[3] = 0.0\n",
    ),
    Mutation(
        "removed: rounding of the intercept dropped",
        _DIFFERENCE,
        "terms[5] = abs(b) + q\n",
        "terms[5] = 0.0\n",
        "whatever has a chord has noise, and without one nothing is rounded",
    ),
    Mutation(
        "removed: form of an inactive neuron not made",
        _DIFFERENCE,
        "    if terms[0] != 0.0:\n        _require_form(net, ws, layer, unit, upper)\n",
        "",
    ),
    Mutation(
        "removed: the same whatever the slope",
        _DIFFERENCE,
        "return terms[0] != 0.0 or terms[1] != 0.0 or b != 0.0 or q != 0.0",
        "return terms[1] != 0.0 or b != 0.0 or q != 0.0",
    ),
    Mutation(
        "removed: the same whatever is below",
        _DIFFERENCE,
        "return terms[0] != 0.0 or terms[1] != 0.0 or b != 0.0 or q != 0.0",
        "return terms[0] != 0.0 or b != 0.0 or q != 0.0",
    ),
    Mutation(
        "removed: the same whatever the intercept",
        _DIFFERENCE,
        "or b != 0.0 or q != 0.0",
        "or q != 0.0",
    ),
    Mutation(
        "kept: form of an inactive neuron not made",
        _DIFFERENCE,
        "    _require_form(net, ws, layer, unit, upper)\n    low, high",
        "    low, high",
    ),
    Mutation(
        "kept: inactive by its centre alone",
        _DIFFERENCE,
        "highest = center + reach + 4.0",
        "highest = center + 4.0",
    ),
    Mutation(
        "kept: inactive whatever the original is",
        _DIFFERENCE,
        "if upper <= 0.0 and upper + highest <= 0.0:",
        "if upper <= 0.0 and highest <= 1.0:",
    ),
    Mutation(
        "kept: half of half",
        _DIFFERENCE,
        "half = 0.5 * (abs(center) + reach)",
        "half = 0.25 * (abs(center) + reach)",
    ),
    Mutation(
        "kept: half without the centre",
        _DIFFERENCE,
        "half = 0.5 * (abs(center) + reach)",
        "half = 0.5 * reach",
    ),
    Mutation(
        "kept: half not rounded upward",
        _DIFFERENCE,
        "half = 0.5 * (abs(center) + reach) * UPWARD + TINY",
        "half = 0.5 * (abs(center) + reach)",
        _MARGIN,
    ),
    Mutation(
        "kept: slopes swapped",
        _DIFFERENCE,
        "terms[0] = edited_p - p\n",
        "terms[0] = p - edited_p\n",
    ),
    Mutation("kept: slope of the original", _DIFFERENCE, "terms[1] = edited_p\n", "terms[1] = p\n"),
    Mutation(
        "kept: intercepts swapped",
        _DIFFERENCE,
        "terms[2] = edited_q - q\n",
        "terms[2] = q - edited_q\n",
    ),
    Mutation(
        "kept: own generator forgotten", _DIFFERENCE, "terms[4] = edited_q\n", "terms[4] = 0.0\n"
    ),
    Mutation(
        "kept: all of dz and half of its error", _DIFFERENCE, "terms[1] = 0.5\n", "terms[1] = 1.0\n"
    ),
    Mutation(
        "kept: the same if the slopes are",
        _DIFFERENCE,
        "return terms[0] != 0.0 or terms[1] != 0.0 or q + edited_q != 0.0",
        "return terms[0] != 0.0 or q + edited_q != 0.0",
    ),
    Mutation(
        "dh: slack of z dropped",
        _DIFFERENCE,
        "        slack += abs(alpha) * ws.pre_slack[unit]\n",
        "",
    ),
    Mutation(
        "dh: slack of dz dropped",
        _DIFFERENCE,
        "        slack += abs(beta) * ds.pre_slack[unit]\n",
        "",
    ),
    Mutation(
        "dh: slack signed",
        _DIFFERENCE,
        "slack += abs(alpha) * ws.pre_slack[unit]",
        "slack += alpha * ws.pre_slack[unit]",
    ),
    Mutation(
        "dh: centre of z dropped",
        _DIFFERENCE,
        "        center += alpha * ws.pre_center[unit]\n",
        "",
    ),
    Mutation(
        "dh: own generators of dz dropped", _DIFFERENCE, "form[e] = beta * dz[e]", "form[e] = 0.0"
    ),
    Mutation(
        "dh: generator of the wrong sign",
        _DIFFERENCE,
        "form[ds.generator[unit]] = -q",
        "form[ds.generator[unit]] = q",
    ),
    Mutation(
        "dh: new generator forgotten",
        _DIFFERENCE,
        "form[capacity + own] = nu",
        "form[capacity + own] = 0.0",
    ),
    Mutation(
        "dh: rounding dropped",
        _DIFFERENCE,
        "(slack + 8.0 * UNIT_ROUNDOFF * size) * UPWARD + TINY",
        "slack * UPWARD + TINY",
    ),
    Mutation(
        "dh: noise without slack",
        _DIFFERENCE,
        "(ds.slack[unit] + net.gamma * (",
        "(0.0 + net.gamma * (",
    ),
    Mutation(
        "dh: noise without gamma",
        _DIFFERENCE,
        "net.gamma * (magnitude + abs(center) + FLOOR)) * UPWARD",
        "0.0 * magnitude) * UPWARD",
    ),
    Mutation(
        "dh: noise without the centre",
        _DIFFERENCE,
        "(magnitude + abs(center) + FLOOR)",
        "(magnitude + FLOOR)",
    ),
    Mutation(
        "dh: noise without own generators",
        _DIFFERENCE,
        "magnitude = radius_of(form, after) + _own_radius(form, capacity, own_after)",
        "magnitude = radius_of(form, after)",
    ),
    Mutation(
        "own generators share a column",
        _DIFFERENCE,
        "            own += 1\n",
        "            own += 0\n",
    ),
    Mutation(
        "linear units differ by nothing",
        _DIFFERENCE,
        "differs = not ds.same[unit]\n",
        "differs = False\n",
    ),
    Mutation(
        "generators of an earlier box",
        _DIFFERENCE,
        "        ds.generator[ws.crossing[g]] = g\n",
        "        ds.generator[ws.crossing[g]] = ws.generators[0]\n",
    ),
    Mutation(
        "correction of the centre dropped",
        _DIFFERENCE,
        "            center += c * ws.center[d]\n",
        "",
    ),
    Mutation(
        "correction of the form dropped",
        _DIFFERENCE,
        "            row[d] += c * ws.form[d, d]\n",
        "",
    ),
    Mutation(
        "shift dropped",
        _DIFFERENCE,
        "center = ds.pre_center[unit] + ed.shift[i]",
        "center = ds.pre_center[unit]",
    ),
    Mutation(
        "rounding of a correction dropped",
        _DIFFERENCE,
        "(ds.pre_slack[unit] + rounding) * UPWARD + TINY",
        "ds.pre_slack[unit]",
    ),
    Mutation(
        "a corrected output is the same", _DIFFERENCE, "            ds.same[unit] = False\n", ""
    ),
    Mutation(
        "a correction of a stale form",
        _DIFFERENCE,
        "                row[e] = 0.0\n            for e in range(capacity, capacity + own):\n",
        "                pass\n            for e in range(capacity, capacity + own):\n",
    ),
    Mutation(
        "hidden layers corrected",
        _DIFFERENCE,
        "    if last == net.start.size - 2:\n        _correct",
        "    if True:\n        _correct",
    ),
    Mutation(
        "differences forgotten below a layer without any",
        _DIFFERENCE,
        "differs |= ds.alive_count[layer] > 0",
        "differs = ds.alive_count[layer] > 0",
    ),
    Mutation(
        "one output the same is all the same",
        _DIFFERENCE,
        "net.start[last + 1]].all()",
        "net.start[last + 1]].any()",
    ),
    # Claims.
    Mutation(
        "proved, though edits were given back",
        _COMPARE,
        "PROVED if passed == 0 and given_back == 0 else GIVEN_UP",
        "PROVED if passed == 0 else GIVEN_UP",
    ),
    Mutation(
        "nothing is ever given back",
        _COMPARE,
        "        ed.removed[worst] = False\n    return worst >= 0",
        "        pass\n    return False",
    ),
    Mutation(
        "a row without its own generators",
        _COMPARE,
        "return sign * ds.pre_center[unit], ds.pre_slack[unit], apart",
        "return sign * ds.pre_center[unit], ds.pre_slack[unit], 0.0",
    ),
    Mutation(
        "a row without slack",
        _COMPARE,
        "return sign * ds.pre_center[unit], ds.pre_slack[unit], apart",
        "return sign * ds.pre_center[unit], 0.0, apart",
    ),
    Mutation(
        "a row without its sign",
        _COMPARE,
        "ws.row[e] = sign * ds.pre_form[unit, e]",
        "ws.row[e] = ds.pre_form[unit, e]",
    ),
    Mutation(
        "a pair without the slack of both",
        _COMPARE,
        "slack += ws.pre_slack[c] + ws.pre_slack[j]",
        "slack += ws.pre_slack[c]",
    ),
    Mutation(
        "a pair without the slack of the differences",
        _COMPARE,
        "            slack += ds.pre_slack[unit]\n",
        "",
    ),
    Mutation(
        "a pair with both differences of one sign",
        _COMPARE,
        "toward = 1.0 if side == 0 else -1.0",
        "toward = 1.0",
    ),
    Mutation(
        "a pair with one difference",
        _COMPARE,
        "for side in range(2):\n            unit",
        "for side in range(1):\n            unit",
    ),
    Mutation(
        "a pair with own generators that cancel",
        _COMPARE,
        "apart += abs(first - second)",
        "apart += first - second",
    ),
    Mutation(
        "own generators of the first alone",
        _COMPARE,
        "apart += abs(first - second)",
        "apart += abs(first)",
    ),
    Mutation(
        "rounding of a pair dropped",
        _COMPARE,
        "slack += (8.0 + 2.0 * (count + own)) * UNIT_ROUNDOFF * size",
        "slack += 0.0 * size",
        _MARGIN,
    ),
    Mutation(
        "a pair without its sign",
        _COMPARE,
        "        ws.row[e] *= sign\n",
        "        ws.row[e] *= 1.0\n",
    ),
    Mutation(
        "not a number is a bound",
        _COMPARE,
        "return -inf if isnan(bound) else bound",
        "return bound",
        "no comparison with not-a-number closes anything",
    ),
    Mutation(
        "plain row without own generators",
        _COMPARE,
        "+ slack + apart) * UPWARD",
        "+ slack) * UPWARD",
    ),
    Mutation("plain row without slack", _COMPARE, "+ slack + apart) * UPWARD", "+ apart) * UPWARD"),
    Mutation(
        "plain row not rounded downward",
        _COMPARE,
        "    bound -= 2.0 * UNIT_ROUNDOFF * abs(bound) + TINY\n",
        "",
        _MARGIN,
    ),
    Mutation(
        "plain row that overflowed",
        _COMPARE,
        "return bound if isfinite(bound) else -inf",
        "return bound",
        _INFINITE,
    ),
    Mutation(
        "one side of an error not looked at",
        _COMPARE,
        "        for side in range(2):\n            sign",
        "        for side in range(1, 2):\n            sign",
    ),
    Mutation(
        "within: sides swapped",
        _COMPARE,
        "sign = -1.0 if side == 0 else 1.0",
        "sign = 1.0 if side == 0 else -1.0",
    ),
    Mutation(
        "within: closed from above",
        _COMPARE,
        "            if bound >= -eps:\n                closed[2",
        "            if bound <= eps:\n                closed[2",
    ),
    Mutation(
        "within: the largest error forgotten",
        _COMPARE,
        "worst = max(worst, -bound)",
        "worst = min(worst, -bound)",
    ),
    Mutation(
        "within: the error of the last box", _COMPARE, "worst = max(worst, bound)", "worst = bound"
    ),
    Mutation(
        "within: what is open is done",
        _COMPARE,
        "            else:\n                done = False\n",
        "            else:\n",
    ),
    Mutation(
        "same: the first unit alone",
        _COMPARE,
        "if closed[i] or ds.same[unit]:",
        "if closed[i] or ds.same[unit] or i > 0:",
    ),
    Mutation(
        "winner: margin of an excluded winner of the wrong sign",
        _COMPARE,
        "            if bound >= -eps:\n                row[:] = True",
        "            if bound >= -eps - 1e-3:\n                row[:] = True",
    ),
    Mutation(
        "winner: the likely one excluded",
        _COMPARE,
        "        if c != best:\n            pair",
        "        if True:\n            pair",
    ),
    Mutation(
        "winner: likely of the other sign",
        _COMPARE,
        "if sign * ws.pre_center[unit] < sign * ws.pre_center[best]:",
        "if sign * ws.pre_center[unit] > sign * ws.pre_center[best]:",
        "any unit serves to exclude others",
    ),
    Mutation(
        "winner: a tie beats",
        _COMPARE,
        "_plain_row(ws, layer, _pair_row(ws, ds, layer, backward, sign, 3)) > 0.0",
        "_plain_row(ws, layer, _pair_row(ws, ds, layer, backward, sign, 3)) > -1e-300",
    ),
    Mutation(
        "winner: a near tie beats, with slopes",
        _COMPARE,
        "_bound_row(net, ws, layer, _pair_row(ws, ds, layer, backward, sign, 3)) > 0.0",
        "_bound_row(net, ws, layer, _pair_row(ws, ds, layer, backward, sign, 3)) > -1e-6",
    ),
    Mutation(
        "winner: beaten instead of beating", _COMPARE, "backward = (j, c)", "backward = (c, j)"
    ),
    Mutation(
        "winner: gains of the other sign",
        _COMPARE,
        "_plain_row(ws, layer, _pair_row(ws, ds, layer, backward, sign, 2)) >= -eps",
        "_plain_row(ws, layer, _pair_row(ws, ds, layer, pair, sign, 2)) >= -eps",
    ),
    Mutation(
        "winner: any gain is allowed",
        _COMPARE,
        "if _bound_row(net, ws, layer, _pair_row(ws, ds, layer, backward, sign, 2)) >= -eps:",
        "if True:",
    ),
    Mutation(
        "winner: one that is the same is enough",
        _COMPARE,
        "(ds.same[c] and ds.same[j] and eps >= 0.0)",
        "((ds.same[c] or ds.same[j]) and eps >= 0.0)",
    ),
    Mutation(
        "winner: original in the place of the edited",
        _COMPARE,
        "if _plain_row(ws, layer, _pair_row(ws, ds, layer, backward, sign, 3)) > 0.0:",
        "if _plain_row(ws, layer, _pair_row(ws, ds, layer, backward, sign, 1)) > 0.0:",
    ),
    Mutation(
        "winner: what is open is done",
        _COMPARE,
        "            done = False\n            if c != best:",
        "            if c != best:",
    ),
    Mutation("parts asked for closed", _COMPARE, "closed[0] = ~claim[3]", "closed[0] = claim[3]"),
    Mutation(
        "closed parts not reset",
        _COMPARE,
        "        closed[top] = closed[here]\n",
        "        closed[top] |= closed[here]\n",
    ),
    Mutation("passed boxes proved", _COMPARE, "            passed += 1\n", ""),
    Mutation(
        "budget spent is proved",
        _COMPARE,
        "return GIVEN_UP, examined, passed + top, worst",
        "return PROVED, examined, passed + top, worst",
    ),
    Mutation(
        "half of a box lost",
        _COMPARE,
        "        lower[top, cut] = middle\n",
        "        lower[top, cut] = upper[top, cut]\n",
    ),
    Mutation("half of a box forgotten", _COMPARE, "        top += 1\n", ""),
    Mutation(
        "bounds of a child kept for its sibling",
        _COMPARE,
        "for array in (lower, upper, known_lower, known_upper):",
        "for array in (lower, upper):",
    ),
    Mutation(
        "a negative error is allowed where nothing differs",
        _COMPARE,
        " and eps >= 0.0:\n        return True, 0.0",
        ":\n        return True, 0.0",
    ),
    Mutation(
        "refuted by a rounding error",
        _COMPARE,
        "allowed = eps + DIFFERENT * (abs(value[unit]) + abs(edited[unit]))",
        "allowed = eps - 1e-9",
    ),
    Mutation(
        "refuted outside of the slice",
        _COMPARE,
        "point[d] = min(max(middle, inner[0][d]), inner[1][d])",
        "point[d] = middle + 1.0",
    ),
    # The batched bounds.
    Mutation(
        "affine: rounding dropped",
        _AFFINE,
        "tolerances.gamma(2 * (layer.terms + 3)) * magnitudes",
        "0.0 * magnitudes",
    ),
    Mutation(
        "affine: lower rounded upward",
        _AFFINE,
        "Range(sums[0] - errors[0]",
        "Range(sums[0] + errors[0]",
    ),
    Mutation(
        "affine: upper rounded downward", _AFFINE, "sums[1] + errors[1])", "sums[1] - errors[1])"
    ),
    Mutation(
        "affine: ends swapped",
        _AFFINE,
        "torch.cat([lower, upper], 1), torch.cat([upper, lower], 1)",
        "torch.cat([upper, lower], 1), torch.cat([lower, upper], 1)",
    ),
    Mutation("affine: underflow dropped", _AFFINE, "(magnitudes + tolerances.FLOOR)", "magnitudes"),
    Mutation("affine: zero by underflow", _AFFINE, "        supported |= products > 0\n", ""),
    Mutation(
        "affine: magnitude of the bias dropped",
        _AFFINE,
        "layer.absolute.T + layer.bias.abs()",
        "layer.absolute.T",
    ),
    Mutation(
        "crown: rounding of sums dropped",
        _CROWN,
        "self.errors.append(factor * sums[..., 1])",
        "self.errors.append(0.0 * sums[..., 1])",
    ),
    Mutation(
        "crown: constants dropped",
        _CROWN,
        "self.constants.append(sums[..., 0])",
        "self.constants.append(0.0 * sums[..., 0])",
    ),
    Mutation(
        "crown: rounding of sums over skips dropped",
        _CROWN,
        "self.errors.append(tolerances.gamma(2) * magnitude)",
        "pass",
    ),
    Mutation(
        "crown: rounding of the total dropped",
        _CROWN,
        "torch.stack([*self.errors, rounding])",
        "torch.stack([*self.errors, 0.0 * rounding])",
    ),
    Mutation(
        "crown: errors added to the bound",
        _CROWN,
        "constants.sum(dim=0) - (torch",
        "constants.sum(dim=0) + (torch",
    ),
    Mutation(
        "crown: slopes swapped",
        _CROWN,
        "positive.mul_(relaxed.lower_slope).addcmul_(negative, relaxed.upper_slope)",
        "positive.mul_(relaxed.upper_slope).addcmul_(negative, relaxed.lower_slope)",
    ),
    Mutation(
        "crown: inputs swapped",
        _CROWN,
        "torch.stack([inputs.lower, magnitude], dim=-1)",
        "torch.stack([inputs.upper, magnitude], dim=-1)",
    ),
    Mutation(
        "crown: intercept dropped",
        _CROWN,
        "line.slope * layer.bias + line.intercept, -error",
        "line.slope * layer.bias, -error",
    ),
    Mutation(
        "crown: rounding of a layer dropped",
        _CROWN,
        "error = (2 * magnitude + line.intercept + tolerances.FLOOR)",
        "error = 0.0 * (magnitude)",
    ),
    Mutation(
        "crown: underflow dropped",
        _CROWN,
        "underflow=4 * tolerances.TINY * scale",
        "underflow=0.0 * scale",
    ),
    Mutation(
        "zonotope: rounding dropped",
        _ZONOTOPE,
        "tolerances.gamma(2 * (terms + 3)) * (magnitude + tolerances.FLOOR)",
        "0.0 * magnitude",
    ),
    Mutation(
        "zonotope: remainder dropped",
        _ZONOTOPE,
        "remainder = remainder + linear(post.remainder, absolute)",
        "pass",
    ),
    Mutation(
        "zonotope: remainder not in the range",
        _ZONOTOPE,
        "radius = self.spread + self.remainder + error",
        "radius = self.spread + error",
    ),
    Mutation(
        "zonotope: rounding of the range dropped",
        _ZONOTOPE,
        "tolerances.gamma(2 * (self.columns + 4)) * self.magnitude",
        "0.0 * self.magnitude",
    ),
    Mutation(
        "zonotope: box not rounded upward",
        _ZONOTOPE,
        "radius = reach * tolerances.UPWARD",
        "radius = reach",
    ),
    Mutation(
        "zonotope: box reaches to the nearer end",
        _ZONOTOPE,
        "torch.maximum(inputs.upper - centre",
        "torch.minimum(inputs.upper - centre",
    ),
    Mutation(
        "zonotope: rounding of a ReLU dropped",
        _ZONOTOPE,
        "error = tolerances.gamma(8) * (zonotope.magnitude + line.intercept)",
        "error = 0.0 * zonotope.magnitude",
        _MARGIN,
    ),
    Mutation(
        "zonotope: center not moved",
        _ZONOTOPE,
        "centre = line.slope * zonotope.centre + half",
        "centre = line.slope * zonotope.centre",
    ),
    Mutation(
        "chord: intercept of one end",
        _CHORD,
        "torch.maximum((1 - slope) * pre.upper, slope * -pre.lower)",
        "(1 - slope) * pre.upper",
    ),
    Mutation(
        "chord: intercept of the other end",
        _CHORD,
        "torch.maximum((1 - slope) * pre.upper, slope * -pre.lower)",
        "slope * -pre.lower",
    ),
    Mutation(
        "chord: intercept not rounded upward",
        _CHORD,
        "above * tolerances.UPWARD + tolerances.TINY",
        "above",
    ),
)


def main(wanted: list[str]) -> int:
    """Try the mutations named, or all; 1 if one survives that is not known to be equivalent."""
    chosen = [m for m in MUTATIONS if not wanted or m.name in wanted]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in _COPIED:
            source = _ROOT / name
            if source.is_dir():
                shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, root / name)
        for tested in sorted({_tested(m.file) for m in chosen}):
            if _notices(root, tested):
                print(f"error: the tests of {tested} fail without any mutation")
                return 1
        outcomes = [(m, _try(root, m)) for m in chosen]
    surprises = [m.name for m, caught in outcomes if not caught and not m.equivalent]
    caught = sum(caught for _, caught in outcomes)
    print(f"{caught} of {len(outcomes)} caught, {len(surprises)} surprises: {surprises}")
    return 1 if surprises else 0


def _try(root: Path, mutation: Mutation) -> bool:
    """Whether the tests notice ``mutation``."""
    path = root / "redy" / mutation.file
    text = path.read_text()
    if text.count(mutation.old) != 1:
        raise SystemExit(
            f"error: mutation {mutation.name!r}: its text occurs {text.count(mutation.old)} times "
            f"in {mutation.file}; bring it up to date"
        )
    path.write_text(text.replace(mutation.old, mutation.new))
    try:
        caught = _notices(root, _tested(mutation.file))
    finally:
        path.write_text(text)
    reason = f" ({mutation.equivalent})" if mutation.equivalent else ""
    print(f"{'caught  ' if caught else 'SURVIVED'} {mutation.name}{'' if caught else reason}")
    sys.stdout.flush()
    return caught


def _tested(file: str) -> str:
    """The entry of _TESTS for ``file``."""
    return file if file in _TESTS else file.split("/", maxsplit=1)[0]


def _notices(root: Path, tested: str) -> bool:
    """Whether a test of ``tested`` fails; those that need published networks are skipped."""
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    for arguments in _TESTS[tested]:
        # Interpreted kernels warn of overflow where compiled ones do not.
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-W", "ignore", *arguments]
        try:
            done = subprocess.run(
                command,
                cwd=root,
                env=environment,
                capture_output=True,
                check=False,
                timeout=_PATIENCE,
            )
        except subprocess.TimeoutExpired:
            return True
        if done.returncode not in {0, 1}:
            raise SystemExit(f"error: pytest: {done.returncode}\n{done.stdout.decode()}")
        if done.returncode == 1:
            return True
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
