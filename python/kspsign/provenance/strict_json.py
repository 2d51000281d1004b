"""JSON that every program reads alike, and the error for a provenance that does not hold."""

from __future__ import annotations

from typing import Any

from kspsign.model import strict_json as model
from kspsign.model.errors import TrustError
from kspsign.model.hresults import Hresult


def strict_json(text: bytes) -> Any:
    """The JSON of a bundle or statement, as no two programs read it differently. Raises TrustError."""
    try:
        return model.strict_json(text)
    except ValueError as broken:
        raise refused(f"it is not JSON: {broken}") from broken


def refused(
    detail: str, hresult: Hresult = Hresult.TRUST_E_MALFORMED_SIGNATURE, remedy: str | None = None
) -> TrustError:
    """The error for a provenance that does not hold; without a `remedy` of its own it was changed."""
    return TrustError(
        hresult,
        f"the provenance does not hold: {detail}",
        check="provenance",
        remedy=remedy or "Use the file that the signing run wrote, unchanged, with the files that it signed.",
    )
