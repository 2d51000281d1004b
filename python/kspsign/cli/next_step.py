"""What to try next, after a command that succeeded in a terminal."""

from __future__ import annotations

from kspsign.model.report import Report

_AFTER_SIGNING = (
    "kspsign inspect FILE      shows a signature with its chain and its timestamp",
    "kspsign verify PATTERN    verifies again, as a release gate would",
)
_NEXT = {
    "run": _AFTER_SIGNING,
    "sign": _AFTER_SIGNING,
    "timestamp": _AFTER_SIGNING,
    "verify": (
        "kspsign inspect FILE      shows a signature with its chain and its timestamp",
        "kspsign verify --policy FILE PATTERN    also holds the files to who must have signed them",
    ),
    "certsync": ("kspsign sign PATTERN --thumbprint HEX    signs with this certificate",),
}


def next_steps(report: Report) -> tuple[str, ...]:
    """Lines for the end of a run; none after one that failed, whose remedies say what to do."""
    if report.dry_run:
        return ("the same command without --dry-run signs these files",)
    return _NEXT.get(report.command, ()) if report.passed else ()
