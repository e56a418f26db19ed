"""Domains as a user names them, and files that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from redy.errors import DomainError, FormatError, OutputError, RedyError
from redy.formats.atomic import atomic_path, write_bytes
from redy.formats.domains import BUILTIN, read_domain
from redy.formats.nnet import read_nnet


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("d.json", '{"lower": [0, -1.5], "upper": [1, 2]}'),
        ("d.csv", "lower,upper\n0,1\n-1.5,2\n"),
        ("d.csv", "0, 1\n\n-1.5, 2"),
        ("D.CSV", "\ufeffLower,Upper\r\n0,1\r\n-1.5,2\r\n"),
        (
            "d.vnnlib",
            (
                "(declare-const X_0 Real)(declare-const X_1 Real)"
                "(assert (<= 0 X_0 1))(assert (<= -1.5 X_1 2))"
            ),
        ),
    ],
)
def test_files_of_every_kind(tmp_path: Path, name: str, text: str) -> None:
    box = read_domain(written(tmp_path, name, text), 2)
    np.testing.assert_array_equal(box.lower, [0, -1.5])
    np.testing.assert_array_equal(box.upper, [1, 2])


@pytest.mark.parametrize(
    ("name", "text", "kind", "part"),
    [
        ("d.json", "{", FormatError, "not JSON"),
        ("d.json", "[" * 100000, FormatError, "not JSON"),
        ("d.json", "[1, 2]", FormatError, "'lower' and 'upper'"),
        ("d.json", '{"lower": [0]}', FormatError, "'lower' and 'upper'"),
        ("d.json", '{"lower": 0, "upper": [1]}', FormatError, "'lower' must be a list"),
        ("d.json", '{"lower": [true], "upper": [1]}', FormatError, "'lower'[0]"),
        ("d.json", '{"lower": [0, 0], "upper": [1, "1"]}', FormatError, "'upper'[1]"),
        ("d.json", '{"lower": [0, 0], "upper": [1, NaN]}', DomainError, "not finite"),
        ("d.json", '{"lower": [0, 0], "upper": [1, 1e999]}', DomainError, "not finite"),
        ("d.json", '{"lower": [0, 0], "upper": [1, 1' + "0" * 400 + "]}", DomainError, "large"),
        ("d.json", '{"lower": [0, 2], "upper": [1, 1]}', DomainError, "input 1"),
        ("d.json", '{"lower": [], "upper": []}', DomainError, "dimension"),
        ("d.json", '{"lower": [0], "upper": [1]}', DomainError, "1 dimensions"),
        ("d.csv", "", DomainError, "dimension"),
        ("d.csv", "0,1\n0,1,2\n", FormatError, "line 2"),
        ("d.csv", "0,1\nx,1\n", FormatError, "line 2"),
        ("d.csv", "upper,lower\n0,1\n1,2\n", FormatError, "line 1"),
        ("d.csv", '0,1\n"0,1\n', FormatError, "d.csv"),
        ("d.csv", "0,1\n2,1\n", DomainError, "input 1"),
        ("d.csv", "0,1\nnan,1\n", DomainError, "not finite"),
        ("d.csv", "0,1\n0,1\n0,1\n", DomainError, "3 dimensions"),
    ],
)
def test_bad_files_are_named(
    tmp_path: Path, name: str, text: str, kind: type[RedyError], part: str
) -> None:
    path = written(tmp_path, name, text)
    with pytest.raises(kind) as caught:
        read_domain(path, 2)
    assert part in str(caught.value)
    assert name in str(caught.value)


def test_missing_files_and_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no such file"):
        read_domain(str(tmp_path / "d.json"), 2)
    with pytest.raises(FormatError) as caught:
        read_domain("acasxy", 5)
    for accepted in (".vnnlib", ".json", ".csv", ".nnet", *BUILTIN):
        assert accepted in str(caught.value)


def test_acasxu_by_name_has_the_published_ranges() -> None:
    box = read_domain("acasxu", 5)
    assert box.lower[0] == (0 - 1.9791091e04) / 60261.0
    np.testing.assert_array_equal(box.lower[3:], [-0.5, -0.5])
    np.testing.assert_array_equal(box.upper[3:], [0.5, 0.5])
    with pytest.raises(DomainError, match="4 inputs"):
        read_domain("acasxu", 4)


def test_acasxu_by_name_equals_the_header_of_every_published_network(shared_data: Path) -> None:
    box = read_domain("acasxu", 5)
    networks = sorted((shared_data / "acasxu_nets").glob("*.nnet"))
    assert networks
    for path in networks[:: max(1, len(networks) // 5)]:
        for domain in (read_nnet(path)[1], read_domain(path, 5)):
            np.testing.assert_array_equal(domain.lower, box.lower)
            np.testing.assert_array_equal(domain.upper, box.upper)


def test_a_failing_writer_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.bin"
    write_bytes(path, b"old")
    with pytest.raises(KeyError), atomic_path(path) as temporary:  # noqa: PT012
        temporary.write_bytes(b"half of the n")
        raise KeyError("a fault while writing")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_an_output_error(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"out\.bin: cannot be written \(No space"),
        atomic_path(tmp_path / "out.bin"),
    ):
        raise OSError(28, "No space left on device")
    assert not list(tmp_path.iterdir())
