"""The Python contract: load, simplify, save, open, call, look at slices."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

import redy
from redy.errors import DomainError, UsageError
from redy.formats.domains import ACASXU
from redy.network.evaluate import evaluate
from redy.slicing.grid import Grid
from tests.commands import NNET, ONNX

BOX = ACASXU.domain
BUDGET = 50


@pytest.fixture(scope="module")
def net() -> redy.LoadedNetwork:
    return redy.load(ONNX)


@pytest.fixture(scope="module")
def bundle(net: redy.LoadedNetwork) -> redy.Bundle:
    box = redy.Box(BOX.lower, BOX.upper)
    return redy.simplify(net, domain=box, slices=32, guarantee="exact", jobs=2, budget=BUDGET)


@pytest.fixture(scope="module")
def sampled() -> redy.Bundle:
    chosen = redy.Selection(sample=3, seed=1)
    return redy.simplify(redy.load(NNET), slices=32, selection=chosen, budget=BUDGET)


def points(count: int = 500) -> np.ndarray:
    return BOX.sample(count, np.random.default_rng(11))


def tiny() -> redy.Network:
    """|x0 - x1| + relu(x0 + x1 + 10), on whose domain [-1, 1]^2 the last neuron is active."""
    into = np.array([[1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
    hidden = redy.Layer({0: into}, np.array([0.0, 0.0, 10.0]), np.array([True, True, True]))
    output = redy.Layer({1: np.ones((1, 3))}, np.zeros(1), np.array([False]))
    return redy.Network(2, (hidden, output))


def test_save_and_open(bundle: redy.Bundle, tmp_path: Path) -> None:
    bundle.save(tmp_path / "b.redy")
    opened = redy.open(tmp_path / "b.redy")
    np.testing.assert_array_equal(opened(points()), bundle(points()))
    np.testing.assert_array_equal(opened.status, bundle.status)
    untimed = {"seconds": None, "stage_seconds": None}
    assert opened.summary == {**bundle.summary, **untimed}
    assert opened.summary["bundle_bytes"] == (tmp_path / "b.redy").stat().st_size
    assert bundle.summary["seconds"] > 0
    assert bundle.summary["stage_seconds"]["phase"] > 0


def test_an_opened_bundle_is_saved_with_the_same_bytes(
    bundle: redy.Bundle, sampled: redy.Bundle, tmp_path: Path
) -> None:
    for each in (bundle, sampled):
        each.save(tmp_path / "b.redy")
        redy.open(tmp_path / "b.redy").save(tmp_path / "c.redy")
        assert (tmp_path / "c.redy").read_bytes() == (tmp_path / "b.redy").read_bytes()
        opened = redy.open(tmp_path / "c.redy")
        for part, again in zip(each.slices, opened.slices, strict=True):
            assert again.index == part.index
            assert again.replacements.same_as(part.replacements)
            np.testing.assert_array_equal(again.witnesses, part.witnesses)
            np.testing.assert_array_equal(again.folded, part.folded)
            assert (again.proof, again.boxes, again.eps_proved) == (
                part.proof, part.boxes, part.eps_proved,
            )  # fmt: skip


def test_a_saved_bundle_does_not_depend_on_jobs(
    bundle: redy.Bundle, net: redy.LoadedNetwork, tmp_path: Path
) -> None:
    bundle.save(tmp_path / "two.redy")
    redy.simplify(net, BOX, slices=32, jobs=1, budget=BUDGET).save(tmp_path / "one.redy")
    assert (tmp_path / "one.redy").read_bytes() == (tmp_path / "two.redy").read_bytes()


def test_the_dispatcher_evaluates_the_slice_of_each_point(
    bundle: redy.Bundle, net: redy.LoadedNetwork
) -> None:
    x = points()
    y = bundle(x)
    assert y.shape == (500, 5)
    np.testing.assert_allclose(y, evaluate(net.network, x), atol=1e-12)
    owner = bundle.slice_of(x)
    assert owner.shape == (500,)
    for index in np.unique(owner):
        part = bundle.slices[index]
        assert part.box.contains(x[owner == index]).all()
        alone = evaluate(part.network, x[owner == index])
        np.testing.assert_allclose(alone, y[owner == index], rtol=0, atol=1e-14)


def test_every_corner_has_one_slice(bundle: redy.Bundle) -> None:
    corners = np.array(np.meshgrid(*zip(BOX.lower, BOX.upper, strict=True))).reshape(5, -1).T
    owner = bundle.slice_of(corners)
    assert sorted(owner) == list(range(32))


def test_a_slice(bundle: redy.Bundle, net: redy.LoadedNetwork) -> None:
    part = bundle.slices[17]
    assert part.index == 17
    lower, upper = Grid.bisecting(BOX, 32).boxes(np.array([17]))
    np.testing.assert_array_equal(part.box.lower, lower[0])
    np.testing.assert_array_equal(part.box.upper, upper[0])
    assert part.edits.shape == part.status.shape == (300,)
    assert len(part.network.neurons) == int((part.edits == redy.Edit.KEEP).sum())
    assert part.macs == part.cost.macs < bundle.summary["macs_original"]
    assert list(part.verdicts) == list(net.network.neurons)


def test_verdicts_say_what_was_proved_and_refuted(
    bundle: redy.Bundle, net: redy.LoadedNetwork
) -> None:
    part = bundle.slices[17]
    kinds = {redy.Proved: 0, redy.Refuted: 0, redy.Unknown: 0}
    for neuron, verdict in part.verdicts.items():
        kinds[type(verdict)] += 1
        kept = part.edits[net.network.neurons.index(neuron)] == redy.Edit.KEEP
        assert kept or isinstance(verdict, redy.Proved)
    assert min(kinds.values()) > 0
    assert part.box.contains(part.witnesses).all()


def test_slices_are_numbered_as_in_the_slicing(bundle: redy.Bundle) -> None:
    assert len(bundle.slices) == 32
    assert [part.index for part in bundle.slices] == list(range(32))
    assert [part.index for part in bundle.slices[30:]] == [30, 31]
    for index in (-1, 32):
        with pytest.raises(UsageError, match=f"no slice {index}: .* 0 to 31"):
            bundle.slices[index]


def test_a_network_without_a_file() -> None:
    bundle = redy.simplify(tiny(), redy.Box([-1, -1], [1, 1]), budget=BUDGET)
    (part,) = bundle.slices
    assert part.edits.tolist() == [redy.Edit.KEEP, redy.Edit.KEEP, redy.Edit.IDENTITY]
    np.testing.assert_allclose(bundle([[1, -1], [0.5, 0.5]]), [[12], [11]])
    assert part.verdicts[1, 3 - 1] == redy.Proved(part.verdicts[1, 2].proof)


def test_a_network_needs_a_domain_that_fits() -> None:
    with pytest.raises(UsageError, match="brings no domain"):
        redy.simplify(tiny())
    with pytest.raises(DomainError, match="3 dimensions, but the network has 2 inputs"):
        redy.simplify(tiny(), redy.Box([0, 0, 0], [1, 1, 1]))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"slices": 2, "grid": [2, 1]}, "--slices or --grid"),
        ({"slices": 3}, "--slices 3"),
        ({"grid": [2]}, "--grid"),
        ({"jobs": 0}, "--jobs 0"),
        ({"budget": 0}, "--budget 0"),
        ({"budget": 10**30}, "--budget 1000"),
        ({"time_limit": float("nan")}, "--time-limit nan"),
        ({"guarantee": "about"}, "--guarantee about"),
        ({"guarantee": "decision", "winner": "most"}, "--winner most"),
        ({"stages": ["phase", "nothing"]}, "no stage 'nothing'"),
        ({"selection": redy.Selection(2)}, "--sample 2"),
        ({"selection": redy.Selection(1, -1)}, "--seed -1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict, named: str) -> None:
    with pytest.raises((UsageError, DomainError), match=named):
        redy.simplify(tiny(), redy.Box([-1, -1], [1, 1]), **options)


def test_pickle(bundle: redy.Bundle) -> None:
    bundle(points(10))
    copy = pickle.loads(pickle.dumps(bundle))
    np.testing.assert_array_equal(copy(points()), bundle(points()))
    assert copy.summary == bundle.summary
    part = pickle.loads(pickle.dumps(bundle.slices[17]))
    np.testing.assert_array_equal(part.edits, bundle.slices[17].edits)


def test_a_sample_leaves_other_slices_as_they_were(sampled: redy.Bundle) -> None:
    chosen = [part.index for part in sampled.slices]
    assert len(chosen) == len(sampled.slices) == 3
    x = points()
    np.testing.assert_allclose(sampled(x), evaluate(sampled.network, x), atol=1e-12)
    owner = sampled.slice_of(x)
    others = [index for index in np.unique(owner) if index not in chosen]
    assert 0 < len(others) < len(np.unique(owner))
    for index in others:
        here = owner == index
        exact = evaluate(sampled.network, x[here])
        np.testing.assert_allclose(sampled(x)[here], exact, rtol=0, atol=1e-14)
    missing = next(index for index in range(32) if index not in chosen)
    with pytest.raises(UsageError, match=f"slice {missing} was not simplified"):
        sampled.slices[missing]


def test_a_sample_is_what_the_whole_has_there(sampled: redy.Bundle, bundle: redy.Bundle) -> None:
    for part in sampled.slices:
        np.testing.assert_array_equal(part.edits, bundle.slices[part.index].edits)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 7.5])
@pytest.mark.parametrize("call", [redy.Bundle.__call__, redy.Bundle.slice_of])
def test_inputs_out_of_the_domain_name_the_row(
    bad: float, call: object, bundle: redy.Bundle
) -> None:
    x = points(10)
    x[6, 3] = bad
    with pytest.raises(DomainError, match=f"row 6: coordinate 3 is {bad}"):
        call(bundle, x)


def test_one_input_alone(bundle: redy.Bundle) -> None:
    x = points(3)
    for row, outputs in zip(x, bundle(x), strict=True):
        np.testing.assert_allclose(bundle(row), outputs, rtol=0, atol=1e-14)


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 5, 1)])
def test_inputs_of_another_shape(shape: tuple[int, ...], bundle: redy.Bundle) -> None:
    with pytest.raises(DomainError, match=r"must have shape \(n, 5\)"):
        bundle(np.zeros(shape))


def test_a_network_with_linear_hidden_units() -> None:
    into = np.array([[1.0, -1.0], [1.0, 1.0], [1.0, 1.0]])
    hidden = redy.Layer({0: into}, np.array([0.0, 0.0, 10.0]), np.array([True, False, True]))
    output = redy.Layer({1: np.ones((1, 3))}, np.zeros(1), np.array([False]))
    bundle = redy.simplify(redy.Network(2, (hidden, output)), redy.Box([-1, -1], [1, 1]))
    assert bundle.edits.tolist() == [[redy.Edit.KEEP, redy.Edit.IDENTITY]]
    assert bundle.summary["refuted_mean"] == 0.5
