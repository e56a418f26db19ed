"""ONNX models: reading, writing, and running the original in onnxruntime."""

from redy.formats.onnx_read import Imported, import_model, read_onnx, supported_operators
from redy.formats.onnx_run import (
    OriginalModel,
    original_outputs,
    original_preactivations,
    session,
    with_preactivations,
)
from redy.formats.onnx_write import to_onnx, write_onnx

__all__ = [
    "Imported",
    "OriginalModel",
    "import_model",
    "original_outputs",
    "original_preactivations",
    "read_onnx",
    "session",
    "supported_operators",
    "to_onnx",
    "with_preactivations",
    "write_onnx",
]
