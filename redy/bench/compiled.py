"""Exported C code, compiled and loaded, that takes its own time."""

from __future__ import annotations

import ctypes
import shlex
import subprocess
from importlib.resources import files
from pathlib import Path

import numpy as np

from redy.dispatch.c_code import write_c
from redy.errors import RedyError, UsageError
from redy.formats.bundle import Content

DEFAULT_COMPILER = "cc -std=c99 -O3"


class Compiled:
    """C code of ``content``, written to ``source`` and compiled by ``command``, in ``float``.

    Raises:
        UsageError: there is no such command.
        RedyError: it failed.
    """

    def __init__(self, content: Content, source: Path, command: str) -> None:
        written = write_c(content, source, precision=32)
        self.table_bytes, self._outputs = written.table_bytes, content.network.outputs
        timer = source.with_name(f"time_{source.name}")
        template = files("redy.bench").joinpath("time_eval.c.in").read_text()
        timer.write_text(template.replace("@header@", written.header.name))
        words = shlex.split(command)
        objects = [_object(words, source), _object([words[0], "-O2"], timer)]
        library = source.with_suffix(".so")
        _run([words[0], "-shared", *map(str, objects), "-o", str(library)])
        self.code_bytes = library.stat().st_size
        self._library = ctypes.CDLL(str(library))

    def one_by_one(self, points: np.ndarray) -> np.ndarray:
        """Nanoseconds of each single call, less what reading the clock takes: (n,)."""
        taken = np.empty(len(points), dtype=np.int64)
        self._call("redy_time_each", points, taken)
        return taken

    def many(self, points: np.ndarray) -> np.ndarray:
        """Outputs of ``points``, one after the other."""
        outputs = np.empty((len(points), self._outputs), dtype=np.float32)
        self._call("redy_time_all", points, outputs)
        return outputs

    def _call(self, name: str, points: np.ndarray, out: np.ndarray) -> None:
        error = getattr(self._library, name)(
            ctypes.c_void_p(points.ctypes.data),
            ctypes.c_long(len(points)),
            ctypes.c_void_p(out.ctypes.data),
        )
        if error:
            raise RedyError(f"the compiled code refuses an input of its domain (error {error})")


def _object(command: list[str], source: Path) -> Path:
    made = source.with_suffix(".o")
    _run([*command, "-fPIC", "-c", str(source), "-o", str(made)])
    return made


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise UsageError(f"--cc: there is no {command[0]}") from error
    except subprocess.CalledProcessError as error:
        first = (error.stderr.strip().splitlines() or ["no message"])[0]
        raise RedyError(f"{shlex.join(command[:3])} ...: the compiler failed: {first}") from error
