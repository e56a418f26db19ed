"""The command line. Data goes to stdout, chatter and progress to stderr.

Exit codes: 0 success; 1 and 3 to 9 an error of :mod:`redy.errors`; 2 wrong usage; 10 and 11 what
``redy verify`` refuted or could not decide; 130 stopped with Ctrl-C, 143 with SIGTERM.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import typer

from redy.errors import OutputError, RedyError, UsageError, printable
from redy.interrupts import Terminated, terminable
from redy.version import __version__

P = ParamSpec("P")
R = TypeVar("R")

app = typer.Typer(
    name="redy",
    help="Formal simplification of ReLU networks: smaller networks, with a proof.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 success, 2 wrong usage, 3-9 bad input or output, 10 refuted and 11 "
    "unknown (verify), 130 stopped by Ctrl-C, 143 by SIGTERM.",
)

NetworkFile = Annotated[Path, typer.Argument(metavar="NET", help="A .onnx or .nnet network.")]
BundleFile = Annotated[Path, typer.Argument(metavar="B.redy", help="A bundle.")]
DomainOption = Annotated[
    str | None,
    typer.Option(
        "--domain",
        metavar="D",
        help="The box of inputs the network is used on: a .vnnlib property, a .json or .csv with "
        "lower and upper bounds, a .nnet (its ranges), or the name 'acasxu'. A .nnet network "
        "brings its own.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
GridOption = Annotated[
    str | None,
    typer.Option("--grid", metavar="8,8,...", help="Instead of --slices: parts of each input."),
]
SampleOption = Annotated[
    int | None, typer.Option("--sample", metavar="K", help="Only K random slices of the N.")
]
SeedOption = Annotated[int, typer.Option("--seed", help="Draws the sample.")]


def _reporting(command: Callable[P, R]) -> Callable[P, R]:
    """Turn a RedyError into one line on stderr and its exit code; Ctrl-C and SIGTERM too."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with terminable():
                result = command(*args, **kwargs)
                sys.stdout.flush()
        except RedyError as error:
            print(f"redy: error: {error}", file=sys.stderr)
            raise typer.Exit(error.exit_code) from error
        except MemoryError as error:
            print("redy: error: out of memory; try fewer --slices or --jobs", file=sys.stderr)
            raise typer.Exit(1) from error
        except BrokenPipeError:
            raise  # typer ends quietly: who reads stdout, as head does, has read enough
        except OSError as error:
            if error.filename is not None:
                raise
            # Files are written by redy.formats.atomic, with errors of their own: this is stdout.
            print(f"redy: error: standard output: {error.strerror}", file=sys.stderr)
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(OutputError.exit_code) from error
        except KeyboardInterrupt as error:
            print("; ".join(("redy: stopped", *error.args)), file=sys.stderr)
            number = signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT
            raise typer.Exit(128 + number) from error
        return result

    return run


