"""The words that every match of a pattern holds: looking for them first is much faster than the search itself.

A regular expression that begins with `\\b`, a group or an optional character is tried at each character of a text; a
plain word is found by the C library's search, and most patterns of failures.yml occur in no log at all.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"(?P<repeat>(?:[?*+]|\{\d{0,6},?\d{0,6}\})[?+]?)"
    r"|(?P<other>\\[A-Za-z0-9]|\[\^?\]?(?:\\.|[^\]\\])*\]|[.^$])"
    r"|(?P<open>\()|(?P<close>\))|(?P<or>\|)"
    r"|(?P<literal>\\?.)",
    re.DOTALL,
)


def required_literals(pattern: str) -> tuple[str, ...]:
    """Words of which each match of `pattern` holds at least one, one for each alternative; empty when there are none.

    Only characters outside groups count, and none that may be repeated or left out.
    """
    alternatives, depth = [[""]], 0
    for token in _TOKEN.finditer(pattern):
        runs = alternatives[-1]
        if token["open"] or token["close"]:
            depth += 1 if token["open"] else -1
            runs.append("")
        elif depth:
            continue
        elif token["or"]:
            alternatives.append([""])
        elif token["literal"]:
            runs[-1] += token["literal"][-1]
        else:
            runs[-1] = runs[-1][:-1] if token["repeat"] else runs[-1]
            runs.append("")
    longest = tuple(max(runs, key=len) for runs in alternatives)
    return longest if all(longest) else ()
