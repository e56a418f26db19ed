"""``redy bounds`` with branch, lp and milp: what it says and writes, refuses, and how it stops."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

import redy as package
from redy.formats.nnet import write_nnet
from redy.network.evaluate import preactivations
from redy.run.spread import Workers
from redy.run.steps import StepBar, Steps
from redy.simplify import cut
from tests.commands import ONNX, finish, redy, start, succeed

DOMAIN = ("--domain", "acasxu")
BOX = package.Box([-1.0, -1.0], [1.0, 1.0])
SLICES = ("--slices", 4, "--sample", 2)
QUICK = (*SLICES, "--budget", 30, "--time-limit", 5)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, package.Network]:
    """A network in whose three layers many neurons are open."""
    rng = np.random.default_rng(0)
    widths = [2, 6, 6, 6, 2]
    layers = [
        package.Layer(
            {k: rng.normal(size=(widths[k + 1], widths[k]))},
            rng.normal(size=widths[k + 1]) / 4,
            np.full(widths[k + 1], k < 3),
        )
        for k in range(4)
    ]
    network = package.Network(2, tuple(layers))
    path = tmp_path_factory.mktemp("small") / "small.nnet"
    write_nnet(network, path, BOX)
    return path, network


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "bounds.npz"


@pytest.mark.parametrize("method", ["branch", "lp", "milp"])
def test_refined_bounds_hold_at_points_and_are_told(
    method: str, small: tuple[Path, package.Network], out: Path
) -> None:
    net, network = small
    words = ("--method", method, *QUICK, "--out", out, "--json")
    data = json.loads(succeed("bounds", net, *words))
    plain = json.loads(succeed("bounds", net, *SLICES, "--json"))
    assert (data["method"], data["slices"]) == (method, 2)
    for row, before in zip(data["layers"], plain["layers"], strict=True):
        assert row["mean_width"] <= before["mean_width"]
        if row["layer"] != "output":
            assert before["solver_trusted"] == 0
            assert row["open"] <= before["open"]
            assert row["solver_trusted"] <= row["active"] + row["inactive"]
    trusted = sum(row["solver_trusted_bounds"] for row in data["layers"])
    assert (trusted > 0) == (method == "milp")
    with np.load(out) as arrays:
        _check_points(network, dict(arrays))
        assert any(name.startswith("proved_") for name in arrays) == (method == "milp")


def _check_points(network: package.Network, arrays: dict[str, np.ndarray]) -> None:
    ends = cut(BOX, 4, None).boxes(arrays["slices"])
    for i, (lower, upper) in enumerate(zip(*ends, strict=True)):
        points = package.Box(lower, upper).sample(500, np.random.default_rng(1))
        for k, values in enumerate(preactivations(network, points), start=1):
            low, high = arrays[f"lower_{k}"][i], arrays[f"upper_{k}"][i]
            assert (values >= low - 1e-9).all()
            assert (values <= high + 1e-9).all()
            assert (arrays.get(f"proved_lower_{k}", arrays[f"lower_{k}"])[i] <= low).all()
            assert (arrays.get(f"proved_upper_{k}", arrays[f"upper_{k}"])[i] >= high).all()


@pytest.mark.parametrize("method", ["branch", "lp"])
def test_the_number_of_jobs_changes_nothing(
    method: str, small: tuple[Path, package.Network], out: Path
) -> None:
    texts = []
    for jobs in (1, 2):
        words = ("--method", method, *QUICK, "--jobs", jobs, "--out", out)
        texts.append(succeed("bounds", small[0], *words))
        texts.append(out.read_bytes())
    assert texts[:2] == texts[2:]


def test_the_table_names_what_rests_on_a_solver(small: tuple[Path, package.Network]) -> None:
    text = succeed("bounds", small[0], "--method", "lp", *QUICK)
    assert "lp bounds, mean over 2 slices" in text
    assert "solver's" in text


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--method", "magic"), "there is branch, crown, interval, lp, milp, zonotope"),
        (("--method", "lp", "--solver", "cplex"), "no solver 'cplex'"),
        (("--method", "lp", "--jobs", 0), "--jobs"),
        (("--method", "branch", "--budget", 0), "--budget"),
        (("--method", "lp", "--time-limit", 0), "--time-limit"),
        (("--method", "lp", "--time-limit", "nan"), "--time-limit"),
    ],
)
def test_what_cannot_be_done_is_said(words: tuple[object, ...], reason: str, out: Path) -> None:
    outcome = redy("bounds", ONNX, *DOMAIN, *words, "--out", out)
    assert outcome.code != 0
    assert reason in " ".join(outcome.err.split())
    assert not out.exists()


@pytest.mark.parametrize("jobs", [1, 2])
def test_stopped_with_ctrl_c(jobs: int, out: Path) -> None:
    # Z3 needs very long for each of these.
    words = ("--method", "lp", "--solver", "z3", *DOMAIN, "--time-limit", 60, "--jobs", jobs)
    process = start("bounds", ONNX, *words, "--out", out)
    assert process.stderr is not None
    lines = iter(process.stderr.readline, "")
    assert any("LPs of layer 2" in line for line in lines)
    time.sleep(5)
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    outcome = finish(process)
    assert time.monotonic() - began < 10
    assert outcome.code == 130
    assert outcome.err.splitlines()[-1] == "redy: stopped"
    assert "Traceback" not in outcome.err
    assert outcome.out == ""
    assert not out.exists()


def _broken(task: int) -> int:
    if task == 1:
        os._exit(3)
    return task


def test_a_worker_that_dies_is_told() -> None:
    with pytest.raises(package.RedyError, match="worker processes were killed"):
        list(Workers(2, Steps())("tasks", _broken, [0, 1, 2, 3]))


def test_the_bar_shows_the_step_at_hand() -> None:
    with StepBar() as steps:
        for what in ("one", "two"):
            steps.start(what, 2)
            steps.advance()
        shown = [(task.description, task.completed) for task in steps._bar.tasks]
    assert shown == [("two", 1)]
