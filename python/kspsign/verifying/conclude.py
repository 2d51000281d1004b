"""The verdict that findings come to: which of several failed checks is the cause, and which only follow from it."""

from __future__ import annotations

from collections.abc import Iterable

from kspsign.model.values import Check, ErrorFacts, Finding, SignatureFacts, Verdict, Verification

_EXPLAINING = frozenset({"line-ends", "byte-order-mark"})
"""Checks that fail only where it is proved that undoing what they name makes the digest hold again."""


def conclude(findings: tuple[Finding, ...], signatures: tuple[SignatureFacts, ...], sha256: str) -> Verification:
    """The verdict: every check must hold. The cause of those that do not gives the error, in Windows' terms."""
    checks = tuple(Check(finding.name, finding.hresult is None, finding.detail) for finding in findings)
    failed = _first_cause(findings)
    if failed is None or failed.hresult is None:
        return Verification(Verdict("verified", checks), signatures, sha256, None)
    error = ErrorFacts(
        code=failed.hresult.name,
        hresult=failed.hresult.hex,
        message=f"{failed.hresult.meaning} ({failed.name}: {failed.detail})",
        remedy=failed.remedy or failed.hresult.remedy,
    )
    return Verification(Verdict("failed", checks), signatures, sha256, error)


def _first_cause(findings: Iterable[Finding]) -> Finding | None:
    """The failed check to name first: one that explains others, else the first of them; None when all hold."""
    failed = [finding for finding in findings if finding.hresult is not None]
    return next((finding for finding in failed if finding.check in _EXPLAINING), next(iter(failed), None))
