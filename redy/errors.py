"""Everything redy raises on purpose, in one tree under :class:`RedyError`.

A message says what is wrong, where (file, node, slice or neuron), and what to do about it.
The command line prints it on one line and exits with the class's ``exit_code``.
"""

from __future__ import annotations

_LONGEST = 1000
_KEPT = 900, 90


class RedyError(Exception):
    """Base of every error redy raises on purpose.

    Its message is one line of printable characters, and not a long one: what it quotes, the name
    of a node say, may come from a file that means to take over the terminal.
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(_shortened(printable(" ".join(message.split()))))


def printable(text: str) -> str:
    """``text`` with a mark for every character that a terminal might obey."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _shortened(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    start, end = _KEPT
    return f"{text[:start]} ... {text[-end:]}"


class UsageError(RedyError):
    """The options contradict each other or are out of range."""

    exit_code = 2


class FormatError(RedyError):
    """A file is truncated, corrupted, or not of the format its name says."""

    exit_code = 3


class UnsupportedError(RedyError):
    """The file is sound, but holds something redy cannot represent exactly."""

    exit_code = 4


class NetworkError(RedyError):
    """The network itself is unusable: non-finite weights or shapes that do not fit."""

    exit_code = 5


class DomainError(RedyError):
    """A box is empty, inverted or of another dimension; an input lies outside of the domain."""

    exit_code = 6


class StoreError(RedyError):
    """A run's store belongs to another run, is in use, or cannot be written."""

    exit_code = 7


class OutputError(RedyError):
    """A result cannot be written where it was asked for."""

    exit_code = 8


class SolverError(RedyError):
    """A solver is not installed, not licensed for the size, or failed."""

    exit_code = 9
