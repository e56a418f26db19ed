"""Bad input: one line that names the culprit, the documented exit code, and no file left behind."""

from __future__ import annotations

import os
import pickle
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import redy as package
from redy.errors import FormatError, RedyError
from redy.formats.tables import read_table
from tests.commands import ONNX, finish, redy, start, succeed
from tests.onnx_models import GEMM, GEMM_WEIGHTS, around, model, weights

USAGE, FORMAT, UNSUPPORTED, NETWORK, DOMAIN, STORE, OUTPUT = range(2, 9)

TINY = """\
// |x0 - x1| + relu(x0 + x1 + 10)
2,2,1,3,
2,3,1,
0,
-1.0,-1.0,
1.0,1.0,
0.0,0.0,0.0,
1.0,1.0,1.0,
1.0,-1.0,
-1.0,1.0,
1.0,1.0,
0.0,
0.0,
10.0,
1.0,1.0,1.0,
0.0,
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.nnet"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="module")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tiny.nnet").write_text(TINY)
    words = ("--slices", 4, "--sample", 2, "--budget", 20, "--out", folder / "b.redy")
    succeed("simplify", folder / "tiny.nnet", *words)
    return (folder / "b.redy").read_bytes()


@pytest.fixture
def bundle(tmp_path: Path, tiny_bundle: bytes) -> Path:
    path = tmp_path / "tiny.redy"
    path.write_bytes(tiny_bundle)
    return path


def fails(folder: Path, code: int, named: str, *words: object) -> str:
    """Run a command that must fail in one line with ``named`` in it and change nothing."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    outcome = redy(*words)
    assert outcome.code == code, outcome
    assert outcome.out == ""
    lines = [line for line in outcome.err.splitlines() if not re.match(r"redy: \d+ slices", line)]
    assert len(lines) == 1, outcome.err
    assert lines[0].startswith("redy: error: ")
    assert named in lines[0], lines[0]
    assert len(lines[0]) < 500
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    return lines[0]


def simplify_fails(tmp_path: Path, code: int, named: str, net: object, *words: object) -> str:
    return fails(tmp_path, code, named, "simplify", net, *words, "--out", tmp_path / "out.redy")


# Networks


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_onnx_weights_that_are_not_finite(bad: float, tmp_path: Path) -> None:
    constants = {**GEMM_WEIGHTS, "v": weights(6, 3)}
    constants["w"] = constants["w"].copy()
    constants["w"][2, 3] = bad
    path = tmp_path / "m.onnx"
    path.write_bytes(model(around(("Relu", ["t0"], {})), constants))
    message = fails(tmp_path, NETWORK, str(path), "info", path)
    assert "finite" in message
    box = tmp_path / "d.json"
    box.write_text('{"lower": [0, 0, 0, 0, 0, 0], "upper": [1, 1, 1, 1, 1, 1]}')
    simplify_fails(tmp_path, NETWORK, str(path), path, "--domain", box)


@pytest.mark.parametrize("bad", ["nan", "inf", "-inf", "1e999"])
def test_nnet_weights_that_are_not_finite(bad: str, net: Path, tmp_path: Path) -> None:
    net.write_text(TINY.replace("-1.0,1.0,\n1.0,1.0,\n0.0", f"-1.0,{bad},\n1.0,1.0,\n0.0"))
    outcome = redy("info", net)
    simplify_fails(tmp_path, outcome.code, "tiny.nnet", net)
    assert outcome.code in {FORMAT, NETWORK}


