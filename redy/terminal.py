"""Reports as a person reads them: tables on stdout."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from redy.formats.networks import LoadedNetwork
from redy.network.cost import cost

_INTERVALS = 10


def _console() -> Console:
    # File names are printed as they are: no markup, no emoji codes.
    return Console(highlight=False, markup=False, emoji=False)


def _table(*columns: str) -> Table:
    table = Table()
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right")
    return table


def _print_titled(console: Console, title: str, table: Table) -> None:
    """The title is a line of its own, which the terminal wraps if a file's name makes it long."""
    console.print(title, soft_wrap=True)
    console.print(table)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"


def _box(lower: list[float], upper: list[float]) -> str:
    """The first intervals of a box; networks that see images have hundreds."""
    ends = list(zip(lower, upper, strict=True))
    shown = " x ".join(f"[{low:.6g}, {up:.6g}]" for low, up in ends[:_INTERVALS])
    return shown if len(ends) <= _INTERVALS else f"{shown} x ... ({len(ends)} intervals)"


def info_of(loaded: LoadedNetwork) -> dict[str, Any]:
    """What ``redy info`` reports."""
    network, size = loaded.network, cost(loaded.network)
    return {
        "network": loaded.path,
        "format": loaded.format,
        "file_sha256": loaded.file_sha256,
        "network_sha256": network.sha256,
        "inputs": network.inputs,
        "outputs": network.outputs,
        "layers": [
            {
                "layer": k,
                "units": layer.units,
                "relu": int(layer.relu.sum()),
                "reads_layers": list(layer.weights),
            }
            for k, layer in enumerate(network.layers, start=1)
        ],
        "operators": dict(loaded.reference.operators),
        "import_rounded": list(loaded.rounded),
        "neurons": size.neurons,
        "macs": size.macs,
        "parameters": size.parameters,
        "domain": None
        if loaded.domain is None
        else {"lower": loaded.domain.lower.tolist(), "upper": loaded.domain.upper.tolist()},
    }


def print_info(data: dict[str, Any]) -> None:
    """``redy info`` for a person."""
    console = _console()
    table = _table("layer", "units", "ReLU", "reads layers")
    last = len(data["layers"])
    for row in data["layers"]:
        table.add_row(
            str(row["layer"]) if row["layer"] < last else "output",
            str(row["units"]),
            str(row["relu"]),
            ", ".join(map(str, row["reads_layers"])),
        )
    _print_titled(console, data["network"], table)
    operators = ", ".join(f"{count} {name}" for name, count in data["operators"].items())
    rounded = ", ".join(data["import_rounded"])
    console.print(
        f"{data['inputs']} inputs, {data['outputs']} outputs, {data['neurons']} ReLU neurons, "
        f"{data['macs']:,} multiply-accumulates, {data['parameters']:,} parameters"
    )
    console.print(f"operators: {operators}")
    console.print(
        f"import: rounded to float64 at {rounded}" if rounded else "import: exact, no rounding"
    )
    if data["domain"] is None:
        console.print("domain: the file has none; give one with --domain")
    else:
        console.print(f"domain: {_box(**data['domain'])}")


def print_bounds(data: dict[str, Any]) -> None:
    """``redy bounds`` for a person."""
    title = f"{data['method']} bounds, mean over {data['slices']} slices"
    table = _table(
        "layer",
        "neurons",
        "active",
        "inactive",
        "open",
        "mean width",
    )
    for row in data["layers"]:
        table.add_row(
            str(row["layer"]),
            str(row["neurons"]),
            _percent(row["active"]),
            _percent(row["inactive"]),
            _percent(row["open"]),
            f"{row['mean_width']:.6g}",
        )
    _print_titled(_console(), title, table)


def print_summary(data: dict[str, Any]) -> None:
    """``redy show`` for a person."""
    console = _console()
    title = (
        f"{data['network']}: {data['slices_done']} of {data['slices']} slices, "
        f"guarantee {data['guarantee']}"
    )
    table = _table(
        "layer",
        "neurons",
        "removed",
        "by phase",
        "unread",
        "refuted",
        "undecided",
    )
    for row in data["layers"]:
        table.add_row(
            str(row["layer"]),
            str(row["neurons"]),
            _percent(row["phase"] + row["forward"]),
            _percent(row["phase"]),
            _percent(row["forward"]),
            _percent(row["refuted"]),
            _percent(row["undecided"]),
        )
    table.add_section()
    table.add_row(
        "all",
        str(data["neurons"]),
        _percent(data["removed_mean"]),
        _percent(data["removed_by"]["phase"]),
        _percent(data["removed_by"]["forward"]),
        _percent(data["refuted_mean"]),
        _percent(data["undecided_mean"]),
    )
    _print_titled(console, title, table)
    ratio = data["macs_original"] / max(data["macs_mean"], 1.0)
    console.print(
        f"multiply-accumulates per evaluation: {data['macs_original']:,} before, "
        f"{data['macs_mean']:,.0f} after on average ({ratio:.1f} times fewer), "
        f"{data['macs_max']:,} at most"
    )
    console.print(
        f"bundle: {data['bundle_bytes'] / 2**20:.2f} MiB; "
        f"largest deviation from the original in onnxruntime: {data['float_deviation_max']:.2g} "
        f"over {data['float_deviation_points']:,} points"
    )
    if data["slices_cut_short"]:
        console.print(f"the time limit cut {data['slices_cut_short']} slices short")
    if data["seconds"] is not None:
        console.print(f"time: {data['seconds']:.1f} s")


def print_slice(data: dict[str, Any]) -> None:
    """One slice for a person."""
    console = _console()
    title = (
        f"slice {data['slice']}: {data['removed']} of {data['neurons']} neurons removed, "
        f"{data['undecided']} undecided"
    )
    table = _table(
        "layer",
        "ReLU left",
        "zero",
        "linear",
        "linear units are",
        "reads layers",
    )
    for row in data["layers"]:
        table.add_row(
            str(row["layer"]),
            str(row["relu"]),
            str(row["zero"]),
            str(row["linear"]),
            row["linear_units"],
            ", ".join(map(str, row["reads_layers"])),
        )
    table.add_row("output", "", "", "", "", ", ".join(map(str, data["output_reads_layers"])))
    _print_titled(console, title, table)
    console.print(
        f"multiply-accumulates: {data['macs']:,}; {data['macs_all_folded']:,} if all linear "
        f"units were folded, {data['macs_all_kept']:,} if all were kept, "
        f"{data['macs_original']:,} in the original"
    )
    console.print(f"parameters: {data['parameters']:,} of {data['parameters_original']:,}")
    console.print(f"box: {_box(data['lower'], data['upper'])}")
    if "file_bytes" in data:
        console.print(f"file: {data['file_bytes']:,} bytes")
