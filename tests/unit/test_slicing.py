"""What a slicing of any strategy carries: its arrays, in a bundle and in the key of a run."""

from __future__ import annotations

import sys
from typing import Any, ClassVar

import numpy as np
import pytest

from redy import slicing
from redy.criteria import Effort
from redy.dispatch.bundle import Bundle
from redy.domain import Box
from redy.formats.networks import in_memory
from redy.guarantee import EXACT
from redy.run.execute import Job
from redy.simplify import simplify
from redy.slicing.grid import Grid
from tests.stages import BOX, tiny


class Marked(Grid):
    """A grid with an array of its own."""

    name: ClassVar[str] = "marked"

    def __init__(self, domain: Box, marks: np.ndarray) -> None:
        super().__init__(domain, (1,) * domain.dimension)
        self.marks = marks

    @classmethod
    def from_description(cls, description: dict[str, Any], arrays: slicing.Arrays) -> Marked:
        return cls(Grid.from_description(description, {}).domain, arrays["marks"])

    def arrays(self) -> dict[str, np.ndarray]:
        return {"marks": self.marks}


def key(cut: slicing.Slicing) -> dict[str, Any]:
    return Job(in_memory(tiny()), cut, Effort(1, None, 2, "auto"), EXACT, ("phase",)).key()


def test_the_key_of_a_run_tells_arrays_apart():
    one, two = (key(Marked(BOX, np.array(marks, "<u4"))) for marks in ([1, 2], [1, 3]))
    assert one != two
    assert {**one, "slicing_sha256": None} == {**two, "slicing_sha256": None}
    assert one == key(Marked(BOX, np.array([1, 2], "<u4")))
    assert one != key(Marked(BOX, np.array([[1, 2]], "<u4")))
    assert one != key(Marked(BOX, np.array([1, 2], "<i4")))


def test_a_grid_has_no_arrays_in_its_key():
    assert "slicing_sha256" not in key(Grid(BOX, (1,) * BOX.dimension))


def test_a_grid_with_arrays_is_refused():
    grid = Grid(BOX, (1,) * BOX.dimension)
    with pytest.raises(ValueError, match="a grid has no arrays, but there are marks"):
        slicing.restore(grid.describe(), {"marks": np.zeros(1)})


def test_a_bundle_keeps_the_arrays(tmp_path, monkeypatch):
    monkeypatch.setitem(slicing.STRATEGIES, "marked", Marked.from_description)
    marks = np.array([[0.1, -0.0, np.inf]])
    monkeypatch.setattr(sys.modules["redy.simplify"], "cut", lambda box, *_: Marked(box, marks))
    simplify(tiny(), BOX, budget=20).save(tmp_path / "b.redy")
    again = Bundle.open(tmp_path / "b.redy").slicing
    assert isinstance(again, Marked)
    assert again.marks.tobytes() == marks.tobytes()
