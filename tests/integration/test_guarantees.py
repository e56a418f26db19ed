"""Other guarantees than exact, from the command line to the dispatcher."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import redy as package
from redy.edits import Criterion, Edit
from redy.formats.onnx import write_onnx
from redy.network.evaluate import evaluate
from tests.commands import NNET, redy, succeed
from tests.stages import (
    BOX,
    as_correction,
    as_line,
    constant_winner,
    registered,
    tiny,
    wrong,
)

STAGES = ("--stages", "phase,forward,by_hand", "--budget", 20)


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.onnx"
    write_onnx(tiny(), path)
    (tmp_path / "box.json").write_text('{"lower": [-1, -1], "upper": [1, 1]}')
    return path


def simplify(net: Path, *words: object) -> dict:
    out = net.with_suffix(".redy")
    words = ("--domain", net.parent / "box.json", "--out", out, *words, "--json")
    return json.loads(succeed("simplify", net, *words))


@pytest.mark.parametrize("change", [as_line, as_correction])
def test_edits_of_a_stage_from_end_to_end(change, net: Path) -> None:
    with registered("by_hand", change):
        data = simplify(net, *STAGES, "--guarantee", "eps=0.5", "--slices", 4)
    assert (data["guarantee"], data["eps"], data["winner"]) == ("eps=0.5", 0.5, None)
    assert data["removed_by"] == {
        "phase": 0, "forward": 0, "decision": 0, "relaxed": pytest.approx(1 / 3),
    }  # fmt: skip
    assert sum(data["removed_by"].values()) == data["removed_mean"]
    assert data["stable_proved_mean"] >= data["removed_mean"]
    assert (data["eps_proved_max"], data["solver_trusted_mean"]) == (0.25, 0)
    assert data["float_deviation_max"] < 1e-5
    by_hand = data["stages"][2]
    assert (by_hand["stage"], by_hand["queries"], by_hand["boxes"]) == ("by_hand", 8, 20)
    bundle = package.open(net.with_suffix(".redy"))
    assert bundle.summary == data
    points = BOX.sample(50, np.random.default_rng(0))
    np.testing.assert_allclose(bundle(points), evaluate(tiny(), points), atol=1e-12)
    np.testing.assert_array_equal(bundle.edits[1], bundle.slices[1].edits)


def test_show_and_export_of_lines(net: Path) -> None:
    with registered("by_hand", as_line):
        simplify(net, *STAGES, "--guarantee", "eps=0.5")
    bundle = net.with_suffix(".redy")
    assert "guarantee eps=0.5" in succeed("show", bundle)
    assert "largest output error, proved: 0.25" in succeed("show", bundle)
    text = succeed("show", bundle, "--slice", 0)
    assert "1 by relaxed; proof: branch and bound" in text
    assert "output error, proved: 0.25" in text
    data = json.loads(succeed("show", bundle, "--slice", 0, "--json"))
    assert data["lines"] == [{"neuron": [1, 2], "slope": 1.0, "intercept": 0.0}]
    assert data["layers"][0]["affine"] == 1
    succeed("export", bundle, "--out", net.with_name("slice.onnx"))
    session = onnxruntime.InferenceSession(str(net.with_name("slice.onnx")))
    (found,) = session.run(None, {"input": np.float32([[0.5, -0.25]])})
    np.testing.assert_allclose(found, [[0.75 + 10.25, 20.0]], rtol=1e-6)
    refused = redy("export", bundle, "--format", "nnet", "--out", net.with_name("slice.nnet"))
    assert refused.code == 4
    assert "neurons replaced by lines" in refused.err


def test_show_of_a_correction(net: Path) -> None:
    with registered("by_hand", as_correction):
        simplify(net, *STAGES, "--guarantee", "eps=0.5")
    text = succeed("show", net.with_suffix(".redy"), "--slice", 0)
    assert "correction: of 1 of 2 outputs, 1 with the input" in text


def test_the_winner_alone(net: Path) -> None:
    with registered("by_hand", constant_winner, "decision"):
        data = simplify(net, *STAGES, "--guarantee", "decision", "--winner", "max")
    assert (data["guarantee"], data["winner"], data["eps"]) == ("decision", "max", None)
    assert data["eps_proved_max"] is None
    assert data["removed_by"]["decision"] == data["solver_trusted_mean"] == 1
    assert data["winners_changed"] == data["slices_contradicted"] == 0
    assert data["proofs"] == {"solver status": 1}
    bundle = net.with_suffix(".redy")
    assert "guarantee decision, the max wins" in succeed("show", bundle)
    assert "on a solver's word alone: 100.00%" in succeed("show", bundle)
    assert "only the winner is proved" in succeed("show", bundle, "--slice", 0)
    (part,) = package.open(bundle).slices
    assert part.network.neurons == ()
    assert part.criteria.tolist() == [Criterion.DECISION] * 3
    assert part.edits.tolist() == [Edit.ZERO] * 3


def test_a_slice_whose_network_contradicts_its_proof(net: Path) -> None:
    with registered("by_hand", wrong, "decision"):
        data = simplify(net, *STAGES, "--guarantee", "decision", "--winner", "max")
    assert (data["slices"], data["slices_contradicted"], data["winners_changed"]) == (1, 1, 0)
    assert data["removed_by"]["phase"] == data["removed_mean"] == pytest.approx(1 / 3)
    assert data["solver_trusted_mean"] == 0
    assert [row["removed"] for row in data["stages"]] == [pytest.approx(1 / 3), 0, 0]
    assert data["eps_proved_max"] == 0
    bundle = net.with_suffix(".redy")
    assert "1 slices contradicted their proofs" in " ".join(succeed("show", bundle).split())
    assert package.open(bundle).slices[0].replacements.correction is None
    assert redy("verify", net, bundle).code == 0


@pytest.mark.parametrize(("limit", "cut"), [("1e-9", 4), ("1000", 0)])
def test_a_result_that_the_time_limit_cut_short_says_so(limit: str, cut: int, net: Path) -> None:
    data = simplify(net, "--slices", 4, "--budget", 20, "--time-limit", limit)
    assert data["slices_cut_short"] == cut
    assert data["removed_mean"] == (0 if cut else pytest.approx(1 / 3))
    text = " ".join(succeed("show", net.with_suffix(".redy")).split())
    assert (f"the time limit cut {cut} slices short" in text) == (cut > 0)


def test_a_percentage_is_shown_with_what_it_is_of(tmp_path: Path) -> None:
    out = tmp_path / "b.redy"
    words = ("--guarantee", "eps=1%", "--stages", "phase,forward", "--budget", 5, "--out", out)
    text = succeed("simplify", NNET, *words)
    data = json.loads(succeed("show", out, "--json"))
    assert data["guarantee"] == "eps=1.0%"
    assert data["eps"] == 0.01 * data["output_span"]
    assert f"guarantee eps=1.0% of the outputs' span {data['output_span']:g}: " in text


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--guarantee", "eps=0"], "eps"),
        (["--guarantee", "decision", "--winner", "most"], "--winner most"),
        (["--guarantee", "eps=1", "--winner", "max"], "--winner max goes with"),
        (["--stages", "phase,nothing"], "no stage 'nothing'"),
        (["--stages", ""], "no stage ''"),
        (["--stages", "forward"], "phase comes first"),
    ],
)
def test_options_that_are_refused(words: list[str], named: str, tmp_path: Path) -> None:
    outcome = redy("simplify", NNET, *words, "--out", tmp_path / "b.redy")
    assert outcome.code == 2
    assert named in outcome.err
    assert list(tmp_path.iterdir()) == []
