"""Finds the SignTool filter that dropped the certificate, from the output of `signtool sign /debug`.

SignTool lists the certificates it considers, and after each filter (EKU, expiry, Hash, the names, Private Key)
how many are left. The thumbprint is compared only after EKU and expiry: an expired certificate is missing at the
Hash filter, though its thumbprint is right. So the certificate asked for is looked up among those considered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_HEADER = "the following certificates were considered:"
_STEP = re.compile(r"\bafter ([a-z]{3,10}(?: [a-z]{3,10})?) filter, (\d{1,9}) certs were left")
_ASKED = re.compile(r"/sha1 [\"']?([0-9a-f]{40})\b")
_CONSIDERED = re.compile(
    r"expires: [a-z]{3} ([a-z]{3}) {1,2}(\d{1,2}) (\d\d:\d\d:\d\d) (\d{4}) sha1 hash: ([0-9a-f]{40})\b"
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

_Moment = tuple[int, int, int, str]


@dataclass(frozen=True, slots=True)
class Dropped:
    """A filter that dropped what was asked for ("hash", "private-key"; "none" when the store had nothing to offer)."""

    name: str
    line: str


def dropped_by(text: str) -> list[Dropped]:
    """The filters to blame, best first, in a text in lower case with single spaces; empty when none left nothing."""
    found: list[Dropped] = []
    asked = set(_ASKED.findall(text))
    before, *runs = text.split(_HEADER)
    for run in runs:
        found += [dropped for dropped in _of_run(run, asked) if dropped not in found]
    if not runs:
        found += _of_lines(_STEP.findall(before))
    return found


def _of_lines(steps: list[tuple[str, str]]) -> list[Dropped]:
    """Filter lines without the list of certificates before them."""
    empty = next((index for index, (_, left) in enumerate(steps) if int(left) == 0), None)
    if empty is None:
        return []
    if empty == 0 and steps[0][0] == "eku":
        return [Dropped("none", _line(*steps[0])), _dropped(*steps[0])]
    losses = [step for step, (_, left) in zip(steps[1:empty], steps, strict=False) if step[1] != left]
    return [_dropped(*step) for step in (steps[empty], *(losses if steps[empty][0] == "hash" else []))]


def _of_run(run: str, asked: set[str]) -> list[Dropped]:
    """The list of certificates and the filter lines after it."""
    steps = _STEP.findall(run)
    empty = next((index for index, (_, left) in enumerate(steps) if int(left) == 0), None)
    if empty is None:
        return []
    certificates = _considered(run[: run.index(" filter, ")])
    if not certificates:
        return [Dropped("none", _line(*steps[0]))]
    left = [len(certificates), *(int(count) for _, count in steps)]
    losses = [step for index, step in enumerate(steps[:empty]) if left[index + 1] < left[index]]
    wanted = asked & certificates.keys()
    if steps[empty][0] != "hash" or (asked and not wanted):
        return [_dropped(*steps[empty])]
    if not wanted or not losses:
        return [_dropped(*step) for step in (steps[empty], *losses)]
    if len(losses) > 1:
        # Whoever expired is among the lost. As many lost as there are certificates that expire no later than the
        # one asked for: it can have expired. Fewer: one of those was kept as valid, so EKU dropped the one asked for.
        moment = certificates[wanted.pop()]
        no_later = sum(other <= moment for other in certificates.values())
        can_have_expired = no_later <= len(certificates) - left[empty]
        losses = [step for step in losses if (step[0] == "expiry") == can_have_expired]
    return [_dropped(*step) for step in losses]


def _considered(block: str) -> dict[str, _Moment]:
    """When each certificate of SignTool's list expires, by thumbprint."""
    return {
        thumbprint: (int(year), _MONTHS.index(month) if month in _MONTHS else 0, int(day), time)
        for month, day, time, year, thumbprint in _CONSIDERED.findall(block)
    }


def _dropped(name: str, left: str) -> Dropped:
    return Dropped(name.replace(" ", "-"), _line(name, left))


def _line(name: str, left: str) -> str:
    return f"After {name} filter, {left} certs were left"
