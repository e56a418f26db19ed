"""C code of whole bundles: it compiles without a warning, tests itself, and agrees with Python."""

from __future__ import annotations

import ctypes
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import redy
from redy.cli import app
from redy.dispatch.c_code import write_c
from redy.dispatch.evaluator import Evaluator
from redy.errors import OutputError, UsageError
from redy.formats.bundle import Content
from redy.guarantee import Guarantee
from tests.unit.test_evaluator import (
    chain_content,
    points_of,
    random_content,
    wide_content,
)

CC = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
STRICT = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-O2"]
SANITIZED = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"]
REAL = {32: np.float32, 64: np.float64}

pytestmark = pytest.mark.skipif(CC is None, reason="there is no C compiler")


def compiled(source: Path, *options: str) -> Path:
    assert CC is not None
    made = source.with_suffix(".so" if "-shared" in options else ".exe")
    subprocess.run([CC, *STRICT, *options, str(source), "-o", str(made)], check=True)
    return made


class Library:
    """The functions of exported code."""

    def __init__(self, source: Path, precision: int, *options: str) -> None:
        self.dtype = np.dtype(REAL[precision])
        self._library = ctypes.CDLL(str(compiled(source, "-shared", "-fPIC", *options)))
        self._library.redy_slice.restype = ctypes.c_int32

    def call(self, name: str, point: np.ndarray, *more: np.ndarray) -> int:
        arrays = [np.ascontiguousarray(point, dtype=self.dtype), *more]
        pointers = [ctypes.c_void_p(array.ctypes.data) for array in arrays]
        return int(getattr(self._library, name)(*pointers))

    def outputs(self, points: np.ndarray, count: int) -> np.ndarray:
        found = np.full((len(points), count), np.nan, dtype=self.dtype)
        for point, row in zip(points, found, strict=True):
            assert self.call("redy_eval", point, row) == 0
        return found


@pytest.fixture(scope="module", params=[(seed, 32 + 32 * (seed % 2)) for seed in range(8)])
def exported(request, tmp_path_factory) -> tuple[Content, Library, int]:
    """Grids and trees in both precisions; then wide layers, and listed programs."""
    seed, precision = request.param
    content = random_content(seed + 1 - seed % 2 + (seed > 2))
    if seed >= 5:
        content = wide_content() if seed == 5 else chain_content(0.2)
    source = tmp_path_factory.mktemp("c") / "network.c"
    write_c(content, source, precision=precision, winner="max")
    return content, Library(source, precision), precision


def test_outputs_slices_and_winners_agree(exported) -> None:
    content, library, precision = exported
    evaluator = Evaluator(content, precision=precision)
    points = points_of(content).astype(library.dtype)
    points = points[content.domain.contains(points.astype(np.float64))]
    outputs = library.outputs(points, content.network.outputs)
    size = np.abs(outputs).max()
    close = 1e-5 if precision == 32 else 1e-13
    np.testing.assert_allclose(outputs, evaluator(points), atol=close * size, rtol=0)
    owners = [library.call("redy_slice", point) for point in points]
    assert owners == evaluator.slice_of(points).tolist()
    winners = [library.call("redy_winner", point) for point in points]
    assert winners == outputs.argmax(axis=1).tolist()


def test_bad_inputs_are_errors_and_leave_the_outputs_alone(exported) -> None:
    content, library, _ = exported
    kept = np.full(content.network.outputs, 7.0, dtype=library.dtype)
    for bad, error in ((np.nan, -2), (np.inf, -1), (-np.inf, -1), (99.0, -1)):
        for d in range(content.network.inputs):
            point = np.zeros(content.network.inputs)
            point[d] = bad
            assert library.call("redy_eval", point, kept) == error
            assert library.call("redy_winner", point) == error
            assert library.call("redy_slice", point) == error
    assert (kept == 7.0).all()


@pytest.mark.parametrize("outside", ["error", "clamp"])
@pytest.mark.parametrize("precision", [32, 64])
@pytest.mark.parametrize("seed", [2, 3])
def test_it_tests_itself_under_sanitizers(
    seed: int, precision: int, outside: str, tmp_path: Path
) -> None:
    source = tmp_path / "net.c"
    report = write_c(random_content(seed), source, precision=precision, outside=outside)
    program = compiled(source, "-DREDY_SELF_TEST", *SANITIZED)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.fullmatch(r"self-test: 256 points, largest difference \S+, passed\n", done.stdout)
    assert report.report()["file_bytes"] == source.stat().st_size


