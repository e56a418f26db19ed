"""A bundle as one ONNX model: the slice of every input is found, and its edits are made.

All nodes are standard operators, and the batch is symbolic. What is evaluated is the network of the
slice, over the reals, though not faster than the original: see :mod:`redy.formats.onnx_edits`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from redy.domain import Box
from redy.errors import UnsupportedError, UsageError
from redy.formats.bundle import Content
from redy.formats.onnx_build import End, Graph, element_of, graph_in
from redy.formats.onnx_edits import write_edited
from redy.formats.onnx_trees import write_lookup
from redy.slicing.lookup import rounded_down, rounded_up

OUTSIDE = ("nan", "clamp", "original")
"""What becomes of inputs outside of the domain."""

_INPUT, _OUTPUT, _SLICE = "input", "output", "slice"
_NOWHERE = -1
"""The slice of an input outside of the domain."""


def sliced_to_onnx(
    content: Content, dtype: DTypeLike = np.float32, *, outside: str = "nan", slices: bool = False
) -> bytes:
    """A bundle's ``content`` as a serialized ONNX model (n, inputs) -> (n, outputs).

    Inputs, weights and arithmetic are of ``dtype``. The slice of an input is that of
    :meth:`redy.slicing.Slicing.slice_of` for the same numbers, at faces and corners too.

    Args:
        content: the bundle.
        dtype: float32 or float64.
        outside: of inputs outside of the domain, where nothing is proved: ``nan``, their outputs
            are NaN; ``clamp``, they are moved to the nearest point of the domain; ``original``, the
            original network is evaluated. With an input that is not a number, outputs are NaN.
        slices: whether the model has a second output "slice" (n,) int64; -1 is outside.

    Raises:
        UsageError: no such way to treat inputs outside.
        NetworkError: a weight is too large for ``dtype``.
        UnsupportedError: the slices are of a hidden layer; an input's interval holds no number of
            ``dtype``; the model would not fit into one file.
    """
    if outside not in OUTSIDE:
        raise UsageError(f"--outside {outside}: give {', '.join(OUTSIDE)}")
    lookup = content.slicing.lookup()
    if lookup is None:
        raise UnsupportedError(
            "the slices are cells of a hidden layer, which one ONNX model does not find; export "
            "single ones with --slice, or call the bundle"
        )
    graph = graph_in(dtype, _INPUT, _OUTPUT, *([_SLICE] if slices else []))
    domain = _in_type(content.slicing.domain, graph.dtype)
    points = _clamped(graph, _INPUT, domain) if outside == "clamp" else _INPUT
    inside = _within(graph, points, domain, "inside")
    found = write_lookup(graph, lookup, points)
    nowhere = graph.table("nowhere", np.array(_NOWHERE))
    part = graph.node("Where", [inside, found, nowhere], _SLICE)
    outputs = write_edited(graph, content, points, part)
    if outside == "original":
        largest = np.full(content.network.inputs, np.finfo(graph.dtype).max)
        inside = _within(graph, points, (-largest, largest), "finite")
    _only_where(graph, inside, outputs)
    ends: list[End] = [(_OUTPUT, graph.element, ["n", content.network.outputs])]
    if slices:
        ends.append((_SLICE, element_of(np.int64), ["n"]))
    return graph.model((_INPUT, graph.element, ["n", content.network.inputs]), *ends)


def _in_type(domain: Box, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """The least and the greatest numbers of ``dtype`` in ``domain``, per input."""
    if dtype == np.float64:
        return domain.lower, domain.upper
    lower, upper = rounded_up(domain.lower), rounded_down(domain.upper)
    none = np.flatnonzero(lower > upper)
    if none.size:
        d = int(none[0])
        raise UnsupportedError(
            f"input {d}: there is no single precision number in the domain's "
            f"[{domain.lower[d]}, {domain.upper[d]}]; export with --precision 64"
        )
    return lower, upper


def _clamped(graph: Graph, points: str, ends: tuple[np.ndarray, np.ndarray]) -> str:
    """``points`` moved to the nearest ones between ``ends``; NaN stays what it is."""
    for name, end, beyond in zip(("least", "greatest"), ends, ("Less", "Greater"), strict=True):
        limit = graph.table(name, end)
        is_beyond = graph.inner(beyond, [points, limit], f"beyond_{name}")
        points = graph.inner("Where", [is_beyond, limit, points], f"not_beyond_{name}")
    return points


def _within(graph: Graph, points: str, ends: tuple[np.ndarray, np.ndarray], name: str) -> str:
    """Whether each row of ``points`` lies between ``ends``; false for NaN: (n,) bool."""
    lower, upper = (
        graph.table(f"{name}_{which}", end)
        for which, end in zip(("lower", "upper"), ends, strict=True)
    )
    above = graph.inner("GreaterOrEqual", [points, lower], f"{name}_above")
    below = graph.inner("LessOrEqual", [points, upper], f"{name}_below")
    each = graph.inner("And", [above, below], f"{name}_each")
    number = graph.inner("Cast", [each], f"{name}_each_number", to=element_of(np.int32))
    least = graph.inner("ReduceMin", [number], f"{name}_least", axes=[1], keepdims=0)
    return graph.inner("Cast", [least], name, to=element_of(np.bool_))


def _only_where(graph: Graph, sound: str, outputs: str) -> None:
    """The model's outputs: ``outputs`` in the rows that are ``sound``, else NaN."""
    column = graph.inner("Unsqueeze", [sound, graph.table("sound_axis", np.array([1]))], "sound")
    unknown = graph.table("unknown", np.array(np.nan, dtype=graph.dtype))
    graph.node("Where", [column, outputs, unknown], _OUTPUT)
