"""Which of several failed checks is the cause, and which only follow from it."""

from __future__ import annotations

from collections.abc import Iterable

from kspsign.model.values import Finding

_EXPLAINING = frozenset({"line-ends", "byte-order-mark"})
"""Checks that fail only where it is proved that undoing what they name makes the digest hold again."""


def first_cause(findings: Iterable[Finding]) -> Finding | None:
    """The failed check to name first: one that explains others, else the first of them; None when all hold."""
    failed = [finding for finding in findings if finding.hresult is not None]
    return next((finding for finding in failed if finding.check in _EXPLAINING), next(iter(failed), None))
