"""A bundle as one ONNX model: the slices of the dispatcher, and what it computes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from redy.dispatch.bundle import Bundle
from redy.slicing import Slicing
from redy.slicing.adaptive import Adaptive
from redy.slicing.grid import Grid
from tests.property.test_adaptive_cover import DOMAIN, on_faces, trees
from tests.sliced import bundle_of, run
from tests.unit.test_fold import random_edits, random_network

WIDTHS = [(4, 3, 4, 3, 2), (4, 9, 3), (4, 2, 2, 2, 1)]

slicings = st.one_of(
    st.builds(Adaptive, st.just(DOMAIN), trees),
    st.builds(
        lambda counts: Grid(DOMAIN, counts),
        st.tuples(st.integers(1, 5), st.integers(1, 9), st.just(1), st.integers(1, 3)),
    ),
)


def random_bundle(seed: int, slicing: Slicing, share: float) -> Bundle:
    """Edits of all kinds of a network with skips and linear units; a ``share`` of the slices."""
    rng = np.random.default_rng(seed)
    network = random_network(rng, WIDTHS[seed % len(WIDTHS)])
    done = np.flatnonzero(rng.random(slicing.slices) < share)
    done = done if done.size else np.zeros(1, dtype=np.int64)
    return bundle_of(network, slicing, random_edits(rng, network, len(done)), done)


def agree(bundle: Bundle, points: np.ndarray, within: float) -> None:
    outputs, slices = run(bundle, points)
    assert (slices == bundle.slice_of(points)).all()
    expected = bundle(points)
    assert outputs.dtype == points.dtype
    assert np.abs(outputs - expected).max() <= within * max(1.0, np.abs(expected).max())


@given(seed=st.integers(0, 2**32 - 1), slicing=slicings, share=st.sampled_from([1.0, 0.4]))
def test_it_computes_what_the_dispatcher_does(seed: int, slicing: Slicing, share: float) -> None:
    bundle = random_bundle(seed, slicing, share)
    points = on_faces(slicing, np.random.default_rng(seed))
    agree(bundle, points, 1e-12)


@given(seed=st.integers(0, 2**32 - 1), slicing=slicings, share=st.sampled_from([1.0, 0.4]))
def test_in_single_precision_slices_are_the_same(seed: int, slicing: Slicing, share: float) -> None:
    bundle = random_bundle(seed, slicing, share)
    points = on_faces(slicing, np.random.default_rng(seed)).astype(np.float32)
    up = np.nextafter(points, np.float32(np.inf))
    down = np.nextafter(points, np.float32(-np.inf))
    near = np.concatenate([points, up, down])
    near[:, 2] = 5.0  # that input has no width
    inside = near[DOMAIN.contains(near.astype(np.float64))]
    assert len(inside) > 400
    agree(bundle, inside, 1e-4)
