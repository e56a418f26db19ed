"""Affine expressions over the layers of a network, composed with a truthful account of rounding.

An expression is bias + sum over layers j of terms[j] @ h_j. Every operation returns the result in
float64 and whether it is exact, that is, whether no product and no sum was rounded; the test is
sufficient, never guessed: sums of products count as exact only where at most one product is not
zero and the error-free transformation of that product (Dekker 1971) leaves no remainder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse import csr_array

from redy.errors import UnsupportedError
from redy.network.form import Matrix

LEAST_ROOM = 2**24
"""Numbers that any file may ask for, all tensors and weights together: less than 1 GiB in all."""

_PER_BYTE = 4
"""Numbers that a file may ask for per byte of it, if these are more."""

_room: ContextVar[int] = ContextVar("room", default=LEAST_ROOM)

_TOO_MANY = 2**62
MOST_AXES = 32
"""Axes of a tensor; numpy takes a few more."""

_SHOWN_AXES = 8

_SPLITTER = 2.0**27 + 1.0
_SAFE = 2.0**480


@dataclass(frozen=True, eq=False)
class Affine:
    """bias + sum over layers j of terms[j] @ h_j, as a tensor of ``shape`` in row-major order.

    Args:
        shape: the tensor's shape, batch dimension (always 1) included.
        terms: layer j -> csr_array (size, width of layer j).
        bias: (size,) float64.
    """

    shape: tuple[int, ...]
    terms: Mapping[int, csr_array]
    bias: np.ndarray

    @property
    def size(self) -> int:
        """Number of values of the tensor."""
        return int(self.bias.size)

    @property
    def weights(self) -> int:
        """Number of stored weights."""
        return int(sum(matrix.nnz for matrix in self.terms.values()))

    def reshaped(self, shape: Sequence[int]) -> Affine:
        """The same values under another shape of the same size."""
        return Affine(tuple(shape), self.terms, self.bias)


def identity(layer: int, shape: Sequence[int]) -> Affine:
    """The units of ``layer`` themselves."""
    size = checked_size(shape)
    units = csr_array(sparse.eye_array(size, format="csr"))
    return Affine(tuple(shape), {layer: units}, np.zeros(size))


def constant(array: np.ndarray) -> Affine:
    """An expression that reads no layer."""
    return Affine(array.shape, {}, np.asarray(array, dtype=np.float64).ravel())


@contextmanager
def room_for(file_bytes: int) -> Iterator[None]:
    """What a file of so many bytes may ask for while the block runs.

    A few bytes can ask for a tensor of any size, and for any number of them. Everything is
    refused, before memory is touched, that is out of proportion to the file: a tensor that takes
    more than one quarter of the room, an operator whose weights take more than one half.
    """
    token = _room.set(max(LEAST_ROOM, _PER_BYTE * file_bytes))
    try:
        yield
    finally:
        _room.reset(token)


def room() -> int:
    """Numbers that the file that is being read may ask for."""
    return _room.get()


def count_of(shape: Sequence[int]) -> int:
    """Number of entries of a tensor of ``shape``, or what is already too many of them."""
    if 0 in shape:
        return 0
    count = 1
    for dimension in shape:
        count *= int(dimension)
        if count > _TOO_MANY:
            return count
    return count


def checked_size(shape: Sequence[int]) -> int:
    """Number of values of a tensor of ``shape``; raises when there is no room for them."""
    size = count_of(shape)
    if size > room() // 4 or len(shape) > MOST_AXES:
        raise UnsupportedError(f"a tensor of shape {_shown(shape)} is larger than redy can hold")
    return size


def checked_weights(shape: Sequence[int]) -> int:
    """Number of weights of a table of ``shape``; raises when there is no room for them."""
    count = count_of(shape)
    if count > room() // 2:
        raise UnsupportedError(f"an operator of {count} weights is larger than redy can hold")
    return count


def _shown(shape: Sequence[int]) -> str:
    few = ", ".join(map(str, shape[:_SHOWN_AXES]))
    return f"({few})" if len(shape) <= _SHOWN_AXES else f"({few}, ...)"


def take(value: Affine, index: np.ndarray) -> Affine:
    """The tensor of ``value``'s entries at flat positions ``index``; -1 gives 0. Exact."""
    flat = np.ascontiguousarray(index).ravel()
    checked_size(index.shape)
    if flat.size == value.size and np.array_equal(flat, np.arange(value.size)):
        return value.reshaped(index.shape)
    rows = np.flatnonzero(flat >= 0)
    picks = csr_array((np.ones(rows.size), (rows, flat[rows])), shape=(flat.size, value.size))
    for matrix in value.terms.values():
        _require_room(picks, matrix)
    terms = {layer: csr_array(picks @ matrix) for layer, matrix in value.terms.items()}
    return Affine(tuple(index.shape), terms, picks @ value.bias)


