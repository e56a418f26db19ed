"""The bundle of a run from the stores of all its shards."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from redy.criteria import Effort
from redy.cutting import recut
from redy.dispatch.bundle import Bundle
from redy.errors import RedyError, StoreError, UsageError
from redy.guarantee import Guarantee
from redy.pipeline import SliceResult
from redy.run.shards import Shard, kept_network, kept_slicing
from redy.run.store import Store
from redy.simplify import Plan, Selection, collect, plan

_SHOWN = 20
"""Shards that a message names."""


@dataclass(frozen=True, eq=False)
class _Part:
    """A store, the run it belongs to without the shard, and its shard."""

    path: str
    run: dict[str, Any]
    shard: Shard


def merge(stores: Sequence[str | os.PathLike[str]]) -> Bundle:
    """The bundle that the run would have made in one piece, the same to the bit.

    Args:
        stores: of all shards of one run, in any order, each finished.

    Raises:
        UsageError: no store is given, or one twice.
        StoreError: a store is none, in use, damaged, unfinished or of another run, or a shard is
            missing; the message names the store.
    """
    if not stores:
        raise UsageError("name the stores of all shards")
    parts = [_read(os.fspath(path)) for path in stores]
    _require_one_run(parts)
    _require_all(parts)
    whole = _plan(parts[0])
    results: list[SliceResult] = []
    seconds = 0.0
    for part in parts:
        run = {**part.run, "shard": str(part.shard)}
        with closing(Store(part.path, run, whole.job.loaded.network)) as store:
            _require_finished(store, part, whole)
            results += store.results()
            seconds += store.seconds
    results.sort(key=lambda result: result.slice)
    damaged = StoreError(
        f"{', '.join(part.path for part in parts[:3])}...: what they say of the slices is damaged; "
        "delete them, and run the shards again"
    )
    return collect(whole, whole.chosen, results, seconds, damaged)


def _read(path: str) -> _Part:
    with closing(Store.reopened(path)) as store, _malformed(path):
        run = dict(store.run)
        shard = run.pop("shard", None)
        if shard is None:
            raise StoreError(
                f"{path}: is the store of a run without --shard, whose own command makes the bundle"
            )
        return _Part(path, run, Shard.parse(shard))


def _require_one_run(parts: Sequence[_Part]) -> None:
    first = parts[0]
    for part in parts[1:]:
        differing = [key for key in first.run if part.run.get(key) != first.run[key]]
        if part.shard.count != first.shard.count:
            differing.append(f"number of shards ({part.shard} and {first.shard})")
        if differing or part.run.keys() != first.run.keys():
            raise StoreError(
                f"{part.path}: is of another run than {first.path}; they differ in "
                f"{', '.join(differing) or 'what they record'}"
            )


def _require_all(parts: Sequence[_Part]) -> None:
    found: dict[int, str] = {}
    for part in parts:
        if part.shard.index in found:
            raise UsageError(
                f"{part.path} and {found[part.shard.index]} are both shard {part.shard}; name one"
            )
        found[part.shard.index] = part.path
    count = parts[0].shard.count
    if len(found) < count:
        missing = [str(index) for index in range(1, count + 1) if index not in found]
        more = "" if len(missing) <= _SHOWN else f" and {len(missing) - _SHOWN} more"
        raise StoreError(f"of {count} shards, {', '.join(missing[:_SHOWN])}{more} are missing")


def _plan(part: _Part) -> Plan:
    """What the run was to do."""
    run = part.run
    with closing(Store.reopened(part.path)) as store, _malformed(part.path):
        loaded, slicing = kept_network(store), kept_slicing(store)
        made = recut(loaded, slicing)
        base = made.base  # of mid-network slicing, the suffix
        found = {"file_sha256": base.file_sha256, "network_sha256": base.network.sha256}
        if any(run[key] != value for key, value in found.items()):
            raise StoreError(f"{part.path}: holds another network than that of its run")
        return plan(
            loaded,
            made,
            Guarantee.restore(run["guarantee"]),
            tuple(run["stages"]),
            Effort(int(run["budget"]), run["time_limit"], 0),
            Selection(run["sample"], run["seed"]),
        )


def _require_finished(store: Store, part: _Part, whole: Plan) -> None:
    """All slices of the shard are there, and of the slicing that the others have."""
    with _malformed(part.path):
        slicing = kept_slicing(store)
    mine, other = slicing.arrays(), whole.made.slicing.arrays()
    same = slicing.describe() == whole.made.slicing.describe() and mine.keys() == other.keys()
    if not same or any(not np.array_equal(mine[name], other[name]) for name in mine):
        raise StoreError(
            f"{part.path}: its slices are cut otherwise than those of the other shards, which may "
            "come of machines that compute otherwise; run all shards on machines of one kind"
        )
    wanted, done = part.shard.of(whole.chosen), store.done()
    if not np.array_equal(wanted, done):
        missing = len(np.setdiff1d(wanted, done))
        raise StoreError(
            f"{part.path}: shard {part.shard} lacks {missing} of its {len(wanted)} slices; give "
            "its command again, which goes on from there"
            if missing
            else f"{part.path}: holds slices of other shards than {part.shard}"
        )


@contextmanager
def _malformed(path: str) -> Iterator[None]:
    """What a record that redy did not write raises, as a :class:`StoreError`."""
    try:
        yield
    except StoreError:
        raise
    except (RedyError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(f"{path}: the record of its run is not sound ({error})") from error
