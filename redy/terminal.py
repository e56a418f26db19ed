"""Reports as a person reads them: tables on stdout."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from redy.edits import Criterion
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
        "on solver's word",
        "mean width",
    )
    for row in data["layers"]:
        table.add_row(
            str(row["layer"]),
            str(row["neurons"]),
            _percent(row["active"]),
            _percent(row["inactive"]),
            _percent(row["open"]),
            _percent(row["solver_trusted"]),
            f"{row['mean_width']:.6g}",
        )
    _print_titled(_console(), title, table)


def print_summary(data: dict[str, Any]) -> None:
    """``redy show`` for a person."""
    console = _console()
    title = f"{data['network']}: {data['slices_done']} of {data['slices']} slices, {promise(data)}"
    _print_titled(console, title, _layer_table(data))
    header, *rows = stage_rows(data)
    table = _table(*header)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for sentence in sentences(data):
        console.print(sentence)


def sentences(data: dict[str, Any]) -> list[str]:
    """What ``redy show`` says below its tables."""
    ratio = data["macs_original"] / max(data["macs_mean"], 1.0)
    costs = (
        f"multiply-accumulates per evaluation: {data['macs_original']:,} before, "
        f"{data['macs_mean']:,.0f} after on average ({ratio:.1f} times fewer), "
        f"{data['macs_max']:,} at most"
    )
    if data["winner"] is None:
        checked = f"largest deviation: {data['float_deviation_max']:.2g} over"
    else:  # of the outputs themselves nothing is promised
        checked = f"another winner: at {data['winners_changed']} of"
    size = (
        f"bundle: {data['bundle_bytes'] / 2**20:.2f} MiB; against the original in onnxruntime, "
        f"{checked} {data['float_deviation_points']:,} points"
    )
    said = [costs, size]
    if "mid" in data:
        said.extend(_about_mid(data["mid"]))
    if data["eps_proved_max"]:
        said.append(f"largest output error, proved: {data['eps_proved_max']:.4g}")
    if data["solver_trusted_mean"]:
        said.append(f"on a solver's word alone: {_percent(data['solver_trusted_mean'])}")
    if data["slices_cut_short"]:
        said.append(f"the time limit cut {data['slices_cut_short']} slices short")
    if data.get("slices_contradicted"):  # a bundle may be older than the figure
        said.append(
            f"at check points, {data['slices_contradicted']} slices contradicted their proofs, and "
            "fell back to fewer edits: a defect in redy or in a solver, please report it"
        )
    if data.get("slices_failed"):
        said.append(failures(data["slices_failed"]))
    if data["seconds"] is not None:
        said.append(f"time: {data['seconds']:.1f} s")
    return said


def failures(slices: list[int]) -> str:
    """What became of slices whose workers died."""
    shown = ", ".join(map(str, slices[:_INTERVALS]))
    more = f" and {len(slices) - _INTERVALS} more" if len(slices) > _INTERVALS else ""
    return f"kept as they are, as the worker died each time: {len(slices)} slices ({shown}{more})"


def _about_mid(mid: dict[str, Any]) -> list[str]:
    """What cutting on a hidden layer did, in sentences."""
    one = mid["left_one_cell"]
    compared = "" if one is None else f", {one} with one cell"
    cells = (
        f"cut on layer {mid['layer']}: {mid['cells']} cells, {mid['reachable']} shown to be "
        f"reachable and one for all the rest, into which {mid['rest_share']:.2%} fall; means over "
        f"{mid['weighted_by']}"
    )
    left = (
        f"left in the suffix: {mid['left_mean']:.1f} of {mid['suffix_neurons']} neurons on average"
        f"{compared}; {mid['macs_suffix_mean']:,.0f} of {mid['macs_suffix']:,} "
        f"multiply-accumulates; the shared prefix costs {mid['macs_prefix']:,}, finding the cell "
        f"{mid['comparisons_mean']:.0f} comparisons"
    )
    return [cells, left, *mid["words"]]


def promise(data: dict[str, Any]) -> str:
    """The guarantee and what it depends on."""
    if data["winner"] is not None:
        return f"guarantee {data['guarantee']}, the {data['winner']} wins"
    if data["output_span"] is not None:
        return (
            f"guarantee {data['guarantee']} of the outputs' span {data['output_span']:g}: "
            f"{data['eps']:.4g}"
        )
    return f"guarantee {data['guarantee']}"


def _layer_table(data: dict[str, Any]) -> Table:
    header, *rows, total = layer_rows(data)
    table = _table(*header)
    for row in rows:
        table.add_row(*row)
    table.add_section()
    table.add_row(*total)
    return table


def layer_rows(data: dict[str, Any]) -> list[list[str]]:
    """What was removed, by layer and criterion: a header, one row per layer, one of them all.

    Criteria that no stage applied are left out.
    """
    stages = {row["stage"] for row in data["stages"]}
    names = [criterion.name.lower() for criterion in Criterion if criterion != Criterion.KEPT]
    criteria = [name for name in names if data["removed_by"][name] or name in stages]
    rows = [
        [
            str(row["layer"]),
            str(row["neurons"]),
            _percent(sum(row[name] for name in names)),
            *(_percent(row[name]) for name in criteria),
            _percent(row["refuted"]),
            _percent(row["undecided"]),
        ]
        for row in data["layers"]
    ]
    total = [
        "all",
        str(data["neurons"]),
        _percent(data["removed_mean"]),
        *(_percent(data["removed_by"][name]) for name in criteria),
        _percent(data["refuted_mean"]),
        _percent(data["undecided_mean"]),
    ]
    return [["layer", "neurons", "removed", *criteria, "refuted", "open"], *rows, total]


def stage_rows(data: dict[str, Any]) -> list[list[str]]:
    """What each stage did, all slices together: a header, and one row per stage."""
    seconds = data["stage_seconds"] or {}
    rows = [["stage", "removed", "queries", "proved", "refuted", "open", "boxes", "s"]]
    for row in data["stages"]:
        counts = (row[name] for name in ("queries", "proved", "refuted", "unknown", "boxes"))
        spent = seconds.get(row["stage"])
        shown = "" if spent is None else f"{spent:.0f}"
        rows.append([row["stage"], _percent(row["removed"]), *map(_short, counts), shown])
    return rows


def _short(count: int) -> str:
    """``count`` in few characters."""
    return str(count) if count < 10**6 else f"{count / 10**6:.4g}M"


def print_whole(data: dict[str, Any]) -> None:
    """A bundle that was exported as one model, for a person."""
    beyond = {
        "nan": "their outputs are NaN",
        "error": "they are refused with an error code",
        "clamp": "the nearest point of the domain is evaluated",
        "original": "the original network is evaluated",
    }[data["outside"]]
    console = _console()
    what = f"{data['slices']} slice{'s' * (data['slices'] > 1)} in one model"
    console.print(f"{what}: {data['file_bytes'] / 2**20:.2f} MiB, {data['precision']} bit")
    console.print(f"inputs outside of the domain: {beyond}")
    if "table_bytes" in data:
        console.print(
            f"C99: tables {data['table_bytes'] / 2**10:,.0f} KiB, {data['state_bytes']:,} bytes of "
            f"stack, {data['macs_most']:,} multiply-accumulates at most; header {data['header']}"
        )


def print_slice(data: dict[str, Any]) -> None:
    """One slice for a person."""
    console = _console()
    kind = "slice" if data.get("cut_layer") is None else "cell"
    title = (
        f"{kind} {data['slice']}: {data['removed']} of {data['neurons']} neurons removed, "
        f"{data['undecided']} undecided"
    )
    table = _table("layer", "ReLU", "zero", "linear", "affine", "const", "linear units", "reads")
    for row in data["layers"]:
        counts = (row[name] for name in ("relu", "zero", "linear", "affine", "constant"))
        table.add_row(
            str(row["layer"]),
            *map(str, counts),
            row["linear_units"].split()[0],  # folded, kept or none
            ", ".join(map(str, row["reads_layers"])),
        )
    reads = ", ".join(map(str, data["output_reads_layers"]))
    table.add_row("output", "", "", "", "", "", "", reads)
    _print_titled(console, title, table)
    by = ", ".join(f"{count} by {name}" for name, count in data["removed_by"].items() if count)
    console.print(f"removed: {by or 'nothing'}; proof: {data['proof']}")
    if data["correction"] is not None:
        console.print(_correction(data["correction"]))
    error = data["eps_proved"]
    console.print(
        "output error: only the winner is proved the same"
        if error is None
        else f"output error, proved: {error:.4g}"
    )
    console.print(
        f"multiply-accumulates: {data['macs']:,}; {data['macs_all_folded']:,} if all linear "
        f"units were folded, {data['macs_all_kept']:,} if all were kept, "
        f"{data['macs_original']:,} in the original"
    )
    console.print(f"parameters: {data['parameters']:,} of {data['parameters_original']:,}")
    what = (
        "box" if data.get("cut_layer") is None else f"box of layer {data['cut_layer']} before ReLU"
    )
    console.print(f"{what}: {_box(data['lower'], data['upper'])}")
    if "file_bytes" in data:
        console.print(f"file: {data['file_bytes']:,} bytes")


def _correction(rows: list[list[float]]) -> str:
    """What is added to the outputs: to how many, and whether it depends on the input."""
    corrected = sum(any(row) for row in rows)
    of_input = sum(any(row[:-1]) for row in rows)
    return f"correction: of {corrected} of {len(rows)} outputs, {of_input} with the input"


def print_bench(data: dict[str, Any]) -> None:
    """What ``redy bench`` shows."""
    heads, rows = _bench_rows(data)
    table = _table(*heads)
    for row in rows:
        table.add_row(*row)
    console = _console()
    threads = f"{data['threads']} thread{'s' if data['threads'] > 1 else ''}"
    title = f"us per input, {threads}, single precision; onnxruntime and torch: the original"
    _print_titled(console, title, table)
    faster = data["faster"]
    largest = max(faster["batch"], key=int)
    console.print(
        f"redy is {faster['single']:.1f} times as fast as the fastest on the original, "
        f"{faster['batch'][largest]:.1f} times in batches of {int(largest):,}"
        + (f"; as C code, {faster['c_single']:.1f} times" if "c_single" in faster else "")
    )


def _bench_rows(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of the table."""
    sizes = list(report["contenders"][0]["batch_us_per_input"])[::-2][::-1]
    heads = ["", "one call", "99 %", *(f"{int(size):,}" for size in sizes), "memory"]
    rows = [
        [
            each["name"],
            f"{each['single_median_us']:.3g}",
            f"{each['single_p99_us']:.3g}",
            *(f"{each['batch_us_per_input'][size]:.3g}" for size in sizes),
            _size(each["memory_bytes"]),
        ]
        for each in report["contenders"]
    ]
    return heads, rows


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.0f} KiB"


