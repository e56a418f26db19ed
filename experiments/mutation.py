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

_ROOT = Path(__file__).resolve().parents[1]
_COPIED = ("redy", "tests", "acasxu_nets", "pyproject.toml")

_TESTS = {
    "branching": [
        ["tests/unit/test_branching.py", "-k", "not samples_of"],
        ["tests/property/test_phase_exact.py"],
    ],
    "bounds": [["tests/unit/test_bounds.py"], ["tests/property/test_bounds_exact.py"]],
}
"""Package -> arguments of pytest, the quick tests first."""

_PATIENCE = 120
"""Seconds after which a test that loops for ever has noticed; each run takes less than a minute."""


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
_PACKED = "branching/packed.py"
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
        "if row[g] <= worthwhile:",
        "if row[g] >= -worthwhile:",
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
    Mutation(
        "pre-slack of the target dropped", _BOX, "slack = ws.pre_slack[unit]\n", "slack = 0.0\n"
    ),
    Mutation(
        "slack not in the bound",
        _BOX,
        "reach = (_radius(row, count) + slack) *",
        "reach = _radius(row, count) *",
    ),
    Mutation(
        "radius not in the bound",
        _BOX,
        "reach = (_radius(row, count) + slack) *",
        "reach = slack *",
    ),
    Mutation(
        "radius of the bound not rounded upward",
        _BOX,
        "(1.0 + 16.0 * (count + 1) * UNIT_ROUNDOFF) + TINY",
        "1.0",
        "_radius rounds upward itself and the slack has a margin",
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
        "_radius(ws.pre_form[unit], count) + ws.pre_slack[unit]",
        "_radius(ws.pre_form[unit], count)",
    ),
    Mutation(
        "radius not in the plain bounds",
        _BOX,
        "_radius(ws.pre_form[unit], count) + ws.pre_slack[unit]",
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
    Mutation(
        "bound of the target of the wrong side",
        _BOX,
        "bound = lower if sign > 0 else -upper",
        "bound = lower if sign > 0 else -lower",
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
        "too small a box forgotten", _LAYER, "state[i] = GIVEN_UP  # the box", "pass  # the box"
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
        "following[1 - side][half, d] = middle",
        "following[0][half, d] = middle",
    ),
    Mutation("refuted without an error bound", _LAYER, "< -error[unit]\n", "< 0.0\n"),
    Mutation(
        "refuted by the other sign",
        _LAYER,
        "sign[i] * value[unit] <",
        "-sign[i] * value[unit] <",
    ),
    Mutation("open for one sign only", _LAYER, "or (sign < 0 and known_upper > 0.0)", ""),
    Mutation(
        "root bounds of a smaller box",
        _LAYER,
        "        if root:\n            known_lower",
        "        if True:\n            known_lower",
    ),
    Mutation(
        "proved phase of the wrong sign",
        _LAYER,
        "known_lower[unit] = max(known_lower[unit], 0.0)",
        "known_upper[unit] = min(known_upper[unit], 0.0)",
    ),
    Mutation("budget overrun", _LAYER, "if 2 * still <= room:", "if still <= room:"),
    Mutation(
        "witness outside of the slice",
        _LAYER,
        "point[d] = min(max(corner, inner[0][d]), inner[1][d])",
        "point[d] = corner",
    ),
    Mutation("at the root whatever happened", _LAYER, "at_root[i] = root", "at_root[i] = True"),
    Mutation("refuted by an infinite value", _LAYER, "isfinite(value[unit]) and ", ""),
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
        for package in sorted({m.file.split("/")[0] for m in chosen}):
            if _notices(root, package):
                print(f"error: the tests of {package} fail without any mutation")
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
        caught = _notices(root, mutation.file.split("/")[0])
    finally:
        path.write_text(text)
    reason = f" ({mutation.equivalent})" if mutation.equivalent else ""
    print(f"{'caught  ' if caught else 'SURVIVED'} {mutation.name}{'' if caught else reason}")
    sys.stdout.flush()
    return caught


def _notices(root: Path, package: str) -> bool:
    """Whether a test of ``package`` fails; those that need published networks are skipped."""
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    for arguments in _TESTS[package]:
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
