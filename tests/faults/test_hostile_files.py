"""Files made to mislead: each was read, and should not have been, or cost more than it may."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, ModelProto, TensorProto, helper, numpy_helper
from scipy import sparse

import redy
from redy.edits import Edit, Replacements
from redy.errors import FormatError, RedyError, StoreError, UnsupportedError, UsageError
from redy.formats.domains import read_domain
from redy.formats.onnx import import_model
from redy.formats.tables import read_table
from redy.network import fold, form
from redy.network.form import Layer, Network
from redy.run.store import _checksum
from redy.slicing.grid import Grid
from tests.bundle_files import Tensors, tensors_of, write_file
from tests.commands import redy as command
from tests.fuzz.bombs import _described as described
from tests.fuzz.seeds import NNET, bundles
from tests.onnx_models import GEMM_WEIGHTS, around, ints, model, weights
from tests.stages import BOX, tiny

SOUND = model(around(("Relu", ["t0"], {})), {**GEMM_WEIGHTS, "v": weights(6, 3)})


def changed(change: Callable[[ModelProto], object]) -> bytes:
    proto = ModelProto.FromString(SOUND)
    change(proto)
    return bytes(proto.SerializeToString())


# ONNX


def elsewhere(tensor: TensorProto, place: str) -> None:
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", place


def unread_initializer(proto: ModelProto, place: str) -> None:
    proto.graph.initializer.append(numpy_helper.from_array(np.zeros(3, np.float32), "unread"))
    elsewhere(proto.graph.initializer[-1], place)


def read_initializer(proto: ModelProto, place: str) -> None:
    elsewhere(proto.graph.initializer[0], place)


def attribute(proto: ModelProto, place: str) -> None:
    node = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.zeros(3)))
    elsewhere(node.attribute[0].t, place)
    proto.graph.node.insert(0, node)


def inner_graph(proto: ModelProto, place: str) -> None:
    inner = helper.make_graph([], "inner", [], [])
    inner.initializer.append(numpy_helper.from_array(np.zeros(3, np.float32), "far"))
    elsewhere(inner.initializer[0], place)
    proto.graph.node[0].attribute.append(helper.make_attribute("body", inner))


@pytest.mark.parametrize("where", [unread_initializer, read_initializer, attribute, inner_graph])
@pytest.mark.parametrize("place", ["/etc/passwd", "../w.bin", "w.bin", "link.bin"])
def test_external_data_is_never_followed(
    where: Callable[[ModelProto, str], None], place: str, tmp_path: Path
) -> None:
    """Not even inside of the model's folder, where a link may lead out of it."""
    (tmp_path / "w.bin").write_bytes(bytes(1000))
    (tmp_path / "link.bin").symlink_to("/etc/passwd")
    path = tmp_path / "m.onnx"
    path.write_bytes(changed(lambda proto: where(proto, place)))
    with pytest.raises(UnsupportedError, match="external data is not supported"):
        redy.load(path)


def test_a_function_that_takes_an_operator_s_place() -> None:
    """To onnxruntime, Relu would be what the model says it is."""
    function = helper.make_function(
        "", "Relu", ["a"], ["b"], [helper.make_node("Neg", ["a"], ["b"])], []
    )
    with pytest.raises(UnsupportedError, match="defines functions of its own"):
        import_model(changed(lambda proto: proto.functions.append(function)), "m.onnx")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda p: p.graph.initializer.append(p.graph.initializer[0]), "'w' is defined twice"),
        (lambda p: p.opset_import.append(helper.make_opsetid("", 9)), "several versions"),
        (lambda p: p.graph.initializer[0].float_data.extend([1.0] * 36), "twice, in two ways"),
        (
            lambda p: p.graph.node[0].attribute.extend([helper.make_attribute("alpha", 2.0)] * 2),
            "'alpha' is given twice",
        ),
    ],
)
def test_a_model_that_says_two_things(change: Callable[[ModelProto], object], named: str) -> None:
    with pytest.raises(FormatError, match=named):
        import_model(changed(change), "m.onnx")


