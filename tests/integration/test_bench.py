"""``redy bench``: every contender evaluates the network, and the report says what was measured."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import redy
from redy.bench.contenders import contenders
from redy.bench.measure import inputs_of
from redy.cli import app
from redy.network.evaluate import evaluate

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
COMPILER = "cc -std=c99 -O1" if shutil.which("cc") else None


def test_all_contenders_compute_the_same(demo_bundle: Path) -> None:
    bundle = redy.open(demo_bundle)
    points = inputs_of(bundle.domain, 300, None)
    expected = evaluate(bundle.network, points.astype(np.float64))
    with contenders(bundle, threads=1, compiler=COMPILER) as found:
        assert len(found) == (5 if COMPILER else 3)
        for each in found:
            np.testing.assert_allclose(
                np.asarray(each.many(points)).reshape(expected.shape), expected, atol=1e-5
            )
            assert each.memory > 1000
            if each.one is not None:
                one = np.asarray(each.one(each.prepare(points[7]))).ravel()
                np.testing.assert_allclose(one, expected[7], atol=1e-5)


def test_given_inputs_come_in_turn() -> None:
    box = redy.Box([-1.0, -1.0], [1.0, 1.0])
    given = np.array([[0.5, 0.25], [-1.0, 1.0], [0.0, 0.0]])
    assert np.array_equal(inputs_of(box, 5, given), given[[0, 1, 2, 0, 1]].astype(np.float32))


@needs_compiler
def test_the_report(demo_bundle: Path, tmp_path: Path) -> None:
    picture = tmp_path / "bench.svg"
    arguments = ["bench", str(demo_bundle), "--most", "1000", "--plot", str(picture)]
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert [each["name"] for each in report["contenders"]] == [
        "onnxruntime",
        "torch",
        "redy",
        "C, original",
        "C, redy",
    ]
    for each in report["contenders"]:
        assert list(each["batch_us_per_input"]) == ["1", "10", "100", "1000"]
        assert 0 < each["single_median_us"] <= each["single_p99_us"]
    assert set(report["faster"]) == {"single", "batch", "c_single"}
    assert "onnxruntime" in picture.read_text()


def test_the_table(demo_bundle: Path) -> None:
    done = CliRunner().invoke(app, ["bench", str(demo_bundle), "--most", "100", "--no-c"])
    assert done.exit_code == 0, done.output
    assert "redy is " in done.stdout
    assert "C, " not in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--cc", "no-such-compiler -O2"], "--cc: there is no no-such-compiler"),
        (["--cc", "cc", "--no-c"], "--cc goes with --c"),
        (["--most", "0"], "must be at least 1"),
        (["--plot", "bench.txt"], "--plot"),
    ],
)
def test_options_that_do_not_fit(options: list[str], message: str, demo_bundle: Path) -> None:
    done = CliRunner().invoke(app, ["bench", str(demo_bundle), *options])
    assert done.exit_code == 2
    assert message in done.stderr


@needs_compiler
def test_a_compiler_that_fails_is_named(demo_bundle: Path) -> None:
    command = ["bench", str(demo_bundle), "--cc", "cc -no-such-option-at-all"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    assert "the compiler failed" in done.stderr
