"""ONNX models in the making: nodes, weights and tables, and the bytes that they become."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import onnx
from google.protobuf.message import EncodeError
from numpy.typing import DTypeLike
from onnx import helper, numpy_helper

from redy.errors import NetworkError, UnsupportedError

_OPSET = 13
_IR_VERSION = 8
_MOST_BYTES = 2**31 - 2**20  # protobuf's limit, less room for the graph itself
_TOO_LARGE = "the network is too large for one ONNX file (2 GiB)"

End: TypeAlias = tuple[str, int, Sequence[str | int]]
"""Name, type and shape of an input or output."""


@dataclass
class Graph:
    """Nodes and initializers written so far.

    Attributes:
        dtype: float32 or float64, that of weights and arithmetic.
        taken: names of inputs and outputs, which nothing else may have.

    Raises:
        UnsupportedError: another type, or a name that is empty or given twice.
    """

    dtype: np.dtype
    taken: tuple[str, ...]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)
    joined: dict[tuple[str, ...], str] = field(default_factory=dict)
    opsets: dict[str, int] = field(default_factory=lambda: {"": _OPSET})
    size: int = 0

    def __post_init__(self) -> None:
        if self.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise UnsupportedError(
                f"ONNX export in {self.dtype} is not supported; use float32 or float64"
            )
        if not all(self.taken) or len(set(self.taken)) < len(self.taken):
            raise UnsupportedError("an ONNX model needs two different names for input and output")

    @property
    def element(self) -> int:
        """ONNX's number for ``dtype``."""
        return element_of(self.dtype)

    def name(self, wanted: str) -> str:
        """``wanted``, changed where it would clash with an input's or output's name."""
        while wanted in self.taken:
            wanted += "_"
        return wanted

    def node(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Append a node; returns its output."""
        self.nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def split(self, tensor: str, sizes: Sequence[int], outputs: Sequence[str]) -> None:
        """Append a node that cuts ``tensor`` into ``outputs`` of so many columns."""
        given = self.table(f"{outputs[0]}_sizes", np.array(sizes))
        self.nodes.append(helper.make_node("Split", [tensor, given], outputs, outputs[0], axis=1))

    def inner(self, operator: str, inputs: Sequence[str], wanted: str, **attributes: Any) -> str:
        """Append a node whose output is called ``wanted``, or nearly so; returns its output."""
        return self.node(operator, inputs, self.name(wanted), **attributes)

    def weight(self, name: str, array: np.ndarray, what: str) -> str:
        """Append an initializer, rounded to the graph's type.

        Raises:
            NetworkError: a number is too large for that; the message says which of ``what``.
        """
        with np.errstate(over="ignore"):
            rounded = array.astype(self.dtype)
        bad = np.argwhere(~np.isfinite(rounded))
        if len(bad):
            entry = tuple(int(i) for i in bad[0])
            raise NetworkError(
                f"{what}{list(entry)} is {array[entry]}, too large for {self.dtype}; write the "
                "model in float64"
            )
        return self.table(name, rounded)

    def table(self, name: str, array: np.ndarray) -> str:
        """Append an initializer as it is.

        Raises:
            UnsupportedError: the model does not fit into one file any more.
        """
        self.size += array.nbytes
        if self.size > _MOST_BYTES:
            raise UnsupportedError(_TOO_LARGE)
        name = self.name(name)
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def join(self, tensors: Sequence[str]) -> str:
        """One tensor with all ``tensors`` side by side, made once per combination."""
        names = tuple(tensors)
        if len(names) == 1:
            return names[0]
        if names not in self.joined:
            wanted = f"joined{len(self.joined) + 1}"
            self.joined[names] = self.inner("Concat", names, wanted, axis=1)
        return self.joined[names]

    def model(self, *ends: End) -> bytes:
        """The model, serialized; ``ends`` are its input and its outputs, in this order.

        Raises:
            UnsupportedError: it would not fit into one file.
        """
        infos = [helper.make_tensor_value_info(*end) for end in ends]
        try:
            proto = helper.make_graph(self.nodes, "redy", infos[:1], infos[1:], self.initializers)
            opsets = [helper.make_opsetid(*opset) for opset in self.opsets.items()]
            model = helper.make_model(
                proto, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="redy"
            )
            return bytes(model.SerializeToString())
        except (EncodeError, ValueError) as error:
            raise UnsupportedError(_TOO_LARGE) from error


def graph_in(dtype: DTypeLike, *taken: str) -> Graph:
    """An empty graph in ``dtype`` for inputs and outputs of these names; raises as Graph."""
    return Graph(np.dtype(dtype), taken)


def element_of(dtype: DTypeLike) -> int:
    """ONNX's number for a type of numbers."""
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