@pytest.mark.parametrize("limit", [3.4e38, 1e30, -1e30, 1e10])
@pytest.mark.parametrize("operator", ["Clip", "Max", "Min"])
def test_limits_next_to_which_nothing_is_left_of_a_value(operator: str, limit: float) -> None:
    """Lowered to ReLUs, x + 1e30 - 1e30 was zero."""
    names = ["t0", "", "limit"] if limit > 0 else ["t0", "limit"]
    nodes = around((operator, names if operator == "Clip" else ["t0", "limit"], {}))
    constants = {**GEMM_WEIGHTS, "v": weights(6, 3), "limit": np.float32(limit)}
    with pytest.raises(UnsupportedError, match="too large to be lowered to ReLUs"):
        import_model(model(nodes, constants), "m.onnx")


def test_sizes_are_in_proportion_to_the_file() -> None:
    """A large layer is read from a file that holds its weights, and refused from a small one."""
    units = 2**20
    one = numpy_helper.from_array(np.ones(1, dtype=np.float32))
    nodes = [("ConstantOfShape", ["s"], {"value": one}), ("MatMul", ["x", "t0"], {})]
    with pytest.raises(UnsupportedError, match="larger than redy can hold"):
        import_model(model(nodes, {"s": ints(6, units)}), "m.onnx")
    held = model([("MatMul", ["x", "w"], {})], {"w": np.ones((6, units), dtype=np.float32)})
    assert import_model(held, "m.onnx").network.outputs == units


def test_a_large_sparse_matrix_is_not_made_dense_to_be_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    size = 2**20  # of eight terabytes as a dense matrix
    wide = Layer({0: sparse.eye_array(size, format="csr")}, np.zeros(size), np.zeros(size, bool))
    assert len(Network(size, (wide,)).sha256) == 64
    monkeypatch.setattr(form, "_LARGEST_DENSE", 4)
    matrix = np.array([[0.0, 1.5, -0.0], [2.0, 0.0, 0.0]])

    def named(held: form.Matrix) -> str:
        return Network(3, (Layer({0: held}, np.zeros(2), np.zeros(2, bool)),)).sha256

    explicit_zero = sparse.csr_array(([1.5, 0.0, 2.0], ([0, 0, 1], [1, 2, 0])), shape=(2, 3))
    assert named(matrix) == named(sparse.csr_array(matrix)) == named(explicit_zero)
    assert named(matrix) != named(matrix[::-1].copy())


def test_networks_are_folded_the_same_with_sparse_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    network = tiny()
    edits = Replacements(np.array([0, Edit.IDENTITY, Edit.ZERO], dtype=np.uint8), np.zeros((3, 2)))
    for folded in ([True], [False]):
        expected = fold.materialise(network, edits, folded).sha256
        with monkeypatch.context() as patch:
            patch.setattr(fold, "_LARGEST_DENSE", 0)
            assert fold.materialise(network, edits, folded).sha256 == expected


# What is no file, and what is shown of one


def test_a_pipe_is_not_waited_for_and_a_device_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.nnet")
    (tmp_path / "zero.nnet").symlink_to("/dev/zero")
    for name in ("pipe.nnet", "zero.nnet"):
        with pytest.raises(FormatError, match="it is a device or a pipe, not a file"):
            redy.load(tmp_path / name)


def test_a_message_is_short_and_plain() -> None:
    error = RedyError("m.onnx: '\x1b[2J\x07\u202e" + "a" * 5000 + "\n\tb'")
    assert str(error).isprintable()
    assert len(str(error)) < 1010
    assert str(error).startswith("m.onnx: '")
    assert str(error).endswith("a b'")


