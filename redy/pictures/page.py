"""A self-contained page about a bundle, to mail and print: pictures, tables, what they mean."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from redy.dispatch.bundle import Bundle
from redy.errors import printable
from redy.formats.atomic import write_bytes
from redy.pictures import by_layer, domain_map, graphs, histogram
from redy.pictures.shares import neurons_left, shares
from redy.pictures.style import house_style, new_figure, to_bytes
from redy.pictures.view import View
from redy.terminal import layer_rows, promise, sentences, stage_rows
from redy.version import __version__

_STYLE = """
body { margin: 0 auto; max-width: 62rem; padding: 1rem; color: #222; background: #fff;
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2rem 0 0.5rem; }
figure { margin: 1rem 0; break-inside: avoid; }
figcaption { font-size: 0.9rem; color: #444; }
.wide { overflow-x: auto; }
svg { display: block; width: 100%; min-width: 36rem; height: auto; }
svg text { font-family: "DejaVu Sans", Verdana, sans-serif !important; }
table { border-collapse: collapse; font-size: 0.9rem; margin: 0.5rem 0; }
th, td { padding: 0.15rem 0.7rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
dt { font-weight: 600; }
dd { margin: 0 0 0.5rem; overflow-wrap: anywhere; }
code { font-size: 0.9em; overflow-wrap: anywhere; }
@media print { body { max-width: none; padding: 0; } svg { min-width: 0; } }
"""

_PROOF = (
    "For every simplified slice, its finished network against the original, as a whole: on the "
    "closed box of the slice, for all real inputs, with weights and edits taken as exact real "
    "numbers. Bounds are computed in float64 with the rounding error of every step added outward. "
    "A neuron with both phases is shown by witnesses that the original network confirms in "
    "onnxruntime; an undecided neuron stays in the network."
)
_NO_PROOF = (
    "How floating-point evaluation differs from this: folded weights are rounded, and sums run in "
    "another order. That is measured, as the largest deviation above, and not proved. Outside of "
    "the domain nothing holds, and the dispatcher refuses such inputs."
)


def write_page(path: Path, bundle: Bundle, view: View, command: Sequence[str]) -> None:
    """Write the page about ``bundle`` to ``path``, whole or not at all; ``command`` made it.

    Raises:
        UsageError: ``view`` names an input, a value or a slice that the bundle does not have.
        OutputError: the file cannot be written.
    """
    write_bytes(path, page(bundle, view, command).encode("utf-8"))


def page(bundle: Bundle, view: View, command: Sequence[str]) -> str:
    """The page as HTML that needs nothing from anywhere else."""
    data = bundle.summary
    name = _text(Path(data["network"]).name)
    removed = f"{data['removed_mean']:.1%} of {data['neurons']} neurons removed"
    parts = [
        f"<h1>{name}: {removed}</h1>",
        f"<p>{_text(_lead(data, bundle.domain.dimension))}</p>",
        *_figures(bundle, view),
        "<h2>In numbers</h2>",
        _table(layer_rows(data)),
        f"<p>What redy did, stage by stage ({_text(promise(data))}):</p>",
        _table(stage_rows(data)),
        "<ul>",
        *(f"<li>{_text(sentence)}</li>" for sentence in sentences(data)),
        "</ul>",
        "<h2>What is proved, and what is not</h2>",
        f"<p><strong>Proved.</strong> {_PROOF} {_trust(data)}</p>",
        f"<p><strong>Not proved.</strong> {_NO_PROOF}</p>",
        "<h2>Where this comes from</h2>",
        _origin(data, command),
    ]
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name}: {removed}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def promise_in_words(data: dict[str, Any]) -> str:
    """What holds on the domain, as one sentence."""
    if data["winner"] is not None:
        which = "least" if data["winner"] == "min" else "greatest"
        return (
            "For all real inputs of the domain: wherever the original network has a unique "
            f"{which} output, the simplified network has the same one."
        )
    if data["eps"]:
        return (
            "For all real inputs of the domain, no output of the simplified network is off by "
            f"more than {data['eps']:.6g}."
        )
    return "For all real inputs of the domain, the simplified network's outputs are the original's."


def _lead(data: dict[str, Any], inputs: int) -> str:
    done, slices = data["slices_done"], data["slices"]
    plural = "" if slices == 1 else "s"
    cut = f"The domain, a box of {inputs} inputs, is cut into {slices:,} slice{plural}"
    if done < slices:
        cut += (
            f", of which {done:,} were simplified; on the others the original network is "
            "evaluated, and all figures leave them out"
        )
    return f"{promise_in_words(data)} {cut}."


def _trust(data: dict[str, Any]) -> str:
    share = data["solver_trusted_mean"]
    if share:
        return f"{share:.2%} of all neurons are removed on a solver's word alone."
    return "Nothing rests on a solver's word."


def _figures(bundle: Bundle, view: View) -> list[str]:
    """The four figures, each with a caption."""
    neurons = len(bundle.base.neurons)
    shown = domain_map.domain_map(bundle, view)
    slices = graphs.chosen_slices(bundle, view.slices)
    with house_style():
        return [
            "<h2>Where in the domain neurons are left</h2>",
            f"<p>{shown}</p>"
            if isinstance(shown, str)
            else _figure(
                "map", 10, 4.4, lambda into: domain_map.draw(into, shown, neurons), shown.caption
            ),
            "<h2>How many are left</h2>",
            _figure(
                "histogram",
                10,
                3.2,
                lambda into: histogram.draw(into, histogram.of(bundle), neurons),
                f"Share of the {_weighed(bundle)} by neurons left, and the mean.{_unread(bundle)}",
            ),
            "<h2>In which layers</h2>",
            _figure(
                "layers",
                10,
                3.2,
                lambda into: by_layer.draw(into, by_layer.of(bundle)),
                "What became of each layer's neurons: removed, by criterion, or left.",
            ),
            "<h2>What the networks look like</h2>",
            _figure(
                "networks",
                11,
                5,
                lambda into: graphs.draw(into, bundle, slices),
                _of_slices(bundle, slices, bool(view.slices)),
            ),
        ]


def _weighed(bundle: Bundle) -> str:
    by = bundle.slicing.weighted_by
    return by if by != "volume" else "domain's volume"


def _unread(bundle: Bundle) -> str:
    """How far the neurons that the edits keep are more than those that the networks have."""
    left, weights = neurons_left(bundle), shares(bundle.slicing, bundle.done)
    if (bundle.network_neurons == left).all():
        return ""
    return (
        " As in the tables below, a neuron counts as left unless a stage removed it; what no "
        "output reads any more is not in the networks either, which have "
        f"{weights @ bundle.network_neurons:.1f} neurons on average."
    )


def _of_slices(bundle: Bundle, slices: tuple[int, ...], asked: bool) -> str:
    """Which slices the networks are of, why these, and where they lie."""
    why = ""
    if not asked and len(slices) == 2:
        why = "The slice with the fewest neurons (but not none) and the one with the most. "
    where = (f"{index}: {_box(bundle, index)}" for index in slices)
    return (
        f"{why}The darker a weight, the larger it is in its layer. Slice {'; slice '.join(where)}."
    )


def _box(bundle: Bundle, index: int) -> str:
    box = bundle.slices[index].box
    ends = [f"[{a:.4g}, {b:.4g}]" for a, b in zip(box.lower, box.upper, strict=True)]
    return " x ".join(ends[:10]) + (f" x ... ({len(ends)} intervals)" if len(ends) > 10 else "")


def _figure(
    name: str, width: float, height: float, draw: Callable[[Figure], None], caption: str
) -> str:
    figure = new_figure(width, height)
    draw(figure)
    drawing = _inline(to_bytes(figure, "svg").decode(), name, caption)
    return (
        f'<figure>\n<div class="wide">{drawing}</div>\n'
        f"<figcaption>{_text(caption)}</figcaption>\n</figure>"
    )


def _inline(svg: str, name: str, label: str) -> str:
    """An SVG file as an element of the page, its identifiers unlike those of other figures."""
    element = svg[svg.index("<svg") :]
    element = re.sub(r'\bid="', f'id="{name}-', element)
    element = element.replace("url(#", f"url(#{name}-").replace('href="#', f'href="#{name}-')
    return element.replace("<svg", f'<svg role="img" aria-label="{_text(label)}"', 1)


def _table(rows: list[list[str]]) -> str:
    header, *body = rows
    lines = ["".join(f"<td>{_text(cell)}</td>" for cell in row) for row in body]
    return (
        '<div class="wide"><table>\n<thead><tr>'
        + "".join(f'<th scope="col">{_text(cell)}</th>' for cell in header)
        + "</tr></thead>\n<tbody>\n"
        + "\n".join(f"<tr>{line}</tr>" for line in lines)
        + "\n</tbody>\n</table></div>"
    )


def _origin(data: dict[str, Any], command: Sequence[str]) -> str:
    rounded = ", ".join(data["import_rounded"])
    name = Path(data["network"]).name
    facts = {
        "network": name,
        "SHA-256 of its weights": data["network_sha256"],
        "SHA-256 of its file": data["file_sha256"],
        "import": f"rounded to float64 at {rounded}" if rounded else "exact, no rounding",
        "work budget per slice and stage": f"{data['budget']:,} boxes",
        "bundle made by": f"redy {data['version']}",
        "this page made by": f"redy {__version__}",
        "with": shlex.join(command),
        "to prove all of it again": f"redy verify {shlex.quote(name)} BUNDLE",
    }
    lines = (f"<dt>{key}</dt><dd>{_text(str(fact))}</dd>" for key, fact in facts.items())
    return "<dl>\n" + "\n".join(lines) + "\n</dl>"


def _text(text: str) -> str:
    """``text`` from anywhere, a file's name say, as text of the page."""
    return escape(printable(text))
