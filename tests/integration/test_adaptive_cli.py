"""``redy simplify --slicing adaptive``, from the command line to outputs that keep the promise."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import redy as package
from redy.formats.domains import ACASXU
from redy.network.evaluate import evaluate
from redy.network.winner import winners
from tests.commands import ONNX, redy, succeed

BOX = ACASXU.domain
WORDS = ("simplify", ONNX, "--domain", "acasxu", "--slicing", "adaptive", "--budget", 50)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("adaptive") / "b.redy"
    succeed(*WORDS, "--slices", 48, "--jobs", 2, "--out", out)
    return out


def test_the_report_says_how_the_domain_was_cut(made: Path) -> None:
    data = json.loads(succeed("show", made, "--json"))
    assert data["slicing"] == "adaptive"
    assert data["weighted_by"] == "volume"
    assert data["grid"] is None
    assert data["slices"] == data["slices_done"] == 48
    bundle = package.open(made)
    weights = bundle.slicing.weights(bundle.done)
    removed = (bundle.edits != 0).mean(axis=1)
    assert weights.sum() == pytest.approx(1.0)
    assert data["removed_mean"] == pytest.approx(weights @ removed)
    macs = [part.macs for part in bundle.slices]
    assert data["macs_mean"] == pytest.approx(weights @ np.array(macs))


def test_outputs_are_those_of_the_original(made: Path) -> None:
    bundle = package.open(made)
    points = BOX.sample(20_000, np.random.default_rng(3))
    np.testing.assert_allclose(bundle(points), evaluate(bundle.network, points), atol=1e-9)


def test_the_bundle_is_verified(made: Path) -> None:
    assert "proved" in succeed("verify", ONNX, made, "--sample", 4)


def test_more_is_removed_than_in_a_grid(made: Path, demo_bundle: Path) -> None:
    adaptive, grid = (package.open(path).summary for path in (made, demo_bundle))
    assert adaptive["removed_mean"] > grid["removed_mean"]  # 48 slices against 32


def test_any_number_of_jobs_makes_the_same_bytes(made: Path, tmp_path: Path) -> None:
    succeed(*WORDS, "--slices", 48, "--jobs", 1, "--out", tmp_path / "again.redy")
    assert (tmp_path / "again.redy").read_bytes() == made.read_bytes()


def test_a_decision_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "decision.redy"
    succeed(*WORDS, "--slices", 40, "--budget", 3000, "--guarantee", "decision", "--out", out)
    bundle = package.open(out)
    points = BOX.sample(20_000, np.random.default_rng(4))
    best, margin = winners(evaluate(bundle.network, points), "min")
    clear = margin > 1e-9
    np.testing.assert_array_equal(bundle(points).argmin(axis=1)[clear], best[clear])
    assert bundle.summary["removed_by"]["decision"] > 0


def test_means_are_over_the_inputs_given(tmp_path: Path) -> None:
    inputs = BOX.sample(500, np.random.default_rng(5)) * [0.3, 1.0, 1.0, 1.0, 1.0]
    inputs = np.clip(inputs, BOX.lower, BOX.upper)
    np.save(tmp_path / "in.npy", inputs)
    out = tmp_path / "b.redy"
    succeed(*WORDS, "--slices", 20, "--weights", tmp_path / "in.npy", "--out", out)
    bundle = package.open(out)
    seen = np.bincount(bundle.slice_of(inputs), minlength=20) / len(inputs)
    np.testing.assert_allclose(bundle.slicing.weights(bundle.done), seen, atol=1e-12)
    assert bundle.summary["weighted_by"] == "inputs"
    removed = (bundle.edits != 0).mean(axis=1)
    assert bundle.summary["removed_mean"] == pytest.approx(seen @ removed)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--grid", "2,2,2,2,2"], "--grid goes with --slicing grid"),
        (["--slices", 0], "--slices 0: give at least 1"),
        (["--layer", 1], "--layer goes with --slicing mid"),
        (["--slices", 2, "--weights", "out.npy"], "row 0 lies outside of the domain"),
        (["--slices", 2, "--weights", "none.npy"], "none.npy"),
        (["--slices", 2, "--slicing", "grid", "--weights", "out.npy"], "--weights goes with"),
        (["--slices", 2, "--slicing", "oblique"], "--slicing oblique: there is grid, adaptive"),
    ],
)
def test_options_that_do_not_go_together(more, told, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("out.npy", np.full((1, 5), 9.0))
    outcome = redy(*WORDS, *more, "--out", tmp_path / "b.redy")
    assert outcome.code != 0
    assert told in outcome.err
    assert not (tmp_path / "b.redy").exists()


def test_a_store_of_another_tree_is_refused(tmp_path: Path) -> None:
    kept = ("--store", tmp_path / "run", "--out", tmp_path / "b.redy")
    succeed(*WORDS, "--slices", 4, *kept)
    outcome = redy(*WORDS, "--slices", 5, *kept)
    assert outcome.code == 7
    assert "is the store of another run: its slicing" in outcome.err
