"""``redy show --plot`` and ``--html``: files that appear whole or not at all, beside the report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from redy.errors import OutputError, UsageError
from redy.formats import atomic
from tests.commands import redy, succeed

USAGE, OUTPUT = UsageError.exit_code, OutputError.exit_code


def test_pictures_beside_the_report(demo_bundle: Path, tmp_path: Path) -> None:
    plot, html = tmp_path / "demo.svg", tmp_path / "demo.html"
    report = succeed("show", demo_bundle, "--json")
    options = ("--plot", plot, "--html", html, "--slice", 3, "--slice", 30)
    assert succeed("show", demo_bundle, "--json", *options) == report
    text = html.read_text(encoding="utf-8")
    assert f"--html {html} --slice 3 --slice 30" in text
    summary = json.loads(report)
    assert f"{summary['removed_mean']:.1%} of 300 neurons removed" in text
    for drawn in (text, plot.read_text(encoding="utf-8")):
        assert "slice 3: " in drawn
        assert "slice 30: " in drawn
    assert sorted(tmp_path.iterdir()) == [html, plot]


def test_one_slice_is_reported_and_drawn(demo_bundle: Path, tmp_path: Path) -> None:
    plot = tmp_path / "one.svg"
    report = succeed("show", demo_bundle, "--slice", 5, "--json")
    assert succeed("show", demo_bundle, "--slice", 5, "--plot", plot, "--json") == report
    left = 300 - json.loads(report)["removed"]
    assert f"slice 5: {left} of 300 neurons" in plot.read_text(encoding="utf-8")


def test_the_map_that_was_asked_for(demo_bundle: Path, tmp_path: Path) -> None:
    plot = tmp_path / "map.svg"
    succeed("show", demo_bundle, "--plot", plot, "--inputs", "3,1", "--at", "-0.3,0.2,0")
    drawn = plot.read_text(encoding="utf-8")
    assert "input 0 = -0.3, input 2 = 0.2, input 4 = 0" in drawn


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--plot", "a.jpg"), "--plot a.jpg: give a file name that ends with .png or .svg or .pdf"),
        (("--html", "a.png"), "--html a.png: give a file name that ends with .html or .htm"),
        (("--inputs", "0,1"), "need --plot or --html"),
        (("--slice", 1, "--slice", 2), "need --plot or --html"),
        (("--html", "a.html", "--inputs", "0,7"), "there is no input 7"),
        (("--html", "a.html", "--inputs", "0"), "--inputs 0: give two input numbers"),
        (("--html", "a.html", "--at", "0,0,0"), "give --inputs too"),
        (("--html", "a.html", *["--slice", 1] * 3), "--slice was given 3 times"),
        (("--plot", "a.png", "--slice", 1, "--slice", 32), "there is no slice 32"),
    ],
)
def test_wrong_usage_writes_nothing(
    demo_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[object, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = redy("show", demo_bundle, *words)
    assert outcome.code == USAGE
    assert message in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_is_not_drawn_over(demo_bundle: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.html"
    shutil.copy(demo_bundle, bundle)
    outcome = redy("show", bundle, "--html", bundle)
    assert outcome.code == USAGE
    assert "is also read by this command" in outcome.err
    assert bundle.read_bytes() == demo_bundle.read_bytes()


@pytest.mark.parametrize("option", ["--plot", "--html"])
def test_a_folder_that_is_not_there(demo_bundle: Path, tmp_path: Path, option: str) -> None:
    suffix = ".png" if option == "--plot" else ".html"
    outcome = redy("show", demo_bundle, option, tmp_path / "nowhere" / f"a{suffix}")
    assert outcome.code == OUTPUT
    assert "does not exist" in outcome.err


@pytest.mark.parametrize("name", ["a.svg", "a.html"])
def test_a_full_disk_leaves_what_was_there(
    demo_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    (tmp_path / name).write_text("before")
    monkeypatch.setattr(atomic, "_sync", full)
    outcome = redy("show", demo_bundle, "--plot" if name == "a.svg" else "--html", tmp_path / name)
    assert outcome.code == OUTPUT
    assert "No space left" in outcome.err
    assert (tmp_path / name).read_text() == "before"
    assert list(tmp_path.iterdir()) == [tmp_path / name]
