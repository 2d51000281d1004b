"""Known failures similar to a code or a line that is not known."""

from __future__ import annotations

import re

from kspsign.diagnosis.catalogue import catalogue
from kspsign.model.suggest import suggest

_CLOSE_CODE, _CLOSE_TEXT = 0.8, 0.6
_MOST = 3
_LONGEST = 400
"""Characters of a text that are compared: a line, not a log."""


def similar_failures(text: str) -> tuple[str, ...]:
    """Codes near `text` if it is one word, else lines of known failures that share most of its words; best first."""
    words = " ".join(text.split())
    if not words or len(words) > _LONGEST:
        return ()
    known = catalogue()
    if " " not in words:
        codes = [f"0x{number:08X}" for number in known.by_number]
        return suggest(words, (*known.by_name, *known.position, *codes), most=_MOST, cutoff=_CLOSE_CODE)
    asked = _significant(words)
    examples = [example for failure in known.failures for example in (*failure.examples, failure.title)]
    scored = ((_overlap(asked, _significant(example)), example) for example in examples)
    best = sorted((entry for entry in scored if entry[0] >= _CLOSE_TEXT), reverse=True)
    return tuple(example for _, example in best[:_MOST])


def _significant(text: str) -> frozenset[str]:
    return frozenset(word for word in re.findall(r"[a-z0-9]+", text.lower()) if len(word) > 2)


def _overlap(one: frozenset[str], other: frozenset[str]) -> float:
    """How many of the words of both are in each (Jaccard index)."""
    return len(one & other) / len(one | other) if one | other else 0.0
