"""Evaluation of original models in onnxruntime, pre-activations included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import ArrayLike
from onnx import ModelProto, helper

from redy.errors import DomainError, UnsupportedError
from redy.formats.onnx_graph import Port
from redy.formats.onnx_read import Imported

# Values evaluated at once, over all layers and points; bounds memory.
_CHUNK_VALUES = 2**24
_CHUNK_POINTS = 2**14

# Points on which a model with a symbolic batch must agree with the model as it is.
_PROBES = 5

# Largest difference, relative to the largest value, that the order of summation may make in the
# element type: 2^10 units in the last place. Rows that a model mixes up differ far more.
_ULPS = 2.0**10


def session(model: bytes, threads: int = 1) -> onnxruntime.InferenceSession:
    """An onnxruntime session of ``model`` on the CPU with ``threads`` threads, quiet.

    Raises:
        UnsupportedError: onnxruntime cannot load the model.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        # Falling back to the same provider would only print the error, on the standard output.
        return onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
    except Exception as error:  # onnxruntime's exceptions have no common base but this
        raise UnsupportedError(f"onnxruntime cannot load the model ({error})") from error


def with_preactivations(imported: Imported) -> bytes:
    """The original model with the tensors that feed its activations as further outputs."""
    model = ModelProto.FromString(imported.model)
    _add_outputs(model, _tensor_names(imported), imported.port)
    return bytes(model.SerializeToString())


