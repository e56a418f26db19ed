"""What reading content raises that has a right checksum but that redy did not write."""

from __future__ import annotations

import zlib

from safetensors import SafetensorError

from redy.errors import RedyError

MALFORMED = (
    SafetensorError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    RedyError,
    zlib.error,
)
"""Anybody can make a checksum: bundles and stores are checked entry by entry all the same."""
