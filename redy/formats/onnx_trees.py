"""Which slice an input lies in, as one ONNX node: TreeEnsembleRegressor, of the standard's ML part.

The node adds up the values of the leaves that a row of inputs falls in, one leaf per tree. Of a
tree of slices the value is the slice's number. A grid is one tree per input that is cut, whose
leaves are its digits times what a digit is worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
from onnx import numpy_helper

from redy.errors import UnsupportedError
from redy.formats.onnx_build import Graph, element_of
from redy.slicing.lookup import GridLookup, Lookup, TreeLookup, in_single

_DOMAIN = "ai.onnx.ml"
_OPSET = 3
_MOST = 2**24
"""The node answers in single precision, which has all integers up to here."""


def write_lookup(graph: Graph, lookup: Lookup, points: str) -> str:
    """The slice of each row of the tensor ``points`` (n, inputs): a tensor (n,) int64.

    Comparisons are made in the type of ``points``, the graph's, and find the same slice as
    :meth:`redy.slicing.Slicing.slice_of`. What is not a number counts as below every cut.

    Raises:
        UnsupportedError: there are too many slices for single precision.
    """
    if graph.dtype == np.float32:
        lookup = in_single(lookup)
    trees = _trees(lookup)
    if sum(int(tree.links[tree.inputs < 0].max()) for tree in trees) >= _MOST:
        raise UnsupportedError(
            f"an ONNX model finds at most {_MOST} slices; export single ones with --slice"
        )
    graph.opsets[_DOMAIN] = _OPSET
    found = graph.inner(
        "TreeEnsembleRegressor", [points], "found", domain=_DOMAIN, **_attributes(graph, trees)
    )
    whole = graph.inner("Cast", [found], "found_whole", to=element_of(np.int64))
    last = graph.table("found_axis", np.array([1]))
    return graph.inner("Squeeze", [whole, last], "found_slice")


def _trees(lookup: Lookup) -> list[TreeLookup]:
    """Trees whose leaves' ``links`` add up to the slice."""
    if isinstance(lookup, TreeLookup):
        return [lookup]
    return _digits(lookup) or [_search_tree(0, np.zeros(0), 1)]


def _digits(lookup: GridLookup) -> list[TreeLookup]:
    counts = [len(edges) + 1 for edges in lookup.edges]
    return [
        _search_tree(d, edges, prod(counts[d + 1 :]))
        for d, edges in enumerate(lookup.edges)
        if edges.size
    ]


def _search_tree(d: int, edges: np.ndarray, worth: int) -> TreeLookup:
    """A balanced tree that finds how many ``edges`` are at or below input d, times ``worth``."""
    inputs, cuts, links = [], [], []
    spans = [(0, len(edges))]  # what the answer lies between, per node
    for low, high in spans:
        middle = (low + high + 1) // 2
        leaf = low == high
        inputs.append(-1 if leaf else d)
        cuts.append(0.0 if leaf else edges[middle - 1])
        links.append(low * worth if leaf else len(spans))
        if not leaf:
            spans += [(low, middle - 1), (middle, high)]
    return TreeLookup(np.array(inputs), np.array(cuts), np.array(links))


def _attributes(graph: Graph, trees: Sequence[TreeLookup]) -> dict[str, object]:
    """The node's attributes: parallel lists of the nodes of all trees, and of their leaves."""
    inputs = np.concatenate([tree.inputs for tree in trees])
    cuts = np.concatenate([tree.cuts for tree in trees])
    links = np.concatenate([tree.links for tree in trees])
    number = np.repeat(np.arange(len(trees)), [tree.inputs.size for tree in trees])
    place = np.concatenate([np.arange(tree.inputs.size) for tree in trees])
    leaf = inputs < 0
    return {
        "n_targets": 1,
        "aggregate_function": "SUM",
        "nodes_treeids": number.tolist(),
        "nodes_nodeids": place.tolist(),
        "nodes_modes": np.where(leaf, "LEAF", "BRANCH_GTE").tolist(),
        "nodes_featureids": inputs.clip(0).tolist(),
        "nodes_falsenodeids": np.where(leaf, 0, links).tolist(),
        "nodes_truenodeids": np.where(leaf, 0, links + 1).tolist(),
        "target_treeids": number[leaf].tolist(),
        "target_nodeids": place[leaf].tolist(),
        "target_ids": np.zeros(int(leaf.sum()), dtype=int).tolist(),
        **_numbers(graph, "nodes_values", cuts),
        **_numbers(graph, "target_weights", links[leaf]),
    }


def _numbers(graph: Graph, name: str, numbers: np.ndarray) -> dict[str, object]:
    """An attribute of numbers in the graph's type; for float64 it has a name of its own."""
    own = numbers.astype(graph.dtype)
    if graph.dtype == np.float32:
        return {name: own.tolist()}
    return {f"{name}_as_tensor": numpy_helper.from_array(own, name)}