class OriginalModel:
    """The original ONNX model, evaluated in onnxruntime on (n, inputs) points in batches.

    A model whose input has a fixed batch of 1 is run on a copy with a symbolic batch, after
    checking on a few points that the copy agrees with the model as it is; where it does not, or
    the model mixes the batch with other dimensions, points are run one by one.
    """

    def __init__(self, imported: Imported, threads: int = 1) -> None:
        self._imported = imported
        self._threads = threads
        self._outputs: _Runner | None = None
        self._preactivations: _Runner | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"imported": self._imported, "threads": self._threads}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._imported = state["imported"]
        self._threads = state["threads"]
        self._outputs = self._preactivations = None

    @property
    def batched(self) -> bool:
        """Whether points are run in batches rather than one by one."""
        return self._output_runner().batched

    def outputs(self, points: ArrayLike) -> np.ndarray:
        """Outputs (n, outputs) of ``points`` (n, inputs), in the model's precision."""
        return self._output_runner().run(self._checked(points))[0]

    def preactivations(self, points: ArrayLike) -> list[np.ndarray]:
        """Pre-activations of ``points`` (n, inputs): (n, units) for each hidden layer in order."""
        if not self._imported.relu_tensors:
            self._checked(points)
            return []
        if self._preactivations is None:
            self._preactivations = self._runner(with_preactivations(self._imported))
        found = self._preactivations.run(self._checked(points))
        # The first output is the model's own; the others follow in the order of their names.
        tensors = dict(zip(_tensor_names(self._imported), found[1:], strict=True))
        return [readout.read(tensors) for readout in self._imported.relu_tensors]

    def _output_runner(self) -> _Runner:
        if self._outputs is None:
            self._outputs = self._runner(self._imported.model)
        return self._outputs

    def _runner(self, model: bytes) -> _Runner:
        network = self._imported.network
        values = network.inputs + sum(layer.units for layer in network.layers)
        chunk = max(1, min(_CHUNK_POINTS, _CHUNK_VALUES // values))
        return _Runner(model, self._imported.port, self._threads, chunk)

    def _checked(self, points: ArrayLike) -> np.ndarray:
        array = np.asarray(points)
        inputs = self._imported.network.inputs
        if array.ndim != 2 or array.shape[1] != inputs:
            raise DomainError(f"inputs must have shape (n, {inputs}), got {array.shape}")
        return array.astype(self._imported.port.dtype, copy=False)


def original_outputs(imported: Imported, points: ArrayLike) -> np.ndarray:
    """Outputs (n, outputs) of the original model at ``points`` (n, inputs), in onnxruntime."""
    return OriginalModel(imported).outputs(points)


def original_preactivations(imported: Imported, points: ArrayLike) -> list[np.ndarray]:
    """Pre-activations (n, units) of the original model per hidden layer, in onnxruntime."""
    return OriginalModel(imported).preactivations(points)


class _Runner:
    """Runs one model on many points, in batches where that is right."""

    def __init__(self, model: bytes, port: Port, threads: int, chunk: int) -> None:
        self._port = port
        self._chunk = chunk
        self._single = session(model, threads)
        self._batched: onnxruntime.InferenceSession | None = None
        if len(port.shape) > 1:
            self._batched = self._batchable(model, threads)

    @property
    def batched(self) -> bool:
        """Whether the model may be run on many points at once."""
        return self._batched is not None

    def run(self, points: np.ndarray) -> list[np.ndarray]:
        """All outputs, each (n, size), at ``points`` (n, inputs)."""
        if len(points) == 0:
            origin = np.zeros((1, points.shape[1]), dtype=points.dtype)
            return [found[:0] for found in self.run(origin)]
        if self._batched is None:
            chunks = [self._run_single(point) for point in points]
        else:
            chunks = [
                self._run_batch(self._batched, points[start : start + self._chunk])
                for start in range(0, len(points), self._chunk)
            ]
        return [np.concatenate(found) for found in zip(*chunks, strict=True)]

    def _run_single(self, point: np.ndarray) -> list[np.ndarray]:
        found = _run(self._single, {self._port.name: point.reshape(self._port.shape)})
        return [each.reshape(1, -1) for each in found]

    def _run_batch(
        self, model: onnxruntime.InferenceSession, points: np.ndarray
    ) -> list[np.ndarray]:
        shape = (len(points), *self._port.shape[1:])
        found = _run(model, {self._port.name: points.reshape(shape)})
        if any(each.ndim == 0 or len(each) != len(points) for each in found):
            raise UnsupportedError("the model does not keep the batch dimension")
        return [each.reshape(len(points), -1) for each in found]

    def _batchable(self, model: bytes, threads: int) -> onnxruntime.InferenceSession | None:
        """The model with a symbolic batch, None where it fails or disagrees."""
        inputs = int(np.prod(self._port.shape))
        rng = np.random.default_rng(0)
        probes = rng.standard_normal((_PROBES, inputs)).astype(self._port.dtype)
        singles = [self._run_single(probe) for probe in probes]
        try:
            batched = session(_symbolic_batch(model, self._port), threads)
            together = self._run_batch(batched, probes)
        except UnsupportedError:
            return None
        expected = [np.concatenate(found) for found in zip(*singles, strict=True)]
        agree = all(_agree(*pair) for pair in zip(together, expected, strict=True))
        return batched if agree else None


def _run(model: onnxruntime.InferenceSession, feeds: dict[str, np.ndarray]) -> Sequence[np.ndarray]:
    try:
        return [np.asarray(found) for found in model.run(None, feeds)]
    except Exception as error:  # onnxruntime's exceptions have no common base but this
        raise UnsupportedError(f"onnxruntime cannot run the model ({error})") from error


def _agree(found: np.ndarray, expected: np.ndarray) -> bool:
    if found.shape != expected.shape:
        return False
    largest = np.abs(expected).max(initial=0.0)
    allowed = _ULPS * float(np.finfo(expected.dtype).eps) * largest
    with np.errstate(invalid="ignore"):  # infinite outputs are not found to agree
        return bool(np.abs(found - expected).max(initial=0.0) <= allowed)


def _tensor_names(imported: Imported) -> list[str]:
    names = (name for readout in imported.relu_tensors for name in readout.tensors)
    return list(dict.fromkeys(names))


def _add_outputs(model: ModelProto, names: Sequence[str], port: Port) -> None:
    """Append each tensor as an output under a name of its own, by way of Identity."""
    element = helper.np_dtype_to_tensor_dtype(port.dtype)
    taken = {name for node in model.graph.node for name in (*node.input, *node.output)}
    for position, name in enumerate(names):
        output = f"redy_pre_{position}"
        while output in taken:
            output += "_"
        model.graph.node.append(helper.make_node("Identity", [name], [output]))
        model.graph.output.append(onnx.ValueInfoProto(name=output, type=_untyped(element)))


def _untyped(element: int) -> onnx.TypeProto:
    """A tensor type of unknown shape."""
    return helper.make_tensor_type_proto(element, None)


def _symbolic_batch(content: bytes, port: Port) -> bytes:
    model = ModelProto.FromString(content)
    del model.graph.value_info[:]
    for value in model.graph.input:
        if value.name == port.name:
            value.type.tensor_type.shape.dim[0].dim_param = "redy_batch"
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    return bytes(model.SerializeToString())
