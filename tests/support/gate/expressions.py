"""The documented expression language of gates and checks, as far as ours go, over one recorded reply.

Strings compare ignoring case; the right operand is cast to the type of the left; what can't be evaluated raises
ExpressionError, which a gate counts as a failed sample.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from support.gate.jsonpath import select

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?\d+(?:\.\d+)?)|(?P<name>[A-Za-z_]\w*)|(?P<mark>[()\[\],]))"
)


class ExpressionError(Exception):
    """The expression can't be evaluated."""


def evaluate(expression: str, names: dict[str, Any]) -> Any:
    """The value of `expression`; `names` are root, response, variables and taskInputs."""
    reader = _Reader(expression, names)
    value = reader.value()
    reader.end()
    return value


def truth(value: Any) -> bool:
    """`value` cast to Boolean: no empty string, zero or null."""
    return bool(value) if not isinstance(value, (list, dict)) else True


class _Reader:
    """Reads and evaluates at once; arguments of a function are all evaluated, as nothing here has an effect."""

    def __init__(self, expression: str, names: dict[str, Any]) -> None:
        self._tokens = _tokens(expression)
        self._names = {name.lower(): value for name, value in names.items()}
        self._position = 0

    def value(self) -> Any:
        kind, text = self._next()
        if kind == "text":
            return text[1:-1].replace("''", "'")
        if kind == "number":
            return float(text)
        if kind != "name":
            raise ExpressionError(f"unexpected {text!r}")
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        return self._indexed(self._call(text) if self._peek() == "(" else self._named(text))

    def end(self) -> None:
        if self._peek():
            raise ExpressionError(f"unexpected {self._peek()!r} behind the expression")

    def _call(self, name: str) -> Any:
        self._expect("(")
        arguments: list[Any] = []
        while self._peek() != ")":
            if arguments:
                self._expect(",")
            arguments.append(self.value())
        self._expect(")")
        if name.lower() == "jsonpath":
            (path,) = arguments
            return _select(self._named("root"), path)
        if name.lower() not in _FUNCTIONS:
            raise ExpressionError(f"unknown function {name}")
        return _FUNCTIONS[name.lower()](*arguments)

    def _named(self, name: str) -> Any:
        value = self._names.get(name.lower())
        if value is None:
            raise ExpressionError(f"{name} is nothing here")
        return value

    def _indexed(self, value: Any) -> Any:
        while self._peek() == "[":
            self._expect("[")
            value = _at(value, self.value())
            self._expect("]")
        return value

    def _peek(self) -> str:
        return self._tokens[self._position][1] if self._position < len(self._tokens) else ""

    def _next(self) -> tuple[str, str]:
        if not self._peek():
            raise ExpressionError("the expression ends too early")
        self._position += 1
        return self._tokens[self._position - 1]

    def _expect(self, mark: str) -> None:
        if self._next()[1] != mark:
            raise ExpressionError(f"{mark!r} is missing")


def _tokens(expression: str) -> list[tuple[str, str]]:
    found, position, text = [], 0, expression.rstrip()
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None or token.lastgroup is None:
            raise ExpressionError(f"can't read {text[position:]!r}")
        found.append((token.lastgroup, token[token.lastgroup]))
        position = token.end()
    return found


def _select(root: Any, path: str) -> list[Any]:
    try:
        return select(root, path)
    except ValueError as unknown:
        raise ExpressionError(str(unknown)) from unknown


def _at(value: Any, key: Any) -> Any:
    if isinstance(value, dict) and isinstance(key, str):
        return next((found for name, found in value.items() if name.lower() == key.lower()), None)
    if isinstance(value, list) and isinstance(key, float) and 0 <= key < len(value):
        return value[int(key)]
    raise ExpressionError(f"no {key!r} in {type(value).__name__}")


def _cast(value: Any, like: Any) -> Any:
    """`value` as the type of `like`; None where there is no way."""
    if isinstance(like, bool):
        return truth(value) if value is not None else None
    if isinstance(like, (int, float)):
        try:
            return float(value)
        except (TypeError, ValueError):
            return None
    return _text(value) if isinstance(like, str) else value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value)
    return f"{value:g}" if isinstance(value, (int, float)) else value if isinstance(value, str) else ""


def _same(left: Any, right: Any) -> bool:
    cast = _cast(right, left)
    if isinstance(left, str) and isinstance(cast, str):
        return left.lower() == cast.lower()
    return type(left) is type(cast) and left == cast if isinstance(left, bool) else left == cast


def _less(left: Any, right: Any) -> bool:
    cast = _cast(right, left)
    if left is None or cast is None or isinstance(left, (list, dict)):
        raise ExpressionError(f"{left!r} and {right!r} have no order")
    return bool((left.lower() if isinstance(left, str) else left) < (cast.lower() if isinstance(cast, str) else cast))


def _count(value: Any) -> float:
    if not isinstance(value, list):
        raise ExpressionError(f"can't count {type(value).__name__}")
    return float(len(value))


def _intersect(left: Any, right: Any) -> list[Any]:
    return [value for value in left if any(_same(value, other) for other in right)]


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "and": lambda *values: all(map(truth, values)),
    "or": lambda *values: any(map(truth, values)),
    "xor": lambda left, right: truth(left) is not truth(right),
    "not": lambda value: not truth(value),
    "eq": _same,
    "ne": lambda left, right: not _same(left, right),
    "lt": _less,
    "le": lambda left, right: _less(left, right) or _same(left, right),
    "gt": lambda left, right: not _less(left, right) and not _same(left, right),
    "ge": lambda left, right: not _less(left, right),
    "in": lambda value, *others: any(_same(value, other) for other in others),
    "notin": lambda value, *others: not any(_same(value, other) for other in others),
    "contains": lambda text, part: _text(part).lower() in _text(text).lower(),
    "containsvalue": lambda values, value: any(
        _same(held, value) for held in (values.values() if isinstance(values, dict) else values)
    ),
    "startswith": lambda text, part: _text(text).lower().startswith(_text(part).lower()),
    "endswith": lambda text, part: _text(text).lower().endswith(_text(part).lower()),
    "coalesce": lambda *values: next((value for value in values if value not in (None, "")), None),
    "lower": lambda text: _text(text).lower(),
    "upper": lambda text: _text(text).upper(),
    "length": lambda value: float(len(value)),
    "count": _count,
    "isnullorempty": lambda value: value in (None, ""),
    "isurl": lambda value: re.match(r"https?://[^/\s]+", _text(value)) is not None,
    "split": lambda text, separator: _text(text).split(separator),
    "intersect": _intersect,
}
