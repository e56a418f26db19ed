"""``--slicing mid`` from the command line to the dispatcher, and bundles of it that lie."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import redy as package
from redy.edit_table import pack, unpack
from redy.edits import Criterion, Status, edits_of
from redy.errors import FormatError
from redy.formats.networks import Reference, load
from redy.formats.onnx import write_onnx
from redy.pictures import by_layer, histogram
from tests.bundle_files import Tensors, stream, table, tensors_of, write_file
from tests.commands import redy, succeed

INPUTS, UNITS, CELLS = 8, 10, 9
BOX = package.Box(np.full(INPUTS, -1.0), np.full(INPUTS, 1.0))
REFUTED, UNKNOWN = 10, 11


def made(seed: int, biases: float = 0.5) -> package.Network:
    """8-10-10-3, the weights of single precision."""
    rng = np.random.default_rng(seed)
    widths = [INPUTS, UNITS, UNITS, 3]
    layers = []
    for k in range(1, 4):
        weights = rng.standard_normal((widths[k], widths[k - 1])).astype(np.float32)
        bias = (biases * rng.standard_normal(widths[k])).astype(np.float32)
        layers.append(package.Layer({k - 1: weights}, bias, np.full(widths[k], k < 3)))
    return package.Network(INPUTS, tuple(layers))


def groups(count: int) -> np.ndarray:
    """Inputs around a few centres, as the inputs of a real task are."""
    rng = np.random.default_rng(3)
    centres = rng.uniform(-0.9, 0.9, (5, INPUTS))
    near = centres[rng.integers(0, 5, count)] + rng.normal(0, 0.05, (count, INPUTS))
    return np.clip(near, -1, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network net.onnx, its domain box.json, inputs in.npy and the bundle b.redy of them."""
    path = tmp_path_factory.mktemp("mid")
    write_onnx(made(0), path / "net.onnx")
    (path / "box.json").write_text(json.dumps({"lower": [-1] * INPUTS, "upper": [1] * INPUTS}))
    np.save(path / "in.npy", groups(4000))
    succeed(*words(path), "--out", path / "b.redy")
    return path


def words(folder: Path, *more: object) -> list[object]:
    options = ["--slicing", "mid", "--slices", CELLS, "--weights", folder / "in.npy", *more]
    return ["simplify", folder / "net.onnx", "--domain", folder / "box.json", *options]


@pytest.fixture(scope="module")
def bundle(folder: Path) -> package.Bundle:
    return package.open(folder / "b.redy")


def test_it_computes_what_the_network_computes(folder: Path, bundle: package.Bundle) -> None:
    points = np.concatenate([groups(500), BOX.sample(500, np.random.default_rng(5))])
    expected = Reference(load(folder / "net.onnx")).outputs(points)
    np.testing.assert_allclose(bundle(points), expected, rtol=1e-4, atol=1e-4)
    cells = bundle.slice_of(points)
    assert {0, 1, 2} <= set(cells.tolist())
    assert bundle.domain.lower.tolist() == BOX.lower.tolist()


def test_the_report(folder: Path, bundle: package.Bundle) -> None:
    summary = json.loads(succeed("show", folder / "b.redy", "--json"))
    mid = summary["mid"]
    network = load(folder / "net.onnx").network
    assert summary["slicing"] == "mid"
    assert summary["network_sha256"] == network.sha256
    assert mid["cells"] == summary["slices"] == bundle.slicing.slices
    assert mid["reachable"] == mid["cells"] - 1 > 0
    assert mid["weighted_by"] == "4000 given inputs in the domain"
    assert mid["macs_prefix"] + mid["macs_suffix"] == summary["macs_original"] == 210
    assert mid["macs_prefix"] + mid["macs_suffix_mean"] == summary["macs_mean"]
    assert mid["left_mean"] == pytest.approx(mid["suffix_neurons"] * (1 - summary["removed_mean"]))
    assert mid["left_mean"] < mid["left_one_cell"] <= mid["suffix_neurons"]
    assert [row["layer"] for row in summary["layers"]] == list(range(mid["layer"], 3))
    shares = bundle.slicing.weights(bundle.done)
    assert shares.sum() == pytest.approx(1.0)
    left = (bundle.edits == package.Edit.KEEP).sum(axis=1)
    assert mid["left_mean"] == pytest.approx(shares @ left)
    printed = succeed("show", folder / "b.redy")
    assert "left in the suffix" in printed
    assert "hardly" not in printed


