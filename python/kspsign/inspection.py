"""`kspsign inspect`: what a person wants to know of a file's signatures, on one screen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from kspsign.artifacts import select_artifacts
from kspsign.authenticode.formats import open_signable
from kspsign.authenticode.signable import Container
from kspsign.errors import ArtifactError, TrustError
from kspsign.model import Artifact, SignatureFacts, Verification
from kspsign.publishing.neutral import log_line
from kspsign.settings import Settings
from kspsign.verifying import open_verifier

_MOST_MEMBERS = 12  # what one screen holds beside the rest


def inspect_file(path: Path, trust_roots: tuple[Path, ...], out: TextIO) -> int:
    """Print the file's facts, signatures and checks to `out`; 0 when it verifies, 2 when it does not.

    Raises NoFilesMatchedError when the file does not exist.
    """
    artifact = select_artifacts([str(path)], Path()).artifacts[0]
    verifier = open_verifier(Settings(command="verify", trust_root=trust_roots), None)
    verification = verifier.verify(artifact.path, artifact.format, artifact.name)
    out.writelines(f"{log_line(line)}\n" for line in _lines(artifact, verification))
    return 0 if verification.verdict.ok else 2


def _lines(artifact: Artifact, verification: Verification) -> Iterator[str]:
    yield f"{artifact.name}  ({artifact.format or 'unknown format'}, {artifact.size:,} bytes)"
    if verification.sha256:
        yield f"  sha256      {verification.sha256}"
    for number, signature in enumerate(verification.signatures, start=1):
        yield f"  signature {number} {signature.subject}"
        yield from _signature_lines(signature)
    yield from _member_lines(artifact)
    for check in verification.verdict.checks:
        yield f"  {'ok  ' if check.ok else 'FAIL'}  {check.name}: {check.detail}"
    yield f"  {verification.verdict.result}"
    if verification.error is not None:
        yield f"  {verification.error.code} ({verification.error.hresult}): {verification.error.message}"
        yield f"  fix: {verification.error.remedy}"


def _signature_lines(signature: SignatureFacts) -> Iterator[str]:
    yield f"    thumbprint  {signature.thumbprint}"
    yield f"    digest      {signature.digest}"
    stamp = signature.timestamp
    yield f"    timestamp   {f'{stamp.time} by {stamp.authority} ({stamp.digest})' if stamp else 'none'}"


def _member_lines(artifact: Artifact) -> Iterator[str]:
    """What a catalogue or the like lists."""
    try:
        file = open_signable(artifact.path, artifact.format)
        listing = file.listing(_MOST_MEMBERS) if isinstance(file, Container) else None
    except (ArtifactError, TrustError):
        return  # the checks say what is wrong with the file
    if listing is None:
        return
    yield f"  members     {listing.total:,}"
    for member in listing.members:
        yield f"    {member.digest}  {member.name}".rstrip()
    if listing.total > len(listing.members):
        yield f"    and {listing.total - len(listing.members):,} more"
