"""The command line in tests: in this process where that is enough, else as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from redy.cli import app

ROOT = Path(__file__).resolve().parent.parent
ONNX = ROOT / "acasxu_nets" / "redy_acas.onnx"
NNET = ROOT / "acasxu_nets" / "redy_acas.nnet"


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


def redy(*words: object) -> Outcome:
    """Run ``redy words...`` in this process."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Outcome(result.exit_code, result.stdout, result.stderr)


def succeed(*words: object) -> str:
    """Run ``redy words...``, which must succeed, and return what it printed to stdout."""
    outcome = redy(*words)
    assert outcome.code == 0, outcome.err
    return outcome.out


def start(*words: object, **options: object) -> subprocess.Popen[str]:
    """Start ``redy words...`` as a process that leads a process group of its own."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        [sys.executable, "-m", "redy.cli", *(str(word) for word in words)],
        cwd=ROOT,
        text=True,
        start_new_session=True,
        **{**pipes, **options},
    )


def finish(process: subprocess.Popen[str], timeout: float = 120) -> Outcome:
    """Wait for the end of ``process``."""
    try:
        out, err = process.communicate(timeout=timeout)
    finally:
        process.kill()
    return Outcome(process.returncode, out, err)
