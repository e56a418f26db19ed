"""How the pictures look, and a figure as the bytes of a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from matplotlib import style
from matplotlib.figure import Figure

# Colours of Okabe and Ito, "Color universal design" (2008), which the colour-blind tell apart.
BLACK, ORANGE, SKY, GREEN = "#222222", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
UNKNOWN = "#d4d4d4"
"""What was not simplified."""

DOTS_PER_INCH = 130
_LONGEST = 60

_SETTINGS: dict[str, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.axisbelow": True,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "legend.frameon": False,
    "legend.fontsize": 8,
    # The same bundle gives the same bytes, and text stays text.
    "svg.hashsalt": "redy",
    "svg.fonttype": "none",
    "text.parse_math": False,
}

_METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
}


@contextmanager
def house_style() -> Iterator[None]:
    """Everything drawn and saved in the block looks alike, whatever the user's settings are."""
    with style.context(_SETTINGS, after_reset=True):
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, its size in inches, that arranges its parts itself."""
    return Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")


def to_bytes(figure: Figure, file_format: str) -> bytes:
    """``figure`` as a png, svg or pdf file without date or program."""
    buffer = BytesIO()
    figure.savefig(buffer, format=file_format, metadata=_METADATA[file_format])
    return buffer.getvalue()


def plain(text: str) -> str:
    """``text`` in characters that the pictures' font has, on one line that is not too long."""
    shown = "".join(c if c.isprintable() else " " for c in text)
    shown = shown.encode("latin-1", "backslashreplace").decode("latin-1")
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 23]}...{shown[-20:]}"