def test_pictures(folder: Path, bundle: package.Bundle) -> None:
    """Of the suffix, in the network's own layer numbers; there is no map of the inputs."""
    succeed("show", folder / "b.redy", "--html", folder / "b.html", "--plot", folder / "b.png")
    page = (folder / "b.html").read_text()
    assert "the slices are not boxes of inputs" in page
    assert list(by_layer.of(bundle)) == list(range(bundle.parts.layer, 3))
    shown = histogram.of(bundle)
    assert shown.mean == pytest.approx(bundle.summary["mid"]["left_mean"])


def test_one_cell_of_the_report(folder: Path, bundle: package.Bundle) -> None:
    layer = bundle.parts.layer
    cell = json.loads(succeed("show", folder / "b.redy", "--slice", 1, "--json"))
    assert cell["cut_layer"] == layer
    assert [row["layer"] for row in cell["layers"]] == list(range(layer, 3))
    assert cell["layers"][0]["reads_layers"] == [layer - 1]
    assert len(cell["lower"]) == UNITS
    assert "cell 1:" in succeed("show", folder / "b.redy", "--slice", 1)


def test_where_it_does_not_help_the_report_says_so(folder: Path) -> None:
    out = folder / "one.redy"
    printed = succeed(*words(folder, "--slices", 1, "--layer", 2), "--out", out)
    mid = package.open(out).summary["mid"]
    assert mid["cells"] == 1
    assert mid["rest_share"] == 1.0
    assert "cutting does not help: there is no cell but the one for everything" in " ".join(
        printed.split()
    )


def test_cells_that_few_inputs_are_in_are_said_to_hold_few() -> None:
    """Every second input is elsewhere: what is fitted to the others says nothing of it."""
    inputs = np.tile(BOX.sample(2, np.random.default_rng(0)), (20, 1))
    bundle = package.simplify(made(0), BOX, slicing="mid", layer=2, slices=4, weights=inputs)
    mid = bundle.summary["mid"]
    assert mid["rest_share"] > 0.5
    assert any("fall in no cell but the one for all the rest" in said for said in mid["words"])


def test_a_layer_of_which_hardly_anything_follows() -> None:
    rng = np.random.default_rng(0)
    wide = package.Layer({0: rng.standard_normal((200, INPUTS))}, np.zeros(200), np.ones(200, bool))
    narrow = package.Layer({1: rng.standard_normal((3, 200))}, np.zeros(3), np.ones(3, bool))
    output = package.Layer({2: np.ones((1, 3))}, np.zeros(1), np.zeros(1, bool))
    network = package.Network(INPUTS, (wide, narrow, output))
    inputs = groups(1000)
    bundle = package.simplify(network, BOX, slicing="mid", layer=2, slices=8, weights=inputs)
    (said,) = bundle.summary["mid"]["words"]
    assert "evaluation gets hardly cheaper: of 2,203" in said


def test_the_layer_is_chosen_by_what_evaluation_costs() -> None:
    macs = {}
    for layer in (None, 1, 2):
        bundle = package.simplify(
            made(0), BOX, slicing="mid", layer=layer, slices=CELLS, weights=groups(4000), budget=1
        )
        macs[layer] = bundle.summary["macs_mean"], bundle.parts.layer
    assert macs[None] in (macs[1], macs[2])


def test_random_points_if_no_inputs_are_given() -> None:
    bundle = package.simplify(made(0), BOX, slicing="mid", slices=4, budget=1)
    assert bundle.summary["mid"]["weighted_by"] == "16384 uniform random points"


@pytest.mark.parametrize("guarantee", ["eps=0.1", "decision"])
def test_other_guarantees(folder: Path, guarantee: str) -> None:
    out = folder / "other.redy"
    succeed(*words(folder, "--guarantee", guarantee, "--budget", 20_000), "--out", out)
    bundle, points = package.open(out), groups(500)
    expected = Reference(load(folder / "net.onnx")).outputs(points)
    if guarantee == "decision":
        assert (bundle(points).argmin(axis=1) == expected.argmin(axis=1)).all()
    else:
        assert np.abs(bundle(points) - expected).max() <= 0.1 + 1e-4
    assert redy("verify", folder / "net.onnx", out).code == 0


@pytest.mark.parametrize("file_format", ["onnx", "nnet"])
def test_export_is_the_network_from_the_inputs_on(
    folder: Path, bundle: package.Bundle, file_format: str
) -> None:
    points = groups(500)
    cells = bundle.slice_of(points)
    cell = int(np.bincount(cells[cells > 0]).argmax())
    out = folder / f"cell.{file_format}"
    options = ("--slice", cell, "--format", file_format, "--out", out)
    succeed("export", folder / "b.redy", *options)
    exported = load(out)
    assert exported.network.inputs == INPUTS
    inside = points[cells == cell]
    np.testing.assert_allclose(
        Reference(exported).outputs(inside), bundle(inside), rtol=1e-4, atol=1e-4
    )


