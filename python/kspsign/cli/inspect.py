"""`kspsign inspect`: the facts about a file's signatures, on one screen."""

from __future__ import annotations

import hashlib
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from kspsign.authenticode.formats import open_signable
from kspsign.authenticode.profile import FileSignature
from kspsign.authenticode.signable import Container, DescribedFile, SignableFile
from kspsign.batch.select import select_artifacts
from kspsign.certificates.parse import parse_certificate, thumbprint_of
from kspsign.certificates.public_key import describe_key
from kspsign.model.errors import KspSignError
from kspsign.model.values import Artifact, SignatureFacts, Verification
from kspsign.publishing.sanitize import log_line
from kspsign.settings.model import Settings
from kspsign.verifying import open_verifier, read_signatures

_LABEL = 14
_NARROWEST, _WIDEST = 60, 100
_MOST_MEMBERS = 12  # as many as fit on one screen with the rest

Row = tuple[str, str]


def inspect_file(path: Path, trust_roots: tuple[Path, ...], out: TextIO) -> int:
    """Print the file's facts, signatures and checks to `out`; 0 when it verifies, 2 when it does not.

    Raises NoFilesMatchedError when the file does not exist.
    """
    artifact = select_artifacts([str(path) if path.is_absolute() else f"./{path}"], Path()).artifacts[0]
    verifier = open_verifier(Settings(command="verify", trust_root=trust_roots), None)
    verification = verifier.verify(artifact.path, artifact.format, artifact.name)
    width = min(max(shutil.get_terminal_size((_WIDEST, 24)).columns, _NARROWEST), _WIDEST)
    file = _opened(artifact)
    for label, text in (
        *_file_rows(artifact, verification),
        *_signature_rows(file, verification.signatures),
        *_member_rows(file),
        *_check_rows(verification),
    ):
        out.writelines(f"{line}\n" for line in _lines(label, log_line(text), width))
    return 0 if verification.verdict.ok else 2


def _lines(label: str, text: str, width: int) -> Iterator[str]:
    """A label and its text, continued below it; a label without text is a heading."""
    if not text:
        yield label
        return
    pieces = textwrap.wrap(text, max(width - _LABEL, 1), break_on_hyphens=False) or [""]
    for piece in pieces:
        yield f"  {label:<{_LABEL - 2}}{piece}"
        label = ""


def _opened(artifact: Artifact) -> SignableFile | None:
    try:
        return open_signable(artifact.path, artifact.format)
    except KspSignError:
        return None  # the checks say why


def _file_rows(artifact: Artifact, verification: Verification) -> Iterator[Row]:
    yield log_line(artifact.name), ""
    yield "format", artifact.format or "unknown"
    yield "size", f"{artifact.size:,} bytes"
    yield "sha256", verification.sha256 or _sha256(artifact.path)
    if not verification.signatures:
        signed = any(check.name == "signed" and check.ok for check in verification.verdict.checks)
        yield "signatures", "none that can be read" if signed else "none"


def _signature_rows(file: SignableFile | None, facts: Sequence[SignatureFacts]) -> Iterator[Row]:
    signatures: Sequence[FileSignature] = read_signatures(file)[0] if file else ()
    waiting = 0
    for number, (signature, fact) in enumerate(zip(signatures, facts, strict=False), start=1):
        yield f"signature {number} of {len(facts)}{', nested' if waiting else ''}", ""
        waiting = max(waiting - 1, 0) + len(signature.further)
        yield "subject", fact.subject
        if signature.certificate is not None:
            yield from _certificate_rows(signature.certificate)
        yield "digest", f"{fact.digest} {signature.file_digest.hex()}"
        yield from _format_rows(file, signature)
        if signature.program_name:
            yield "description", signature.program_name
        stamp = fact.timestamp
        old = ", not RFC 3161" if signature.counter_signatures else ""
        yield "timestamp", f"{stamp.time} by {stamp.authority} ({stamp.digest}{old})" if stamp else "none"


def _certificate_rows(encoded: bytes) -> Iterator[Row]:
    try:
        parsed = parse_certificate(encoded)
    except KspSignError:
        return  # the checks say why
    begin, end = parsed.not_valid_before_utc, parsed.not_valid_after_utc
    yield "issuer", parsed.issuer.rfc4514_string()
    yield "thumbprint", thumbprint_of(encoded)
    expired = ", expired" if end < datetime.now(UTC) else ""
    yield "certificate", f"valid {begin:%Y-%m-%d} to {end:%Y-%m-%d}{expired}, {describe_key(parsed)}"


def _format_rows(file: object, signature: FileSignature) -> Iterator[Row]:
    """What a signature of this format alone has, as page hashes."""
    if isinstance(file, DescribedFile):
        yield from file.described(signature)


def _member_rows(file: object) -> Iterator[Row]:
    """What a catalogue or the like lists."""
    if not isinstance(file, Container):
        return
    try:
        listing = file.listing(_MOST_MEMBERS)
    except KspSignError:
        return  # the checks say why
    yield "members", f"{listing.total:,}"
    for member in listing.members:
        yield f"    {member.digest}  {log_line(member.name)}".rstrip(), ""
    if listing.total > len(listing.members):
        yield "", f"and {listing.total - len(listing.members):,} more"


def _check_rows(verification: Verification) -> Iterator[Row]:
    """What passed by name alone, once for all signatures; what failed with its reason, and the fix."""
    verdict, error = verification.verdict, verification.error
    yield f"{verdict.result}{f': {error.code} ({error.hresult})' if error else ''}", ""
    passed = dict.fromkeys(check.name.partition("#")[0] for check in verdict.checks if check.ok)
    if passed:
        yield "passed", " ".join(passed)
    for check in verdict.checks:
        if not check.ok:
            yield "FAILED", f"{check.name}: {check.detail}"
    if error is not None:
        yield "remedy", error.remedy


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
