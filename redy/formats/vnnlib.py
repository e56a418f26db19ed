"""Input boxes of VNN-LIB properties.

Only the box on the inputs X_i is read; what is asserted about the outputs Y_i is left aside.
Decimal bounds are rounded outward, so that the box contains the property's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np

from redy.domain import Box
from redy.errors import DomainError, FormatError, UnsupportedError
from redy.formats.atomic import read_text

_MAX_DEPTH = 100
_MAX_DIGITS = 400
_SHOWN = 40
"""Characters of a file that a message repeats."""

_TOKEN = re.compile(r'\s+|;[^\n]*|"[^"]*"|\|[^|]*\||[()]|[^\s()";|]+')
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_VARIABLE = re.compile(r"([XY])_([0-9]{1,9})")
_IGNORED = {"set-logic", "set-info", "set-option", "check-sat", "get-model", "exit"}
_COMPARISONS = {"<=", "<", ">=", ">", "="}


@dataclass(frozen=True, slots=True)
class _Atom:
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class _List:
    items: tuple[_Atom | _List, ...]
    line: int

    @property
    def head(self) -> str:
        """The text of the first item, empty where that is a list."""
        first = self.items[0] if self.items else None
        return first.text if isinstance(first, _Atom) else ""


_Expression = _Atom | _List


def read_vnnlib_box(path: str | os.PathLike[str]) -> Box:
    """The input box of the property at ``path``.

    Strict comparisons are read as the closed ones, which only makes the box larger.

    Raises:
        FormatError: no such file, or not a sound property; file and line are named.
        UnsupportedError: the inputs are not constrained to one box.
        DomainError: an input lacks a bound, or its bounds contradict each other.
    """
    file = os.fspath(path)
    bounds = _Bounds(file)
    for command in _parse(read_text(path), file):
        _execute(command, bounds, file)
    return bounds.box()


class _Bounds:
    """Bounds of the inputs seen so far, as exact fractions."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._declared: set[int] = set()
        self._lower: dict[int, Fraction] = {}
        self._upper: dict[int, Fraction] = {}

    def declare(self, index: int, line: int) -> None:
        """Note the declaration of X_index."""
        if index in self._declared:
            raise FormatError(f"{self._file}: line {line}: X_{index} is declared twice")
        self._declared.add(index)

    def require(self, index: int, line: int) -> None:
        """Raise unless X_index is declared."""
        if index not in self._declared:
            raise FormatError(f"{self._file}: line {line}: X_{index} is used but not declared")

    def at_least(self, index: int, bound: Fraction) -> None:
        """Note X_index >= bound."""
        self._lower[index] = max(bound, self._lower.get(index, bound))

    def at_most(self, index: int, bound: Fraction) -> None:
        """Note X_index <= bound."""
        self._upper[index] = min(bound, self._upper.get(index, bound))

    def box(self) -> Box:
        """The box of all inputs; raises DomainError where a bound is missing."""
        count = len(self._declared)
        if not count:
            raise FormatError(f"{self._file}: declares no input X_0; is it a VNN-LIB property?")
        if self._declared != set(range(count)):
            raise FormatError(f"{self._file}: the inputs are not numbered X_0 to X_{count - 1}")
        for i in range(count):
            self._check(i)
        lower = np.array([_rounded(self._lower[i], -np.inf) for i in range(count)])
        upper = np.array([_rounded(self._upper[i], np.inf) for i in range(count)])
        try:
            return Box(lower, upper)
        except DomainError as error:
            raise DomainError(f"{self._file}: {error}") from error

    def _check(self, i: int) -> None:
        for side, known in (("lower", self._lower), ("upper", self._upper)):
            if i not in known:
                raise DomainError(f"{self._file}: X_{i} has no {side} bound; assert one")
        if self._lower[i] > self._upper[i]:
            raise DomainError(
                f"{self._file}: X_{i} must be at least {_rounded(self._lower[i], -np.inf)} "
                f"and at most {_rounded(self._upper[i], np.inf)}; the box is empty"
            )


def _rounded(bound: Fraction, toward: float) -> float:
    """The float64 nearest to ``bound`` that lies on the side of ``toward``, or equal to it."""
    try:
        nearest = float(bound)
    except OverflowError:
        return np.inf if bound > 0 else -np.inf
    outside = Fraction(nearest) <= bound if toward < 0 else Fraction(nearest) >= bound
    return nearest if outside else float(np.nextafter(nearest, toward))


def _execute(command: _Expression, bounds: _Bounds, file: str) -> None:
    where = f"{file}: line {command.line}"
    if isinstance(command, _Atom):
        raise FormatError(f"{where}: '{command.text[:_SHOWN]}' is not a command")
    if command.head in ("declare-const", "declare-fun"):
        _declare(command, bounds, where)
    elif command.head == "assert" and len(command.items) == 2:
        _assert(command.items[1], bounds, file)
    elif command.head not in _IGNORED:
        raise FormatError(
            f"{where}: command '({command.head[:_SHOWN]} ...)' is not known in VNN-LIB"
        )


