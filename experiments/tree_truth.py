"""What a tree of boxes promises, and what of it is proved: is its guide to be trusted?

    python -m experiments.tree_truth NET --guarantee exact --leaves 4096 --sample 150

Grows a tree as `redy simplify --slicing adaptive` does, on one process, and simplifies random
leaves of it, drawn by volume with a fixed seed.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import redy
from redy.criteria import Effort
from redy.domain import Box
from redy.edits import Edits
from redy.formats.domains import read_domain
from redy.formats.networks import LoadedNetwork
from redy.guarantee import Guarantee
from redy.pipeline import Pipeline
from redy.run.backends import Here
from redy.run.grow import Growth, grow
from redy.run.steps import Steps
from redy.run.store import Store
from redy.search.work import extreme_boxes
from redy.slicing.adaptive import Adaptive
from redy.slicing.growth import PROOF_BOXES, Guide


def promised(loaded: LoadedNetwork, growth: Growth, slicing: Adaptive) -> np.ndarray:
    """Share of neurons that the guide says each leaf lets go: (leaves,)."""
    guide = Guide(loaded.network, growth.guarantee, growth.domain, growth.proof_boxes)
    even = np.full(loaded.network.inputs, 0.5)
    boxes = zip(*slicing.boxes(np.arange(slicing.slices)), strict=True)
    left = np.array([guide.outlook(*box, even).left for box in boxes])
    return np.asarray(1.0 - left / len(loaded.network.neurons))


def proved(
    loaded: LoadedNetwork, promise: Guarantee, budget: int, slicing: Adaptive, leaf: int
) -> float:
    """Share of neurons that is proved redundant on one leaf."""
    pipeline = Pipeline(loaded, Effort(budget, None, 4), promise)
    result = pipeline.run([leaf], *slicing.boxes(np.array([leaf])))[0]
    edits = result.edits or Edits.exact(loaded.network, result.status)
    return edits.removed / len(loaded.network.neurons)


def main(
    net: Path,
    guarantee: Annotated[str, typer.Option(help="As redy simplify takes it.")] = "exact",
    leaves: Annotated[int, typer.Option(help="Of the tree.")] = 4096,
    budget: Annotated[int, typer.Option(help="Boxes per leaf and stage.")] = 9000,
    sample: Annotated[int, typer.Option(help="Leaves to simplify.")] = 150,
    domain: Annotated[str, typer.Option(help="As redy simplify takes it.")] = "acasxu",
) -> None:
    """Compare what a tree promises with what is proved."""
    loaded = redy.load(net)
    box: Box = loaded.domain or read_domain(domain, loaded.network.inputs)
    promise = Guarantee.parse(guarantee, None).on(loaded.network, box)
    store = Store(":memory:", {}, loaded.network)
    clock = time.process_time()
    proof = PROOF_BOXES if promise.kind == "exact" else extreme_boxes(budget)
    growth = Growth(loaded.network, promise, box, leaves, proof_boxes=proof)
    slicing = grow(growth, store, Here(), Steps())
    grown = time.process_time() - clock
    weights = slicing.weights(np.arange(slicing.slices))
    claims = promised(loaded, growth, slicing)
    chosen = np.random.default_rng(5).choice(slicing.slices, sample, p=weights / weights.sum())
    clock = time.process_time()
    found = np.array([proved(loaded, promise, budget, slicing, int(leaf)) for leaf in chosen])
    each = (time.process_time() - clock) / sample
    print(
        f"{net.stem}: {slicing.slices} leaves, {guarantee}, budget {budget}, {grown:.0f} s to grow"
    )
    print(f"promised, all leaves by volume: {weights @ claims:.2%}")
    print(f"promised, {sample} leaves drawn by volume: {claims[chosen].mean():.2%}")
    error = found.std() / np.sqrt(sample)
    print(f"proved, the same leaves: {found.mean():.2%} +- {error:.2%}, {each:.2f} s a leaf")


if __name__ == "__main__":
    typer.run(main)
