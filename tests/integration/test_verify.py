"""``redy verify``: networks and bundles that keep a guarantee, that break it, and that lie."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import redy as package
from redy.edits import Criterion, Status, edits_of
from redy.float_check import Finding, FloatCheck
from redy.formats.nnet import write_nnet
from redy.formats.onnx import write_onnx
from tests.bundle_files import Tensors, stream, table, tensors_of, write_file
from tests.commands import NNET, ONNX, Outcome, finish, redy, start
from tests.stages import BOX, as_correction, as_line, registered, tiny, wrong

PROVED, REFUTED, UNKNOWN = 0, 10, 11


def verify(code: int, *words: object) -> dict:
    """The object that ``redy verify words...`` prints, which must end with ``code``."""
    outcome = redy("verify", *words, "--json")
    assert outcome.code == code, outcome
    return json.loads(outcome.out)


def run(path: Path, point: list[float]) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path))
    (entry,) = session.get_inputs()
    dtype = np.float64 if entry.type == "tensor(double)" else np.float32
    (found,) = session.run(None, {entry.name: np.array([point], dtype=dtype)})
    return np.asarray(found[0], dtype=np.float64)


@pytest.fixture(scope="module")
def network() -> package.Network:
    return package.load(ONNX).network


@pytest.fixture(scope="module")
def changed(network: package.Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's own network with one weight off by 1e-3."""
    layers = list(network.layers)
    weights = {1: layers[1].weights[1].copy()}
    weights[1][3, 4] += 1e-3
    layers[1] = replace(layers[1], weights=weights)
    path = tmp_path_factory.mktemp("changed") / "changed.onnx"
    write_onnx(package.Network(network.inputs, tuple(layers)), path)
    return path


