"""Kernels called from Python."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from redy.branching.compiled import call, kernel
from tests.commands import ROOT


@kernel(inline=False)
def _busy(steps, done):
    total = 0.0
    for i in range(steps):
        total += np.sin(total + i)
    done[0] = total + 2.0 * steps


def test_ctrl_c_waits_for_the_kernel() -> None:
    done = np.zeros(1)
    call(_busy, 1, done)
    timer = threading.Timer(0.05, signal.raise_signal, [signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        _until_stopped(done)
    timer.join()
    assert done[0] > 0.0  # the call that was interrupted is complete
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _until_stopped(done: np.ndarray) -> None:
    end = time.monotonic() + 30.0
    while time.monotonic() < end:
        done[0] = 0.0
        call(_busy, 10**6, done)


def test_elsewhere_a_kernel_is_just_called() -> None:
    done = np.zeros(1)
    thread = threading.Thread(target=call, args=(_busy, 1, done))
    thread.start()
    thread.join()
    assert done[0] > 0.0


def test_a_full_disk_costs_compiled_code_no_more_than_time(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    said = fresh(folder, "resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))")
    assert said == "4.0\n"
    assert not list(folder.rglob("*.nbi"))
    assert fresh(folder, "") == "4.0\n"
    assert list(folder.rglob("*.nbi"))


def test_without_a_folder_to_write_in_code_is_compiled_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert fresh(tmp_path / "file", "") == "4.0\n"


def fresh(folder: Path, first: str) -> str:
    """What a process says that compiles a kernel, after ``first``, with its cache in ``folder``."""
    script = f"""
import resource
import redy.branching.compiled as compiled
compiled._FOLDER = {str(folder / "cache")!r}
{first}
def double(x):
    return 2.0 * x
print(compiled.call(compiled.kernel(double, inline=False), 2.0))
"""
    path = folder.parent / "script.py"
    path.write_text(script)
    return subprocess.run(
        [sys.executable, path], check=True, capture_output=True, text=True, cwd=ROOT
    ).stdout
