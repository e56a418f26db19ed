"""Who is measured: the original and the bundle, in Python, in onnxruntime, torch and as C code."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnxruntime

from redy.bench.compiled import Compiled
from redy.dispatch.bundle import Bundle
from redy.edit_table import EditTable
from redy.formats.bundle import Content
from redy.formats.onnx_write import to_onnx
from redy.network.form import Network, dense
from redy.slicing.grid import Grid

Call: TypeAlias = Callable[[Any], Any]


@dataclass(frozen=True, eq=False)
class Contender:
    """One way of evaluating one of both networks, in single precision.

    Attributes:
        name: what it is called in the table.
        simplified: the bundle, not the original.
        memory: bytes of weights and tables that it reads.
        one: evaluates one input (inputs,), given as ``prepare`` made it; None if it is C code.
        many: evaluates (n, inputs).
        prepare: what ``one`` takes, made from (inputs,) outside of what is timed.
        compiled: the C code, which times itself.
    """

    name: str
    simplified: bool
    memory: int
    one: Call | None
    many: Call
    prepare: Call = np.ascontiguousarray
    compiled: Compiled | None = None


def original_of(content: Content) -> Content:
    """The same network on the same domain as one slice that nothing was done to."""
    network = content.network
    nothing = np.zeros((1, len(network.neurons)), dtype=np.uint8)
    return replace(
        content,
        slicing=Grid.bisecting(content.domain, 1),
        slices=np.zeros(1, dtype=np.int64),
        edits=EditTable.collect(network, nothing, [None]),
        eps_proved=np.zeros(1),
        folded=np.zeros((1, network.depth), dtype=bool),
    )


@contextmanager
def contenders(bundle: Bundle, *, threads: int, compiler: str | None) -> Iterator[list[Contender]]:
    """All that there are on this machine; C code only with a ``compiler``, a command."""
    network = bundle.network
    with tempfile.TemporaryDirectory(prefix="redy-bench-") as folder:
        found = [
            _onnxruntime("onnxruntime", to_onnx(network), threads, simplified=False),
            _torch(network, threads),
            _redy(bundle, threads),
        ]
        if compiler is not None:
            parts = {"original": original_of(bundle.content), "redy": bundle.content}
            for name, part in parts.items():
                code = Compiled(part, Path(folder) / f"{name}.c", compiler)
                found.append(_c(f"C, {name}", code, simplified=name == "redy"))
        yield found


def _onnxruntime(name: str, model: bytes, threads: int, *, simplified: bool) -> Contender:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def run(points: Any) -> object:
        return session.run(None, {"input": points})

    return Contender(name, simplified, len(model), run, run, _as_row)


def _as_row(point: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(point[None])


def _torch(network: Network, threads: int) -> Contender:
    """Layer by layer, as one would write it by hand, without gradients."""
    import torch

    torch.set_num_threads(threads)
    layers = [
        (
            {j: torch.tensor(dense(m).T, dtype=torch.float32) for j, m in layer.weights.items()},
            torch.tensor(layer.bias, dtype=torch.float32),
            torch.tensor(layer.relu),
        )
        for layer in network.layers
    ]

    def run(points: Any) -> object:
        with torch.inference_mode():
            posts = [torch.from_numpy(points)]
            for weights, bias, relu in layers:
                (first, matrix), *others = weights.items()
                pre = torch.addmm(bias, posts[first], matrix)
                for j, more in others:
                    pre.addmm_(posts[j], more)
                if relu.all():
                    pre = torch.relu_(pre)
                elif relu.any():
                    pre = torch.where(relu, pre.clamp(min=0), pre)
                posts.append(pre)
        return posts[-1]

    size = 4 * sum(m.numel() + b.numel() for w, b, _ in layers for m in w.values())
    return Contender("torch", False, size, run, run, _as_row)


def _redy(bundle: Bundle, threads: int) -> Contender:
    evaluator = bundle.evaluator(precision=32, threads=threads)
    for _ in evaluator.prepare():
        pass
    one, out = evaluator.one, np.empty(bundle.network.outputs, dtype=np.float32)
    return Contender("redy", True, evaluator.nbytes, lambda point: one(point, out), evaluator)


def _c(name: str, code: Compiled, *, simplified: bool) -> Contender:
    return Contender(name, simplified, code.table_bytes, None, code.many, compiled=code)
