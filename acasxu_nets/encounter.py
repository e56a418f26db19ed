"""The decision problem behind the network: two aircraft in a plane, five advisories.

The state is (rho, theta, psi, v_own, v_int) in ft, rad, rad, ft/s, ft/s; the own aircraft is at
the origin and flies along +x, angles are counter-clockwise, so a left turn is positive. README.md
states the problem; ``advisory_costs`` solves it by enumerating its decision tree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.floating]
    Policy = Callable[[Array], NDArray[np.intp]]

INPUTS = ("rho", "theta", "psi", "v_own", "v_int")
LOWER = np.array([0.0, -3.141593, -3.141593, 100.0, 0.0])
UPPER = np.array([60760.0, 3.141593, 3.141593, 1200.0, 1200.0])
MEAN = np.array([19791.091, 0.0, 0.0, 650.0, 600.0])
RANGE = np.array([60261.0, 6.28318530718, 6.28318530718, 1100.0, 1200.0])

ADVISORIES = ("clear of conflict", "weak left", "weak right", "strong left", "strong right")
MIRROR = np.array([0, 2, 1, 4, 3])  # the advisories as a mirror shows them
OWN_RATES = np.radians([0.0, 1.5, -1.5, 3.0, -3.0])  # rad/s
ALERT_COSTS = np.array([0.0, 0.003, 0.003, 0.006, 0.006])  # per second

INTRUDER_RATES = np.radians([-1.0, 0.0, 1.0])  # rad/s
INTRUDER_ODDS = np.array([0.25, 0.5, 0.25])

NEAR_MISS = 500.0  # ft
WELL_CLEAR = 4000.0  # ft
EPOCHS = (5.0, 10.0, 15.0)  # seconds for which each of the three advisories is held
HORIZON = 60.0  # s
SEGMENT = 2.5  # s, arcs are followed by chords of this duration


def normalise(states: Array) -> NDArray[np.float32]:
    """Physical states (n, 5) as the network reads them: (x - mean) / range."""
    return ((states - MEAN) / RANGE).astype(np.float32)


def mirror(states: Array) -> Array:
    """The states seen in a mirror: bearing and relative heading change sign."""
    return states * np.array([1.0, -1.0, -1.0, 1.0, 1.0])


def severity(separation: Array) -> Array:
    """Cost of a smallest separation in ft: 1 up to NEAR_MISS, linear to 0 at WELL_CLEAR."""
    return np.clip((WELL_CLEAR - separation) / (WELL_CLEAR - NEAR_MISS), 0.0, 1.0)


# Paths: every aircraft flies at constant speed, so a path is its speed times a path of unit speed.


def _paths(rates: Array) -> list[Array]:
    """Unit-speed paths for every sequence of turn rates, one array per epoch.

    Entry k has shape (len(rates) ** (k + 1), points, 2), in seconds, from the end of the epoch
    before. The last epoch ends with the straight flight up to the horizon.
    """
    heading, end = np.zeros(1), np.zeros((1, 2))
    epochs: list[Array] = []
    for k, duration in enumerate(EPOCHS):
        heading = np.repeat(heading, len(rates))
        points = [np.repeat(end, len(rates), axis=0)]
        turn = np.tile(rates, len(end)) * SEGMENT
        for _ in range(round(duration / SEGMENT)):
            points.append(points[-1] + SEGMENT * _chord(heading, turn))
            heading = heading + turn
        if k == len(EPOCHS) - 1:
            points.append(points[-1] + (HORIZON - sum(EPOCHS)) * _chord(heading, 0.0 * turn))
        end = points[-1]
        epochs.append(np.stack(points, axis=1))
    return epochs


def _chord(heading: Array, turn: Array) -> Array:
    """Mean velocity (n, 2) of a unit-speed arc that starts at ``heading`` and turns by ``turn``."""
    middle = heading + turn / 2
    return np.sinc(turn / (2 * np.pi))[:, None] * np.stack([np.cos(middle), np.sin(middle)], 1)


_OWN_PATHS = _paths(OWN_RATES)
_INTRUDER_PATHS = _paths(INTRUDER_RATES)


def _squared_approach(px: Array, py: Array, qx: Array, qy: Array) -> Array:
    """Smallest squared distance to the origin of the line segments from p to q."""
    dx, dy = qx - px, qy - py
    length = np.maximum(dx * dx + dy * dy, 1.0)
    t = np.clip(-(px * dx + py * dy) / length, 0.0, 1.0)
    dx *= t
    dx += px
    dy *= t
    dy += py
    return dx * dx + dy * dy


def _epoch_approach(states: Array, epoch: int) -> Array:
    """Smallest squared separation during an epoch, (n, own sequences, intruder sequences)."""
    rho, theta, psi, v_own, v_int = (c[:, None, None] for c in states.astype(np.float32).T)
    own = v_own[..., None] * _OWN_PATHS[epoch].astype(np.float32)
    unit = _INTRUDER_PATHS[epoch].astype(np.float32)
    cos, sin = np.cos(psi), np.sin(psi)
    x = rho * np.cos(theta) + v_int * (cos * unit[..., 0] - sin * unit[..., 1])
    y = rho * np.sin(theta) + v_int * (sin * unit[..., 0] + cos * unit[..., 1])
    px, py = (z[:, None, :, 0] - own[:, :, None, 0, i] for i, z in enumerate((x, y)))
    smallest = np.full_like(px, np.inf)
    for k in range(1, unit.shape[1]):
        qx, qy = (z[:, None, :, k] - own[:, :, None, k, i] for i, z in enumerate((x, y)))
        np.minimum(smallest, _squared_approach(px, py, qx, qy), out=smallest)
        px, py = qx, qy
    return smallest


def advisory_costs(states: Array, chunk: int = 32) -> Array:
    """Expected cost (n, 5) of each advisory, lower is better: the solution of the problem."""
    parts = [_solve(states[i : i + chunk]) for i in range(0, len(states), chunk)]
    return np.concatenate(parts)


def _solve(states: Array) -> Array:
    """Backward induction over the whole tree of advisories and intruder turns."""
    n, a, w = len(states), len(OWN_RATES), len(INTRUDER_RATES)
    nearest = np.full((n, 1, 1), np.inf, dtype=np.float32)
    for epoch in range(len(EPOCHS)):
        shape = (n, a**epoch, a, w**epoch, w)
        here = _epoch_approach(states, epoch).reshape(shape)
        nearest = np.minimum(here, nearest[:, :, None, :, None])
        nearest = nearest.reshape(n, a ** (epoch + 1), w ** (epoch + 1))
    value = severity(np.sqrt(nearest))
    for epoch in reversed(range(len(EPOCHS))):
        shape = (n, a**epoch, a, w**epoch, w)
        held = (ALERT_COSTS * EPOCHS[epoch]).astype(np.float32)
        costs = value.reshape(shape) @ INTRUDER_ODDS.astype(np.float32) + held[:, None]
        value = costs.min(axis=2)
    return costs[:, 0, :, 0]


# States and encounters


def sample_box(rng: np.random.Generator, n: int) -> Array:
    """States uniform in the whole input box."""
    return rng.uniform(LOWER, UPPER, (n, 5))


def sample_encounters(
    rng: np.random.Generator, n: int, miss: float, soonest: float, latest: float
) -> Array:
    """States that, flown straight, come within ``miss`` ft in ``soonest`` to ``latest`` seconds.

    Headings and speeds are uniform; the miss distance is uniform in +-miss and the time uniform,
    and states outside the input box are drawn again.
    """
    found: list[Array] = []
    while sum(map(len, found)) < n:
        states = sample_box(rng, n)
        psi, v_own, v_int = states[:, 2:].T
        vx, vy = v_int * np.cos(psi) - v_own, v_int * np.sin(psi)
        aside = rng.uniform(-miss, miss, n) / np.maximum(np.hypot(vx, vy), 1e-9)
        time = rng.uniform(soonest, latest, n)
        x, y = -aside * vy - vx * time, aside * vx - vy * time
        states[:, 0], states[:, 1] = np.hypot(x, y), np.arctan2(y, x)
        found.append(states[states[:, 0] <= UPPER[0]])
    return np.concatenate(found)[:n]


# Closed loop


@dataclass(frozen=True)
class Flown:
    """Encounters flown in closed loop: rates of near miss, lost separation and alerted time."""

    near_miss: float
    not_well_clear: float
    alerted: float


def fly(states: Array, policy: Policy, seed: int) -> Flown:
    """Fly to the horizon, asking ``policy`` and redrawing the intruder's turn every 5 s."""
    rng = np.random.default_rng(seed)
    states = states.copy()
    nearest = np.full(len(states), np.inf)
    alerts = 0
    decisions = round(HORIZON / EPOCHS[0])
    for _ in range(decisions):
        advisory = policy(states)
        alerts += int(np.count_nonzero(advisory))
        turn = rng.choice(INTRUDER_RATES, len(states), p=INTRUDER_ODDS)
        for _ in range(round(EPOCHS[0] / SEGMENT)):
            states, squared = _step(states, OWN_RATES[advisory], turn)
            nearest = np.minimum(nearest, np.sqrt(squared))
    alerted = alerts / (decisions * len(states))
    close, near = np.mean(nearest < NEAR_MISS), np.mean(nearest < WELL_CLEAR)
    return Flown(float(close), float(near), alerted)


def _step(states: Array, own_rate: Array, intruder_rate: Array) -> tuple[Array, Array]:
    """The states one segment later, and the smallest squared separation on the way."""
    rho, theta, psi, v_own, v_int = states.T
    px, py = rho * np.cos(theta), rho * np.sin(theta)
    own = v_own[:, None] * _chord(0.0 * psi, own_rate * SEGMENT)
    intruder = v_int[:, None] * _chord(psi, intruder_rate * SEGMENT)
    qx, qy = np.stack([px, py]) + SEGMENT * (intruder - own).T
    theta = _wrap(np.arctan2(qy, qx) - own_rate * SEGMENT)
    psi = _wrap(psi + (intruder_rate - own_rate) * SEGMENT)
    after = np.stack([np.hypot(qx, qy), theta, psi, v_own, v_int], axis=1)
    return after, _squared_approach(px, py, qx, qy)


def _wrap(angle: Array) -> Array:
    """The angle in [-pi, pi)."""
    return (angle + np.pi) % (2 * np.pi) - np.pi
