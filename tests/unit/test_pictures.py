"""The numbers behind the pictures of a bundle, and the page they stand on."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import redy
from redy.dispatch.bundle import Bundle
from redy.edits import Edit
from redy.errors import UsageError
from redy.pictures import by_layer, domain_map, graphs, histogram
from redy.pictures.domain_map import PIXELS, DomainMap, Left, influence, mean_left, middles
from redy.pictures.page import page
from redy.pictures.shares import input_boxes, neurons_left, shares
from redy.pictures.sheet import sheet, write_sheet
from redy.pictures.style import house_style, plain, to_bytes
from redy.pictures.view import View
from tests.stages import BOX, tiny

BOX3 = redy.Box([-1.0, 0.0, 2.0, 5.0], [1.0, 4.0, 3.0, 5.0])
"""Three inputs, and one that is a single value."""


def bisected(seed: int, cuts: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes that cover BOX3, of different sizes, by ``cuts`` random bisections."""
    rng = np.random.default_rng(seed)
    boxes = [(BOX3.lower.copy(), BOX3.upper.copy())]
    for _ in range(cuts):
        lower, upper = boxes.pop(int(rng.integers(len(boxes))))
        d = int(rng.integers(3))
        middle = (lower[d] + upper[d]) / 2
        below, above = upper.copy(), lower.copy()
        below[d] = above[d] = middle
        boxes += [(lower, below), (above, upper)]
    return np.array([b[0] for b in boxes]), np.array([b[1] for b in boxes])


def owner(lower: np.ndarray, upper: np.ndarray, point: np.ndarray) -> int | None:
    held = ((lower[:, :3] <= point[:3]) & (point[:3] < upper[:, :3])).all(axis=1)
    return int(np.flatnonzero(held)[0]) if held.any() else None


class Boxes:
    """The slicing of BOX3 into given boxes, as far as pictures need it."""

    def __init__(self, lower: np.ndarray, upper: np.ndarray) -> None:
        self.domain, self._lower, self._upper = BOX3, lower, upper

    def boxes(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._lower[indices], self._upper[indices]

    def weights(self, indices: np.ndarray) -> np.ndarray:
        volumes = (self._upper - self._lower)[:, :3].prod(axis=1)
        return np.asarray((volumes / volumes.sum())[indices])

    def slice_of(self, points: np.ndarray) -> np.ndarray:
        return np.array([owner(self._lower, self._upper, point) for point in points])


@pytest.fixture(scope="module")
def demo(demo_bundle: Path) -> Bundle:
    return Bundle.open(demo_bundle)


@pytest.fixture(scope="module")
def small() -> Bundle:
    return redy.simplify(tiny(), domain=BOX, slices=4)


@pytest.fixture(scope="module")
def sampled() -> Bundle:
    return redy.simplify(tiny(), domain=BOX, slices=64, selection=redy.Selection(20, 3))


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.integers(0, 12), st.booleans())
def test_map_is_the_mean_of_the_slices_that_hold_the_point(
    seed: int, cuts: int, some_unknown: bool
) -> None:
    lower, upper = bisected(seed, cuts)
    rng = np.random.default_rng(seed)
    left = rng.integers(0, 300, len(lower))
    known = np.arange(len(lower)) % 3 != 1 if some_unknown else np.ones(len(lower), dtype=bool)
    data = Left(BOX3, lower[known], upper[known], left[known])
    table = mean_left(data, (2, 0), {})
    # Twelve bisections cut an input into 2^12 parts at most: the middles are in every one of them.
    others = middles(BOX3, 1, 2**12)
    for row, column in rng.integers(0, PIXELS, (4, 2)):
        x, y = data.pixels(2)[column], data.pixels(0)[row]
        owners = [owner(lower, upper, np.array([y, z, x, 5.0])) for z in others]
        values = [left[o] for o in owners if o is not None and known[o]]
        expected = np.mean(values) if values else np.nan
        np.testing.assert_allclose(table[row, column], expected, rtol=1e-12)


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.integers(0, 12))
def test_map_with_all_inputs_fixed_is_one_slice(seed: int, cuts: int) -> None:
    lower, upper = bisected(seed, cuts)
    left = np.arange(len(lower))
    rng = np.random.default_rng(seed)
    z = float(rng.uniform(2.0, 3.0))
    table = mean_left(Left(BOX3, lower, upper, left), (0, 1), {2: z})
    for row, column in rng.integers(0, PIXELS, (8, 2)):
        x, y = middles(BOX3, 0, PIXELS)[column], middles(BOX3, 1, PIXELS)[row]
        assert table[row, column] == owner(lower, upper, np.array([x, y, z, 5.0]))


