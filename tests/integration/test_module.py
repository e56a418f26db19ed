"""A bundle as a torch module, and as what predicts winners."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import redy
from redy.errors import DomainError, UnsupportedError, UsageError
from redy.network.form import Layer, Network
from tests.stages import BOX, tiny


@pytest.fixture(scope="module")
def bundle(demo_bundle: Path) -> redy.Bundle:
    return redy.open(demo_bundle)


@pytest.fixture(scope="module")
def points(bundle: redy.Bundle) -> np.ndarray:
    return bundle.domain.sample(300, np.random.default_rng(0))


def test_a_module_is_the_dispatcher(bundle: redy.Bundle, points: np.ndarray) -> None:
    module = bundle.module()
    outputs = module(torch.from_numpy(points))
    assert outputs.dtype == torch.float64
    np.testing.assert_array_equal(outputs.numpy(), bundle(points))
    one = module(torch.from_numpy(points[0]))
    np.testing.assert_array_equal(one.numpy(), bundle(points[0]))
    inner = points * 0.999 + 0.0005 * (bundle.domain.lower + bundle.domain.upper)
    single = torch.from_numpy(inner.astype(np.float32))
    found = module(single)
    assert found.dtype == torch.float32
    assert not found.requires_grad
    np.testing.assert_array_equal(found.numpy(), bundle(single.numpy()).astype(np.float32))
    assert "32 slices, exact" in repr(module)


def test_a_module_can_be_pickled_and_be_part_of_another(
    bundle: redy.Bundle, points: np.ndarray
) -> None:
    again = pickle.loads(pickle.dumps(bundle.module()))
    inputs = torch.from_numpy(points)
    assert torch.equal(again(inputs), bundle.module()(inputs))
    shifted = torch.nn.Sequential(again, torch.nn.Identity()).eval().double()
    assert torch.equal(shifted(inputs), again(inputs))
    assert not list(shifted.parameters())
    assert again.state_dict() == {}


def test_a_module_has_no_gradients(bundle: redy.Bundle, points: np.ndarray) -> None:
    inputs = torch.from_numpy(points).requires_grad_()
    with pytest.raises(UnsupportedError, match=r"no gradients; call it under torch.no_grad\(\)"):
        bundle.module()(inputs)
    with torch.no_grad():
        assert torch.equal(bundle.module()(inputs), bundle.module()(inputs.detach()))


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        (torch.zeros(1, 5, dtype=torch.float16), "float32 or float64 tensors, not torch.float16"),
        (torch.zeros(1, 5, dtype=torch.int64), "not torch.int64"),
        (torch.zeros(4), "inputs must have shape"),
        (torch.full((1, 5), 9.0), "input row 0"),
        (torch.full((1, 5), torch.nan), "input row 0"),
    ],
)
def test_what_a_module_refuses(inputs: torch.Tensor, told: str, bundle: redy.Bundle) -> None:
    with pytest.raises(DomainError, match=told):
        bundle.module()(inputs)


def test_winners(bundle: redy.Bundle, points: np.ndarray) -> None:
    outputs = bundle(points)
    least, greatest = bundle.predict(points, "min"), bundle.predict(points, "max")
    assert least.dtype == greatest.dtype == np.int64
    assert bundle.predict(points[0], "min") == least[0]
    rows = np.arange(len(points))
    assert (outputs[rows, least] == outputs.min(axis=1)).all()
    assert (outputs[rows, greatest] == outputs.max(axis=1)).all()
    assert (least != greatest).any()


@pytest.mark.parametrize("winner", [None, "least"])
def test_winners_have_to_be_chosen(winner: str | None, bundle: redy.Bundle) -> None:
    with pytest.raises(UsageError, match="give 'min' or 'max'"):
        bundle.predict(np.zeros((1, 5)), winner)


def test_the_winner_of_the_guarantee() -> None:
    hidden, last = tiny().layers
    network = Network(2, (hidden, Layer(last.weights, np.array([0.0, 11.0]), last.relu)))
    decided = redy.simplify(network, BOX, guarantee="decision", winner="max", slices=2, budget=20)
    points = np.array([[0.9, 0.9], [0.0, 0.0], [-0.9, 0.1]])
    np.testing.assert_array_equal(decided.predict(points), decided.predict(points, "max"))
    assert decided.predict(np.array([[0.9, 0.9]])).tolist() == [0]
    assert decided.predict(np.array([[0.0, 0.0]])).tolist() == [1]
    with pytest.raises(UsageError, match="winner 'min': the guarantee is of 'max'"):
        decided.predict(points, "min")


def test_torch_is_imported_only_when_a_module_is_asked_for() -> None:
    code = "import sys, redy.dispatch.bundle; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