def test_a_wrong_table_fails_the_self_test(tmp_path: Path) -> None:
    source = tmp_path / "net.c"
    write_c(random_content(3), source, precision=64)
    text = source.read_text()
    table = text.index("redy_numbers[", text.index("redy_plan["))
    places = [found.start() for found in re.finditer(r"0x1\.", text[table:])]
    half = table + places[len(places) // 4]
    source.write_text(text[:half] + "0x9." + text[half + 4 :])
    done = subprocess.run(
        [compiled(source, "-DREDY_SELF_TEST")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "FAILED" in done.stdout


def test_clamped_inputs(tmp_path: Path) -> None:
    content = random_content(5)
    write_c(content, tmp_path / "net.c", precision=64, outside="clamp")
    library = Library(tmp_path / "net.c", 64)
    far = np.array([[5.0, -7.0], [-np.inf, np.inf], [0.25, 0.5]])
    expected = Evaluator(content, outside="clamp")(far)
    np.testing.assert_allclose(library.outputs(far, len(expected[0])), expected, atol=1e-12)
    assert library.call("redy_slice", np.array([np.nan, 0.0])) == -2


def test_fast_math_is_refused_by_the_code(tmp_path: Path) -> None:
    write_c(random_content(4), tmp_path / "net.c")
    with pytest.raises(subprocess.CalledProcessError):
        compiled(tmp_path / "net.c", "-c", "-ffast-math")


def test_export_from_the_command_line(demo_bundle: Path, tmp_path: Path) -> None:
    source = tmp_path / "acas.c"
    command = ["export", str(demo_bundle), "--format", "c", "--winner", "min", "--out", str(source)]
    done = CliRunner().invoke(app, [*command, "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["file_bytes"] == source.stat().st_size
    assert report["header"] == str(source.with_suffix(".h"))
    bundle = redy.open(demo_bundle)
    library = Library(source, 32)
    lower, upper = bundle.domain.lower, bundle.domain.upper
    points = bundle.domain.sample(2000, np.random.default_rng(0)).astype(np.float32)
    points = points[(points > lower).all(axis=1) & (points < upper).all(axis=1)]
    expected = bundle(points.astype(np.float64))
    np.testing.assert_allclose(library.outputs(points, 5), expected, atol=1e-5)
    owners = [library.call("redy_slice", point) for point in points]
    assert owners == bundle.slice_of(points.astype(np.float64)).tolist()
    said = CliRunner().invoke(app, command).stdout
    assert "C99: tables" in said
    assert "refused with an error code" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--slice", "3"], "leave out --slice"),
        (["--with-slice"], "redy_slice says it"),
        (["--outside", "nan"], "outside 'nan'"),
        (["--out", "net.onnx"], "ends in .c"),
    ],
)
def test_options_that_do_not_go_with_c(options, message, demo_bundle, tmp_path) -> None:
    out = [] if "--out" in options else ["--out", str(tmp_path / "net.c")]
    command = ["export", str(demo_bundle), "--format", "c", *options, *out]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 2
    assert message in done.stderr


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"path": "net.txt"}, UsageError),
        ({"path": "missing/net.c"}, OutputError),
        ({"winner": "both"}, UsageError),
        ({"precision": 16}, UsageError),
        ({"outside": "nan"}, UsageError),
    ],
)
def test_what_cannot_be_written_leaves_no_file(options, error, tmp_path: Path) -> None:
    given = {"path": "net.c", **options}
    path = tmp_path / given.pop("path")
    with pytest.raises(error):
        write_c(random_content(4), path, **given)
    assert not list(tmp_path.iterdir())


def test_c_code_names_the_winner_that_the_guarantee_is_of(tmp_path: Path) -> None:
    content = replace(random_content(4), guarantee=Guarantee.parse("decision", "max"))
    with pytest.raises(UsageError, match="winner 'min': the guarantee is of 'max'"):
        write_c(content, tmp_path / "net.c", winner="min")
    assert not list(tmp_path.iterdir())
    write_c(content, tmp_path / "net.c")
    library = Library(tmp_path / "net.c", 32)
    points = points_of(content, 50).astype(np.float32)
    outputs = library.outputs(points, content.base.outputs)
    assert [library.call("redy_winner", point) for point in points] == outputs.argmax(1).tolist()
