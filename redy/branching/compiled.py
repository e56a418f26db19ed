"""How kernels are compiled, and where the compiled code is kept.

Numba's cache looks at the file of the cached function alone. A kernel here calls kernels of other
files, and a stale bound would be a wrong proof: so the cache lies in a folder named after the
content of every file of this package, and of what else kernels call.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numba
from numba.core import config
from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher

from redy.interrupts import put_off

_FUSED = {"contract"}
"""Products may be fused into sums: every error bound here allows for that."""

_REORDERED = {"contract", "reassoc"}
"""Sums may also be reordered, which vector units need. Only for kernels that are nothing but a
sum: elsewhere reordering could cancel a rounding that the code is about to account for."""


def _cache_folder() -> str:
    here = Path(__file__).parent
    digest = hashlib.sha256(numba.__version__.encode())
    others = here.parent / "tolerances.py", here.parent / "dispatch" / "wide.py"
    for source in [*sorted(here.glob("*.py")), *others]:
        digest.update(source.name.encode() + source.read_bytes())
    writable = os.access(here, os.W_OK)
    root = here / "__pycache__" if writable else Path.home() / ".cache" / "redy"
    return str(root / digest.hexdigest()[:16])


_FOLDER = _cache_folder()


def kernel(
    function: Callable[..., Any] | None = None,
    *,
    allocates: bool = False,
    sums: bool = False,
    inline: bool = True,
    parallel: bool = False,
) -> Any:
    """Compile ``function`` for plain arrays, numbers and tuples of them.

    A kernel that allocates no arrays is compiled without reference counting, which would cost
    several times the arithmetic of a small box, and is inlined into its callers. A kernel that
    only ``sums`` may do so in any order. One that works for long at every call, or is called from
    many places, is better not inlined: it would be compiled as often. One that is ``parallel`` lets
    other threads run meanwhile.
    """
    if function is None:
        return lambda f: kernel(f, allocates=allocates, sums=sums, inline=inline, parallel=parallel)
    options = {"fastmath": _REORDERED if sums else _FUSED, "nogil": parallel}
    if not allocates:
        options |= {"forceinline": inline, "_nrt": False}
    return _cached(numba.njit(**options)(function))


class _Cache(FunctionCache):
    """Numba's own; but a disk that is full costs time, not the run."""

    def load_overload(self, *arguments: Any) -> Any:
        """The compiled code that is kept, or None."""
        with suppress(OSError):
            return super().load_overload(*arguments)
        return None

    def save_overload(self, *arguments: Any) -> None:
        """Keep compiled code, if there is room for it."""
        with suppress(OSError):
            super().save_overload(*arguments)


def _cached(dispatcher: Any) -> Any:
    """``dispatcher``, whose compiled code is kept where there is a folder to keep it in."""
    before = config.CACHE_DIR
    config.CACHE_DIR = _FOLDER
    try:
        dispatcher._cache = _Cache(dispatcher.py_func)  # noqa: SLF001, which enable_caching() sets
    except RuntimeError:  # no folder can be written: every process compiles for itself
        pass
    finally:
        config.CACHE_DIR = before
    return dispatcher


def call(function: Any, *arguments: object) -> Any:
    """``function(*arguments)``, a kernel called from Python: Ctrl-C waits until it is done.

    numba reads the arguments with code of its own, which an exception from elsewhere can crash.

    Raises:
        KeyboardInterrupt: after Ctrl-C, once the kernel is done.
    """
    if isinstance(function, Dispatcher) and not function.signatures:
        function.compile(tuple(numba.typeof(argument) for argument in arguments))
    with put_off():
        return function(*arguments)
