"""What the user wants to see, and the files it may go to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from redy.errors import UsageError

SUFFIXES = {"--plot": (".png", ".svg", ".pdf"), "--html": (".html", ".htm")}
"""Option -> how the name of its file may end."""


@dataclass(frozen=True)
class View:
    """What the pictures show.

    Attributes:
        inputs: the two inputs of the map; None for those that matter most.
        at: values of all other inputs, in order; None for the mean over them.
        slices: the one or two slices whose networks are drawn; empty for an almost linear one and
            a complex one.
    """

    inputs: tuple[int, int] | None = None
    at: tuple[float, ...] | None = None
    slices: tuple[int, ...] = ()

    @classmethod
    def parse(cls, inputs: str | None, at: str | None, slices: list[int]) -> View:
        """The view that the options ``--inputs``, ``--at`` and ``--slice`` ask for.

        Raises:
            UsageError: not two different inputs, ``--at`` without ``--inputs``, something that is
                not a number, or more than two slices.
        """
        if len(slices) > 2:
            raise UsageError(f"--slice was given {len(slices)} times: two networks are drawn")
        if at is not None and inputs is None:
            raise UsageError("--at fixes the inputs that are not on the map: give --inputs too")
        return cls(
            None if inputs is None else _two_inputs(inputs),
            None if at is None else _numbers(at),
            tuple(slices),
        )

    def options(self) -> list[str]:
        """The options that :meth:`parse` makes this view of."""
        words = [] if self.inputs is None else ["--inputs", "{},{}".format(*self.inputs)]
        if self.at is not None:
            words += ["--at", ",".join(map(repr, self.at))]
        return words + [word for index in self.slices for word in ("--slice", str(index))]


def require_suffix(option: str, path: Path) -> None:
    """Raise :class:`UsageError` unless ``path`` ends as the files of ``option`` do."""
    if path.suffix.lower() not in SUFFIXES[option]:
        known = " or ".join(SUFFIXES[option])
        raise UsageError(f"{option} {path}: give a file name that ends with {known}")


def _two_inputs(text: str) -> tuple[int, int]:
    try:
        x, y = (int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--inputs {text}: give two input numbers, as in 0,1") from None
    if x == y:
        raise UsageError(f"--inputs {text}: give two different inputs")
    return x, y


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",") if text.strip())
    except ValueError:
        raise UsageError(f"--at {text}: give one number per other input, as in 0.1,0,0") from None
