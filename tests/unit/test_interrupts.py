"""Ctrl-C and SIGTERM: what they raise, and when."""

from __future__ import annotations

import signal
import threading

import pytest

from redy.interrupts import Terminated, handlers_kept, put_off, terminable


def test_sigterm_raises_as_ctrl_c_does() -> None:
    with pytest.raises(KeyboardInterrupt) as caught, terminable():
        signal.raise_signal(signal.SIGTERM)
    assert type(caught.value) is Terminated
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize(
    ("numbers", "raised"),
    [
        ([signal.SIGINT], KeyboardInterrupt),
        ([signal.SIGTERM], Terminated),
        ([signal.SIGINT, signal.SIGTERM], Terminated),
    ],
)
def test_both_are_put_off(numbers: list[signal.Signals], raised: type[BaseException]) -> None:
    steps = []

    def work() -> None:
        with terminable(), put_off():
            for number in numbers:
                signal.raise_signal(number)
            steps.append("done")

    with pytest.raises(KeyboardInterrupt) as caught:
        work()
    assert type(caught.value) is raised
    assert steps == ["done"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_program_s_own_handler_stays() -> None:
    came = []
    before = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    try:
        with terminable(), put_off():
            signal.raise_signal(signal.SIGTERM)
            assert came == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_in_another_thread_nothing_is_changed() -> None:
    seen = []

    def look() -> None:
        with terminable():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]


def test_what_a_library_sets_is_undone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with handlers_kept():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_handler_that_is_not_python_s_is_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "getsignal", lambda _: None)
    with handlers_kept():
        pass
