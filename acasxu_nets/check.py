"""Measure the network that stands beside this script.

python -m acasxu_nets.check          a quick look, under a second
python -m acasxu_nets.check --full   the figures of README.md, some ten seconds
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from . import encounter, network_files

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .encounter import Array, Policy
    from .network_files import Layers

HERE = Path(__file__).parent
HELD_OUT_SEED, FLIGHT_SEED, SLICE_SEED = 2, 3, 4
CUTS = 8  # slices per input when stable neurons are counted
ENCOUNTER_MISS = 8000.0  # ft, of the held-out encounters


def report(layers: Layers, *, full: bool) -> None:
    """Print every figure; ``full`` takes more states and flies the exact solution too."""
    rng = np.random.default_rng(HELD_OUT_SEED)
    n = 20_000 if full else 500
    _report_states(layers, "uniform in the box", encounter.sample_box(rng, n))
    near = encounter.sample_encounters(rng, n, ENCOUNTER_MISS, 0.0, encounter.HORIZON)
    _report_states(layers, "encounters", near)
    _report_flights(layers, encounters=10_000 if full else 1_000, exact=full)
    _report_stable(layers, slices=512 if full else 32)


def _report_states(layers: Layers, name: str, states: Array) -> None:
    """Compare the network with the solution on states it was not fitted to."""
    costs = encounter.advisory_costs(states)
    outputs = network_files.evaluate(layers, encounter.normalise(states))
    mirrored = network_files.evaluate(layers, encounter.normalise(encounter.mirror(states)))
    best, chosen = costs.argmin(axis=1), outputs.argmin(axis=1)
    regret = costs[np.arange(len(costs)), chosen] - costs.min(axis=1)
    symmetric = encounter.MIRROR[mirrored.argmin(axis=1)] == chosen
    print(f"{len(states):,} held-out states, {name}")
    print(f"  advisory equals the solution's     {np.mean(chosen == best):8.2%}")
    print(f"  alert or not, as the solution      {np.mean((chosen > 0) == (best > 0)):8.2%}")
    print(f"  solution is clear of conflict      {np.mean(best == 0):8.2%}")
    print(f"  mean extra cost of the advisory    {regret.mean():8.5f}")
    print(f"  root mean square error of the cost {np.sqrt(np.mean((outputs - costs) ** 2)):8.5f}")
    print(f"  advisory the same in the mirror    {np.mean(symmetric):8.2%}")


def _report_flights(layers: Layers, encounters: int, *, exact: bool) -> None:
    """Fly collision courses in closed loop, without advisories, with the network, exactly."""
    policies: dict[str, tuple[Policy, int]] = {
        "no advisories": (lambda states: np.zeros(len(states), dtype=np.intp), encounters),
        "the network": (lambda states: advise(layers, states), encounters),
    }
    if exact:
        policies["the solution"] = (_solution, encounters // 5)
    rng = np.random.default_rng(FLIGHT_SEED)
    states = encounter.sample_encounters(rng, encounters, encounter.NEAR_MISS, 15.0, 45.0)
    print("closed loop, 60 s, collision courses  near miss  not well clear  alerted time")
    for name, (policy, n) in policies.items():
        flown = encounter.fly(states[:n], policy, FLIGHT_SEED)
        rates = f"{flown.near_miss:8.2%}  {flown.not_well_clear:14.2%}  {flown.alerted:12.2%}"
        print(f"  {name + f' ({n:,})':36} {rates}")


def advise(layers: Layers, states: Array) -> NDArray[np.intp]:
    """The network's advisory; states beyond the box count as on its face."""
    inside = np.clip(states, encounter.LOWER, encounter.UPPER)
    return network_files.evaluate(layers, encounter.normalise(inside)).argmin(axis=1)


def _solution(states: Array) -> NDArray[np.intp]:
    """The solution's advisory."""
    return encounter.advisory_costs(states).argmin(axis=1)


def _report_stable(layers: Layers, slices: int, points: int = 1024) -> None:
    """Sample random slices: how many neurons show one phase, how many slices one winner.

    Sampling misses crossings, so both figures are upper bounds.
    """
    rng = np.random.default_rng(SLICE_SEED)
    width = (encounter.UPPER - encounter.LOWER) / CUTS
    stable, single = [], []
    for _ in range(slices):
        corner = encounter.LOWER + rng.integers(0, CUTS, 5) * width
        states = corner + width * rng.uniform(size=(points, 5))
        *hidden, outputs = network_files.activations(layers, encounter.normalise(states))
        active = np.concatenate([h > 0 for h in hidden], axis=1).mean(axis=0)
        stable.append(np.mean((active == 0) | (active == 1)))
        single.append(len(np.unique(outputs.argmin(axis=1))) == 1)
    print(f"{slices} random slices of the {CUTS}^5, {points} points each (upper bounds)")
    print(f"  neurons seen in one phase only     {np.mean(stable):8.2%}")
    print(f"  slices with one advisory only      {np.mean(single):8.2%}")


def _compare_files(onnx_path: Path, nnet_path: Path) -> Layers:
    """Check that both files hold the same float32 weights and that onnxruntime agrees."""
    layers, text = network_files.read_onnx(onnx_path), network_files.read_nnet(nnet_path)
    if not all(_same(a, b) for a, b in zip(layers, text, strict=True)):
        raise SystemExit(f"{onnx_path} and {nnet_path} hold different weights; run train.py again")
    x = encounter.normalise(encounter.sample_box(np.random.default_rng(0), 1000))
    session = onnxruntime.InferenceSession(onnx_path)
    deviation = np.abs(session.run(None, {"input": x})[0] - network_files.evaluate(layers, x))
    print(
        f"{onnx_path.name} {onnx_path.stat().st_size:,} bytes, {nnet_path.name} "
        f"{nnet_path.stat().st_size:,} bytes: same weights, "
        f"onnxruntime within {deviation.max():.1e} of numpy"
    )
    return layers


def _same(a: tuple[Array, Array], b: tuple[Array, Array]) -> bool:
    """Whether two layers hold the same weights and biases."""
    return np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1])


def main() -> None:
    """Parse the command line and report."""
    parser = argparse.ArgumentParser(description="measure the network beside this script")
    parser.add_argument("--full", action="store_true", help="the figures of README.md")
    full = parser.parse_args().full
    report(_compare_files(HERE / "redy_acas.onnx", HERE / "redy_acas.nnet"), full=full)


if __name__ == "__main__":
    main()