def stack(values: Sequence[Affine]) -> Affine:
    """The values of all tensors one after the other, as a vector. Exact."""
    widths = {j: matrix.shape[1] for value in values for j, matrix in value.terms.items()}
    terms = {}
    for j, width in widths.items():
        blocks = [value.terms.get(j, csr_array((value.size, width))) for value in values]
        terms[j] = csr_array(sparse.vstack(blocks, format="csr"))
    bias = np.concatenate([value.bias for value in values])
    return Affine((checked_size(bias.shape),), terms, bias)


def negate(value: Affine) -> Affine:
    """-value. Exact."""
    return Affine(value.shape, {j: csr_array(-m) for j, m in value.terms.items()}, -value.bias)


def add(left: Affine, right: Affine) -> tuple[Affine, bool]:
    """left + right, tensors of one shape, and whether every sum is exact."""
    bias = left.bias + right.bias
    exact = not np.any(_sum_error(left.bias, right.bias, bias) != 0)
    terms = dict(left.terms)
    for layer, matrix in right.terms.items():
        if layer not in terms:
            terms[layer] = matrix
            continue
        total = csr_array(terms[layer] + matrix)
        exact = exact and not _nonzero(_sum_error(terms[layer], matrix, total))
        terms[layer] = total
    return Affine(left.shape, terms, bias), exact


def apply(matrix: csr_array, value: Affine, shape: Sequence[int]) -> tuple[Affine, bool]:
    """``matrix`` (rows, value.size) @ value, and whether every entry is exact."""
    exact = True
    terms: dict[int, csr_array] = {}
    for layer, weights in value.terms.items():
        terms[layer], this = product(matrix, weights)
        exact = exact and this
    bias, this = product(matrix, csr_array(value.bias[:, None]))
    return Affine(tuple(shape), terms, bias.toarray()[:, 0]), exact and this


def scale(value: Affine, factors: np.ndarray) -> tuple[Affine, bool]:
    """value times ``factors`` (size,), entry by entry, and whether every product is exact."""
    diagonal = sparse.diags_array(np.asarray(factors, dtype=np.float64).ravel(), format="csr")
    return apply(csr_array(diagonal), value, value.shape)


def product(left: csr_array, right: csr_array) -> tuple[csr_array, bool]:
    """left @ right, and whether every entry of the product is exact."""
    left, right = _pruned(left), _pruned(right)
    _require_room(left, right)
    result = _pruned(csr_array(left @ right))
    if not _single_terms(left, right):
        return result, False
    if not (_safe(left) and _safe(right)):
        return result, False
    if _powers_of_two(left) or _powers_of_two(right):
        return result, True
    left_high, left_low = _halves(left)
    right_high, right_low = _halves(right)
    error = result - left_high @ right_high - left_low @ right_high - left_high @ right_low
    return result, not _nonzero(left_low @ right_low - error)


def _single_terms(left: csr_array, right: csr_array) -> bool:
    """Whether every entry of left @ right is a sum with at most one term."""
    if left.nnz == 0 or right.nnz == 0 or np.diff(left.indptr).max() <= 1:
        return True
    if np.bincount(right.indices, minlength=1).max() <= 1:
        return True
    counts = _like(left, np.ones(left.nnz)) @ _like(right, np.ones(right.nnz))
    return bool(counts.data.max() <= 1)


def _require_room(left: csr_array, right: csr_array) -> None:
    columns = np.bincount(left.indices, minlength=left.shape[1])
    terms = int(columns.astype(np.int64) @ np.diff(right.indptr).astype(np.int64))
    if min(terms, left.shape[0] * right.shape[1]) > room() // 2:
        raise UnsupportedError(
            f"composing affine operators needs more than {room() // 2} weights, which is out of "
            "proportion to the file"
        )


def _sum_error(left: Matrix, right: Matrix, total: Matrix) -> Matrix:
    # Knuth's two-sum; the same formula serves dense vectors and sparse matrices.
    virtual = total - left
    return (left - (total - virtual)) + (right - virtual)


def _halves(matrix: csr_array) -> tuple[csr_array, csr_array]:
    # Veltkamp's split into two halves of 26 bits, whose products are exact.
    scaled = matrix.data * _SPLITTER
    high = scaled - (scaled - matrix.data)
    return _like(matrix, high), _like(matrix, matrix.data - high)


def _like(matrix: csr_array, data: np.ndarray) -> csr_array:
    return csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)


def _pruned(matrix: csr_array) -> csr_array:
    if matrix.nnz and not matrix.data.all():
        matrix = matrix.copy()
        matrix.eliminate_zeros()
    return matrix


def _nonzero(matrix: csr_array) -> bool:
    return bool(np.any(matrix.data != 0))  # NaN, from an overflow, counts as an error


def _safe(matrix: csr_array) -> bool:
    magnitude = np.abs(matrix.data)
    return bool(((magnitude > 1 / _SAFE) & (magnitude < _SAFE)).all())


def _powers_of_two(matrix: csr_array) -> bool:
    return bool((np.abs(np.frexp(matrix.data)[0]) == 0.5).all())
