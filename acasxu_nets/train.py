"""Solve the decision problem of encounter.py, fit the network to it and write its files.

python -m acasxu_nets.train    writes redy_acas.onnx, redy_acas.nnet, policy.png beside this script
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from . import check, encounter, network_files, picture

TRAINING_SEED, NETWORK_SEED = 1, 1
STATES = 600_000
STEPS = 50_000
BATCH = 2048
LEARNING_RATE = 2e-3
TEMPERATURE = 0.01  # cost differences of this size matter to the choice of advisory
CHOICE_WEIGHT = 0.1


def training_states(n: int) -> encounter.Array:
    """A quarter uniform in the box, a quarter drawn towards small ranges, half encounters."""
    rng = np.random.default_rng(TRAINING_SEED)
    near = encounter.sample_box(rng, n // 4)
    near[:, 0] *= rng.uniform(size=len(near))
    met = encounter.sample_encounters(rng, n // 2, 8000.0, -5.0, encounter.HORIZON)
    return np.concatenate([encounter.sample_box(rng, n // 4), near, met])


def training_pairs(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalised inputs and costs of ``n`` solved states and of their mirror images."""
    states = training_states(n)
    costs = encounter.advisory_costs(states)
    inputs = encounter.normalise(np.concatenate([states, encounter.mirror(states)]))
    targets = np.concatenate([costs, costs[:, encounter.MIRROR]]).astype(np.float32)
    return torch.from_numpy(inputs), torch.from_numpy(targets)


def loss(outputs: torch.Tensor, costs: torch.Tensor) -> torch.Tensor:
    """Mean square error, plus the divergence of softmin choices: sharp where advisories tie.

    Both terms are smallest where the outputs are the costs, so neither distorts the other.
    """
    wanted = torch.log_softmax(-costs / TEMPERATURE, dim=1)
    chosen = torch.log_softmax(-outputs / TEMPERATURE, dim=1)
    divergence = nn.functional.kl_div(chosen, wanted, log_target=True, reduction="batchmean")
    return nn.functional.mse_loss(outputs, costs) + CHOICE_WEIGHT * divergence


def new_network() -> nn.Sequential:
    """The ACAS Xu shape: 5 inputs, 6 x 50 ReLU, 5 outputs."""
    torch.manual_seed(NETWORK_SEED)
    modules: list[nn.Module] = []
    for before, after in zip(network_files.SIZES, network_files.SIZES[1:], strict=False):
        modules += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*modules[:-1])


def fit(inputs: torch.Tensor, costs: torch.Tensor, steps: int) -> nn.Sequential:
    """Adam with one cycle of the learning rate."""
    network = new_network()
    optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, LEARNING_RATE, total_steps=steps, pct_start=0.1
    )
    draw = torch.Generator().manual_seed(NETWORK_SEED)
    for step in range(1, steps + 1):
        batch = torch.randint(len(inputs), (BATCH,), generator=draw)
        value = loss(network(inputs[batch]), costs[batch])
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        schedule.step()
        if step % max(steps // 10, 1) == 0:
            print(f"  step {step:,}: loss {value.item():.5f}", flush=True)
    return network


def layers_of(network: nn.Sequential) -> network_files.Layers:
    """The weights and biases as arrays."""
    linear = [module for module in network if isinstance(module, nn.Linear)]
    return [(m.weight.detach().numpy(), m.bias.detach().numpy()) for m in linear]


def main() -> None:
    """Solve, fit, write, report."""
    parser = argparse.ArgumentParser(description="train redy's own network of the ACAS Xu shape")
    parser.add_argument("--out", type=Path, default=check.HERE, help="folder of the written files")
    parser.add_argument("--states", type=int, default=STATES, help="solved states to fit to")
    parser.add_argument("--steps", type=int, default=STEPS, help="optimiser steps")
    options = parser.parse_args()
    torch.set_num_threads(1)  # one thread: the sums are done in one order
    start = time.perf_counter()
    inputs, costs = training_pairs(options.states)
    print(f"{options.states:,} states solved, {time.perf_counter() - start:.0f} s", flush=True)
    layers = layers_of(fit(inputs, costs, options.steps))
    print(f"network fitted, {time.perf_counter() - start:.0f} s", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    network_files.write_onnx(layers, options.out / "redy_acas.onnx")
    network_files.write_nnet(layers, options.out / "redy_acas.nnet")
    picture.draw(layers, options.out / "policy.png")
    check.report(layers, full=True)
    print(f"done, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
