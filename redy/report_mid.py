"""The figures of mid-network slicing: what the suffix loses, and what the whole network costs."""

from __future__ import annotations

from typing import Any

import numpy as np

from redy.dispatch.bundle import Bundle
from redy.edits import Edit
from redy.formats.networks import LoadedNetwork
from redy.network.cost import cost
from redy.network.split import Split
from redy.report import slice_report
from redy.slicing.mid import Mid

_LITTLE = 0.01
"""A gain below this share is none to speak of."""
_MOST = 0.5
"""Cells that hold less than the rest say little of the network's use."""


def of_the_whole(
    summary: dict[str, Any],
    loaded: LoadedNetwork,
    parts: Split,
    cells: Mid,
    done: np.ndarray,
    codes: np.ndarray,
) -> dict[str, Any]:
    """``summary``, which is of the suffix, with the whole network's names, numbers and costs.

    Args:
        summary: what :func:`redy.report.summarise` makes of the suffix.
        loaded: the whole network.
        parts: it, cut in two.
        cells: the slicing.
        done: (m,) the cells that were simplified.
        codes: (m, neurons) uint8, the edits of the suffix's neurons there.
    """
    prefix = cost(parts.prefix)
    before = parts.layer - 1
    mid = _figures(summary, parts, cells, done, codes)
    return {
        **summary,
        "network_sha256": loaded.network.sha256,
        "import_rounded": list(loaded.rounded),
        "layers": [{**row, "layer": row["layer"] + before} for row in summary["layers"]],
        "macs_original": cost(loaded.network).macs,
        "macs_mean": summary["macs_mean"] + prefix.macs,
        "macs_max": summary["macs_max"] + prefix.macs,
        "parameters_original": cost(loaded.network).parameters,
        "mid": {**mid, "words": _words(mid)},
    }


def part_report(bundle: Bundle, index: int) -> dict[str, Any]:
    """:func:`redy.report.slice_report` of a slice; of a cell, with the network's layer numbers."""
    report = slice_report(bundle.slices[index], bundle.base)
    if bundle.parts is None:
        return report
    cut = bundle.parts.layer
    return {
        **report,
        "cut_layer": cut,
        "layers": [
            {
                **row,
                "layer": row["layer"] + cut - 1,
                "reads_layers": [j + cut - 1 for j in row["reads_layers"]],
            }
            for row in report["layers"]
        ],
        "output_reads_layers": [j + cut - 1 for j in report["output_reads_layers"]],
    }


def _figures(
    summary: dict[str, Any], parts: Split, cells: Mid, done: np.ndarray, codes: np.ndarray
) -> dict[str, Any]:
    left = (codes == Edit.KEEP).sum(axis=1)
    neurons = len(parts.suffix.neurons)
    return {
        "layer": parts.layer,
        "cells": cells.slices,
        "reachable": cells.slices - 1,
        "cut_neurons": cells.tree.asked,
        "weighted_by": cells.seen.what,
        "rest_share": float(cells.seen.share[0]),
        "comparisons_mean": cells.seen.comparisons,
        "suffix_neurons": neurons,
        "left_mean": neurons * (1.0 - summary["removed_mean"]),
        "left_one_cell": int(left[0]) if done[0] == 0 else None,
        "left_least": int(left.min()),
        "macs_prefix": cost(parts.prefix).macs,
        "macs_suffix": cost(parts.suffix).macs,
        "macs_suffix_mean": summary["macs_mean"],
    }


def _words(mid: dict[str, Any]) -> list[str]:
    """Where it does not help, and why."""
    if mid["cells"] == 1:
        return ["cutting does not help: there is no cell but the one for everything"]
    words = []
    one, mean = mid["left_one_cell"], mid["left_mean"]
    if one is not None and one - mean <= _LITTLE * mid["suffix_neurons"]:
        words.append(
            f"cutting does not help: {mean:.1f} neurons are left in the suffix on average, "
            f"{one} with one cell"
        )
    whole, saved = mid["macs_prefix"] + mid["macs_suffix"], mid["macs_suffix"]
    saved -= mid["macs_suffix_mean"]
    if saved <= _LITTLE * whole:
        words.append(
            f"evaluation gets hardly cheaper: of {whole:,} multiply-accumulates {saved:,.0f} are "
            f"saved; {mid['macs_prefix'] / whole:.0%} are the prefix's, which is shared as it is"
        )
    if mid["rest_share"] > _MOST:
        words.append(
            f"{mid['rest_share']:.0%} of the points fall in no cell but the one for all the rest"
        )
    return words
