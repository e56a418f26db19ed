"""Compare a copy of the published ACAS Xu networks with the checksums in published.sha256.

python acasxu_nets/check_published.py FOLDER

FOLDER is searched with its subfolders, so a clone of the repository named in PUBLISHED.md will do.
Exit code: 0 all files found are as published (some may be missing), 1 a file differs or cannot be
read, 2 no folder, or none of the files in it. Needs nothing but Python.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass, field
from pathlib import Path

CHECKSUMS = Path(__file__).with_name("published.sha256")


@dataclass
class Comparison:
    """What became of every name on the list; ``bad`` holds a line per file that differs."""

    good: list[Path] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def read_checksums(path: Path) -> dict[str, str]:
    """File names and their SHA-256, from the format of ``sha256sum``."""
    lines = path.read_text(encoding="ascii").splitlines()
    return {name: digest for digest, name in (line.split(maxsplit=1) for line in lines)}


def compare(folder: Path, checksums: dict[str, str]) -> Comparison:
    """Check every copy of every listed file below ``folder``."""
    copies: dict[str, list[Path]] = {name: [] for name in checksums}
    for path in sorted(folder.rglob("*")):
        if path.name in copies and path.is_file():
            copies[path.name].append(path)
    result = Comparison()
    for name, paths in copies.items():
        if not paths:
            result.missing.append(name)
        for path in paths:
            problem = _problem(path, checksums[name])
            if problem:
                result.bad.append(f"{path}: {problem}")
            else:
                result.good.append(path)
    return result


def _problem(path: Path, wanted: str) -> str:
    """Why a file is not the published one, or nothing."""
    try:
        data = path.read_bytes()
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if hashlib.sha256(data).hexdigest() == wanted:
        return ""
    if hashlib.sha256(data.replace(b"\r\n", b"\n")).hexdigest() == wanted:
        return "has Windows line ends; clone again with git -c core.autocrlf=false"
    return f"differs from the published file ({len(data):,} bytes); download it again"


def main(arguments: list[str]) -> int:
    """Report on the folder named on the command line."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: python acasxu_nets/check_published.py FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    if not folder.is_dir():
        print(f"{folder}: not a folder; PUBLISHED.md says how to get the files", file=sys.stderr)
        return 2
    checksums = read_checksums(CHECKSUMS)
    result = compare(folder, checksums)
    for line in result.bad:
        print(f"MISMATCH {line}")
    for name in result.missing:
        print(f"missing  {name}")
    print(
        f"{folder}: {len(result.good)} ok, {len(result.bad)} mismatching, "
        f"{len(result.missing)} of {len(checksums)} missing"
    )
    if result.bad:
        return 1
    if not result.good:
        print("none of the published files; PUBLISHED.md says how to get them", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
