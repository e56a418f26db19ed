"""Exported C code as a program that reads inputs and writes what the code says of them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np

from redy.dispatch.c_code import write_c
from redy.formats.bundle import Content

REALS = {32: np.float32, 64: np.float64}
_READER = """
#include <stdio.h>
#include "net.h"
int main(void)
{
    redy_real x[REDY_INPUTS], y[REDY_OUTPUTS] = {0};
    while (fread(x, sizeof x, 1, stdin) == 1) {
        int32_t said[3];
        said[0] = redy_eval(x, y);
        said[1] = redy_slice(x);
        said[2] = redy_winner(x);
        fwrite(said, sizeof said, 1, stdout);
        fwrite(y, sizeof y, 1, stdout);
    }
    return 0;
}
"""


class Reader:
    """``content`` exported in ``precision`` bits to ``folder`` and compiled by ``command``."""

    def __init__(self, content: Content, folder: Path, precision: int, command: list[str]) -> None:
        source, reader, self._program = (folder / n for n in ("net.c", "reader.c", "reader"))
        self.written = write_c(content, source, precision=precision)
        self._real, self._outputs = np.dtype(REALS[precision]), content.network.outputs
        reader.write_text(_READER)
        files = [str(source), str(reader), "-o", str(self._program)]
        subprocess.run([*command, *files], check=True)

    def __call__(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of (n, inputs): (n, 3) what the three functions return, and (n, outputs).

        Raises:
            RuntimeError: the program failed, as it does where a sanitizer finds something.
        """
        given = np.ascontiguousarray(points, dtype=self._real).tobytes()
        done = subprocess.run([self._program], input=given, capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.decode(errors="replace")[:2000])
        kind = [("said", "<i4", 3), ("outputs", self._real, self._outputs)]
        rows = np.frombuffer(done.stdout, dtype=kind)
        return rows["said"], rows["outputs"]
