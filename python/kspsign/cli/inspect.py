"""`kspsign inspect`: the facts about the signatures of files, each on one screen, or as JSON."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from kspsign.authenticode.formats import open_signable
from kspsign.authenticode.io.snapshot import Snapshot
from kspsign.authenticode.profile import FileSignature
from kspsign.authenticode.signable import DescribedFile, ListingFile, SignableFile
from kspsign.batch.outcomes import EXIT_NOT_VERIFIED
from kspsign.batch.select import select_artifacts
from kspsign.certificates.chain import ordered_chain
from kspsign.certificates.parse import common_name, distinguished_name, parse_certificate, thumbprint_of
from kspsign.certificates.public_key import describe_key
from kspsign.model.errors import KspSignError
from kspsign.model.values import Artifact, Format, SignatureFacts, Verification, iso_utc
from kspsign.publishing.sanitize import encodable, log_line
from kspsign.publishing.wording import short_name
from kspsign.settings.model import Settings
from kspsign.verifying import open_verifier, read_signatures

SCHEMA = "kspsign.inspect/1"
_LABEL = 14
_NARROWEST, _WIDEST = 60, 100
_MOST_MEMBERS = 12  # as many as fit on one screen with the rest

Row = tuple[str, str]


def inspect_files(
    patterns: Sequence[str], trust_roots: tuple[Path, ...], out: TextIO, *, as_json: bool = False, folder: Path = Path()
) -> int:
    """Print the facts, signatures and checks of each file that `patterns` select; 0 when all verify, 2 when not.

    Raises NoFilesMatchedError when a file does not exist or nothing matches.
    """
    verifier = open_verifier(Settings(command="verify", trust_root=trust_roots), None)
    artifacts = select_artifacts(patterns, folder).artifacts
    width = min(max(shutil.get_terminal_size((_WIDEST, 24)).columns, _NARROWEST), _WIDEST)
    failed, listed = 0, []
    for number, artifact in enumerate(artifacts):
        snapshot = Snapshot(artifact.path)
        verification = verifier.verify(snapshot, artifact.format, artifact.name)
        failed += not verification.verdict.ok
        file = _opened(snapshot, artifact.format)
        if as_json:
            listed.append(_facts(artifact, snapshot, file, verification))
            continue
        out.write("\n" if number else "")
        _print(artifact, snapshot, file, verification, out, width)
    if as_json:
        out.write(_inert(json.dumps({"schema": SCHEMA, "passed": not failed, "files": listed}, indent=2)) + "\n")
    elif len(artifacts) > 1:
        out.write(f"\n{len(artifacts)} files: {len(artifacts) - failed} verified, {failed} failed\n")
    return EXIT_NOT_VERIFIED if failed else 0


def _print(
    artifact: Artifact,
    snapshot: Snapshot,
    file: SignableFile | None,
    verification: Verification,
    out: TextIO,
    width: int,
) -> None:
    for label, text in (
        *_file_rows(artifact, snapshot, verification),
        *_inside_rows(_inside(verification.signatures)),
        *_signature_rows(file, _own(verification.signatures)),
        *_member_rows(file),
        *_check_rows(verification),
    ):
        out.writelines(f"{line}\n" for line in _lines(label, log_line(text), width))


def _facts(
    artifact: Artifact, snapshot: Snapshot, file: SignableFile | None, verification: Verification
) -> dict[str, Any]:
    """The facts for programs: what the report says of a file, with the issuers of each signer."""
    signatures: Sequence[FileSignature] = read_signatures(file)[0] if file else ()
    facts = [{**asdict(fact), "chain": []} for fact in _inside(verification.signatures)]
    facts += [
        {**asdict(fact), "chain": [_link(link) for link in _chain(signature)]}
        for signature, fact in zip(signatures, _own(verification.signatures), strict=False)
    ]
    return {
        "path": encodable(artifact.name),
        "format": artifact.format,
        "size": snapshot.size,
        "sha256": verification.sha256 or snapshot.sha256(),
        "signatures": facts,
        "verdict": asdict(verification.verdict),
        "error": asdict(verification.error) if verification.error else None,
    }


def _own(facts: Sequence[SignatureFacts]) -> tuple[SignatureFacts, ...]:
    return tuple(fact for fact in facts if fact.inside is None)


def _inside(facts: Sequence[SignatureFacts]) -> tuple[SignatureFacts, ...]:
    """Those of the signatures that files inside carry."""
    return tuple(fact for fact in facts if fact.inside is not None)


def _link(certificate: bytes) -> dict[str, str]:
    parsed = parse_certificate(certificate)
    return {
        "subject": distinguished_name(parsed.subject),
        "issuer": distinguished_name(parsed.issuer),
        "thumbprint": thumbprint_of(certificate),
        "not_before": iso_utc(parsed.not_valid_before_utc),
        "not_after": iso_utc(parsed.not_valid_after_utc),
    }


def _chain(signature: FileSignature) -> tuple[bytes, ...]:
    """The signer's certificate and its issuers as far as the signature carries them; empty when it can't be read."""
    if signature.certificate is None:
        return ()
    try:
        return ordered_chain(signature.certificate, [parse_certificate(der) for der in signature.certificates])
    except KspSignError:
        return ()  # the checks say why


def _inert(text: str) -> str:
    """JSON in which no line is a logging command of an agent."""
    return text.replace("#", "\\u0023")


def _lines(label: str, text: str, width: int) -> Iterator[str]:
    """A label and its text, continued below it; a label without text is a heading."""
    if not text:
        yield label
        return
    pieces = textwrap.wrap(text, max(width - _LABEL, 1), break_on_hyphens=False) or [""]
    for piece in pieces:
        yield f"  {label:<{_LABEL - 2}}{piece}"
        label = ""


def _opened(snapshot: Snapshot, format_: Format | None) -> SignableFile | None:
    try:
        return open_signable(snapshot, format_)
    except KspSignError:
        return None  # the checks say why


def _file_rows(artifact: Artifact, snapshot: Snapshot, verification: Verification) -> Iterator[Row]:
    yield log_line(artifact.name), ""
    yield "format", artifact.format or "unknown"
    yield "size", f"{snapshot.size:,} bytes"
    yield "sha256", verification.sha256 or snapshot.sha256()
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
            yield from _issuer_rows(signature, fact)
        yield "digest", f"{fact.digest} {signature.file_digest.hex()}"
        yield from _format_rows(file, signature)
        if signature.program_name:
            yield "description", signature.program_name
        yield _timestamp_row(fact, ", not RFC 3161" if signature.counter_signatures else "")


def _inside_rows(facts: Sequence[SignatureFacts]) -> Iterator[Row]:
    """The signatures that files inside carry."""
    for fact in facts:
        yield f"signature of {log_line(fact.inside or '')}, inside", ""
        yield "subject", fact.subject
        yield "thumbprint", fact.thumbprint
        yield "digest", fact.digest
        yield _timestamp_row(fact)


def _timestamp_row(fact: SignatureFacts, old: str = "") -> Row:
    stamp = fact.timestamp
    return "timestamp", f"{stamp.time} by {stamp.authority} ({stamp.digest}{old})" if stamp else "none"


def _certificate_rows(encoded: bytes) -> Iterator[Row]:
    try:
        parsed = parse_certificate(encoded)
    except KspSignError:
        return  # the checks say why
    begin, end = parsed.not_valid_before_utc, parsed.not_valid_after_utc
    yield "issuer", distinguished_name(parsed.issuer)
    yield "thumbprint", thumbprint_of(encoded)
    expired = ", expired" if end < datetime.now(UTC) else ""
    yield "certificate", f"valid {begin:%Y-%m-%d} to {end:%Y-%m-%d}{expired}, {describe_key(parsed)}"


def _issuer_rows(signature: FileSignature, fact: SignatureFacts) -> Iterator[Row]:
    """The intermediates that the signature carries and the root that its chain ends in."""
    names = [common_name(parse_certificate(link).subject) for link in _chain(signature)[1:]]
    if fact.root is not None and (not names or fact.root.subject != _subject_of_last(signature)):
        names.append(short_name(fact.root.subject))
    if names:
        names[0] = "issuer" if len(_chain(signature)) > 1 else names[0]  # named in full one line above
        yield "chain", " -> ".join(names) + ("" if fact.root else " (leads to no trusted root)")


def _subject_of_last(signature: FileSignature) -> str:
    return distinguished_name(parse_certificate(_chain(signature)[-1]).subject)


def _format_rows(file: object, signature: FileSignature) -> Iterator[Row]:
    """What a signature of this format alone has, as page hashes."""
    if isinstance(file, DescribedFile):
        yield from file.described(signature)


def _member_rows(file: object) -> Iterator[Row]:
    """What a catalogue or the like lists."""
    if not isinstance(file, ListingFile):
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
