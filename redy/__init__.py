"""redy: formal simplification of piecewise-linear neural networks.

>>> import redy
>>> net = redy.load("acas.nnet")
>>> bundle = redy.simplify(net, slices=32768, jobs=2)
>>> bundle.save("acas.redy")
"""

from redy.dispatch.bundle import Bundle, Slice
from redy.domain import Box
from redy.edits import Criterion, Edit, Edits, Status
from redy.errors import RedyError
from redy.formats.networks import LoadedNetwork, load
from redy.guarantee import Guarantee
from redy.merge import merge
from redy.network.form import Layer, Network
from redy.simplify import Selection, simplify
from redy.verdict import Proved, Refuted, Unknown
from redy.version import __version__

open = Bundle.open

__all__ = [
    "Box",
    "Bundle",
    "Criterion",
    "Edit",
    "Edits",
    "Guarantee",
    "Layer",
    "LoadedNetwork",
    "Network",
    "Proved",
    "RedyError",
    "Refuted",
    "Selection",
    "Slice",
    "Status",
    "Unknown",
    "__version__",
    "load",
    "merge",
    "open",
    "simplify",
]
