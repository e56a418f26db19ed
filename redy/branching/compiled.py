"""How kernels are compiled, and where the compiled code is kept.

Numba's cache looks at the file of the cached function alone. A kernel here calls kernels of other
files, and a stale bound would be a wrong proof: so the cache lies in a folder named after the
content of every file of this package.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import config

_FASTMATH = {"reassoc", "contract"}
"""Reordered and fused sums only: the error bounds hold for these; NaN and signs keep meaning."""


def _cache_folder() -> str:
    here = Path(__file__).parent
    digest = hashlib.sha256(numba.__version__.encode())
    for source in [*sorted(here.glob("*.py")), here.parent / "tolerances.py"]:
        digest.update(source.name.encode() + source.read_bytes())
    writable = os.access(here, os.W_OK)
    root = here / "__pycache__" if writable else Path.home() / ".cache" / "redy"
    return str(root / digest.hexdigest()[:16])


_FOLDER = _cache_folder()


def kernel(function: Callable[..., Any] | None = None, *, allocates: bool = False) -> Any:
    """Compile ``function`` for plain arrays, numbers and tuples of them.

    A kernel that allocates no arrays is compiled without reference counting, which would cost
    several times the arithmetic of a small box, and is inlined into its callers.
    """
    if function is None:
        return lambda f: kernel(f, allocates=allocates)
    before = config.CACHE_DIR
    config.CACHE_DIR = _FOLDER
    try:
        if allocates:
            return numba.njit(fastmath=_FASTMATH, cache=True)(function)
        return numba.njit(fastmath=_FASTMATH, cache=True, forceinline=True, _nrt=False)(function)
    finally:
        config.CACHE_DIR = before
