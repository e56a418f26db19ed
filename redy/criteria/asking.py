"""The stage that asks a solver, by name: what it needs is imported once it is chosen."""

from __future__ import annotations

from redy.criteria.base import Effort, Stage, stage
from redy.formats.networks import LoadedNetwork
from redy.guarantee import Guarantee


@stage("milp", asks_solver=True)
def milp_stage(loaded: LoadedNetwork, guarantee: Guarantee, effort: Effort) -> Stage:
    """See :mod:`redy.criteria.milp`."""
    from redy.criteria.milp import MilpStage

    return MilpStage(loaded, guarantee, effort)
