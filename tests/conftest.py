"""Fixtures that several test files share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from redy.interrupts import STOPPING
from tests.commands import ONNX, succeed

# The same examples at every run: a failure is of the change at hand, not of the day's luck.
settings.register_profile(
    "redy", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("redy")

# A shell that runs the tests in the background has them, and all that they start, ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_MISSING = (
    "the published networks are not here; set REDY_DATA to a folder with acasxu_nets/, mnist/ and "
    "vnnlib/, whose files the public repositories NeuralNetworkVerification/Marabou "
    "(resources/nnet/acasxu, resources/onnx/acasxu) and stanleybak/vnncomp2021 hold"
)


@pytest.fixture(autouse=True)
def _handlers_stay() -> Iterator[None]:
    """What a test leaves as the handler of Ctrl-C or SIGTERM would fail another, far from it."""
    before = [signal.getsignal(number) for number in STOPPING]
    yield
    assert [signal.getsignal(number) for number in STOPPING] == before


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of published networks and properties; skips the test where it is absent."""
    given = os.environ.get("REDY_DATA")
    folder = Path(given) if given else Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "acasxu_nets").is_dir():
        pytest.skip(_MISSING)
    return folder


@pytest.fixture(scope="session")
def demo_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of 32 slices of the project's own network; tests do not change it."""
    out = tmp_path_factory.mktemp("demo") / "demo.redy"
    options = ("--domain", "acasxu", "--slices", "32", "--budget", "50", "--out", out)
    succeed("simplify", ONNX, *options)
    return out