def test_map_sums_many_slices_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    lower, upper = bisected(5, 200)
    data = Left(BOX3, lower, upper, np.arange(len(lower)))
    whole = mean_left(data, (0, 1), {})
    monkeypatch.setattr(domain_map, "_ROWS", 7)
    np.testing.assert_allclose(mean_left(data, (0, 1), {}), whole, rtol=1e-12)


def test_influence_is_of_the_inputs_that_matter() -> None:
    lower, upper = bisected(11, 300)
    data = Left(BOX3, lower, upper, np.round(100 * lower[:, 2]).astype(np.int64))
    found = influence(data)
    assert found.argmax() == 2
    assert found[3] == 0.0


def test_a_sample_weighs_as_if_it_were_all() -> None:
    lower, upper = bisected(7, 20)
    chosen = np.arange(0, len(lower), 2)
    volumes = (upper - lower)[chosen, :3].prod(axis=1)
    found = shares(Boxes(lower, upper), chosen)
    np.testing.assert_allclose(found, volumes / volumes.sum(), rtol=1e-12)
    assert found.sum() == pytest.approx(1.0)


def test_cells_of_a_hidden_layer_have_no_map() -> None:
    bundle = redy.simplify(tiny(), domain=BOX, slicing="mid", layer=1, slices=2)
    assert input_boxes(bundle.slicing, bundle.done) is None
    assert isinstance(domain_map.domain_map(bundle, View()), str)
    with pytest.raises(UsageError, match="no map"):
        domain_map.domain_map(bundle, View(inputs=(0, 1)))
    assert "There is no map" in page(bundle, View(), ["redy"])


def test_map_at_values_is_what_the_dispatcher_finds(demo: Bundle) -> None:
    shown = domain_map.domain_map(demo, View(inputs=(3, 1), at=(0.2, -0.1, 0.5)))
    assert isinstance(shown, DomainMap)
    ((_, values),) = shown.panels
    left = neurons_left(demo)
    for row, column in np.random.default_rng(2).integers(0, PIXELS, (50, 2)):
        point = np.array([0.2, 0.0, -0.1, 0.0, 0.5])
        point[3] = middles(demo.domain, 3, PIXELS)[column]
        point[1] = middles(demo.domain, 1, PIXELS)[row]
        assert values[row, column] == left[demo.slice_of(point[None])[0]]


def test_map_of_a_sample_is_unknown_where_nothing_was_simplified(sampled: Bundle) -> None:
    mean = domain_map.domain_map(sampled, View())
    exact = domain_map.domain_map(sampled, View(inputs=(0, 1), at=()))
    assert isinstance(mean, DomainMap)
    assert isinstance(exact, DomainMap)
    assert "grey" in mean.caption
    for shown in (mean, exact):
        ((_, values),) = shown.panels
        x, y = (middles(BOX, d, PIXELS) for d in (0, 1))
        points = np.stack(np.broadcast_arrays(x, y[:, None]), axis=-1).reshape(-1, 2)
        done = np.isin(sampled.slice_of(points), sampled.done).reshape(PIXELS, PIXELS)
        assert 0 < done.mean() < 1
        np.testing.assert_array_equal(np.isfinite(values), done)


