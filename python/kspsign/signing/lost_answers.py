"""What is said of signatures that were asked for by a run which was killed before it saw the answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kspsign.model.report import RunWarning

_NAMED, _SHOWN = 5, 16


def lost_warnings(digests: Sequence[str]) -> Iterator[RunWarning]:
    """One warning for all of `digests` (hex), which the service may have signed; none for ()."""
    if not digests:
        return
    first = ", ".join(f"{digest[:_SHOWN]}..." for digest in digests[:_NAMED])
    more = f" and {len(digests) - _NAMED} more" if len(digests) > _NAMED else ""
    asked = "signatures were" if len(digests) > 1 else "signature was"
    yield RunWarning(
        "SIGNATURES_MAY_BE_SPENT",
        f"{len(digests)} {asked} asked for by runs that were killed before the answer came, and may have been spent "
        f"(digests {first}{more})",
        "Compare the service's log with the reports before you count signatures; files without a signature are signed "
        "again.",
    )
