"""Windows of convolutions and poolings as tables of flat positions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from redy.formats.affine import Affine, checked_size
from redy.formats.onnx_graph import Node


@dataclass(frozen=True)
class Windows:
    """What each output position reads.

    Args:
        index: (channels, positions, kernel entries) flat positions in the input, -1 in padding.
        spatial: spatial shape of the output; its product is ``positions``.
    """

    index: np.ndarray
    spatial: tuple[int, ...]


def windows(node: Node, value: Affine, kernel: tuple[int, ...]) -> Windows:
    """The windows of ``node`` over ``value`` (1, channels, *spatial) for a ``kernel`` shape."""
    spatial = value.shape[2:]
    if len(value.shape) < 3 or value.shape[0] != 1 or len(kernel) != len(spatial):
        raise node.malformed(f"kernel {list(kernel)} does not fit an input of shape {value.shape}")
    strides = _per_axis(node, "strides", len(spatial))
    dilations = _per_axis(node, "dilations", len(spatial))
    if min(kernel) < 1:
        raise node.malformed(f"kernel {list(kernel)} has an empty dimension")
    extents = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))
    pads = _pads(node, spatial, extents, strides)
    checked_size([value.shape[1]] + [n + sum(p) for n, p in zip(spatial, pads, strict=True)])
    grid = np.arange(value.size).reshape(value.shape[1:])
    grid = np.pad(grid, [(0, 0), *pads], constant_values=-1)
    if any(n < e for n, e in zip(grid.shape[1:], extents, strict=True)):
        raise node.malformed(f"kernel {list(kernel)} is larger than its padded input")
    axes = tuple(range(1, 1 + len(spatial)))
    table = np.lib.stride_tricks.sliding_window_view(grid, extents, axis=axes)
    steps = tuple(slice(None, None, s) for s in strides)
    inner = tuple(slice(None, None, d) for d in dilations)
    table = table[(slice(None), *steps, *inner)]
    checked_size(table.shape)
    out = table.shape[1 : 1 + len(spatial)]
    _refuse_ceil(node, grid.shape[1:], extents, strides)
    return Windows(table.reshape(value.shape[1], math.prod(out), math.prod(kernel)), out)


def kernel_shape(node: Node) -> tuple[int, ...]:
    """The pooling kernel's shape attribute."""
    kernel = node.integers("kernel_shape")
    if kernel is None:
        raise node.malformed("its kernel_shape is missing")
    return tuple(kernel)


def _per_axis(node: Node, name: str, rank: int) -> tuple[int, ...]:
    given = node.integers(name)
    if given is None:
        return (1,) * rank
    if len(given) != rank or min(given) < 1:
        raise node.malformed(f"{name} {given} do not fit {rank} spatial dimensions")
    return tuple(given)


def _pads(
    node: Node, spatial: tuple[int, ...], extents: tuple[int, ...], strides: tuple[int, ...]
) -> list[tuple[int, int]]:
    mode = node.text("auto_pad", "NOTSET")
    if mode == "VALID":
        return [(0, 0)] * len(spatial)
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        pads = []
        for size, extent, stride in zip(spatial, extents, strides, strict=True):
            total = max((-(-size // stride) - 1) * stride + extent - size, 0)
            small, large = total // 2, total - total // 2
            pads.append((small, large) if mode == "SAME_UPPER" else (large, small))
        return pads
    if mode != "NOTSET":
        raise node.malformed(f"auto_pad '{mode}' is not known")
    given = node.integers("pads") or [0] * (2 * len(spatial))
    if len(given) != 2 * len(spatial):
        raise node.malformed(f"pads {given} do not fit {len(spatial)} spatial dimensions")
    if min(given, default=0) < 0:
        raise node.unsupported("negative pads are not supported")
    return list(zip(given[: len(spatial)], given[len(spatial) :], strict=True))


def _refuse_ceil(
    node: Node, padded: tuple[int, ...], extents: tuple[int, ...], strides: tuple[int, ...]
) -> None:
    if not node.integer("ceil_mode", 0) or node.text("auto_pad", "NOTSET") != "NOTSET":
        return
    if any((n - e) % s for n, e, s in zip(padded, extents, strides, strict=True)):
        raise node.unsupported("ceil_mode=1 that adds partial windows is not supported")
