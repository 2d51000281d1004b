"""The state of a file that a tool processes: who signed it, and whether that signature has a timestamp."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from kspsign.authenticode.formats import open_signable
from kspsign.authenticode.profile import FileSignature, is_timestamped
from kspsign.authenticode.signable import SignableFile
from kspsign.model.errors import ArtifactError, TrustError
from kspsign.model.values import Artifact
from kspsign.signing.tool_errors import ToolRefusal


@dataclass(frozen=True, slots=True)
class SignatureState:
    """One signature: its certificate as DER (None when missing), and whether a timestamp hangs on it."""

    certificate: bytes | None
    stamped: bool


@dataclass(frozen=True, slots=True)
class FileState:
    """A file's signatures: `embedded` as the file holds them, `signatures` in the order of SignTool's index: the
    primary one, then those nested in it."""

    embedded: tuple[bytes, ...] = ()
    signatures: tuple[SignatureState, ...] = ()


@dataclass(slots=True)
class Request:
    """One file to sign: `name` is that of its copy in the staging folder, `before` its own state, the rest what became
    of it so far.

    `certificate` is a thumbprint, `request_id` what the service's log calls the signature, `use` its id in the ledger.
    `signatures` are the file's
    signatures once ours is among them, without its timestamp: a file that a tool broke later gets them again.
    """

    artifact: Artifact
    file: SignableFile
    name: str
    before: FileState
    signed: bool = False
    signatures: tuple[bytes, ...] = ()
    certificate: str | None = None
    request_id: str | None = None
    refusal: ToolRefusal | None = None
    use: str = ""
    said: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed file's name in the staging folder, the thumbprint of the certificate that signed it, and what the
    service's log and the ledger call the signature."""

    name: str
    certificate: str | None
    request_id: str | None = None
    use: str = ""


def read_state(path: Path, artifact: Artifact) -> FileState:
    """The signatures of `path`, the artifact or a copy of it.

    A file or signature that can't be read has none: the tool left a ruin, and the file is to be done again.
    """
    try:
        file = open_signable(path, artifact.format)
        waiting = list(file.signatures)
        found: list[SignatureState] = []
        while waiting:
            signature: FileSignature = file.profile.read(waiting.pop(0))
            found.append(SignatureState(signature.certificate, is_timestamped(signature)))
            waiting[:0] = signature.further
    except (ArtifactError, TrustError, OSError):
        return FileState()
    return FileState(file.signatures, tuple(found))