def _version(show: bool) -> None:
    if show:
        print(f"redy {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


@app.command()
@_reporting
def info(net: NetworkFile, as_json: AsJson = False) -> None:
    """Shape, operators, neurons, multiply-accumulates, and the domain if the file has one."""
    from redy.formats.networks import load
    from redy.terminal import info_of, print_info

    description = info_of(load(net))
    _emit(description, as_json, print_info)


@app.command()
@_reporting
def bounds(
    net: NetworkFile,
    domain: DomainOption = None,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="M",
            help="interval, zonotope, crown (default); tighter, and slower: branch (branch and "
            "bound on the inputs, for few of them), lp (proved from duals), milp (branch, lp, "
            "then MILPs, whose bounds rest on the solver's word).",
        ),
    ] = "crown",
    solver: Annotated[
        str,
        typer.Option(
            "--solver", metavar="S", help="For lp and milp: auto, gurobi, highs, scip or z3."
        ),
    ] = "auto",
    time_limit: Annotated[
        float, typer.Option("--time-limit", metavar="SECONDS", help="Per solver query.")
    ] = 10.0,
    budget: Annotated[
        int,
        typer.Option(
            "--budget", metavar="BOXES", help="For branch and milp: boxes to examine per slice."
        ),
    ] = 100_000,
    jobs: Annotated[
        int, typer.Option("--jobs", metavar="J", help="Processes for branch, lp and milp.")
    ] = 1,
    slices: Annotated[
        int | None, typer.Option("--slices", metavar="N", help="Cut the domain as simplify does.")
    ] = None,
    grid: GridOption = None,
    sample: SampleOption = None,
    seed: SeedOption = 0,
    device: Annotated[
        str, typer.Option("--device", help="Torch device to compute on: cpu, cuda.")
    ] = "cpu",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE.npz",
            help="Write arrays slices (m,), lower_K and upper_K (m, units) for layer K = 1 to the "
            "output; and proved_lower_K, proved_upper_K where some rest on a solver's word.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bounds of every neuron's pre-activation, sound over the reals, and the phases they prove."""
    from redy.bounds.registry import Effort
    from redy.formats.domains import read_domain
    from redy.formats.networks import load
    from redy.run.bounds import compute_bounds, save_bounds
    from redy.run.spread import Workers
    from redy.run.steps import steps_for_stderr
    from redy.simplify import Selection, cut
    from redy.terminal import print_bounds

    if jobs < 1 or budget < 1 or not time_limit > 0:
        raise UsageError("--jobs, --budget and --time-limit must be positive")
    if out is not None:
        _require_writable(out, net)
    loaded = load(net)
    box = _domain(domain, loaded.network.inputs, read_domain) or loaded.domain
    if box is None:
        raise UsageError(f"{net} brings no domain of its own; give one with --domain")
    slicing = cut(box, slices, _grid(grid))
    chosen = Selection(sample, seed).of(slicing)
    with steps_for_stderr() as steps:
        effort = Effort(budget, solver, time_limit, Workers(jobs, steps))
        result = compute_bounds(loaded.network, slicing, chosen, method, device, effort)
    if out is not None:
        save_bounds(out, chosen, result)
    _emit(result.summary(loaded.network, method), as_json, print_bounds)