def print_answer(data: dict[str, Any]) -> None:
    """``redy verify`` for a person."""
    console = _console()
    claim = data["guarantee"]
    if data["winner"] is not None:
        claim = f"decision, the {data['winner']} wins"
    elif data["eps"] is not None and "%" in claim:
        claim = f"{claim}, that is {data['eps']:.4g}"
    console.print(f"{data['verdict'].upper()}: {claim}{_scope(data)}", soft_wrap=True)
    if data["reason"] is not None:
        console.print(f"reason: {data['reason']}", soft_wrap=True)
    if data["verdict"] != "refuted":
        of = data["weighted_by"] or "the domain's volume"
        console.print(f"proved on {_share(data['proved_volume'])} of {of}")
    if data["eps_proved"] is not None and data["verdict"] != "refuted":
        console.print(f"largest output difference, proved: {data['eps_proved']:.4g}")
    if data["witness"] is not None:
        for name in ("witness", "first", "second", "difference"):
            label = name if name == "witness" else f"{name} there"
            console.print(f"{label}: {_numbers(data[name])}", soft_wrap=True)
    if data["import_rounded"]:
        rounded = ", ".join(data["import_rounded"])
        console.print(f"import: rounded to float64 at {rounded}", soft_wrap=True)
    console.print(f"boxes: {data['boxes']:,}; time: {data['seconds']:.1f} s")


def _scope(data: dict[str, Any]) -> str:
    """Of a bundle, how many slices the verdict is on."""
    slices = data["slices"]
    if slices is None:
        return ""
    verdicts = ", ".join(
        f"{slices[name]} {name}" for name in ("proved", "refuted", "unknown") if slices[name]
    )
    of = f" of the {slices['total']} slices" if slices["asked"] < slices["total"] else " slices"
    drawn = " drawn at random" if data["sampled"] else ""
    unchanged = slices["total"] - slices["simplified"]
    rest = f"; the bundle leaves {unchanged} as they are" if unchanged else ""
    return f", on {slices['asked']}{of}{drawn} ({verdicts or 'none checked'}){rest}"


def _share(value: float) -> str:
    """A percentage that says 100 only where it is."""
    shown = f"{value:.4%}"
    return "almost 100%" if value < 1.0 and shown == "100.0000%" else shown


def _numbers(values: list[float]) -> str:
    """The first of many numbers, in full."""
    shown = ", ".join(f"{value!r}" for value in values[:_INTERVALS])
    return shown if len(values) <= _INTERVALS else f"{shown}, ... ({len(values)} numbers)"
