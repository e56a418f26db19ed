"""Evaluation of a network on batches of inputs, in the precision of the inputs (numpy)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from redy.errors import DomainError
from redy.network.form import Network


def preactivations(network: Network, points: np.ndarray) -> Iterator[np.ndarray]:
    """Pre-activations z_1, z_2, ..., outputs last, of ``points`` (n, inputs): each (n, units)."""
    if points.ndim != 2 or points.shape[1] != network.inputs:
        raise DomainError(f"inputs must have shape (n, {network.inputs}), got {points.shape}")
    posts = [points]
    for layer in network.layers:
        pre = np.tile(layer.bias.astype(points.dtype), (len(points), 1))
        for j, matrix in layer.weights.items():
            pre += (matrix.astype(points.dtype, copy=False) @ posts[j].T).T
        yield pre
        posts.append(np.where(layer.relu, np.maximum(pre, 0), pre))


def evaluate(network: Network, points: np.ndarray) -> np.ndarray:
    """Outputs (n, outputs) of ``points`` (n, inputs), computed in float64 or, as given, float32."""
    points = np.asarray(points)
    if points.dtype != np.float32:
        points = points.astype(np.float64)
    *_, outputs = preactivations(network, points)
    return outputs