def test_cells_are_not_exported_as_one_model(folder: Path) -> None:
    outcome = redy("export", folder / "b.redy", "--out", folder / "all.onnx")
    assert outcome.code == 4
    assert "cells of a hidden layer" in outcome.err
    assert "--slice" in outcome.err
    assert not (folder / "all.onnx").exists()


def test_eval(folder: Path, bundle: package.Bundle) -> None:
    succeed("eval", folder / "b.redy", folder / "in.npy", "--out", folder / "out.npy")
    expected = bundle(np.load(folder / "in.npy"))
    np.testing.assert_array_equal(np.load(folder / "out.npy"), expected)


def test_a_sample_of_the_cells(folder: Path) -> None:
    out = folder / "sample.redy"
    succeed(*words(folder, "--sample", 2, "--seed", 1), "--out", out)
    bundle = package.open(out)
    assert len(bundle.done) == 2
    points = groups(200)
    expected = Reference(load(folder / "net.onnx")).outputs(points)
    np.testing.assert_allclose(bundle(points), expected, rtol=1e-4, atol=1e-4)
    assert redy("verify", folder / "net.onnx", out).code == 0


def test_a_run_goes_on_from_its_store_and_ends_with_the_same_bytes(folder: Path) -> None:
    store, out = folder / "run.store", folder / "again.redy"
    some = ("--store", store, "--out", out)
    succeed(*words(folder), *some)
    assert out.read_bytes() == (folder / "b.redy").read_bytes()
    with closing(sqlite3.connect(store)) as record, record:
        assert record.execute("DELETE FROM slices WHERE slice % 2").rowcount > 1
    succeed(*words(folder), *some)
    assert out.read_bytes() == (folder / "b.redy").read_bytes()
    other = redy(*words(folder, "--slices", 5), *some)
    assert other.code == 7
    assert "is the store of another run" in other.err
    succeed(*words(folder, "--jobs", 2), "--out", folder / "two.redy")
    assert (folder / "two.redy").read_bytes() == (folder / "b.redy").read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--slicing", "mid", "--grid", "1,1"], "--grid goes with --slicing grid"),
        (["--slicing", "grid", "--layer", 1], "--layer goes with --slicing mid"),
        (["--slicing", "grid", "--weights", "in.npy"], "--weights goes with --slicing"),
        (["--slicing", "mid", "--layer", 3], "hidden layers are 1 to 2"),
        (["--slicing", "mid", "--slices", 0], "give between 1 and 65536 cells"),
        (["--slicing", "middle"], "--slicing middle: there is grid, "),
    ],
)
def test_options_that_do_not_go_together(
    folder: Path, options: list[object], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    start = ["simplify", "net.onnx", "--domain", "box.json", "--out", "none.redy"]
    outcome = redy(*start, *options)
    assert outcome.code == 2
    assert message in outcome.err
    assert not Path("none.redy").exists()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros((5, INPUTS + 1)), "the domain has 8 dimensions"),
        (np.full((5, INPUTS), 2.0), "0 of 5 rows lie in the domain"),
        (np.full((5, INPUTS), np.nan), "0 of 5 rows lie in the domain"),
    ],
)
def test_inputs_that_do_not_fit(folder: Path, inputs: np.ndarray, message: str) -> None:
    np.save(folder / "bad.npy", inputs)
    outcome = redy(*words(folder, "--weights", folder / "bad.npy"), "--out", folder / "none.redy")
    assert outcome.code == 6
    assert message in outcome.err


def test_verify(folder: Path) -> None:
    outcome = redy("verify", folder / "net.onnx", folder / "b.redy", "--json")
    answer = json.loads(outcome.out)
    assert outcome.code == 0
    assert answer["proved_volume"] == 1.0
    assert answer["weighted_by"] == "4000 given inputs in the domain"
    half = json.dumps({"lower": [0] * INPUTS, "upper": [1] * INPUTS})
    (folder / "half.json").write_text(half)
    inside = ("--domain", folder / "half.json")
    assert redy("verify", folder / "net.onnx", folder / "b.redy", *inside).code == 0


def test_verify_needs_the_layers_that_the_bundle_shares(folder: Path) -> None:
    write_onnx(made(1), folder / "other.onnx")
    outcome = redy("verify", folder / "other.onnx", folder / "b.redy")
    assert outcome.code == 2
    assert "the bundle shares layers 1 to" in outcome.err


def tampered(folder: Path, change: Callable[[Tensors], None]) -> Path:
    """The bundle after ``change``, its checksum made right."""
    tensors = tensors_of((folder / "b.redy").read_bytes())
    change(tensors)
    return write_file(tensors, folder / "lie.redy")


