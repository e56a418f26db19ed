"""Every command end to end on the project's own network, in few slices."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import groupby, product
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import redy as package
from redy.formats.domains import ACASXU
from redy.run import progress
from redy.version import __version__
from tests.commands import NNET, ONNX, ROOT, redy, succeed

SLICES = 32
OPTIONS = ("--slices", SLICES, "--budget", 50)
DOMAIN = ("--domain", "acasxu")
KEYS = {
    "version",
    "network",
    "network_sha256",
    "slicing",
    "slices",
    "slices_done",
    "neurons",
    "guarantee",
    "removed_mean",
    "removed_by",
    "stable_proved_mean",
    "undecided_mean",
    "solver_trusted_mean",
    "macs_original",
    "macs_mean",
    "bundle_bytes",
    "seconds",
    "eps_proved_max",
    "float_deviation_max",
    "float_deviation_points",
}
COMMANDS = {
    "info": ["--json"],
    "bounds": [
        "--domain", "--method", "--slices", "--grid", "--sample", "--seed", "--device", "--out",
        "--json",
    ],
    "simplify": [
        "--domain", "--slices", "--grid", "--slicing", "--guarantee", "--winner", "--stages",
        "--sample", "--seed", "--jobs", "--backend", "--scheduler", "--shard", "--budget",
        "--time-limit", "--store", "--out", "--json",
    ],
    "merge": ["--out", "--json"],
    "show": ["--slice", "--plot", "--html", "--inputs", "--at", "--json"],
    "eval": ["--out"],
    "export": [
        "--format", "--slice", "--precision", "--outside", "--with-slice", "--out", "--json",
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def nnet_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("nnet") / "nnet.redy"
    succeed("simplify", NNET, *OPTIONS, "--out", out)
    return out


def shown(bundle: Path, *words: object) -> dict:
    return json.loads(succeed("show", bundle, "--json", *words))


def points_of(box: package.Box, count: int = 200) -> np.ndarray:
    """Inner points, and all corners of the slice."""
    corners = np.array(list(product(*zip(box.lower, box.upper, strict=True))))
    return np.concatenate([box.sample(count, np.random.default_rng(5)), corners])


def original(points: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(ONNX))
    port = session.get_inputs()[0]
    shape = [size if isinstance(size, int) else 1 for size in port.shape]
    rows = [
        session.run(None, {port.name: row.reshape(shape)})[0].ravel()
        for row in points.astype(np.float32)
    ]
    return np.array(rows)


def test_version() -> None:
    assert succeed("--version") == f"redy {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_the_options(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    text = succeed(command, "--help")
    assert [option for option in COMMANDS[command] if option not in text] == []


def test_help_lists_the_commands_and_the_exit_codes() -> None:
    text = succeed("--help")
    assert all(command in text for command in COMMANDS)
    assert "130" in text


def test_help_does_not_wait_for_torch() -> None:
    script = "import sys; import redy, redy.cli; print('torch' in sys.modules)"
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert result.stdout == "False\n"


@pytest.mark.parametrize("net", [ONNX, NNET])
def test_info(net: Path) -> None:
    data = json.loads(succeed("info", net, "--json"))
    assert (data["inputs"], data["outputs"], data["neurons"]) == (5, 5, 300)
    assert data["macs"] == 5 * 50 + 5 * 50 * 50 + 50 * 5
    assert data["parameters"] == data["macs"] + 305
    assert data["import_rounded"] == []
    assert (data["domain"] is None) == (net == ONNX)
    text = succeed("info", net)
    assert text.startswith(f"{net}\n")
    assert "13,000 multiply-accumulates" in text


@pytest.mark.parametrize("method", ["interval", "zonotope", "crown"])
def test_bounds_hold_at_points(method: str, tmp_path: Path) -> None:
    out = tmp_path / "bounds.npz"
    words = ("--method", method, *DOMAIN, "--slices", SLICES, "--sample", 3, "--seed", 4)
    data = json.loads(succeed("bounds", ONNX, *words, "--out", out, "--json"))
    assert (data["method"], data["slices"]) == (method, 3)
    assert [row["layer"] for row in data["layers"]] == [1, 2, 3, 4, 5, 6, "output"]
    for row in data["layers"][:-1]:
        assert row["active"] + row["inactive"] + row["open"] == pytest.approx(1)
    network = package.load(ONNX).network
    with np.load(out) as arrays:
        assert set(arrays) == {"slices"} | {
            f"{end}_{k}" for end in ("lower", "upper") for k in range(1, 8)
        }
        boxes = package.simplify(network, ACASXU.domain, slices=SLICES, budget=1).slicing
        for i, (lower, upper) in enumerate(zip(*boxes.boxes(arrays["slices"]), strict=True)):
            outputs = original(points_of(package.Box(lower, upper), 50))
            assert (outputs >= arrays["lower_7"][i] - 1e-5).all()
            assert (outputs <= arrays["upper_7"][i] + 1e-5).all()


def test_bounds_of_the_own_domain_of_a_nnet() -> None:
    assert "crown bounds, mean over 1 slices" in succeed("bounds", NNET)


def test_show_has_every_key(demo_bundle: Path) -> None:
    data = shown(demo_bundle)
    assert set(data) >= KEYS
    assert set(data["removed_by"]) == {"phase", "forward", "decision", "relaxed"}
    assert sum(data["removed_by"].values()) == pytest.approx(data["removed_mean"], abs=1e-15)
    assert 0 < data["removed_mean"] < 1
    decided = data["stable_proved_mean"] + data["refuted_mean"] + data["undecided_mean"]
    assert decided == pytest.approx(1)
    assert (data["slices"], data["slices_done"], data["neurons"]) == (SLICES, SLICES, 300)
    assert data["version"] == __version__
    assert (data["guarantee"], data["winner"], data["eps"]) == ("exact", None, 0)
    assert [row["stage"] for row in data["stages"]] == ["phase", "forward"]
    assert sum(row["boxes"] for row in data["stages"]) == data["boxes"]
    assert set(data["stage_seconds"]) == {"phase", "forward"}
    assert sum(data["proofs"].values()) == SLICES
    assert data["network"] == str(ONNX)
    assert data["network_sha256"] == package.load(ONNX).network.sha256
    assert data["macs_mean"] < data["macs_original"] == 13000
    assert data["bundle_bytes"] == demo_bundle.stat().st_size
    assert data["seconds"] > 0
    assert data["eps_proved_max"] == data["solver_trusted_mean"] == 0
    assert data["float_deviation_max"] < 1e-4
    assert data["float_deviation_points"] >= 100_000


def test_the_same_is_removed_from_onnx_and_nnet(demo_bundle: Path, nnet_bundle: Path) -> None:
    # The .nnet holds the same weights in nine digits: not the same real numbers, but next to them.
    ours, theirs = shown(demo_bundle), shown(nnet_bundle)
    same = ["removed_mean", "removed_by", "undecided_mean", "layers", "macs_mean"]
    assert {key: ours[key] for key in same} == {key: theirs[key] for key in same}


def test_simplify_prints_the_summary_and_leaves_no_store(tmp_path: Path) -> None:
    out = tmp_path / "b.redy"
    words = ("--grid", "2,1,1,1,1", "--budget", 20, "--out", out, "--json")
    outcome = redy("simplify", ONNX, *DOMAIN, *words)
    assert outcome.code == 0
    assert json.loads(outcome.out) == shown(out)
    assert "2 of 2 slices" in outcome.err
    assert {path.name for path in tmp_path.iterdir()} == {"b.redy", "b.redy.run.json"}


def test_the_record_of_another_bundle_is_not_believed(demo_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "b.redy"
    succeed("simplify", NNET, "--budget", 10, "--out", out)
    assert shown(out)["seconds"] > 0
    out.write_bytes(demo_bundle.read_bytes())
    assert shown(out)["seconds"] is None
    succeed("show", out)


def test_progress_without_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_LINE_EVERY", 0)
    words = ("--slices", 32, "--budget", 10, "--out", tmp_path / "b.redy")
    first, *others = redy("simplify", NNET, *words).err.splitlines()
    assert first == "redy: 32 slices"
    assert len(others) > 1
    line = r"redy: \d+ of 32 slices, \d+\.\d% removed, 0:\d\d:\d\d left"
    assert all(re.fullmatch(line, other) for other in others), others
    assert others[-1].startswith("redy: 32 of 32 ")
    assert others[-1].endswith(" 0:00:00 left")


def test_a_named_store_is_kept(tmp_path: Path) -> None:
    out, store = tmp_path / "b.redy", tmp_path / "run"
    words = ("simplify", NNET, "--slices", 2, "--budget", 20, "--store", store, "--out", out)
    succeed(*words)
    assert store.is_file()
    first = out.read_bytes()
    outcome = redy(*words)
    assert "2 slices, 2 of them in the store already" in outcome.err
    assert out.read_bytes() == first


@pytest.mark.parametrize("columns", ["80", "120"])
@pytest.mark.parametrize("name", ["demo.redy", f"{'long-name-' * 12}[b].redy"])
def test_reports_fit_the_terminal(
    columns: str, name: str, demo_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    net = tmp_path / f"{name}.onnx"
    net.write_bytes(ONNX.read_bytes())
    for text in (succeed("info", net), succeed("show", demo_bundle), succeed("bounds", NNET)):
        title, *lines = text.splitlines()
        assert "…" not in text
        assert max(len(line) for line in lines) <= int(columns)
        rows = [
            list(group) for start, group in groupby(lines, lambda line: line[:1]) if start == "│"
        ]
        assert all(len({len(line) for line in table}) == 1 for table in rows)
        assert sum(map(len, rows)) >= 7
        assert title
    assert succeed("info", net).splitlines()[0] == str(net)


def test_show_one_slice(demo_bundle: Path) -> None:
    data = shown(demo_bundle, "--slice", 17)
    part = package.open(demo_bundle).slices[17]
    assert data["slice"] == 17
    assert data["lower"] == part.box.lower.tolist()
    assert data["removed"] == int((part.edits != package.Edit.KEEP).sum())
    assert data["macs"] == part.macs <= min(data["macs_all_folded"], data["macs_all_kept"])
    kinds = ("relu", "zero", "linear", "affine", "constant")
    assert [sum(row[kind] for kind in kinds) for row in data["layers"]] == [50] * 6
    assert sum(data["removed_by"].values()) == data["removed"]
    assert (data["lines"], data["correction"], data["eps_proved"]) == ([], None, 0)
    text = succeed("show", demo_bundle, "--slice", 17)
    assert text.startswith(f"slice 17: {data['removed']} of 300 neurons removed")


@pytest.mark.parametrize(("inputs", "outputs"), [(".npy", ".csv"), (".csv", ".npy")])
def test_eval_agrees_with_onnxruntime(
    inputs: str, outputs: str, demo_bundle: Path, tmp_path: Path
) -> None:
    given, out = tmp_path / f"in{inputs}", tmp_path / f"out{outputs}"
    points = points_of(ACASXU.domain, 300)
    if inputs == ".npy":
        np.save(given, points)
    else:
        np.savetxt(given, points, delimiter=",", fmt="%.17g", header="a,b,c,d,e", comments="")
    assert succeed("eval", demo_bundle, given, "--out", out) == ""
    found = np.load(out) if outputs == ".npy" else np.loadtxt(out, delimiter=",")
    assert np.abs(found - original(points)).max() < 1e-5
    np.testing.assert_array_equal(found, package.open(demo_bundle)(points))


def test_eval_of_no_points(demo_bundle: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", np.empty((0, 5)))
    succeed("eval", demo_bundle, tmp_path / "in.npy", "--out", tmp_path / "out.npy")
    assert np.load(tmp_path / "out.npy").shape == (0, 5)


@pytest.mark.parametrize(("precision", "within"), [(32, 1e-5), (64, 1e-12)])
@pytest.mark.parametrize("index", [0, 17])
def test_export_to_onnx(
    index: int, precision: int, within: float, demo_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "slice.onnx"
    words = ("--slice", index, "--precision", precision, "--out", out, "--json")
    report = json.loads(succeed("export", demo_bundle, *words))
    assert report["slice"] == index
    assert report["file_bytes"] == out.stat().st_size
    part = package.open(demo_bundle).slices[index]
    points = points_of(part.box)
    session = onnxruntime.InferenceSession(str(out))
    port = session.get_inputs()[0]
    dtype = np.float32 if precision == 32 else np.float64
    (found,) = session.run(None, {port.name: points.astype(dtype)})
    assert np.abs(found - package.open(demo_bundle)(points)).max() < within
    assert package.load(out).network.inputs == 5


@pytest.mark.parametrize(("precision", "within"), [(32, 1e-5), (64, 1e-12)])
def test_export_of_all_slices(
    precision: int, within: float, demo_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "all.onnx"
    words = ("--precision", precision, "--with-slice", "--outside", "clamp", "--out", out)
    report = json.loads(succeed("export", demo_bundle, *words, "--json"))
    size = out.stat().st_size
    assert report == {
        "slices": 32, "precision": precision, "outside": "clamp", "file_bytes": size
    }  # fmt: skip
    opened = package.open(demo_bundle)
    dtype = np.float32 if precision == 32 else np.float64
    points = np.concatenate([points_of(part.box, 20) for part in opened.slices]).astype(dtype)
    nearest = points.astype(np.float64).clip(opened.domain.lower, opened.domain.upper)
    session = onnxruntime.InferenceSession(str(out))
    found, slices = session.run(None, {"input": points})
    assert np.abs(found - opened(nearest)).max() < within
    # Where single precision rounds to the outside, the nearest number inside is another one.
    moved = (nearest != points).any(axis=1)
    assert (slices == opened.slice_of(nearest))[~moved].all()
    assert moved.any() == (precision == 32)


def test_export_of_all_slices_for_a_person(demo_bundle: Path, tmp_path: Path) -> None:
    text = succeed("export", demo_bundle, "--out", tmp_path / "all.onnx")
    assert "32 slices in one model: 0." in text
    assert "inputs outside of the domain: their outputs are NaN" in text
    outputs = onnxruntime.InferenceSession(str(tmp_path / "all.onnx")).get_outputs()
    assert [port.name for port in outputs] == ["output"]


def test_export_to_nnet(demo_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "slice.nnet"
    succeed("export", demo_bundle, "--format", "nnet", "--slice", 17, "--out", out)
    back = package.load(out)
    part = package.open(demo_bundle).slices[17]
    np.testing.assert_allclose(back.domain.lower, part.box.lower, atol=1e-9)
    np.testing.assert_allclose(back.domain.upper, part.box.upper, atol=1e-9)
    points = points_of(part.box)
    report = json.loads(succeed("info", out, "--json"))
    assert report["neurons"] < 300
    found = package.simplify(back.network, part.box, budget=1)(points)
    assert np.abs(found - original(points)).max() < 1e-5


def test_export_needs_no_slice_if_there_is_one(tmp_path: Path) -> None:
    bundle, out = tmp_path / "b.redy", tmp_path / "b.onnx"
    succeed("simplify", NNET, "--budget", 10, "--out", bundle)
    assert succeed("export", bundle, "--out", out).startswith("slice 0: ")
    assert out.is_file()
    words = ("--outside", "original", "--out", out)
    assert succeed("export", bundle, *words).startswith("1 slice in one model")


def test_a_sample_is_reported_as_such(tmp_path: Path) -> None:
    out = tmp_path / "b.redy"
    words = ("--slices", 1024, "--sample", 3, "--seed", 9, "--budget", 10, "--out", out)
    text = succeed("simplify", NNET, *words)
    assert "3 of 1024 slices" in text
    assert shown(out)["slices_done"] == 3