def test_an_unsupported_operator_is_named_with_its_node(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(model([GEMM, ("Sigmoid", ["t0"], {})], GEMM_WEIGHTS))
    message = fails(tmp_path, UNSUPPORTED, "Sigmoid", "info", path)
    assert "t1" in message
    assert str(path) in message


@pytest.mark.parametrize("part", [0, 0.01, 0.3, 0.9, 0.999])
def test_truncated_onnx(part: float, tmp_path: Path) -> None:
    content = ONNX.read_bytes()
    path = tmp_path / "m.onnx"
    path.write_bytes(content[: int(part * len(content))])
    outcome = redy("info", path)
    assert outcome.code in {FORMAT, UNSUPPORTED, NETWORK}
    fails(tmp_path, outcome.code, str(path), "info", path)


def test_corrupted_onnx_is_never_a_traceback(tmp_path: Path) -> None:
    content = model(around(("Relu", ["t0"], {})), {**GEMM_WEIGHTS, "v": weights(6, 3)})
    rng = np.random.default_rng(3)
    path = tmp_path / "m.onnx"
    messages = []
    for position in rng.choice(8 * len(content), 150, replace=False):
        path.write_bytes(flipped(content, int(position)))
        try:
            package.load(path)
        except RedyError as error:
            messages.append(str(error))
    assert len(messages) > 10
    assert all(str(path) in message for message in messages)


@pytest.mark.parametrize("lines", range(len(TINY.splitlines()) - 1))
def test_truncated_nnet(lines: int, net: Path, tmp_path: Path) -> None:
    net.write_text("".join(TINY.splitlines(keepends=True)[:lines]))
    fails(tmp_path, FORMAT, str(net), "info", net)


@pytest.mark.parametrize("text", ["", "x", "\0" * 40, TINY.replace("10.0,\n", "ten,\n")])
def test_garbage_as_nnet(text: str, net: Path, tmp_path: Path) -> None:
    net.write_text(text)
    fails(tmp_path, FORMAT, str(net), "info", net)


@pytest.mark.parametrize("name", ["none.onnx", "none.nnet", "none.pth", "none"])
@pytest.mark.parametrize("command", ["info", "bounds", "simplify"])
def test_missing_network(command: str, name: str, tmp_path: Path) -> None:
    words = ["--out", tmp_path / "b.redy"] if command == "simplify" else []
    fails(tmp_path, FORMAT, name, command, tmp_path / name, *words)


@pytest.mark.parametrize("name", ["folder.onnx", "folder.nnet"])
def test_a_folder_as_network(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    fails(tmp_path, FORMAT, name, "info", tmp_path / name)


# Bundles


def flipped(content: bytes, bit: int) -> bytes:
    altered = bytearray(content)
    altered[bit // 8] ^= 1 << bit % 8
    return bytes(altered)


HEADER_BITS = 8 * (12 + 4 + 8 + 32)


def test_every_bit_flip_of_a_bundle_s_header_is_found(bundle: Path, tiny_bundle: bytes) -> None:
    for bit in range(HEADER_BITS):
        bundle.write_bytes(flipped(tiny_bundle, bit))
        with pytest.raises(FormatError, match=re.escape(str(bundle))):
            package.open(bundle)


def test_bit_flips_of_a_bundle_s_payload_are_found(bundle: Path, tiny_bundle: bytes) -> None:
    for bit in [*range(HEADER_BITS, 8 * len(tiny_bundle), 997), 8 * len(tiny_bundle) - 1]:
        bundle.write_bytes(flipped(tiny_bundle, bit))
        with pytest.raises(FormatError, match="is corrupted"):
            package.open(bundle)


def test_a_truncated_bundle_is_found(bundle: Path, tiny_bundle: bytes) -> None:
    size = len(tiny_bundle)
    for length in [*range(HEADER_BITS // 8 + 2), *range(100, size, 613), size - 1]:
        bundle.write_bytes(tiny_bundle[:length])
        with pytest.raises(FormatError, match=r"is truncated|is not a redy bundle"):
            package.open(bundle)
    bundle.write_bytes(tiny_bundle + b"\0")
    with pytest.raises(FormatError, match=re.escape(str(bundle))):
        package.open(bundle)


@pytest.mark.parametrize("command", ["show", "eval", "export"])
def test_a_corrupted_bundle_gives_nothing(
    command: str, bundle: Path, tiny_bundle: bytes, tmp_path: Path
) -> None:
    np.save(tmp_path / "in.npy", np.zeros((1, 2)))
    bundle.write_bytes(flipped(tiny_bundle, 8 * len(tiny_bundle) - 9))
    words = {
        "show": [],
        "eval": [tmp_path / "in.npy", "--out", tmp_path / "out.npy"],
        "export": ["--out", tmp_path / "out.onnx", "--slice", 0],
    }[command]
    fails(tmp_path, FORMAT, f"{bundle}: is corrupted", command, bundle, *words)
    bundle.unlink()
    fails(tmp_path, FORMAT, f"{bundle}: no such file", command, bundle, *words)
    bundle.mkdir()
    fails(tmp_path, FORMAT, f"{bundle}: cannot be read", command, bundle, *words)
    fails(tmp_path, FORMAT, "not a redy bundle", command, ONNX, *words)


@pytest.mark.parametrize("schema", [0, 1, 2, 99])
def test_a_bundle_of_another_schema(
    schema: int, bundle: Path, tiny_bundle: bytes, tmp_path: Path
) -> None:
    bundle.write_bytes(tiny_bundle[:12] + bytes([schema, 0, 0, 0]) + tiny_bundle[16:])
    named = f"has bundle schema {schema}, this redy reads schema 3; make the bundle again"
    fails(tmp_path, FORMAT, named, "show", bundle)


# Domains


@pytest.mark.parametrize(
    ("name", "text", "code", "named"),
    [
        ("d.json", '{"lower": [0], "upper": [1]}', DOMAIN, "1 dimensions"),
        ("d.json", '{"lower": [0, 3], "upper": [1, 2]}', DOMAIN, "input 1: the lower bound 3"),
        ("d.json", '{"lower": [0, 0], "upper": [1, NaN]}', DOMAIN, "input 1"),
        ("d.json", '{"lower": [0, 0], "upper": [1]}', DOMAIN, "d.json"),
        ("d.json", '{"lower": [0, 0]}', FORMAT, "'upper'"),
        ("d.json", '{"lower": [0, 0], "upper"', FORMAT, "is not JSON"),
        ("d.json", "", FORMAT, "is not JSON"),
        ("d.csv", "lower,upper\n0,1\n3,2\n", DOMAIN, "input 1: the lower bound 3"),
        ("d.csv", "lower,upper\n0,1\n0,1\n0,1\n", DOMAIN, "3 dimensions"),
        ("d.csv", "lower,upper\n0,1\n0,one\n", FORMAT, "line 3"),
        ("d.csv", "", DOMAIN, "d.csv"),
        ("d.vnnlib", "(declare-const X_0 Real)(assert (<= X_0 1))", DOMAIN, "d.vnnlib"),
        ("d.vnnlib", "(declare-const X_0 Real", FORMAT, "d.vnnlib"),
        ("d.txt", "0 1", FORMAT, "d.txt"),
        ("acasxu.json", None, FORMAT, "acasxu.json: no such file"),
    ],
)
def test_bad_domains(
    name: str, text: str | None, code: int, named: str, net: Path, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    message = simplify_fails(tmp_path, code, named, net, "--domain", tmp_path / name)
    assert name in message
    fails(tmp_path, code, named, "bounds", net, "--domain", tmp_path / name)


def test_an_inverted_vnnlib_box(net: Path, tmp_path: Path) -> None:
    declared = "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)"
    bounds = "".join(f"(assert (>= X_{i} {i}))(assert (<= X_{i} {0.5}))" for i in range(2))
    (tmp_path / "d.vnnlib").write_text(declared + bounds)
    message = simplify_fails(tmp_path, DOMAIN, "d.vnnlib", net, "--domain", tmp_path / "d.vnnlib")
    assert "input 1" in message or "X_1" in message


def test_a_domain_of_another_dimension_or_name(net: Path, tmp_path: Path) -> None:
    message = simplify_fails(tmp_path, DOMAIN, "acasxu", net, "--domain", "acasxu")
    assert "5 dimensions, but the network has 2 inputs" in message
    message = simplify_fails(tmp_path, FORMAT, "acasxy", net, "--domain", "acasxy")
    assert "acasxu" in message.replace("acasxy", "")


def test_an_onnx_needs_a_domain(tmp_path: Path) -> None:
    simplify_fails(tmp_path, USAGE, "--domain", ONNX)
    fails(tmp_path, USAGE, "--domain", "bounds", ONNX)


# Options


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--slices", "0"], "--slices 0"),
        (["--slices", "-1"], "--slices -1"),
        (["--slices", "1000"], "512 or 1024"),
        (["--slices", "2", "--grid", "2,1"], "--slices or --grid"),
        (["--grid", "0,1"], "--grid: input 0 has 0 parts"),
        (["--grid", "2,-1"], "--grid: input 1 has -1 parts"),
        (["--grid", "2,x"], "--grid 2,x"),
        (["--grid", ""], "--grid "),
        (["--grid", "2.5,1"], "--grid 2.5,1"),
        (["--grid", "99999999999,99999999999"], "--grid"),
        (["--slices", "4", "--sample", "0"], "--sample 0"),
        (["--slices", "4", "--sample", "5"], "--sample 5: give between 1 and the 4 slices"),
        (["--slices", "4", "--sample", "2", "--seed", "-3"], "--seed -3"),
        (["--jobs", "0"], "--jobs 0"),
        (["--jobs", "-1"], "--jobs -1"),
        (["--budget", "0"], "--budget 0"),
        (["--budget", "-5"], "--budget -5"),
        (["--budget", "9" * 30], "--budget 999"),
        (["--time-limit", "0"], "--time-limit 0"),
        (["--time-limit", "-1"], "--time-limit -1"),
        (["--time-limit", "nan"], "--time-limit nan"),
        (["--guarantee", "approximate"], "approximate"),
        (["--guarantee", "eps=x"], "eps=x"),
        (["--slicing", "diagonal"], "--slicing diagonal"),
    ],
)
def test_options_out_of_range(words: list[str], named: str, net: Path, tmp_path: Path) -> None:
    simplify_fails(tmp_path, USAGE, named, net, *words)


@pytest.mark.parametrize("grid", ["2", "2,1,1"])
def test_a_grid_of_another_dimension(grid: str, net: Path, tmp_path: Path) -> None:
    simplify_fails(tmp_path, DOMAIN, "--grid", net, "--grid", grid)


@pytest.mark.parametrize(
    "words",
    [["--slices", "x"], ["--jobs", "two"], ["--budget", "1.5"], ["--time-limit", "soon"], ["--no"]],
)
def test_options_that_are_no_numbers(words: list[str], net: Path, tmp_path: Path) -> None:
    outcome = redy("simplify", net, *words, "--out", tmp_path / "b.redy")
    assert outcome.code == USAGE
    assert words[0] in outcome.err
    assert "Traceback" not in outcome.err
    assert list(tmp_path.iterdir()) == [net]


@pytest.mark.parametrize("words", [["simplify"], ["simplify", "x.nnet"], ["eval"], ["no-command"]])
def test_missing_arguments(words: list[str]) -> None:
    assert redy(*words).code == USAGE


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--method", "guess"], "--method guess"),
        (["--device", "abacus"], "--device abacus"),
        (["--device", "meta"], "--device meta"),
        (["--slices", "3"], "--slices 3"),
        (["--sample", "2"], "--sample 2"),
    ],
)
def test_bad_options_of_bounds(words: list[str], named: str, net: Path, tmp_path: Path) -> None:
    fails(tmp_path, USAGE, named, "bounds", net, *words, "--out", tmp_path / "b.npz")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--format", "pdf", "--slice", "{in}"], "--format pdf"),
        (["--precision", "16", "--slice", "{in}"], "--precision 16"),
        (["--slice", "4"], "there is no slice 4: they are numbered 0 to 3"),
        (["--slice", "-1"], "there is no slice -1"),
        (["--slice", "{out}"], "was not simplified"),
        (["--format", "nnet"], "there are 4 slices; name one with --slice, or use onnx"),
        (["--format", "pdf"], "--format pdf"),
        (["--precision", "16"], "--precision 16"),
        (["--outside", "wrap"], "--outside wrap: give nan, clamp, original"),
        (["--format", "nnet", "--with-slice"], "name one with --slice, or use onnx"),
        (["--outside", "nan", "--slice", "{in}"], "leave out --slice"),
        (["--with-slice", "--slice", "{in}"], "leave out --slice"),
    ],
)
def test_bad_options_of_export(words: list[str], named: str, bundle: Path, tmp_path: Path) -> None:
    inside = [part.index for part in package.open(bundle).slices]
    outside = next(index for index in range(4) if index not in inside)
    filled = [word.replace("{in}", str(inside[0])).replace("{out}", str(outside)) for word in words]
    fails(tmp_path, USAGE, named, "export", bundle, *filled, "--out", tmp_path / "s.onnx")
    if filled[:1] == ["--slice"]:
        fails(tmp_path, USAGE, named, "show", bundle, *filled)


