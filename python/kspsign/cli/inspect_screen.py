"""One file as `kspsign inspect` shows it to people: what it is, its signatures and checks, on one screen."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TextIO

from kspsign.authenticode.profile import FileSignature
from kspsign.authenticode.signable import DescribedFile, ListingFile, SignableFile
from kspsign.certificates.parse import common_name, distinguished_name, parse_certificate, thumbprint_of
from kspsign.certificates.public_key import describe_key
from kspsign.cli.inspected import Inspected, carried_chain, inner_signatures, own_signatures
from kspsign.model.errors import KspSignError
from kspsign.model.report import FileOutcome
from kspsign.model.run_facts import InsideFacts
from kspsign.model.values import SignatureFacts
from kspsign.publishing import wording
from kspsign.publishing.sanitize import log_line
from kspsign.verifying import read_signatures

_LABEL = 14
_MOST_MEMBERS = 12  # as many as fit on one screen with the rest

Row = tuple[str, str]


def print_screen(found: Inspected, out: TextIO, width: int) -> None:
    """Print all about a file of its own."""
    outcome, file = found.outcome, found.file
    for label, text in (
        *_file_rows(found),
        *_inside_rows(inner_signatures(outcome)),
        *_signature_rows(file, own_signatures(outcome)),
        *_member_rows(file),
        *_check_rows(outcome),
        *_content_rows(outcome.inside),
    ):
        out.writelines(f"{line}\n" for line in _lines(label, log_line(text), width))


def print_line(outcome: FileOutcome, depth: int, out: TextIO) -> None:
    """Print the line of a file that is `depth` containers deep."""
    parts = (
        f"{wording.verdict_word(outcome):11}",
        f"{log_line(outcome.format or '?'):5}",
        log_line(outcome.path),
        wording.signer_text(outcome) or ("an unreadable signature" if _has_signature(outcome) else "not signed"),
        wording.timestamp_text(outcome),
        wording.code_text(outcome.error) if outcome.error is not None else "",
        *(f"{label} {log_line(text)}" for label, text in _content_rows(outcome.inside)),
    )
    out.write(f"{'  ' * (depth + 1)}{'  '.join(part for part in parts if part)}\n")


def _content_rows(facts: InsideFacts | None) -> Iterator[Row]:
    """What a container holds; a line for each file follows."""
    if facts is None:
        return
    from kspsign.batch.inside.enter import inside_counts  # noqa: PLC0415 - few look inside

    if facts.files or facts.not_matched or facts.not_signable:
        yield "inside", ", ".join(inside_counts([facts]))
    if facts.not_opened:
        yield "not opened", facts.not_opened


def _lines(label: str, text: str, width: int) -> Iterator[str]:
    """A label and its text, continued below it; a label without text is a heading."""
    if not text:
        yield label
        return
    pieces = textwrap.wrap(text, max(width - _LABEL, 1), break_on_hyphens=False) or [""]
    for piece in pieces:
        yield f"  {label:<{_LABEL - 2}}{piece}"
        label = ""


def _file_rows(found: Inspected) -> Iterator[Row]:
    outcome = found.outcome
    yield log_line(outcome.path), ""
    yield "format", outcome.format or "unknown"
    yield "size", f"{found.snapshot.size:,} bytes"
    yield "sha256", found.sha256
    if not outcome.signatures:
        yield "signatures", "none that can be read" if _has_signature(outcome) else "none"


def _has_signature(outcome: FileOutcome) -> bool:
    return any(check.name == "signed" and check.ok for check in outcome.verdict.checks)


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
    names = [common_name(parse_certificate(link).subject) for link in carried_chain(signature)[1:]]
    if fact.root is not None and (not names or fact.root.subject != _subject_of_last(signature)):
        names.append(wording.short_name(fact.root.subject))
    if names:
        names[0] = "issuer" if len(carried_chain(signature)) > 1 else names[0]  # named in full one line above
        yield "chain", " -> ".join(names) + ("" if fact.root else " (leads to no trusted root)")


def _subject_of_last(signature: FileSignature) -> str:
    return distinguished_name(parse_certificate(carried_chain(signature)[-1]).subject)


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


def _check_rows(outcome: FileOutcome) -> Iterator[Row]:
    """What passed by name alone, once for all signatures; what failed with its reason, and the fix."""
    verdict, error = outcome.verdict, outcome.error
    yield f"{verdict.result}{f': {error.code} ({error.hresult})' if error else ''}", ""
    passed = dict.fromkeys(check.name.partition("#")[0] for check in verdict.checks if check.ok)
    if passed:
        yield "passed", " ".join(passed)
    for check in verdict.checks:
        if not check.ok:
            yield "FAILED", f"{check.name}: {check.detail}"
    if error is not None:
        yield "remedy", error.remedy
