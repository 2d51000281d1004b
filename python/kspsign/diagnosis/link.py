"""The address of the paragraph that explains a failure in full."""

from __future__ import annotations

from kspsign.diagnosis.catalogue import catalogue
from kspsign.model.project import DOCUMENTATION


def paragraph_link(code: str, hresult: str | None = None) -> str:
    """The troubleshooting page at the paragraph of `code`, else of `hresult` ("0x800B0100"); "" when none explains
    it."""
    known = catalogue()
    failure = known.by_name.get(code)
    if failure is None and hresult is not None:
        failure = known.of_number(int(hresult, 16))
    return "" if failure is None else f"{DOCUMENTATION}/troubleshooting.md#{failure.id}"