# Inputs to evaluate


class Trap:
    """Pickled into a file, it would leave a mark when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.mark),)


def test_a_pickle_is_never_loaded(bundle: Path, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    np.save(tmp_path / "in.npy", np.array([[Trap(mark), 1]], dtype=object), allow_pickle=True)
    words = (bundle, tmp_path / "in.npy", "--out", tmp_path / "out.npy")
    fails(tmp_path, FORMAT, "in.npy: is not a table of numbers", "eval", *words)
    (tmp_path / "in.npy").write_bytes(pickle.dumps(Trap(mark)))
    fails(tmp_path, FORMAT, "in.npy: is not a table of numbers", "eval", *words)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("table", "code", "named"),
    [
        (np.zeros((3, 5)), DOMAIN, "(n, 2), got (3, 5)"),
        (np.zeros(2), FORMAT, "has shape (2,)"),
        (np.zeros((1, 2, 1)), FORMAT, "has shape (1, 2, 1)"),
        (np.array([[0.0, 0.5], [np.nan, 0.0]]), DOMAIN, "row 1: coordinate 0 is nan"),
        (np.array([[0.0, np.inf]]), DOMAIN, "row 0: coordinate 1 is inf"),
        (np.array([[0.0, 0.5], [0.0, 1.0000001]]), DOMAIN, "row 1: coordinate 1 is 1.0000001"),
        (np.array([["a", "b"]]), FORMAT, "not numbers"),
        (np.array([[True, False]]), FORMAT, "not numbers"),
        (np.zeros((1, 2), dtype=complex), FORMAT, "not numbers"),
    ],
)
def test_bad_tables_in_npy(
    table: np.ndarray, code: int, named: str, bundle: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "in.npy", table)
    words = (tmp_path / "in.npy", "--out", tmp_path / "out.npy")
    fails(tmp_path, code, named, "eval", bundle, *words)


@pytest.mark.parametrize(
    ("text", "code", "named"),
    [
        ("", FORMAT, "it has no rows"),
        ("a,b\n", FORMAT, "it has no rows"),
        ("0,0\n0\n", FORMAT, "in.csv: is not a table of numbers"),
        ("0,0\n0,zero\n", FORMAT, "in.csv: is not a table of numbers"),
        ("0,0\n0,0.5 # half\n", FORMAT, "in.csv: is not a table of numbers"),
        ("0,0,0\n", DOMAIN, "(n, 2), got (1, 3)"),
        ("0,0\n0,nan\n", DOMAIN, "row 1: coordinate 1 is nan"),
        ("0;0\n0;1\n", FORMAT, "in.csv: is not a table of numbers"),
    ],
)
def test_bad_tables_in_csv(text: str, code: int, named: str, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(text)
    words = (tmp_path / "in.csv", "--out", tmp_path / "out.csv")
    fails(tmp_path, code, named, "eval", bundle, *words)


@pytest.mark.parametrize("keep", [0, 5, 20, 127, 128, 140])
def test_a_truncated_npy(keep: int, bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "in.npy"
    np.save(path, np.zeros((2, 2)))
    path.write_bytes(path.read_bytes()[:keep])
    fails(tmp_path, FORMAT, "in.npy", "eval", bundle, path, "--out", tmp_path / "out.npy")


def test_an_npy_that_claims_to_be_huge(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "in.npy"
    np.save(path, np.zeros((2, 2)))
    path.write_bytes(path.read_bytes().replace(b"(2, 2), }          ", b"(999999999999, 9), }"))
    fails(tmp_path, FORMAT, "in.npy", "eval", bundle, path, "--out", tmp_path / "out.npy")


def test_a_corrupted_npy_is_never_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "in.npy"
    np.save(path, np.zeros((2, 2)))
    content = path.read_bytes()
    refused = 0
    for bit in range(8 * 128):
        path.write_bytes(flipped(content, bit))
        try:
            read_table(path)
        except FormatError:
            refused += 1
    assert refused > 500


@pytest.mark.parametrize("head", [b"PK\x03\x04", b"\x80\x04", b"\x93NUMPY\x09\x00"])
def test_other_files_named_npy(head: bytes, bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "in.npy"
    path.write_bytes(head + bytes(200))
    fails(tmp_path, FORMAT, "in.npy", "eval", bundle, path, "--out", tmp_path / "out.npy")


def test_tables_of_another_kind(bundle: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", np.zeros((1, 2)))
    (tmp_path / "in.xls").write_bytes(b"")
    words = (tmp_path / "in.npy", "--out", tmp_path / "out.xls")
    fails(tmp_path, USAGE, "out.xls", "eval", bundle, *words)
    words = (tmp_path / "in.xls", "--out", tmp_path / "out.npy")
    fails(tmp_path, USAGE, "in.xls", "eval", bundle, *words)
    words = (tmp_path / "none.npy", "--out", tmp_path / "out.npy")
    fails(tmp_path, FORMAT, "none.npy: no such file", "eval", bundle, *words)


# Where results go


def writers(tmp_path: Path, net: Path, bundle: Path) -> dict[str, tuple[object, ...]]:
    """Every command that writes a file, but for its --out."""
    np.save(tmp_path / "in.npy", np.zeros((400, 2)))
    inside = package.open(bundle).slices
    return {
        ".redy": ("simplify", net, "--budget", 10),
        ".npz": ("bounds", net),
        ".npy": ("eval", bundle, tmp_path / "in.npy"),
        ".onnx": ("export", bundle, "--slice", next(iter(inside)).index),
        ".nnet": ("export", bundle, "--slice", next(iter(inside)).index, "--format", "nnet"),
    }


SUFFIXES = [".redy", ".npz", ".npy", ".onnx", ".nnet"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_outputs_that_cannot_be(suffix: str, net: Path, bundle: Path, tmp_path: Path) -> None:
    words = writers(tmp_path, net, bundle)[suffix]
    out = tmp_path / "nowhere" / f"out{suffix}"
    fails(tmp_path, OUTPUT, f"the folder {out.parent} does not exist", *words, "--out", out)
    folder = tmp_path / f"folder{suffix}"
    folder.mkdir()
    fails(tmp_path, OUTPUT, f"{folder}: is a folder", *words, "--out", folder)
    out = tmp_path / f"{'long' * 70}{suffix}"
    fails(tmp_path, OUTPUT, "cannot be written (File name too long)", *words, "--out", out)
    out = net / f"out{suffix}"
    fails(tmp_path, OUTPUT, "cannot be written (Not a directory)", *words, "--out", out)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc, where nobody can write")
def test_a_folder_nobody_can_write(suffix: str, net: Path, bundle: Path, tmp_path: Path) -> None:
    words = writers(tmp_path, net, bundle)[suffix]
    out = Path(f"/proc/out{suffix}")
    fails(tmp_path, OUTPUT, f"{out}: cannot be written", *words, "--out", out)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only(net: Path, tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    words = ("simplify", net, "--out", folder / "b.redy")
    fails(tmp_path, OUTPUT, "cannot be written (Permission denied)", *words)


def test_an_input_is_not_overwritten(net: Path, bundle: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", np.zeros((1, 2)))
    run = tmp_path / "run"
    for words in (
        ("simplify", net, "--out", net),
        ("simplify", net, "--store", run, "--out", run),
        ("eval", bundle, tmp_path / "in.npy", "--out", tmp_path / "in.npy"),
        ("export", bundle, "--slice", 0, "--out", bundle),
        ("bounds", net, "--out", tmp_path / "." / net.name),
    ):
        fails(tmp_path, USAGE, f"--out {words[-1]}: is also read", *words)


def test_a_device_is_not_replaced(net: Path, tmp_path: Path) -> None:
    fails(tmp_path, OUTPUT, "is a device", "simplify", net, "--out", "/dev/null")
    assert Path("/dev/null").is_char_device()


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file may grow beyond ``size`` bytes: what a full disk looks like to a program."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".onnx", ".nnet"])
def test_a_full_disk_keeps_what_was_there(
    suffix: str, net: Path, bundle: Path, tmp_path: Path
) -> None:
    words = writers(tmp_path, net, bundle)[suffix]
    out = tmp_path / f"out{suffix}"
    out.write_bytes(b"of an earlier run")
    with file_size_limit(64):
        fails(tmp_path, OUTPUT, f"{out}: cannot be written (", *words, "--out", out)


def test_a_full_disk_at_the_bundle_keeps_the_store(tmp_path: Path) -> None:
    out = tmp_path / "b.redy"
    words = ("simplify", ONNX, "--domain", "acasxu", "--slices", 2, "--budget", 20, "--out", out)
    with file_size_limit(100_000):
        outcome = redy(*words)
    assert outcome.code == OUTPUT
    assert outcome.err.splitlines()[-1].startswith(f"redy: error: {out}: cannot be written (")
    assert [path.name for path in tmp_path.iterdir()] == ["b.redy.store"]
    outcome = redy(*words)  # there is room again
    assert outcome.code == 0
    assert "2 slices, 2 of them in the store already" in outcome.err
    assert out.is_file()


def test_a_full_disk_at_the_store(net: Path, tmp_path: Path) -> None:
    out = tmp_path / "b.redy"
    with file_size_limit(9000):
        outcome = redy("simplify", net, "--budget", 20, "--out", out)
    assert outcome.code == STORE
    assert outcome.err.splitlines()[-1].startswith(f"redy: error: {out}.store: ")
    assert not out.exists()
    assert redy("simplify", net, "--budget", 20, "--out", out).code == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [["--json"], []])
def test_a_full_disk_behind_standard_output(words: list[str], bundle: Path) -> None:
    with Path("/dev/full").open("w") as full:
        process = start("show", bundle, *words, stdout=full)
        outcome = finish(process)
    assert outcome.code == OUTPUT
    assert outcome.err == "redy: error: standard output: No space left on device\n"


def test_a_reader_that_stops_early(bundle: Path) -> None:
    process = start("show", bundle, "--json")
    process.stdout.close()
    process.stdout = None
    assert finish(process).err == ""