def of_one_phase(tensors: Tensors, status: Status, row: int | None = None) -> None:
    """Says of all neurons, of cell ``row`` or of all, that they have a phase."""
    cells = len(tensors["edits.number"])
    rows = slice(None) if row is None else slice(row, row + 1)
    codes = unpack(
        tensors["edits.packed"][tensors["edits.number"]], len(table(tensors, "reasons")) // cells
    )
    codes[rows] = edits_of(np.array(status))
    reasons = table(tensors, "reasons").reshape(-1, cells)
    reasons[:, rows] = status | Criterion.PHASE << 4
    tensors["edits.packed"] = pack(codes)
    tensors["edits.number"] = np.arange(cells, dtype="<u4")
    tensors["evidence.reasons"] = stream(reasons)


def answer(folder: Path, bundle: Path) -> tuple[int, dict]:
    outcome = redy("verify", folder / "net.onnx", bundle, "--json", "--budget", 5000)
    return outcome.code, json.loads(outcome.out)


def test_rounding_errors_that_are_too_small_prove_nothing(folder: Path) -> None:
    def change(tensors: Tensors) -> None:
        tensors["slicing.error"] *= 1e-6

    code, found = answer(folder, tampered(folder, change))
    assert code == UNKNOWN
    assert "less rounding error" in found["reason"]


def test_the_box_in_the_file_is_not_believed(folder: Path) -> None:
    """Cell 0 with all neurons active on a tiny box: right there, but not where z can be."""

    def change(tensors: Tensors) -> None:
        tensors["slicing.domain"][:] = [[1.0], [1.5]]
        tensors["slicing.lower"][:] = -np.inf
        tensors["slicing.upper"][:] = np.inf
        of_one_phase(tensors, Status.ACTIVE_PROPAGATION, row=0)

    code, found = answer(folder, tampered(folder, change))
    assert code == REFUTED
    assert found["verdict"] == "refuted"
    assert np.abs(found["difference"]).max() > 1e-3


def test_phases_that_a_cell_has_not_are_refuted(folder: Path) -> None:
    def change(tensors: Tensors) -> None:
        of_one_phase(tensors, Status.INACTIVE_PROPAGATION)

    code, found = answer(folder, tampered(folder, change))
    assert code == REFUTED
    assert len(found["witness"]) == INPUTS


ALTERED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "unit": lambda unit: unit + UNITS,
    "child": lambda child: child - 1,
    "cell": lambda cell: cell + CELLS,
    "lower": lambda lower: lower[:-1],
    "upper": lambda upper: np.minimum(upper, 0.0),
    "error": lambda error: -error,
    "share": lambda share: share[1:],
    "inputs": lambda box: box[::-1],
    "domain": lambda box: box[:, 1:],
}


@pytest.mark.parametrize("name", ALTERED)
def test_cells_that_redy_did_not_write_are_refused(folder: Path, name: str) -> None:
    def change(tensors: Tensors) -> None:
        altered = ALTERED[name](tensors[f"slicing.{name}"])
        tensors[f"slicing.{name}"] = np.ascontiguousarray(altered)

    with pytest.raises(FormatError, match="is not a bundle that redy wrote"):
        package.open(tampered(folder, change))


def test_a_prefix_that_overflows_is_refused() -> None:
    huge = package.Layer({0: np.full((2, INPUTS), 1.5e308)}, np.zeros(2), np.ones(2, bool))
    output = package.Layer({1: np.ones((1, 2))}, np.zeros(1), np.zeros(1, bool))
    with pytest.raises(package.RedyError, match="give a smaller domain"):
        package.simplify(package.Network(INPUTS, (huge, output)), BOX, slicing="mid", slices=2)


def test_mnist_images_are_classified_as_before(shared_data: Path) -> None:
    """Of the issue: all images are in the domain, the prefix is shared, cells leave less."""
    net = load(shared_data / "mnist" / "mnist-net_256x4.onnx")
    with np.load(shared_data / "mnist" / "mnist_test_10k.npz") as data:
        images = data["X"].reshape(10_000, -1) / 255.0
    box = package.Box(np.zeros(784), np.ones(784))
    options = {"slicing": "mid", "layer": 3, "weights": images[:4000], "budget": 50}
    left = {}
    for cells in (2, 16):
        bundle = package.simplify(net, box, slices=cells, **options)
        left[cells] = bundle.summary["mid"]["left_mean"]
        expected = Reference(net).outputs(images)
        assert (bundle(images).argmax(axis=1) == expected.argmax(axis=1)).all()
    assert left[16] < 0.75 * left[2] < 0.75 * 512
