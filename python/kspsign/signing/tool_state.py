"""The state of a file that a tool processes: who signed it, and whether that signature has a timestamp."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from kspsign.authenticode.formats import open_signable
from kspsign.authenticode.profile import FileSignature, is_timestamped
from kspsign.model.errors import ArtifactError, TrustError
from kspsign.model.values import Format
from kspsign.signing.tool_errors import ToolRefusal


@dataclass(slots=True)
class Request:
    """One file on the workbench: what it was, and what became of it so far; `certificate` is a thumbprint."""

    name: str
    format: Format | None
    signatures_before: int
    signed: bool = False
    certificate: str | None = None
    refusal: ToolRefusal | None = None
    said: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SignatureState:
    """One signature: its certificate as DER (None when missing), and whether a timestamp hangs on it."""

    certificate: bytes | None
    stamped: bool


def signature_states(path: Path, format_: Format | None) -> tuple[SignatureState, ...]:
    """The file's signatures, SignTool's index first to last: the primary one, then those nested in it.

    A file or signature that can't be read has none: the tool left a ruin, and the file is to be done again.
    """
    try:
        file = open_signable(path, format_)
        waiting = list(file.signatures)
        found: list[SignatureState] = []
        while waiting:
            signature: FileSignature = file.profile.read(waiting.pop(0))
            found.append(SignatureState(signature.certificate, is_timestamped(signature)))
            waiting[:0] = signature.further
    except (ArtifactError, TrustError):
        return ()
    return tuple(found)