def _declare(command: _List, bounds: _Bounds, where: str) -> None:
    name, *rest = command.items[1:] or (_Atom("", 0),)
    if command.head == "declare-fun" and rest and rest[0] == _List((), rest[0].line):
        rest = rest[1:]
    sort = rest[0] if len(rest) == 1 else None
    match = _VARIABLE.fullmatch(name.text) if isinstance(name, _Atom) else None
    if match is None or not isinstance(sort, _Atom) or sort.text != "Real":
        raise UnsupportedError(f"{where}: only declarations of reals X_i and Y_i are supported")
    if match[1] == "X":
        bounds.declare(int(match[2]), command.line)


def _assert(formula: _Expression, bounds: _Bounds, file: str) -> None:
    """Note what ``formula`` says about single inputs; the parser bounds the recursion's depth."""
    where = f"{file}: line {formula.line}"
    if isinstance(formula, _Atom):
        raise FormatError(f"{where}: '{formula.text[:_SHOWN]}' is not a formula")
    if formula.head == "and" or (formula.head == "or" and len(formula.items) == 2):
        for part in formula.items[1:]:
            _assert(part, bounds, file)
    else:
        _assert_leaf(formula, bounds, where)


def _assert_leaf(formula: _List, bounds: _Bounds, where: str) -> None:
    """Note what ``formula``, which is no conjunction, says."""
    names = {match[1] for match in _variables(formula)}
    if names == {"Y"}:
        return
    if formula.head == "or":
        raise UnsupportedError(
            f"{where}: a disjunction over inputs is not one box; split the property into one file "
            "per box"
        )
    if "Y" in names:
        raise UnsupportedError(f"{where}: a constraint between inputs and outputs is not a box")
    if formula.head not in _COMPARISONS:
        raise UnsupportedError(
            f"{where}: '({formula.head[:_SHOWN]} ...)' over inputs is not supported"
        )
    _compare(formula, bounds, where)


def _compare(formula: _List, bounds: _Bounds, where: str) -> None:
    terms = [_term(term, bounds, where) for term in formula.items[1:]]
    if len(terms) < 2:
        raise FormatError(f"{where}: '{formula.head}' needs two terms")
    for left, right in pairwise(terms):
        if formula.head in ("<=", "<", "="):
            _at_most(left, right, bounds, where)
        if formula.head in (">=", ">", "="):
            _at_most(right, left, bounds, where)


def _at_most(left: int | Fraction, right: int | Fraction, bounds: _Bounds, where: str) -> None:
    """Note left <= right, where an int stands for the input of that index."""
    match left, right:
        case Fraction(), int():
            bounds.at_least(right, left)
        case int(), Fraction():
            bounds.at_most(left, right)
        case int(), int():
            raise UnsupportedError(
                f"{where}: a constraint between X_{left} and X_{right} is not a box; only bounds "
                "of single inputs are supported"
            )
        case _ if left > right:
            raise DomainError(f"{where}: {left} <= {right} does not hold; the box is empty")


def _term(term: _Expression, bounds: _Bounds, where: str) -> int | Fraction:
    """The index of an input, as int, or the value of a constant, as Fraction."""
    if isinstance(term, _Atom):
        match = _VARIABLE.fullmatch(term.text)
        if match is None:
            return _number(term.text, where)
        bounds.require(int(match[2]), term.line)
        return int(match[2])
    if term.head == "-" and len(term.items) == 2 and isinstance(term.items[1], _Atom):
        inner = _term(term.items[1], bounds, where)
        if isinstance(inner, Fraction):
            return -inner
    raise UnsupportedError(
        f"{where}: the linear term '({term.head[:_SHOWN]} ...)' is not a bound of a single input"
    )


def _number(text: str, where: str) -> Fraction:
    if len(text) > _MAX_DIGITS or not _NUMBER.fullmatch(text):
        raise FormatError(f"{where}: '{text[:_SHOWN]}' is neither a number nor a variable")
    return Fraction(text)


def _variables(formula: _Expression) -> Iterator[re.Match[str]]:
    waiting = [formula]
    while waiting:
        item = waiting.pop()
        if isinstance(item, _List):
            waiting.extend(item.items)
            continue
        match = _VARIABLE.fullmatch(item.text)
        if match:
            yield match


def _parse(text: str, file: str) -> Iterator[_Expression]:
    """The s-expressions of ``text``, one after the other and without recursion.

    A file is held as text; of what is parsed, only one expression is there at a time.
    """
    open_lists: list[tuple[int, list[_Expression]]] = [(1, [])]
    for token, line in _tokens(text, file):
        if token == "(":
            if len(open_lists) > _MAX_DEPTH:
                raise FormatError(f"{file}: line {line}: more than {_MAX_DEPTH} nested parentheses")
            open_lists.append((line, []))
        elif token != ")":
            open_lists[-1][1].append(_Atom(token, line))
        elif len(open_lists) == 1:
            raise FormatError(f"{file}: line {line}: ')' without '('")
        else:
            start, items = open_lists.pop()
            open_lists[-1][1].append(_List(tuple(items), start))
        if len(open_lists) == 1:
            yield open_lists[0][1].pop()
    if len(open_lists) > 1:
        raise FormatError(f"{file}: line {open_lists[-1][0]}: '(' is never closed; truncated?")


def _tokens(text: str, file: str) -> Iterator[tuple[str, int]]:
    """Tokens with their lines; each match starts where the last one ended."""
    position, line = 0, 1
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise FormatError(f"{file}: line {line}: {text[position]!r} is never closed")
        token = match[0]
        if not token[0].isspace() and token[0] != ";":
            yield token, line
        line += token.count("\n")
        position = match.end()