def test_map_shows_the_two_inputs_that_matter_most(demo: Bundle) -> None:
    boxes = demo.slicing.boxes(demo.done)
    ranked = np.argsort(-influence(Left(demo.domain, *boxes, neurons_left(demo))), kind="stable")
    shown = domain_map.domain_map(demo, View())
    assert isinstance(shown, DomainMap)
    assert shown.inputs == tuple(sorted(ranked[:2]))
    mean, *at_values = (values for _, values in shown.panels)
    assert f"at 4 values of input {ranked[2]}" in shown.caption
    # Cut into two, an input has two values that differ: their mean is the mean over the input.
    np.testing.assert_allclose(np.mean(at_values, axis=0), mean)


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (View(inputs=(0, 5)), "numbered 0 to 4"),
        (View(inputs=(0, 1), at=(0.0,)), "give 3 numbers, for the inputs \\[2, 3, 4\\]"),
        (View(inputs=(0, 1), at=(0.0, 9.0, 0.0)), "9.0 is outside .* of input 3"),
        (View(inputs=(0, 1), at=(0.0, float("nan"), 0.0)), "nan is outside"),
    ],
)
def test_views_that_the_domain_does_not_have(demo: Bundle, view: View, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        domain_map.domain_map(demo, view)


@given(
    st.lists(st.tuples(st.integers(0, 97), st.floats(0.01, 1)), min_size=1, max_size=30),
    st.integers(97, 1000),
)
def test_histogram_holds_all_volume(slices: list[tuple[int, float]], neurons: int) -> None:
    left = np.array([count for count, _ in slices])
    volume = np.array([share for _, share in slices])
    volume /= volume.sum()
    shown = histogram.histogram(left, volume, neurons)
    assert shown.share.sum() == pytest.approx(1.0)
    assert len(shown.share) == len(shown.edges) - 1
    assert len(shown.share) <= 61
    for first, past, share in zip(shown.edges, shown.edges[1:], shown.share, strict=False):
        inside = (first <= left) & (left < past)
        assert share == pytest.approx(volume[inside].sum())
    assert shown.mean == pytest.approx(np.average(left, weights=volume))


def test_histogram_of_all_and_of_no_neurons() -> None:
    assert histogram.histogram(np.array([100]), np.ones(1), 100).share.tolist()[-1] == 1.0
    assert histogram.histogram(np.array([0]), np.ones(1), 0).share.tolist() == [1.0]


def test_layers_are_those_of_the_summary(demo: Bundle) -> None:
    shown = by_layer.of(demo)
    assert list(shown) == [row["layer"] for row in demo.summary["layers"]]
    for row in demo.summary["layers"]:
        shares = shown[row["layer"]]
        assert sum(shares.values()) == pytest.approx(1.0)
        phase = shares["one phase: zero"] + shares["one phase: linear"]
        assert phase == pytest.approx(row["phase"])
        assert shares["forward"] == pytest.approx(row["forward"])
        assert shares["left, has both phases"] <= row["refuted"] + 1e-12


def test_a_removed_neuron_is_not_left_whatever_its_phase() -> None:
    status = np.array([[3, 3, 0, 4, 5]])  # refuted twice, unknown, inactive, active
    codes = np.array([[Edit.ZERO, Edit.KEEP, Edit.KEEP, Edit.ZERO, Edit.IDENTITY]])
    criteria = np.array([[3, 0, 0, 1, 1]])
    shares = by_layer.layer_shares(status, codes, criteria, np.ones(1))
    assert shares == {
        "one phase: zero": 0.2,
        "one phase: linear": 0.2,
        "forward": 0.0,
        "decision": 0.2,
        "relaxed": 0.0,
        "left, undecided": 0.2,
        "left, has both phases": 0.2,
    }


def test_graph_has_an_edge_for_every_weight(demo: Bundle) -> None:
    network = demo.slices[0].network
    shown = graphs.graph(network)
    assert [len(relu) for relu in shown.relu] == [
        network.width(k) for k in range(len(network.layers) + 1)
    ]
    weights = 0
    for k, layer in enumerate(network.layers, start=1):
        largest = max(np.abs(matrix).max() for matrix in layer.weights.values())
        for (j, read, to, reading), strength in zip(shown.ends, shown.strength, strict=True):
            if to == k:
                assert strength == pytest.approx(abs(layer.weights[j][reading, read]) / largest)
        weights += sum(int((matrix != 0).sum()) for matrix in layer.weights.values())
    assert shown.weights == len(shown.ends) == weights


def test_graph_of_many_weights_has_the_strongest(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = graphs.graph(tiny())
    monkeypatch.setattr(graphs, "EDGES", 3)
    part = graphs.graph(redy.Network(2, (replace_weights(tiny().layers[0]), tiny().layers[1])))
    assert len(whole.ends) == 9
    assert part.weights == 9
    # Of the six weights into the hidden layer two are now small, and the outputs' are all one.
    assert part.strength.tolist() == [1.0, 1.0, 1.0]
    assert (part.ends[:, 2:] != [1, 0]).any(axis=1).all()


def replace_weights(layer: redy.Layer) -> redy.Layer:
    """``layer`` with its first unit's weights a tenth of the others'."""
    weights = np.array(layer.weights[0])
    weights[0] *= 0.1
    return redy.Layer({0: weights}, layer.bias, layer.relu)


@pytest.mark.parametrize(
    ("neurons", "expected"),
    [([3, 0, 9, 1, 1, 9], (13, 12)), ([0, 0], (10,)), ([4], (10,)), ([0, 7], (11,))],
)
def test_example_slices(neurons: list[int], expected: tuple[int, ...]) -> None:
    done = np.arange(10, 10 + len(neurons))
    assert graphs.example_slices(np.array(neurons), done) == expected


class Reader(HTMLParser):
    """Checks that elements are closed, and gathers what a page refers to."""

    VOID = frozenset({"meta", "img", "br", "hr", "link", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.references: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] += 1
        for name, value in attrs:
            assert not name.startswith("on"), (tag, name)
            if name == "id":
                self.ids[str(value)] += 1
            if name in {"src", "href", "xlink:href", "action", "data", "srcset", "poster"}:
                self.references.append(str(value))
            self.references += re.findall(r"url\(([^)]*)\)", value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if self.open and self.open[-1] == "style":
            assert "@import" not in data
            assert "url(" not in data


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def test_page_needs_nothing_from_elsewhere(demo: Bundle) -> None:
    text = page(demo, View(), ["redy", "show", "demo.redy", "--html", "demo.html"])
    assert text.startswith("<!DOCTYPE html>\n")
    assert len(text) < 3_000_000
    reader = read(text)
    assert reader.seen["svg"] == 4
    assert not reader.seen["script"] + reader.seen["link"] + reader.seen["iframe"]
    assert set(reader.ids.values()) == {1}
    assert reader.references
    for reference in reader.references:
        assert reference.startswith("data:image/png;base64,") or (
            reference.startswith("#") and reference[1:] in reader.ids
        )


def test_page_says_what_holds_and_what_made_it(demo: Bundle) -> None:
    command = ["redy", "show", "a b.redy", "--html", "x.html"]
    said = "".join(read(page(demo, View(), command)).text)
    summary = demo.summary
    assert "the simplified network's outputs are the original's" in said
    assert "redy show 'a b.redy' --html x.html" in said
    for figure in ("network_sha256", "file_sha256", "version"):
        assert summary[figure] in said
    for row in summary["layers"]:
        assert f"{row['refuted']:.2%}" in said
    assert f"{summary['macs_mean']:,.0f} after on average" in said
    assert "Nothing rests on a solver's word." in said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"winner": "min", "guarantee": "decision", "eps": None}, "unique least output"),
        ({"winner": "max", "guarantee": "decision", "eps": None}, "unique greatest output"),
        ({"guarantee": "eps=0.25", "eps": 0.25}, "off by more than 0.25."),
        ({"solver_trusted_mean": 0.125}, "12.50% of all neurons are removed on a solver's word"),
    ],
)
def test_page_says_what_the_bundle_promises(
    small: Bundle, changes: dict[str, Any], words: str
) -> None:
    content = small._content
    bundle = Bundle(replace(content, summary={**content.summary, **changes}))
    assert words in "".join(read(page(bundle, View(), ["redy"])).text)


