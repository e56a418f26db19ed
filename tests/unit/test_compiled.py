"""Kernels called from Python."""

from __future__ import annotations

import signal
import threading
import time

import numpy as np
import pytest

from redy.branching.compiled import call, kernel


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