@pytest.fixture
def tiny_onnx(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.onnx"
    write_onnx(tiny(), path)
    return path


@pytest.fixture
def box(tmp_path: Path) -> Path:
    path = tmp_path / "box.json"
    path.write_text('{"lower": [-1, -1], "upper": [1, 1]}')
    return path


def test_a_network_and_itself() -> None:
    data = verify(PROVED, ONNX, ONNX, "--domain", "acasxu", "--guarantee", "exact")
    assert list(data) == [
        "verdict", "reason", "guarantee", "eps", "winner", "boxes", "seconds", "proved_volume",
        "eps_proved", "witness", "first", "second", "difference", "slices", "sampled",
        "import_rounded", "weighted_by",
    ]  # fmt: skip
    assert (data["verdict"], data["proved_volume"], data["eps_proved"]) == ("proved", 1.0, 0.0)
    outcome = redy("verify", ONNX, ONNX, "--domain", "acasxu")
    assert outcome.out.startswith("PROVED: exact\n")


def test_both_formats_of_a_network() -> None:
    """The .nnet has its own domain; its decimals are not the floats of the .onnx, or are."""
    data = verify(PROVED, ONNX, NNET, "--guarantee", "eps=1e-2")
    assert data["proved_volume"] == 1.0
    assert data["eps_proved"] <= 1e-2


def test_a_changed_weight_is_refuted_by_a_point_that_replays(changed: Path, tmp_path) -> None:
    witness = tmp_path / "w.npy"
    words = ("--domain", "acasxu", "--guarantee", "eps=1e-6", "--witness", witness)
    data = verify(REFUTED, ONNX, changed, *words)
    point = np.load(witness)
    assert point.tolist() == [data["witness"]]
    f, g = run(ONNX, data["witness"]), run(changed, data["witness"])
    np.testing.assert_allclose(g - f, data["difference"], rtol=0, atol=1e-7)
    assert np.abs(g - f).max() > 1e-6
    np.testing.assert_allclose(f, data["first"], rtol=0, atol=1e-7)
    np.testing.assert_allclose(g, data["second"], rtol=0, atol=1e-7)
    text = redy("verify", ONNX, changed, *words).out
    assert text.startswith("REFUTED: eps=1e-06\nwitness: ")


def test_a_changed_weight_within_eps(changed: Path) -> None:
    data = verify(PROVED, ONNX, changed, "--domain", "acasxu", "--guarantee", "eps=0.5")
    assert 0 < data["eps_proved"] <= 0.5


def test_what_the_budget_does_not_suffice_for(changed: Path) -> None:
    words = ("--domain", "acasxu", "--guarantee", "eps=5e-3", "--budget", 3)
    data = verify(UNKNOWN, ONNX, changed, *words)
    assert (data["verdict"], data["reason"], data["boxes"]) == ("unknown", "budget spent", 3)
    assert 0 <= data["proved_volume"] < 1
    assert data["eps_proved"] > 5e-3  # proved all the same
    assert redy("verify", ONNX, changed, *words).out.startswith("UNKNOWN: eps=0.005\nreason: ")


def test_the_time_limit(changed: Path) -> None:
    words = ("--domain", "acasxu", "--guarantee", "eps=1e-3", "--time-limit", 1e-3)
    data = verify(UNKNOWN, ONNX, changed, *words)
    assert data["reason"] == "time limit reached"


def test_parts_and_processes_change_nothing(changed: Path) -> None:
    words = ("--domain", "acasxu", "--guarantee", "eps=5e-3", "--slices", 8, "--budget", 300)
    one = verify(UNKNOWN, ONNX, changed, *words)
    two = verify(UNKNOWN, ONNX, changed, *words, "--jobs", 2)
    assert {**one, "seconds": 0} == {**two, "seconds": 0}


def test_decision(tiny_onnx: Path, box: Path, tmp_path: Path) -> None:
    """The second output is 20, the first between 8 and 14 or, moved, 30."""
    layers = list(tiny().layers)
    above = replace(layers[1], bias=layers[1].bias + np.array([2.0, 0.0]))
    write_onnx(package.Network(2, (layers[0], above)), tmp_path / "near.onnx")
    above = replace(layers[1], bias=layers[1].bias + np.array([10.0, 0.0]))
    write_onnx(package.Network(2, (layers[0], above)), tmp_path / "far.onnx")
    words = ("--domain", box, "--guarantee", "decision", "--winner", "max")
    data = verify(PROVED, tiny_onnx, tmp_path / "near.onnx", *words)
    assert (data["eps_proved"], data["winner"]) == (None, "max")
    data = verify(REFUTED, tiny_onnx, tmp_path / "far.onnx", *words)
    assert data["first"][0] < data["first"][1]
    assert data["second"][0] >= data["second"][1]


def test_exactly_the_same_by_phases(box: Path, tmp_path: Path) -> None:
    """Without a neuron that is zero on the box: the same there."""
    hidden, last = tiny().layers
    hidden = replace(hidden, bias=np.array([0.0, 0.0, -10.0]))
    more, less = tmp_path / "more.onnx", tmp_path / "less.onnx"
    write_onnx(package.Network(2, (hidden, last)), more)
    hidden = package.Layer({0: hidden.weights[0][:2]}, hidden.bias[:2], hidden.relu[:2])
    write_onnx(
        package.Network(2, (hidden, replace(last, weights={1: last.weights[1][:, :2]}))), less
    )
    assert verify(PROVED, more, less, "--domain", box)["eps_proved"] == 0.0
    wide = tmp_path / "wide.json"
    wide.write_text('{"lower": [-1, -1], "upper": [9, 9]}')
    verify(REFUTED, more, less, "--domain", wide)


def test_unknown_says_what_can_be_proved(tiny_onnx: Path, box: Path, tmp_path: Path) -> None:
    """The same function, a neuron split in two: no structure shows it."""
    hidden, last = tiny().layers
    twice = [0, 0, 1, 2]
    hidden = package.Layer({0: hidden.weights[0][twice]}, hidden.bias[twice], hidden.relu[twice])
    weights = {1: last.weights[1][:, twice] * [0.5, 0.5, 1.0, 1.0]}
    split = package.Network(2, (hidden, replace(last, weights=weights)))
    write_onnx(split, tmp_path / "split.onnx")
    words = (tiny_onnx, tmp_path / "split.onnx", "--domain", box)
    assert "eps=1e-9" in verify(UNKNOWN, *words, "--budget", 50)["reason"]
    assert verify(PROVED, *words, "--guarantee", "eps=1e-9")["eps_proved"] <= 1e-9


def test_a_bundle(demo_bundle: Path) -> None:
    data = verify(PROVED, ONNX, demo_bundle)
    assert data["slices"] == {
        "total": 32, "simplified": 32, "asked": 32, "checked": 32,
        "proved": 32, "refuted": 0, "unknown": 0,
    }  # fmt: skip
    assert (data["guarantee"], data["eps_proved"], data["sampled"]) == ("exact", 0.0, False)
    assert data["proved_volume"] == pytest.approx(1.0)
    data = verify(PROVED, ONNX, demo_bundle, "--sample", 3, "--seed", 1, "--jobs", 2)
    assert (data["sampled"], data["slices"]["asked"], data["slices"]["proved"]) == (True, 3, 3)
    assert data["proved_volume"] == pytest.approx(3 / 32)
    text = redy("verify", ONNX, demo_bundle, "--sample", 3).out
    assert text.startswith("PROVED: exact, on 3 of the 32 slices drawn at random (3 proved)\n")


def test_a_bundle_on_a_part_of_its_domain(demo_bundle: Path, tmp_path: Path) -> None:
    whole = package.open(demo_bundle).domain
    part, beyond = tmp_path / "part.json", tmp_path / "beyond.json"
    middle = 0.75 * whole.lower + 0.25 * whole.upper
    ends = {"lower": whole.lower.tolist(), "upper": middle.tolist()}
    part.write_text(json.dumps(ends))
    beyond.write_text(json.dumps({**ends, "lower": (whole.lower - 1).tolist()}))
    data = verify(PROVED, ONNX, demo_bundle, "--domain", part)
    assert data["slices"]["asked"] < 32
    assert data["proved_volume"] == pytest.approx(1.0)
    refused = redy("verify", ONNX, demo_bundle, "--domain", beyond)
    assert refused.code == 6
    assert "beyond" in refused.err


def test_a_bundle_and_another_network(demo_bundle: Path, changed: Path) -> None:
    words = ("--sample", 2, "--budget", 2000)
    verify(PROVED, changed, demo_bundle, *words, "--guarantee", "eps=0.5")
    data = verify(REFUTED, changed, demo_bundle, "--budget", 50, "--guarantee", "eps=1e-7")
    assert data["slices"]["refuted"] >= 1
    found = package.open(demo_bundle)(np.array([data["witness"]]))[0]
    assert np.abs(found - run(changed, data["witness"])).max() > 1e-7


def altered(bundle: Path, out: Path, change: Callable[[Tensors], None]) -> Path:
    """A copy of ``bundle`` with other content and the right checksum."""
    tensors = tensors_of(bundle.read_bytes())
    change(tensors)
    return write_file(tensors, out)


def refuted_neuron(bundle: Path) -> tuple[int, int]:
    """A slice of ``bundle``, and a neuron of the last layer that has both phases there."""
    status = package.open(bundle).status
    rows, columns = np.nonzero(status == Status.REFUTED)
    last = columns.argmax()
    return int(rows[last]), int(columns[last])


def flipped_status(tensors: Tensors, row: int, neuron: int, status: Status) -> None:
    """The edit that ``status`` allows, in this slice alone, and evidence that says so."""
    slices = len(tensors["edits.number"])
    packed = tensors["edits.packed"][tensors["edits.number"]]
    place, shift = neuron // 4, 2 * (neuron % 4)
    packed[row, place] &= ~np.uint8(3 << shift)
    packed[row, place] |= edits_of(np.array(status)) << shift
    reasons = table(tensors, "reasons").reshape(-1, slices)
    reasons[neuron, row] = status | Criterion.PHASE << 4
    tensors["edits.packed"], tensors["edits.number"] = packed, np.arange(slices, dtype="<u4")
    tensors["evidence.reasons"] = stream(reasons)


@pytest.mark.parametrize("status", [Status.INACTIVE_BRANCHING, Status.ACTIVE_PROPAGATION])
def test_a_flipped_status_is_found_out(status: Status, demo_bundle: Path, tmp_path: Path) -> None:
    row, neuron = refuted_neuron(demo_bundle)

    def flip(tensors: Tensors) -> None:
        flipped_status(tensors, row, neuron, status)

    out = altered(demo_bundle, tmp_path / "flipped.redy", flip)
    assert package.open(out).status[row, neuron] == status
    data = verify(REFUTED, ONNX, out)
    assert data["slices"]["refuted"] == 1
    opened = package.open(out)
    point = np.array([data["witness"]])
    assert opened.slice_of(point)[0] == row
    assert np.abs(opened(point)[0] - run(ONNX, data["witness"])).max() > 0


def test_an_edit_without_evidence_is_refused(demo_bundle: Path, tmp_path: Path) -> None:
    row, neuron = refuted_neuron(demo_bundle)

    def flip(tensors: Tensors) -> None:
        before = tensors["evidence.reasons"]
        flipped_status(tensors, row, neuron, Status.INACTIVE_BRANCHING)
        tensors["evidence.reasons"] = before

    out = altered(demo_bundle, tmp_path / "flipped.redy", flip)
    outcome = redy("verify", ONNX, out)
    assert outcome.code == 3
    assert "its edits are not what their reasons allow" in outcome.err


def test_another_base_network_is_found_out(demo_bundle: Path, tmp_path: Path) -> None:
    """With one weight of the bundle's network changed, nothing is proved that is not so."""

    def change(tensors: Tensors) -> None:
        tensors["layer.2.from.1"][0, 0] += 0.25

    out = altered(demo_bundle, tmp_path / "based.redy", change)
    data = verify(REFUTED, ONNX, out, "--budget", 2000)
    assert data["verdict"] == "refuted"


@pytest.fixture
def by_hand(tmp_path: Path) -> Callable[..., Path]:
    """Makes a bundle of the tiny network with one change that a stage claims to be right."""

    def make(change: Callable, guarantee: str, criterion: str, **options: str) -> Path:
        with registered("by_hand", change, criterion):
            bundle = package.simplify(
                tiny(), BOX, guarantee=guarantee, stages=["phase", "by_hand"], budget=20, **options
            )
        bundle.save(tmp_path / "by_hand.redy")
        return tmp_path / "by_hand.redy"

    return make


@pytest.mark.parametrize("change", [as_line, as_correction])
def test_lines_and_corrections_that_are_right(change, by_hand, tiny_onnx: Path) -> None:
    bundle = by_hand(change, "eps=0.5", "eps")
    assert verify(PROVED, tiny_onnx, bundle)["eps_proved"] < 1e-9
    assert verify(PROVED, tiny_onnx, bundle, "--guarantee", "decision")["winner"] == "min"


def test_a_stage_that_lied(by_hand, tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No check point gives it away, or its edits would have been taken back."""
    nothing = Finding(deviation=0.0, winners_changed=0, contradicts=False)
    monkeypatch.setattr(FloatCheck, "__call__", lambda *_: nothing)
    bundle = by_hand(wrong, "decision", "decision", winner="max")
    data = verify(REFUTED, tiny_onnx, bundle)
    assert (data["guarantee"], data["winner"]) == ("decision", "max")
    assert data["first"][0] < data["first"][1]
    assert data["second"] == [30.0, 20.0]


def test_exported_slices(demo_bundle: Path, tmp_path: Path) -> None:
    part = package.open(demo_bundle).slices[5]
    box = tmp_path / "box.json"
    ends = {"lower": part.box.lower.tolist(), "upper": part.box.upper.tolist()}
    box.write_text(json.dumps(ends))
    onnx, nnet = tmp_path / "slice.onnx", tmp_path / "slice.nnet"
    for path, name in ((onnx, "onnx"), (nnet, "nnet")):
        words = ("--slice", 5, "--format", name, "--out", path)
        assert redy("export", demo_bundle, *words).code == 0
    verify(PROVED, ONNX, onnx, "--domain", box, "--guarantee", "eps=1e-3")
    assert verify(PROVED, ONNX, nnet, "--domain", box)["eps_proved"] == 0.0


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        ([ONNX, ONNX], 2, "--domain"),
        ([ONNX, ONNX, "--domain", "acasxu", "--sample", "3"], 2, "--sample"),
        ([ONNX, ONNX, "--domain", "acasxu", "--slices", "3"], 2, "power of two"),
        ([ONNX, ONNX, "--domain", "acasxu", "--guarantee", "eps=0"], 2, "eps"),
        ([ONNX, ONNX, "--domain", "acasxu", "--winner", "most", "--guarantee", "decision"], 2, "m"),
        ([ONNX, ONNX, "--domain", "acasxu", "--winner", "max"], 2, "--guarantee decision"),
        ([ONNX, ONNX, "--domain", "acasxu", "--budget", "0"], 2, "--budget"),
        ([ONNX, ONNX, "--domain", "acasxu", "--time-limit", "0"], 2, "--time-limit"),
        ([ONNX, ONNX, "--domain", "acasxu", "--witness", "w.txt"], 2, "w.txt"),
        ([ONNX, "nothing.redy"], 3, "nothing.redy"),
    ],
)
def test_what_is_refused(words: list[object], code: int, named: str) -> None:
    outcome = redy("verify", *words)
    assert outcome.code == code
    assert named in outcome.err


def test_networks_of_other_shapes(tiny_onnx: Path) -> None:
    outcome = redy("verify", ONNX, tiny_onnx, "--domain", "acasxu")
    assert outcome.code == 5
    assert "5 and 2 inputs" in outcome.err


def test_a_bundle_takes_no_slices(demo_bundle: Path) -> None:
    outcome = redy("verify", ONNX, demo_bundle, "--slices", 4)
    assert outcome.code == 2
    assert "--slices" in outcome.err


def stopped(*words: object) -> Outcome:
    process = start("verify", *words)
    assert "boxes" in process.stderr.readline()
    time.sleep(2.0)
    process.send_signal(signal.SIGINT)
    return finish(process)


@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c(jobs: int, changed: Path) -> None:
    words = ("--domain", "acasxu", "--guarantee", "eps=1e-3", "--budget", 10**8, "--jobs", jobs)
    outcome = stopped(ONNX, changed, *words)
    assert outcome.code == 130
    assert outcome.err.splitlines()[-1] == "redy: stopped"
    assert "Traceback" not in outcome.err
    assert outcome.out == ""


def test_a_header_in_nnet_makes_no_difference(network: package.Network, tmp_path: Path) -> None:
    domain = package.load(NNET).domain
    write_nnet(network, tmp_path / "same.nnet", domain)
    assert verify(PROVED, ONNX, tmp_path / "same.nnet")["eps_proved"] == 0.0