def test_names_in_files_do_not_command_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(changed(lambda proto: setattr(proto.graph.node[0], "name", "\x1b[2Jhello")))
    path.write_bytes(path.read_bytes().replace(b"Relu", b"Rel\x1b"))
    outcome = command("info", path)
    assert outcome.code == 4
    assert "\x1b" not in outcome.err
    tensors = tensors_of(bundles()[0])
    summary = json.loads(tensors["description"].tobytes())["summary"]
    summary["network"] = "\x1b[2J\ud800.onnx"
    shown = command("show", write_file(described(tensors, summary=summary), tmp_path / "b.redy"))
    assert shown.code == 0
    assert "\x1b" not in shown.out


# Tables and domains


def npy(shape: str, content: bytes, version: tuple[int, int] = (1, 0)) -> bytes:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}"
    file = io.BytesIO()
    size = (len(header) + 1).to_bytes(2 if version == (1, 0) else 4, "little")
    file.write(b"\x93NUMPY" + bytes(version) + size + header.encode() + b"\n" + content)
    return file.getvalue()


@pytest.mark.parametrize(
    ("shape", "version", "named"),
    [
        ("(2**40, 1)", (1, 0), "not a table"),
        ("(1099511627776, 1)", (1, 0), "it has 32 bytes"),
        ("(9223372036854775808, 0)", (1, 0), "it has 32 bytes"),
        ("(2, 1)", (1, 0), "it has 32 bytes"),
        ("(-2, -2)", (1, 0), "it has 32 bytes"),
        ("(2, 2)", (3, 0), "it is of version"),
    ],
)
def test_a_table_that_claims_another_size(
    shape: str, version: tuple[int, int], named: str, tmp_path: Path
) -> None:
    path = tmp_path / "in.npy"
    path.write_bytes(npy(shape, bytes(32), version))
    with pytest.raises(FormatError, match=named):
        read_table(path)


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_tables_of_both_versions_and_of_python_2(version: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "in.npy"
    numbers = np.arange(4.0)
    for shape in ("(2, 2)", "(2L, 2L)"):
        path.write_bytes(npy(shape, numbers.tobytes(), version))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert read_table(path).tolist() == [[0, 1], [2, 3]]


def test_a_long_number_that_is_none_takes_no_longer_than_one_that_is(tmp_path: Path) -> None:
    """With two repetitions side by side, a million digits took hours."""
    path = tmp_path / "n.nnet"
    path.write_text(NNET.replace("10.0,", "9" * 10**6 + "x,"), encoding="utf-8")
    began = time.process_time()
    with pytest.raises(FormatError, match="is not a number"):
        redy.load(path)
    assert time.process_time() - began < 5.0


def test_a_property_is_gone_through_once(tmp_path: Path) -> None:
    """Ninety conjunctions in each other say no more than one, and take no longer."""
    path = tmp_path / "d.vnnlib"
    bounds = " ".join(f"(<= X_0 {i}.5) (>= X_0 0.5)" for i in range(1, 400))
    path.write_text(
        f"(declare-const X_0 Real)(assert {'(and ' * 90}{bounds}{')' * 90})", encoding="utf-8"
    )
    assert read_domain(path, 1).upper.tolist() == [1.5]


# Grids and bundles


@pytest.mark.parametrize("counts", [(2**26, 1), (10**4000, 2), (2**20, 2**20), (10**30, 1)])
def test_grids_beyond_measure(counts: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="--grid"):
        Grid(BOX, counts)


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    return tensors_of(bundles()[0])


def summary_with(tensors: Tensors, **others: object) -> Tensors:
    summary = json.loads(tensors["description"].tobytes())["summary"]
    return described(tensors, summary={**summary, **others})


@pytest.mark.parametrize(
    "others",
    [
        {"network": 7},
        {"layers": None},
        {"layers": [{"layer": 1}]},
        {"removed_mean": "all"},
        {"removed_mean": float("nan")},
        {"removed_by": []},
        {"macs_mean": 10**400},
        {"neurons": True},
        {"neurons": 2.5},
        {"stages": {}},
        {"mid": {}},
        {"guarantee": "x" * 10**5},
        {"slices_failed": 1.5},
        {"slices_failed": ["one"]},
        {"slices_contradicted": "some"},
    ],
)
def test_a_summary_that_could_not_be_shown(
    others: dict[str, object], tensors: Tensors, tmp_path: Path
) -> None:
    path = write_file(summary_with(tensors, **others), tmp_path / "b.redy")
    with pytest.raises(FormatError, match="is not a bundle that redy wrote"):
        redy.open(path)
    write_file(summary_with(tensors, later="more"), path)
    assert redy.open(path).summary["later"] == "more"


@pytest.mark.parametrize("name", ["winner", "eps", "removed_mean", "layers"])
def test_a_summary_that_lacks_what_is_shown(name: str, tensors: Tensors, tmp_path: Path) -> None:
    summary = json.loads(tensors["description"].tobytes())["summary"]
    del summary[name]
    path = write_file(described(tensors, summary=summary), tmp_path / "b.redy")
    with pytest.raises(FormatError, match=f"{name} is missing"):
        redy.open(path)


@pytest.mark.parametrize(
    ("name", "kind"), [("layer.1.from.0", "<f4"), ("layer.1.bias", "<i8"), ("layer.1.relu", "?")]
)
def test_weights_of_another_type(name: str, kind: str, tensors: Tensors, tmp_path: Path) -> None:
    changed_tensors = {**tensors, name: tensors[name].astype(kind)}
    with pytest.raises(FormatError, match=f"its tensor {name} holds numbers of another type"):
        redy.open(write_file(changed_tensors, tmp_path / "b.redy"))


@pytest.mark.parametrize("inputs", ["2", 2.0, None])
def test_inputs_that_are_no_count(inputs: object, tensors: Tensors, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="is not a bundle that redy wrote"):
        redy.open(write_file(described(tensors, inputs=inputs), tmp_path / "b.redy"))


@pytest.mark.parametrize("proofs", [7, None, "SOLVER", ["faith"], [["SOLVER"]], {"SOLVER": 1}])
def test_proofs_that_there_are_not(proofs: object, tensors: Tensors, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="its proofs are none that there are"):
        redy.open(write_file(described(tensors, proofs=proofs), tmp_path / "b.redy"))


def test_linear_units_are_not_folded_at_any_price(tmp_path: Path) -> None:
    """One unit between many inputs and outputs: few weights, or a skip of ten thousand."""
    wide = 100
    narrow = Layer({0: np.ones((1, wide))}, np.full(1, 500.0), np.array([True]))
    network = Network(
        wide, (narrow, Layer({1: np.ones((wide, 1))}, np.zeros(wide), np.zeros(wide, bool)))
    )
    bundle = redy.simplify(network, redy.Box([0] * wide, [1] * wide), budget=20)
    bundle.save(tmp_path / "b.redy")
    tensors = tensors_of((tmp_path / "b.redy").read_bytes())
    assert not tensors["folded"].any()
    tensors["folded"][:] = 128
    forged = redy.open(write_file(tensors, tmp_path / "b.redy"))
    with pytest.raises(FormatError, match="folded where that costs more"):
        _ = forged.slices[0].network


def test_a_forged_bundle_is_not_proved_by_opening_it(tensors: Tensors, tmp_path: Path) -> None:
    """Checksums tell damage from what was written, not a right proof from a wrong one."""
    bias = tensors["layer.2.bias"].copy()
    bias[1] -= 100.0
    path = write_file({**tensors, "layer.2.bias": bias}, tmp_path / "b.redy")
    assert redy.open(path)(np.zeros((1, 2)))[0, 1] == -80.0  # another network altogether


# Stores


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    redy.simplify(tiny(), BOX, slices=2, budget=20, store=path)
    return path


def taken_up(store: Path) -> redy.Bundle:
    return redy.simplify(tiny(), BOX, slices=2, budget=20, store=store)


def alter(store: Path, *statements: str) -> None:
    with closing(sqlite3.connect(store)) as database, database:
        for statement in statements:
            database.execute(statement)


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.mark.parametrize(
    "statements",
    [
        [f"CREATE TRIGGER t AFTER INSERT ON meta BEGIN {ENDLESS}; END"],
        ["CREATE TRIGGER t AFTER UPDATE ON meta BEGIN DELETE FROM slices; END"],
        ["DROP TABLE slices", f"CREATE VIEW slices AS {ENDLESS}"],
        ["DROP TABLE slices"],
        ["CREATE TABLE more (x)"],
        ["CREATE INDEX more ON slices (hex(status))"],
        ["ALTER TABLE slices ADD COLUMN more BLOB"],
    ],
)
def test_a_store_with_more_than_tables_is_not_touched(statements: list[str], store: Path) -> None:
    alter(store, *statements)
    with pytest.raises(StoreError, match="has other tables than a store"):
        taken_up(store)


@pytest.mark.parametrize("record", ["null", "7", '"x"', "[1]", "[" * 10**5])
def test_the_record_of_a_run_is_anything(record: str, store: Path) -> None:
    alter(store, f"UPDATE meta SET value = '{record}' WHERE key = 'run'")
    with pytest.raises(StoreError, match="the record of the run is damaged"):
        taken_up(store)


@pytest.mark.parametrize("seconds", ["long", "1e999", "-5", ""])
def test_time_spent_is_anything(seconds: str, store: Path) -> None:
    alter(store, f"UPDATE meta SET value = '{seconds}' WHERE key = 'seconds'")
    assert 0.0 <= taken_up(store).summary["seconds"] < 100.0


FORGED: dict[str, list[object]] = {
    "slice": [2, -1, 2**40],
    "status": [b"", b"\xff" * 3, bytes(4)],
    "pool": [b"\xff\xff", b"\0"],
    "found": [np.full(2, np.nan, "<f4").tobytes(), bytes(4), bytes(3)],
    "edits": [b"x", bytes(8), (2**60).to_bytes(8, "little") + b"{}"],
    "eps_proved": [b"", np.float64(1.0).tobytes(), np.float64(np.nan).tobytes()],
    "proof": ["faith", ""],
    "log": ["", "[[]]", '[["phase", 1, "2"]]', '[["phase", 1e9]]', "[" * 10**5],
    "deviation": [b"", np.float64(np.nan).tobytes()],
    "winners_changed": [-1, 2**62],
}


@pytest.mark.parametrize(
    ("column", "value"), [(name, value) for name, values in FORGED.items() for value in values]
)
def test_a_row_with_a_right_checksum_that_redy_never_wrote(
    column: str, value: object, store: Path
) -> None:
    with closing(sqlite3.connect(store)) as database, database:
        database.row_factory = sqlite3.Row
        row = dict(database.execute("SELECT * FROM slices WHERE slice = 1").fetchone())
        row[column] = value
        names = [name for name in row if name != "checksum"]
        row["checksum"] = _checksum([row[name] for name in names])
        settings = ", ".join(f"{name} = :{name}" for name in row)
        database.execute(f"UPDATE slices SET {settings} WHERE slice = 1", row)
    with pytest.raises(StoreError, match="is damaged"):
        taken_up(store)


def test_the_tree_of_a_store_is_anything(tmp_path: Path) -> None:
    path = tmp_path / "run"
    options = {"slices": 3, "slicing": "adaptive", "budget": 20, "store": path}
    redy.simplify(tiny(), BOX, **options)
    for content in (b"", b"x" * 20):
        with closing(sqlite3.connect(path)) as database, database:
            values = [content, _checksum(("tree", content))]
            database.execute("UPDATE parts SET content = ?, checksum = ?", values)
        with pytest.raises(StoreError, match="the tree is damaged"):
            redy.simplify(tiny(), BOX, **options)


def test_this_onnx_has_the_attributes_that_are_searched() -> None:
    """A kind of attribute that could hold tensors, and that redy does not know, would be news."""
    holders = {
        field.name
        for field in AttributeProto.DESCRIPTOR.fields
        if field.message_type is not None and "Type" not in field.message_type.name
    }
    expected = {"t", "tensors", "g", "graphs", "sparse_tensor", "sparse_tensors"}
    assert holders == expected, onnx.__version__
