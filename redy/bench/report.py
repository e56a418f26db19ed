"""What ``redy bench`` reports: a table, JSON, a picture."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from redy.bench.contenders import Contender
from redy.bench.measure import Times
from redy.formats.atomic import write_bytes
from redy.pictures.style import BLUE, ORANGE, house_style, new_figure, to_bytes


def report_of(
    summary: dict[str, Any], found: Sequence[Contender], times: Times, threads: int
) -> dict[str, Any]:
    """One JSON object; times in microseconds, sizes in bytes."""
    return {
        "network": summary["network"],
        "guarantee": summary["guarantee"],
        "slices": summary["slices"],
        "removed_mean": summary["removed_mean"],
        "macs_original": summary["macs_original"],
        "macs_mean": summary["macs_mean"],
        "processor": platform.processor() or platform.machine(),
        "threads": threads,
        "contenders": [
            {
                "name": each.name,
                "simplified": each.simplified,
                "memory_bytes": each.memory,
                "single_median_us": times.single[each.name].median,
                "single_p99_us": times.single[each.name].high,
                "batch_us_per_input": {
                    str(size): taken for size, taken in times.batch[each.name].items()
                },
            }
            for each in found
        ],
        "faster": _ratios(found, times),
    }


def _ratios(found: Sequence[Contender], times: Times) -> dict[str, Any]:
    """How many times faster the bundle is than the fastest that evaluates the original."""
    python = [each for each in found if each.compiled is None]
    ours = next(each.name for each in python if each.simplified)
    peers = [each.name for each in python if not each.simplified]
    best = min(times.single[name].median for name in peers)
    ratios: dict[str, Any] = {
        "single": best / times.single[ours].median,
        "batch": {
            str(size): min(times.batch[name][size] for name in peers) / taken
            for size, taken in times.batch[ours].items()
        },
    }
    compiled = {each.simplified: each.name for each in found if each.compiled is not None}
    if len(compiled) == 2:
        one, other = (times.single[compiled[part]].median for part in (False, True))
        ratios["c_single"] = one / max(other, 1e-3)
    return ratios


def write_picture(path: Path, report: dict[str, Any]) -> None:
    """Draw it to ``path`` in the format that its suffix names, whole or not at all."""
    with house_style():
        content = to_bytes(_picture(report), path.suffix.lower().removeprefix("."))
    write_bytes(path, content)


def _picture(report: dict[str, Any]) -> Figure:
    """Single calls as bars, batches as lines."""
    figure = new_figure(9.0, 3.6)
    name = Path(report["network"]).name
    figure.suptitle(
        f"{name}: {report['slices']:,} slices, guarantee {report['guarantee']}, "
        f"{report['removed_mean']:.1%} of neurons removed; {report['threads']} thread(s)",
        fontsize=10,
    )
    single, batch = figure.subplots(1, 2)
    every = report["contenders"]
    places = range(len(every))
    colours = [ORANGE if each["simplified"] else BLUE for each in every]
    single.barh(places, [each["single_median_us"] for each in every], color=colours)
    single.plot([each["single_p99_us"] for each in every], places, "|", color="#222222")
    single.set(xscale="log", xlabel="us, one call: median, and 99th percentile")
    single.set_yticks(places, [each["name"] for each in every])
    single.invert_yaxis()
    for each, colour, mark in zip(every, colours, "osD^vX", strict=False):
        sizes = [int(size) for size in each["batch_us_per_input"]]
        taken = list(each["batch_us_per_input"].values())
        batch.plot(sizes, taken, f"{mark}-", color=colour, label=each["name"], markersize=4)
    batch.set(xscale="log", yscale="log", xlabel="inputs in a batch", ylabel="us per input")
    batch.legend()
    return figure