@app.command()
@_reporting
def simplify(
    net: NetworkFile,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="B.redy",
            help="The bundle to write. Needless with --shard; it then holds that shard alone.",
        ),
    ] = None,
    domain: DomainOption = None,
    slices: Annotated[
        int | None,
        typer.Option(
            "--slices",
            metavar="N",
            help="Number of slices, a power of two: the inputs are bisected in turn. Of --slicing "
            "adaptive and mid: at most so many, any number. Default 1.",
        ),
    ] = None,
    grid: GridOption = None,
    slicing: Annotated[
        str,
        typer.Option(
            "--slicing",
            metavar="grid|adaptive|mid",
            help="grid: all inputs are cut evenly. adaptive: a box is halved where most neurons "
            "can go; as many slices remove far more than in a grid. mid: what a hidden layer "
            "makes of the domain is cut, by the phases of its neurons, and the layers before are "
            "shared; for networks with many inputs.",
        ),
    ] = "grid",
    layer: Annotated[
        int | None,
        typer.Option(
            "--layer",
            metavar="K",
            help="Of mid: the hidden layer to cut on. Default: where evaluation gets cheapest.",
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            metavar="IN",
            help="Of adaptive and mid: inputs such as the network is used on, .npy or .csv. Slices "
            "are made for them, and figures are means over them (mid: made for one half, means "
            "over the other). What is promised holds for all inputs of the domain. Default: all "
            "of the domain alike.",
        ),
    ] = None,
    guarantee: Annotated[
        str,
        typer.Option(
            "--guarantee",
            metavar="exact|eps=E|eps=P%|decision",
            help="What holds for all real inputs of the domain. exact: the outputs are the same. "
            "eps=E: every output differs by at most E. eps=P%: by at most P percent of the largest "
            "span of an output. decision: wherever the original has a unique winner, the "
            "simplified network has the same.",
        ),
    ] = "exact",
    winner: Annotated[
        str | None,
        typer.Option(
            "--winner",
            metavar="min|max",
            help="Under --guarantee decision: the least output wins, as in ACAS Xu (the default), "
            "or the greatest.",
        ),
    ] = None,
    stages: Annotated[
        str | None,
        typer.Option(
            "--stages",
            metavar="phase,forward,...",
            help="What is tried, in this order, phase first. Default: phase, and then forward for "
            "exact, relaxed for eps, decision for decision.",
        ),
    ] = None,
    sample: SampleOption = None,
    seed: SeedOption = 0,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", metavar="J", help="Worker processes on this machine (default 1)."),
    ] = None,
    backend: Annotated[
        str,
        typer.Option(
            "--backend",
            metavar="loky|dask|ray",
            help="What runs the workers: loky on this machine; dask or ray, here or on a cluster "
            "(pip install 'redy[dask]', 'redy[ray]'). The result is the same.",
        ),
    ] = "loky",
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler",
            metavar="ADDRESS",
            help="Of dask and ray: the workers of the cluster at this address instead of --jobs "
            "processes of this machine. What is there must be trusted: it is sent code.",
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            metavar="I/M",
            help="Only part I of M of the slices, I from 1, with a --store of its own: a job of an "
            "array on a cluster. redy merge makes one bundle from the stores.",
        ),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(
            "--budget",
            metavar="WORK",
            help="Boxes that each stage may examine per slice, about (default 1000). More "
            "finds more; the result depends on this, not on the machine's speed.",
        ),
    ] = None,
    time_limit: Annotated[
        float | None,
        typer.Option(
            "--time-limit", metavar="SECONDS", help="Outer guard per slice; says where it cut."
        ),
    ] = None,
    solver: Annotated[
        str | None,
        typer.Option(
            "--solver",
            metavar="S",
            help="For the stage milp: auto (default), gurobi, highs, scip or z3.",
        ),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(
            "--store",
            metavar="RUN",
            help="SQLite file that keeps finished slices; the same command resumes from it. "
            "Default: B.redy.store, deleted once the bundle is written (not with --shard).",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Remove what is provably redundant on every slice of the domain; write one bundle.

    Example: redy simplify acas.onnx --domain acasxu --slices 32768 --jobs 2 --out acas.redy

    Many inputs: redy simplify net.onnx --domain box.json --slicing mid --slices 256 --weights
    train.npy --out net.redy

    A cluster: redy simplify acas.onnx --domain acasxu --slices 32768 --backend dask --scheduler
    tcp://10.0.0.1:8786 --out acas.redy

    Killed, or stopped with Ctrl-C or SIGTERM, the run goes on when the same command is given again.
    """
    from redy.formats.domains import read_domain
    from redy.formats.networks import load
    from redy.formats.tables import read_table
    from redy.run.progress import for_stderr
    from redy.run.steps import steps_for_stderr
    from redy.simplify import DEFAULT_BUDGET, Selection
    from redy.simplify import simplify as run

    kept = _store_of(out, store, shard)
    loaded = load(net)
    box = _domain(domain, loaded.network.inputs, read_domain)
    if out is not None:
        _require_writable(out, net, kept, *([] if weights is None else [weights]))
    try:
        bundle = run(
            loaded,
            box,
            slices=slices,
            grid=_grid(grid),
            slicing=slicing,
            layer=layer,
            weights=None if weights is None else read_table(weights),
            guarantee=guarantee,
            winner=winner,
            stages=None if stages is None else [name.strip() for name in stages.split(",")],
            selection=Selection(sample, seed),
            shard=shard,
            jobs=jobs,
            backend=backend,
            scheduler=scheduler,
            budget=DEFAULT_BUDGET if budget is None else budget,
            time_limit=time_limit,
            solver=solver,
            store=kept,
            progress=for_stderr(),
            steps=steps_for_stderr(),
        )
    except KeyboardInterrupt as stop:
        raise type(stop)(
            f"finished slices are in {kept}, the same command goes on from there"
        ) from stop
    ran = {"backend": backend, "jobs": (jobs or 1) if scheduler is None else None}
    _finish(bundle, out, {**ran, "shard": shard}, as_json)
    if shard is not None:
        print(f"redy: shard {shard} is finished; redy merge needs {kept}", file=sys.stderr)
    elif store is None:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{kept}{suffix}").unlink(missing_ok=True)


def _store_of(out: Path | None, store: Path | None, shard: str | None) -> Path:
    """Where finished slices are kept."""
    if out is None and shard is None:
        raise UsageError("--out is missing: name the bundle to write, as in --out acas.redy")
    if store is not None:
        return store
    if out is None:
        raise UsageError(f"--shard {shard}: name its store with --store, or a bundle with --out")
    return Path(f"{out}.store")


def _finish(bundle: Any, out: Path | None, ran: dict[str, Any], as_json: bool) -> None:
    """Write the bundle and the record of its run, report it, and say on stderr what failed."""
    from redy.formats.bundle import write_run_record
    from redy.terminal import failures, print_summary

    if out is not None:
        bundle.save(out)
        timed = {key: bundle.summary[key] for key in ("seconds", "stage_seconds")}
        write_run_record(out, {**timed, **ran})
    _emit(bundle.summary, as_json, print_summary)
    failed = bundle.summary["slices_failed"]
    if failed:
        print(f"redy: warning: {failures(failed)}", file=sys.stderr)


@app.command()
@_reporting
def merge(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="The stores of all shards of one run, in any order."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="B.redy", help="The bundle to write.")],
    as_json: AsJson = False,
) -> None:
    """Make the bundle of a run from the stores of its shards (redy simplify --shard I/M).

    It is the same, to the bit, as if the run had been made in one piece. The stores stay as they
    are; nothing else is needed, the network is in them.

    Example: redy merge run.1 run.2 run.3 --out acas.redy
    """
    from redy.merge import merge as run

    _require_writable(out, *runs)
    _finish(run(runs), out, {"shards": len(runs)}, as_json)


@app.command()
@_reporting
def show(
    bundle: BundleFile,
    index: Annotated[
        list[int] | None,
        typer.Option(
            "--slice",
            metavar="I",
            help="One slice instead of all. Given twice: the two networks in the pictures; by "
            "default an almost linear one and a complex one.",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FILE",
            help="Draw the bundle to a .png, .svg or .pdf: neurons left over two inputs, by "
            "volume and by layer, and two slices' networks.",
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE.html",
            help="The same pictures with all figures on one self-contained page.",
        ),
    ] = None,
    inputs: Annotated[
        str | None,
        typer.Option(
            "--inputs",
            metavar="X,Y",
            help="The two inputs of the map. Default: those along which the mean over all other "
            "inputs varies most.",
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="V,V,...",
            help="With --inputs: the values of all other inputs, in order, instead of the mean.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What was removed, by criterion and layer, and what evaluation costs before and after.

    Example: redy show acas.redy --html acas.html
    """
    from redy.dispatch.bundle import Bundle
    from redy.pictures.view import View, require_suffix
    from redy.report_mid import part_report
    from redy.terminal import print_slice, print_summary

    indices = index or []
    pictures = {"--plot": plot, "--html": html}
    view = View.parse(inputs, at, indices)
    if plot is None and html is None and view != View(slices=view.slices[:1]):
        raise UsageError("--inputs, --at and a second --slice need --plot or --html")
    for option, path in pictures.items():
        if path is not None:
            require_suffix(option, path)
            _require_writable(path, bundle, option=option)
    opened = Bundle.open(bundle)
    if plot is not None:
        from redy.pictures.sheet import write_sheet

        write_sheet(plot, opened, view)
    if html is not None:
        from redy.pictures.page import write_page

        command = ["redy", "show", str(bundle), "--html", str(html), *view.options()]
        write_page(html, opened, view, command)
    if len(indices) == 1:
        _emit(part_report(opened, indices[0]), as_json, print_slice)
    else:
        _emit(opened.summary, as_json, print_summary)


@app.command(name="eval")
@_reporting
def evaluate(
    bundle: BundleFile,
    inputs: Annotated[
        Path, typer.Argument(metavar="IN", help="Inputs, one row each: .npy or .csv.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="OUT", help="Outputs: .npy or .csv.")],
) -> None:
    """Evaluate inputs: the dispatcher finds the slice of each and runs its network."""
    from redy.dispatch.bundle import Bundle
    from redy.formats.tables import read_table, require_table, write_table

    require_table(out)
    _require_writable(out, bundle, inputs)
    opened = Bundle.open(bundle)
    write_table(out, opened(read_table(inputs)))


@app.command()
@_reporting
def export(
    bundle: BundleFile,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The file to write.")],
    file_format: Annotated[str, typer.Option("--format", help="onnx, nnet or c.")] = "onnx",
    index: Annotated[
        int | None,
        typer.Option("--slice", metavar="I", help="One slice's network. Default: all (onnx, c)."),
    ] = None,
    precision: Annotated[
        int,
        typer.Option("--precision", help="Bits of weights, inputs and outputs: 32 or 64."),
    ] = 32,
    outside: Annotated[
        str | None,
        typer.Option(
            "--outside",
            metavar="nan|error|clamp|original",
            help="Of all slices: what becomes of inputs outside of the domain, where nothing is "
            "proved. nan (ONNX, its default): outputs are NaN. error (C, its default): it is what "
            "the function returns. clamp: the nearest point of the domain is evaluated. original "
            "(ONNX): the original network is evaluated.",
        ),
    ] = None,
    with_slice: Annotated[
        bool,
        typer.Option(
            "--with-slice",
            help="Of an ONNX model of all: a second output 'slice', int64 (n,): the slice of each "
            "input, -1 outside of the domain.",
        ),
    ] = False,
    winner: Annotated[
        str | None,
        typer.Option(
            "--winner",
            metavar="min|max",
            help="Of C code: which output redy_winner names. Default: that of the guarantee, min.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the network of one slice, or all slices as one ONNX model or as C code, to a file.

    C code (--format c --out FILE.c) is C99, one file and a header, without dependencies,
    allocation or global state, its tables in read-only memory: int redy_eval(const float *x, float
    *y), redy_winner and redy_slice. Compiled with -DREDY_SELF_TEST it is a program that tests
    itself.

    Without --slice, an ONNX model finds the slice of every input, as the dispatcher does, and
    computes what the slice's network does: 'input' (n, inputs) to 'output' (n, outputs), any n. It
    has standard operators only (one, TreeEnsembleRegressor, of the standard's part ai.onnx.ml), so
    that it takes the place of the original where ONNX models run. It is not faster than the
    original: all of the network is evaluated. With --precision 32 inputs are single precision
    numbers, and one at an end of the domain may be rounded to the outside: --outside clamp moves it
    back.

    One slice's ONNX file has the skips and linear units of the slice's network. A .nnet cannot hold
    these: neurons that are zero are left out and proved-active ones keep their ReLU, which changes
    nothing on the slice. Of a cell of mid-network slicing, the network from the inputs on is
    written: the prefix and the cell's suffix; it is right for inputs that fall in the cell.
    """
    from redy.dispatch.bundle import Bundle
    from redy.dispatch.export import write_slice, write_whole
    from redy.report_mid import part_report
    from redy.terminal import print_slice, print_whole

    _require_writable(out, bundle)
    opened = Bundle.open(bundle)
    of_all = outside is not None or with_slice or winner is not None
    if index is not None and of_all:
        raise UsageError(
            "--outside, --with-slice and --winner are of all slices: leave out --slice"
        )
    if index is None and (opened.slicing.slices > 1 or of_all or file_format == "c"):
        facts = write_whole(
            opened,
            out,
            file_format,
            precision,
            outside=outside,
            slices=with_slice,
            winner=winner,
        )
        _emit(facts, as_json, print_whole)
        return
    part = opened.slices[index or 0]
    write_slice(opened, part, out, file_format, precision)
    report = {**part_report(opened, part.index), "file_bytes": out.stat().st_size}
    _emit(report, as_json, print_slice)


@app.command(
    epilog="--json: network, guarantee, slices, removed_mean, macs_original, macs_mean, processor, "
    "threads; contenders, each with name, simplified, memory_bytes, single_median_us, "
    "single_p99_us and batch_us_per_input by batch size; faster: how many times as fast as the "
    "fastest that evaluates the original is redy (single, batch by size), and the bundle's C code "
    "as the original's (c_single)."
)
@_reporting
def bench(
    bundle: BundleFile,
    inputs: Annotated[
        Path | None,
        typer.Option(
            "--inputs",
            metavar="IN",
            help="Inputs such as the network is used on, .npy or .csv. Default: random ones of "
            "the domain.",
        ),
    ] = None,
    most: Annotated[
        int, typer.Option("--most", metavar="N", help="Inputs of the largest batch.")
    ] = 1_000_000,
    threads: Annotated[
        int, typer.Option("--threads", metavar="T", help="Of every contender, for a batch.")
    ] = 1,
    compiler: Annotated[
        str | None,
        typer.Option(
            "--cc",
            metavar="COMMAND",
            help="Compiler of the exported C code, with its flags. Default: cc -std=c99 -O3, if "
            "there is one.",
        ),
    ] = None,
    compiled: Annotated[
        bool, typer.Option("--c/--no-c", help="Measure exported C code too.")
    ] = True,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw it to a .png, .svg or .pdf."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Latency and throughput of the original and the bundle, side by side, in single precision.

    Microseconds of single calls (median and 99th percentile) and per input in batches: of redy from
    Python, of onnxruntime and torch on the original, and of both exported as C code.

    Example: redy bench acas.redy --plot bench.png
    """
    import shutil

    from redy.bench.compiled import DEFAULT_COMPILER
    from redy.bench.report import write_picture
    from redy.bench.run import bench as run
    from redy.dispatch.bundle import Bundle
    from redy.formats.tables import read_table
    from redy.pictures.view import require_suffix
    from redy.run.gauge import gauge_for_stderr
    from redy.terminal import print_bench

    if compiler is not None and not compiled:
        raise UsageError("--cc goes with --c")
    if plot is not None:
        require_suffix("--plot", plot)
        _require_writable(plot, bundle, option="--plot")
    command = compiler or (DEFAULT_COMPILER if shutil.which("cc") else None)
    report = run(
        Bundle.open(bundle),
        most=most,
        threads=threads,
        compiler=command if compiled else None,
        inputs=None if inputs is None else read_table(inputs),
        gauge=gauge_for_stderr(),
    )
    if plot is not None:
        write_picture(plot, report)
    _emit(report, as_json, print_bench)


@app.command(
    epilog="Exit codes: 0 proved, 10 refuted, 11 unknown; others as of every command. --json: "
    "verdict (proved, refuted, unknown) and the reason if unknown; guarantee, eps, winner; boxes, "
    "seconds; proved_volume, the share of the domain's volume; eps_proved, a bound of all "
    "differences that holds on all that was asked for, or null; witness, with the outputs first "
    "and second that onnxruntime gives there, and their difference, second - first; slices (of a "
    "bundle: total, simplified, asked, checked, proved, refuted, unknown), sampled; "
    "import_rounded, nodes that were not imported exactly; weighted_by, of a bundle made with "
    "--slicing mid the inputs that proved_volume is a share of, as its cells have no volume."
)
@_reporting
def verify(
    first: Annotated[Path, typer.Argument(metavar="A", help="A .onnx or .nnet network.")],
    second: Annotated[
        Path, typer.Argument(metavar="B", help="A .onnx or .nnet network, or a bundle.")
    ],
    domain: DomainOption = None,
    guarantee: Annotated[
        str | None,
        typer.Option(
            "--guarantee",
            metavar="exact|eps=E|eps=P%|decision",
            help="What B has to keep of A, for all real inputs of the domain; as in simplify. "
            "Default: what the bundle promises; exact for two networks.",
        ),
    ] = None,
    winner: Annotated[
        str | None,
        typer.Option(
            "--winner",
            metavar="min|max",
            help="Under --guarantee decision: which output wins. Default: min.",
        ),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(
            "--budget",
            metavar="BOXES",
            help="Boxes to examine at most: in all (default 200000), or per slice of a bundle "
            "(default 50000).",
        ),
    ] = None,
    time_limit: Annotated[
        float | None, typer.Option("--time-limit", metavar="SECONDS", help="For everything.")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", metavar="J", help="Worker processes.")] = 1,
    slices: Annotated[
        int | None,
        typer.Option(
            "--slices", metavar="N", help="Of two networks: parts to begin with, a power of two."
        ),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option("--sample", metavar="K", help="Of a bundle: only K random slices."),
    ] = None,
    seed: SeedOption = 0,
    witness: Annotated[
        Path | None,
        typer.Option(
            "--witness", metavar="FILE.npy", help="Where the input goes that refutes; .csv too."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Are two networks, or a network and a bundle, equivalent on the domain?

    Proved over the reals, refuted by an input that onnxruntime confirms, or unknown. Of a bundle
    only its edits are used: everything is proved anew, and nothing in the file is believed.

    Example: redy verify acas.onnx acas.redy --jobs 2
    """
    from redy.dispatch.bundle import Bundle
    from redy.formats.domains import read_domain
    from redy.formats.networks import FORMATS, load
    from redy.formats.tables import require_table, write_table
    from redy.guarantee import Guarantee
    from redy.run.gauge import gauge_for_stderr
    from redy.run.verify import EXIT_CODES, Options
    from redy.run.verify import verify as run
    from redy.terminal import print_answer

    if witness is not None:
        require_table(witness)
        _require_writable(witness, first, second)
    if winner is not None and guarantee is None:
        raise UsageError(f"--winner {winner} goes with --guarantee decision, which is not given")
    one = load(first)
    is_network = second.suffix.lower().removeprefix(".") in FORMATS
    answer = run(
        one,
        load(second) if is_network else Bundle.open(second),
        Options(
            domain=_domain(domain, one.network.inputs, read_domain),
            guarantee=None if guarantee is None else Guarantee.parse(guarantee, winner),
            budget=budget,
            time_limit=time_limit,
            jobs=jobs,
            slices=slices,
            sample=sample,
            seed=seed,
        ),
        gauge_for_stderr(),
    )
    found = answer.finding.witness
    if found is not None and witness is not None:
        write_table(witness, found.point[None])
    _emit(answer.as_json(), as_json, print_answer)
    raise typer.Exit(EXIT_CODES[answer.finding.outcome])


def _emit(data: dict[str, Any], as_json: bool, pretty: Callable[[dict[str, Any]], None]) -> None:
    if as_json:
        print(json.dumps(data, indent=1))
    else:
        pretty(_printable(data))


def _printable(value: Any) -> Any:
    """``value``, the texts in it without what a terminal might obey: they come from files."""
    if isinstance(value, dict):
        return {_printable(key): _printable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_printable(inner) for inner in value]
    return printable(value) if isinstance(value, str) else value


def _domain(spec: str | None, inputs: int, read: Callable[[str, int], Any]) -> Any:
    return None if spec is None else read(spec, inputs)


def _grid(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--grid {text}: give one whole number per input, as in 8,8,4") from None


def _require_writable(out: Path, *others: Path, option: str = "--out") -> None:
    """Fail before the work, not after it, when ``out`` cannot be written or is a file it needs."""
    from redy.formats.atomic import require_file, unwritable

    try:
        require_file(out)
        if any(out.resolve() == other.resolve() for other in others):
            raise UsageError(f"{option} {out}: is also read by this command; give another name")
        probe = out.parent / f".{out.name}.probe"
        probe.touch(exist_ok=True)
        probe.unlink()
    except OSError as error:
        raise unwritable(out, error) from error


if __name__ == "__main__":
    app()
