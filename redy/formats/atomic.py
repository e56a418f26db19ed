"""Files that appear whole or not at all, and bytes of files that may not be there."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from redy.errors import FormatError, OutputError

_SPACE = "free some space, then give the same command again"
_ADVICE = {errno.ENOSPC: _SPACE, errno.EDQUOT: _SPACE, errno.EFBIG: _SPACE}
"""What to do about some errors of the operating system."""


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place when the block ends well.

    The file exists, empty, when the block starts. When the block raises, it is removed and what
    stood at ``path`` before stays as it was.

    Raises:
        OutputError: the folder is missing, the file cannot be written, or the disk is full.
    """
    target = Path(path)
    require_file(target)
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        _sync(temporary)
        temporary.chmod(_usual_mode())
        temporary.replace(target)
    except OSError as error:
        raise unwritable(target, error) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()


def unwritable(target: Path, error: OSError) -> OutputError:
    """What ``error`` means for the file at ``target``, and what to do."""
    if isinstance(error, FileNotFoundError) and not target.parent.exists():
        return OutputError(f"{target}: the folder {target.parent} does not exist")
    reason, advice = error.strerror or error, _ADVICE.get(error.errno or 0, "name another file")
    return OutputError(f"{target}: cannot be written ({reason}); {advice}")


def require_file(target: Path) -> None:
    """Raise :class:`OutputError` if a folder or a device, which must stay, is at ``target``."""
    if target.exists() and not target.is_file():
        what = "folder" if target.is_dir() else "device"
        raise OutputError(f"{target}: is a {what}; give the name of a file")


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write ``content`` to ``path``, whole or not at all; raises :class:`OutputError`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The content of ``path``; raises :class:`FormatError` when it cannot be read."""
    try:
        # A pipe that nobody writes to would be waited for, a device read for ever.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise FormatError(f"{path}: cannot be read (it is a device or a pipe, not a file)")
            return file.read()
    except FileNotFoundError as error:
        raise FormatError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise FormatError(f"{path}: cannot be read ({reason})") from error


def read_text(path: str | os.PathLike[str]) -> str:
    """The UTF-8 text of ``path``; raises :class:`FormatError` when it is not text."""
    return decode(read_bytes(path), os.fspath(path))


def decode(content: bytes, file: str) -> str:
    """``content`` as UTF-8 text; raises :class:`FormatError` naming ``file`` when it is not."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(f"{file}: is not a text file (byte {error.start})") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _usual_mode() -> int:
    # mkstemp makes files private; give the mode that open() would have given.
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
