"""The check of the name that a signature gives the program."""

from __future__ import annotations

from kspsign.authenticode.profile import FileSignature
from kspsign.model.hresults import Hresult
from kspsign.model.values import Finding

MOST = 64


def program_name_finding(signature: FileSignature) -> Finding:
    """The check "program-name": it fits into the line in which Windows shows it; there may be none."""
    name = signature.program_name or "none"
    if len(name) > MOST:
        detail = f"it has {len(name)} characters, Windows shows {MOST}"
        return Finding("program-name", detail, Hresult.TRUST_E_FAIL, "Sign with a shorter --description.")
    return Finding("program-name", name)