def test_page_escapes_names(small: Bundle) -> None:
    name = "x/<img src=x onerror=alert(1)>\"'&$\\frac$\x00\ud800\N{SNOWMAN}.onnx"
    content = small._content
    bundle = Bundle(replace(content, summary={**content.summary, "network": name}))
    text = page(bundle, View(), ["redy", "show", "</code><script>alert(2)</script>"])
    reader = read(text)
    assert not reader.seen["img"] + reader.seen["script"]
    assert "<img src=x onerror=alert(1)>\"'&$\\frac$" in "".join(reader.text)
    assert "\x00" not in text
    text.encode("utf-8")
    with house_style():  # no warning of a character that the font lacks, no formula
        svg = to_bytes(sheet(bundle, View()), "svg").decode()
    assert "&lt;img src=x onerror=" in svg
    assert "<img" not in svg
    assert r"$\frac$" in svg


def test_names_fit_on_the_sheet() -> None:
    assert plain("a.onnx") == "a.onnx"
    shown = plain("first\n" + 300 * "x" + "_last.onnx")
    assert shown.startswith("first xx")
    assert shown.endswith("xx_last.onnx")
    assert len(shown) == 60


@pytest.mark.parametrize(
    ("name", "magic"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.PDF", b"%PDF")]
)
def test_the_same_bundle_gives_the_same_bytes(
    small: Bundle, tmp_path: Path, name: str, magic: bytes
) -> None:
    write_sheet(tmp_path / name, small, View())
    first = (tmp_path / name).read_bytes()
    assert first.startswith(magic)
    write_sheet(tmp_path / name, small, View())
    assert (tmp_path / name).read_bytes() == first
    assert list(tmp_path.iterdir()) == [tmp_path / name]


def chain(inputs: int, *widths: int) -> redy.Network:
    """A random network with the given widths, the last one of the output."""
    rng = np.random.default_rng(inputs)
    layers, before = [], inputs
    for k, width in enumerate(widths):
        relu = np.full(width, k < len(widths) - 1)
        layers.append(
            redy.Layer({k: rng.normal(size=(width, before))}, rng.normal(size=width), relu)
        )
        before = width
    return redy.Network(inputs, tuple(layers))


@pytest.mark.parametrize(
    ("network", "lower", "upper", "slices"),
    [
        pytest.param(chain(1, 5, 1), [-1], [1], 4, id="one input"),
        pytest.param(chain(2, 3), [-1, -1], [1, 1], 2, id="no hidden layer"),
        pytest.param(chain(2, 4, 2), [0, 0], [0, 0], 1, id="a point"),
        pytest.param(chain(3, 4, 2), [-1, 0, -1], [1, 0, 1], 4, id="an input of one value"),
        pytest.param(chain(2, *[3] * 12, 1), [-1, -1], [1, 1], 1, id="deep, one slice"),
        pytest.param(chain(40, 60, 1), [-1] * 40, [1] * 40, 2, id="many inputs"),
    ],
)
def test_unusual_networks_have_pictures(
    network: redy.Network, lower: list[int], upper: list[int], slices: int
) -> None:
    bundle = redy.simplify(network, domain=redy.Box(lower, upper), slices=slices, budget=20)
    reader = read(page(bundle, View(), ["redy"]))
    assert reader.seen["svg"] == (4 if lower != upper else 3)
    with house_style():
        assert to_bytes(sheet(bundle, View()), "png")


def test_slices_that_fall_between_the_pixels_have_pictures() -> None:
    box = redy.Box([-1, -1, -1], [1, 1, 1])
    sample = redy.Selection(1, 0)
    bundle = redy.simplify(chain(3, 4, 2), domain=box, grid=[5000, 1, 1], selection=sample)
    assert read(page(bundle, View(), ["redy"])).seen["svg"] == 4


def test_values_that_read_alike_have_panels_of_their_own() -> None:
    bend = redy.Layer({0: np.array([[0.0, 0.0, 1.0]])}, np.array([-1e6 - 0.001]), np.array([True]))
    out = redy.Layer({1: np.ones((1, 1))}, np.zeros(1), np.array([False]))
    box = redy.Box([0, 0, 1e6], [1, 1, 1e6 + 0.01])
    bundle = redy.simplify(redy.Network(3, (bend, out)), domain=box, grid=[1, 1, 4], budget=20)
    shown = domain_map.domain_map(bundle, View(inputs=(0, 1)))
    assert isinstance(shown, DomainMap)
    assert [title for title, _ in shown.panels[1:]] == ["input 2 = 1e+06"] * 4
    highest = [values.max() for _, values in shown.panels]
    np.testing.assert_allclose(highest, [0.25, 1.0, 0.0, 0.0, 0.0], rtol=1e-6)
    with house_style():
        assert to_bytes(sheet(bundle, View(inputs=(0, 1))), "svg")


def test_an_input_of_one_value_is_not_on_the_map() -> None:
    box = redy.Box([-1, 0, -1], [1, 0, 1])
    bundle = redy.simplify(chain(3, 4, 2), domain=box, slices=4, budget=20)
    shown = domain_map.domain_map(bundle, View())
    assert isinstance(shown, DomainMap)
    assert shown.inputs == (0, 2)
    with pytest.raises(UsageError, match="input 1 has only one value"):
        domain_map.domain_map(bundle, View(inputs=(0, 1)))


@pytest.mark.parametrize(
    ("inputs", "at", "slices", "message"),
    [
        ("0", None, [], "two input numbers"),
        ("0,x", None, [], "two input numbers"),
        ("0,1,2", None, [], "two input numbers"),
        ("1,1", None, [], "different"),
        (None, "0,0,0", [], "give --inputs too"),
        ("0,1", "0,a", [], "one number per other input"),
        (None, None, [1, 2, 3], "two networks"),
    ],
)
def test_options_of_pictures_that_make_no_sense(
    inputs: str | None, at: str | None, slices: list[int], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        View.parse(inputs, at, slices)


def test_a_view_and_its_options() -> None:
    view = View.parse("3,1", "0.1,-2,1e-3", [7, 5])
    assert view == View((3, 1), (0.1, -2.0, 0.001), (7, 5))
    assert view.options() == [
        "--inputs",
        "3,1",
        "--at",
        "0.1,-2.0,0.001",
        "--slice",
        "7",
        "--slice",
        "5",
    ]
