"""Bundles of random edits, right or wrong, and what ONNX models of them compute."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from redy.dispatch.bundle import Bundle
from redy.edit_table import EditTable
from redy.edits import Edits
from redy.formats.bundle import Content
from redy.formats.evidence import _TABLES, Sealed
from redy.formats.onnx import session
from redy.formats.onnx_sliced import sliced_to_onnx
from redy.guarantee import Guarantee
from redy.network.form import Network
from redy.slicing import Slicing


def bundle_of(
    network: Network, slicing: Slicing, edits: Sequence[Edits], slices: np.ndarray | None = None
) -> Bundle:
    """A bundle whose ``slices``, all by default, have these ``edits``; nothing backs them."""
    done = np.arange(slicing.slices) if slices is None else slices
    codes = np.array([part.codes for part in edits])
    content = Content(
        network=network,
        slicing=slicing,
        guarantee=Guarantee("eps", 1.0),
        slices=done,
        edits=EditTable.collect(network, codes, edits),
        eps_proved=np.zeros(len(edits)),
        folded=np.arange(len(edits) * network.depth).reshape(len(edits), -1) % 2 == 0,
        sealed=Sealed({name: np.zeros(0, dtype=np.uint8) for name in _TABLES}, [], 0),
        summary={},
    )
    return Bundle(content)


def run(bundle: Bundle, points: np.ndarray, outside: str = "nan") -> tuple[np.ndarray, np.ndarray]:
    """Outputs and slices of ``points``, in their precision, in onnxruntime."""
    model = sliced_to_onnx(bundle.content, points.dtype, outside=outside, slices=True)
    outputs, slices = session(model).run(["output", "slice"], {"input": points})
    return np.asarray(outputs), np.asarray(slices)
