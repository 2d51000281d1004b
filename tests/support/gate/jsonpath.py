"""The part of Json.NET's SelectTokens that gates use: names, indexes, `[*]`, and filters of comparisons.

As there: a filter never matches where its path selects nothing, not even with `!=`; strings compare by case.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_STEP = re.compile(
    r"\.?(?P<name>[A-Za-z_]\w*)|\['(?P<quoted>[^']+)'\]|\[(?P<index>\d+)\]|(?P<all>\[\*\])|\[\?\((?P<filter>(?:[^()']|'[^']*')*)\)\]"
)
_COMPARISON = re.compile(r"@\.(?P<path>[\w.]+)\s*(?P<operator>==|!=)\s*(?:'(?P<text>[^']*)'|(?P<number>-?\d+))")


def select(document: Any, path: str) -> list[Any]:
    """The values that `path` selects; ValueError when the path is of no form that is known here."""
    rest = path.removeprefix("$")
    values = [document]
    while rest:
        step = _STEP.match(rest)
        if step is None:
            raise ValueError(f"not a path: {path!r} at {rest!r}")
        values = [found for value in values for found in _follow(value, step)]
        rest = rest[step.end() :]
    return values


def _follow(value: Any, step: re.Match[str]) -> Iterator[Any]:
    name = step["name"] or step["quoted"]
    if name is not None:
        if isinstance(value, dict) and name in value:
            yield value[name]
    elif step["index"] is not None:
        if isinstance(value, list) and int(step["index"]) < len(value):
            yield value[int(step["index"])]
    else:
        children = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
        yield from (child for child in children if step["all"] or _fits(child, step["filter"]))


def _fits(value: Any, condition: str) -> bool:
    return any(all(_compare(value, part) for part in branch.split("&&")) for branch in condition.split("||"))


def _compare(value: Any, text: str) -> bool:
    comparison = _COMPARISON.fullmatch(text.strip())
    if comparison is None:
        raise ValueError(f"not a comparison: {text!r}")
    wanted: Any = comparison["text"] if comparison["number"] is None else int(comparison["number"])
    found = select(value, f"$.{comparison['path']}")
    return any((value == wanted) is (comparison["operator"] == "==") for value in found)
