"""Record queries on slices of networks: phases, removed neurons, edits that keep the winner.

    python experiments/queries/record.py NET... --domain acasxu --out experiments/queries/F.json.gz

Slices are spread over how many neurons cross on them, from few to the most. About a third of the
queries have a counterexample that sampling finds; which of the others do is not known here. Nothing
is recorded whose answer hangs on less than CLEAR.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from recorded import Recorded, save

from redy.criteria.answers import Answerer
from redy.criteria.queries import Kind, Query, layer_values
from redy.domain import Box
from redy.edits import Criterion, Edit, Edits
from redy.formats.domains import read_domain
from redy.formats.networks import load
from redy.network.form import Network
from redy.network.winner import winners
from redy.search.witnesses import pool_points, unit_pool
from redy.slicing.grid import Grid, sample

POINTS = 4096
CLEAR = 1e-4
"""By how much a sampled counterexample violates its claim, and the margin of a winner."""
FACTORS = (0.5, 0.8, 1.3, 2.0)
"""eps, as multiples of the largest difference that sampling found."""
TRIES = 400


class Slice:
    """One slice: what crosses on it, and the network at random points of it."""

    def __init__(self, network: Network, answerer: Answerer, box: Box, rng: np.random.Generator):
        self.network, self.box, self.rng = network, box, rng
        self.last = network.depth + 1
        bounds = answerer.region(self._query(Kind.FORWARD, Edits.none(network), self.last, 0, 1))
        self.bounds = bounds
        units = np.concatenate([np.zeros(network.inputs, bool), *(n.relu for n in network.layers)])
        lower, upper = bounds.known_lower[units], bounds.known_upper[units]
        self.ends = np.stack([lower, upper], axis=1)
        self.crossing = np.flatnonzero((lower < 0) & (upper > 0))
        self.points = pool_points(box.lower, box.upper, unit_pool(network.inputs, POINTS))
        self.outputs = layer_values(network, self.points, self.last)

    def _query(self, kind: Kind, edits: Edits, layer: int, unit: int, sign: int) -> Query:
        return Query(kind, self.box, edits, layer, unit, sign)

    def phases(self, count: int) -> Iterator[Query]:
        """Neurons that cross: a third of them seldom in the other phase, the rest never at points.

        The phase asked for is the one seen more often.
        """
        seldom, never = [], []
        for neuron in self.rng.permutation(self.crossing):
            k, i = self.network.neurons[neuron]
            z = layer_values(self.network, self.points, k)[:, i]
            sign = 1 if (z > 0).mean() >= 0.5 else -1
            query = self._query(Kind.PHASE, Edits.none(self.network), k, i, sign)
            least = float((sign * z).min())
            if least >= 0.0:
                never.append(query)
            elif least < -CLEAR and (sign * z < 0).mean() < 0.1:
                seldom.append(query)
        chosen = seldom[: max(1, count // 3)]
        yield from (chosen + never + seldom[len(chosen) :])[:count]

    def forwards(self, count: int) -> Iterator[Query]:
        """One neuron removed; eps below and above the largest difference at points."""
        factors = np.resize(self.rng.permutation(FACTORS), count)
        for factor in factors:
            for _ in range(TRIES):
                edits = self._edits(1, Criterion.FORWARD)
                unit, sign = (
                    int(self.rng.integers(self.network.outputs)),
                    int(self.rng.choice([1, -1])),
                )
                edited = layer_values(self.network, self.points, self.last, edits)
                most = float((sign * (edited - self.outputs))[:, unit].max())
                if most > 10 * CLEAR:
                    eps = float(f"{factor * most:.1e}")
                    query = self._query(Kind.FORWARD, edits, self.last, unit, sign)
                    yield Query(**(vars(query) | {"least": eps}))
                    break

    def decisions(self, count: int) -> Iterator[Query]:
        """Some neurons removed; the winner and the one that comes closest after the edits."""
        best, lead = winners(self.outputs, "min")
        seen = np.flatnonzero(np.bincount(best[lead > 2 * CLEAR], minlength=self.network.outputs))
        for turn in range(count):
            for _ in range(TRIES):
                edits = self._edits(int(self.rng.integers(1, 9)), Criterion.DECISION)
                c = int(self.rng.choice(seen)) if seen.size else 0
                where = (best == c) & (lead > 2 * CLEAR)
                if not where.any():
                    continue
                edited = layer_values(self.network, self.points[where], self.last, edits)
                behind = edited - edited[:, [c]]
                behind[:, c] = np.inf
                j = int(behind.min(axis=0).argmin())
                least = float(behind[:, j].min())
                if least < -CLEAR if turn % 3 == 0 else least > CLEAR:
                    query = self._query(Kind.DECISION, edits, self.last, c, 1)
                    yield Query(**(vars(query) | {"least": CLEAR, "rival": j}))
                    break

    def _edits(self, count: int, criterion: Criterion) -> Edits:
        """``count`` crossing neurons as zero, identity, or the line halfway into its chord."""
        neurons = self.rng.permutation(self.crossing)[:count]
        codes, criteria = (np.zeros(len(self.network.neurons), dtype=np.uint8) for _ in range(2))
        lines = np.zeros((codes.size, 2))
        codes[neurons] = self.rng.choice([Edit.ZERO, Edit.IDENTITY, Edit.AFFINE], neurons.size)
        criteria[neurons] = criterion
        for neuron in neurons[codes[neurons] == Edit.AFFINE]:
            lower, upper = self.ends[neuron]
            slope = upper / (upper - lower)
            lines[neuron] = np.float32([slope, -0.5 * slope * lower])
        return Edits(codes, criteria, lines)


def chosen(slices: list[tuple[int, Slice]], count: int, most: int) -> list[tuple[int, Slice]]:
    """``count`` slices spread over the number of crossing neurons, from a few to ``most``."""
    fit = [entry for entry in slices if 4 <= entry[1].crossing.size <= most]
    fit.sort(key=lambda entry: entry[1].crossing.size)
    return [fit[i] for i in np.linspace(0, len(fit) - 1, min(count, len(fit))).round().astype(int)]


def record(arguments: argparse.Namespace, file: str) -> list[Recorded]:
    """The queries of one network."""
    network = load(file).network
    answerer, rng = Answerer(network), np.random.default_rng(arguments.seed)
    grid = Grid.bisecting(read_domain(arguments.domain, network.inputs), arguments.slices)
    indices = sample(arguments.slices, arguments.sample, arguments.seed)
    boxes = zip(*grid.boxes(indices), strict=True)
    slices = [Slice(network, answerer, Box(*box), rng) for box in boxes]
    entries = list(zip(indices.tolist(), slices, strict=True))
    queries = []
    for index, here in chosen(entries, arguments.choose, arguments.most_crossing):
        each = arguments.each
        for query in (*here.phases(each), *here.forwards(each), *here.decisions(each)):
            name = f"{Path(file).stem.removeprefix('ACASXU_experimental_v2a_')}-{index}"
            name += f"-{here.crossing.size}-{query.kind}-{len(queries)}"
            queries.append(Recorded(name, Path(file).name, query))
    return queries


def main() -> None:
    """Write the file, and say what is in it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="+")
    parser.add_argument("--domain", default="acasxu")
    parser.add_argument("--slices", type=int, default=32768)
    parser.add_argument("--sample", type=int, default=50)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--choose", type=int, default=12, help="slices of each network")
    parser.add_argument("--each", type=int, default=3, help="queries of each kind on a slice")
    parser.add_argument("--most-crossing", type=int, default=10**6)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    queries = [query for file in arguments.networks for query in record(arguments, file)]
    rest = {
        name: value for name, value in vars(arguments).items() if name not in {"networks", "out"}
    }
    save(arguments.out, f"record.py {rest}", [load(file) for file in arguments.networks], queries)
    kinds = [query.query.kind for query in queries]
    print(f"{arguments.out}: { ({kind.value: kinds.count(kind) for kind in Kind}) }")


if __name__ == "__main__":
    main()
