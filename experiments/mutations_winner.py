"""Mutations of redy/branching/winner.py and redy/network/beside.py, and why none can tell.

As in :class:`experiments.mutation.Mutation`: name, text, what takes its place, why none can tell.
"""

from __future__ import annotations

WINNER = (
    (
        "winner: any phase agrees with the identity",
        "return eight.known_lower[at] >= 0.0 if active",
        "return eight.known_lower[at] >= -1.0 if active",
        "",
    ),
    (
        "winner: any phase agrees with zero",
        "else eight.known_upper[at] <= 0.0",
        "else eight.known_upper[at] <= 1.0",
        "",
    ),
    (
        "winner: identity and zero exchanged",
        "return eight.known_lower[at] >= 0.0 if active else eight.known_upper[at] <= 0.0",
        "return eight.known_upper[at] <= 0.0 if active else eight.known_lower[at] >= 0.0",
        "",
    ),
    (
        "winner: one edit that agrees is enough",
        "agree = True\n    for r",
        "agree = removed.size > 1\n    for r",
        "a proof less",
    ),
    (
        "winner: the last edit alone has to agree",
        "agree &= given_back[r]",
        "agree = given_back[r]",
        "",
    ),
    (
        "winner: a box is closed by the original alone",
        "closed[part] = _wins(net, eight, pairs, count, sign, best[part], part, True)",
        "closed[part] = True",
        "",
    ),
    (
        "winner: the original is taken for the edited network",
        "closed[part] = _wins(net, eight, pairs, count, sign, best[part], part, True)",
        "closed[part] = _wins(net, eight, pairs, 0, sign, best[part], part, True)",
        "",
    ),
    (
        "winner: the edited network may tie",
        "best[part], part, True)",
        "best[part], part, False)",
        "a bound has an allowance for rounding taken off, and is never zero",
    ),
    (
        "winner: a box is closed by the edited network alone",
        "ahead[part] = not wins",
        "ahead[part] = closed[part]",
        "",
    ),
    (
        "winner: the row's sign forgotten",
        "least = eight.known_lower[at] if wanted > 0 else -eight.known_upper[at]",
        "least = eight.known_lower[at]",
        "",
    ),
    (
        "winner: one rival beaten is enough",
        "if not (least > 0.0 if strictly else least >= 0.0):\n            return False",
        "if least > 0.0 if strictly else least >= 0.0:\n            return True",
        "",
    ),
    (
        "winner: proved although edits were given back",
        "return OPEN if given_back.any() else PROVED, examined, given_back",
        "return PROVED, examined, given_back",
        "",
    ),
    (
        "winner: proved when the budget is spent",
        "if examined >= budget:\n            return OPEN",
        "if examined >= budget:\n            return PROVED",
        "",
    ),
    (
        "winner: a box too small to be cut is passed over",
        "if parts == 1 and not root:\n            return OPEN",
        "if parts == 1 and not root:\n            return PROVED",
        "no box of the tests gets so small before the budget is spent",
    ),
    (
        "winner: the last parts are forgotten",
        "for part in range(parts):\n            if closed[part] or (depth",
        "for part in range(parts - 1):\n            if closed[part] or (depth",
        "",
    ),
    (
        "winner: bounds of another part inherited",
        "at = unit * LANES + part\n                known_lower[top, unit]",
        "at = unit * LANES\n                known_lower[top, unit]",
        "",
    ),
    (
        "winner: a lost winner need not be clear",
        "if clear and lost:",
        "if lost:",
        "",
    ),
)

BESIDE = (
    (
        "beside: a copy reads the original",
        "moved[:, source.column[present]] = rows[:, present]",
        "moved[:, np.flatnonzero(present)] = rows[:, present]",
        "",
    ),
    (
        "beside: what changed is read from the original too",
        "same = np.flatnonzero(~source.changed)",
        "same = np.arange(source.changed.size)",
        "",
    ),
    (
        "beside: edits by phase are searched as well",
        "(edits.codes != Edit.KEEP) & (edits.criteria != Criterion.PHASE)",
        "edits.codes != Edit.KEEP",
        "more is shown than has to be",
    ),
    (
        "beside: only neurons that are edited have copies",
        "changed = edited | _reads_changed(layer, copies)",
        "changed = edited",
        "",
    ),
    (
        "beside: a copy stays a ReLU",
        "here, layer.relu & (code == Edit.KEEP)))",
        "here, layer.relu))",
        "",
    ),
    (
        "beside: a copy is linear",
        "here, layer.relu & (code == Edit.KEEP)))",
        "here, layer.relu & False))",
        "",
    ),
    (
        "beside: zero stays",
        "here = _Copies.of(changed, layer.relu & (code == Edit.ZERO))",
        "here = _Copies.of(changed, layer.relu & False)",
        "",
    ),
    (
        "beside: the outputs are those of the original",
        "places = np.stack([own_places, np.where(outputs.changed, outputs.column, own_places)])",
        "places = np.stack([own_places, own_places])",
        "",
    ),
    (
        "beside: a difference the other way round",
        "of_side[[c, j]]] = -1.0, 1.0",
        "of_side[[c, j]]] = 1.0, -1.0",
        "",
    ),
    (
        "beside: bounds of other units",
        "original.append(start + np.arange(layer.units))",
        "original.append(start + np.arange(layer.units)[::-1])",
        "",
    ),
)
