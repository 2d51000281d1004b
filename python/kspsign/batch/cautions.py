"""What a run warns of though nothing failed: certificates that Windows may not honour, or not for as long as hoped;
patterns that change nothing; files that a ClickOnce manifest or another publisher's signature protects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from kspsign.batch.clickonce import listed_in_manifests
from kspsign.batch.select import IdlePattern, Selection
from kspsign.certificates.parse import key_kind, parse_certificate
from kspsign.certificates.validity import expires_soon, is_for_lifetime_signing, is_short_lived
from kspsign.model.errors import TrustError
from kspsign.model.report import FileOutcome, RunWarning
from kspsign.model.values import Artifact, SyncedCertificate, iso_utc

if TYPE_CHECKING:
    from kspsign.model.signing_facts import CertificateFacts

_RSA_ONLY = "Microsoft's root program and App Control for Business support RSA only, so Windows may not trust it"
_USE_RSA = "Use a certificate with an RSA key of 3072 or 4096 bits."
_NAMED = 5


def certificate_warnings(certificate: SyncedCertificate) -> Iterator[RunWarning]:
    """What is to be said of the certificate that signs."""
    leaf = parse_certificate(certificate.chain[0])
    end, now = leaf.not_valid_after_utc, datetime.now(UTC)
    if expires_soon(leaf, now) and not is_short_lived(leaf) and not certificate.test_signing:
        yield RunWarning(
            "CERTIFICATE_ENDS",
            f"certificate {certificate.thumbprint} expires on {iso_utc(end)}, in {(end - now).days} days",
            "Renew it in time, then run certsync: nothing can be signed with it after that day.",
        )
    if is_ecdsa(key_kind(leaf)):
        text = f"certificate {certificate.thumbprint} has an ECDSA key ({key_kind(leaf)}): {_RSA_ONLY}"
        yield RunWarning("ECDSA_CERTIFICATE", text, _USE_RSA)
    try:
        lifetime = is_for_lifetime_signing(leaf)
    except TrustError:
        return  # the chain's checks say what is wrong with it
    if lifetime:
        yield RunWarning(
            "LIFETIME_SIGNING",
            f"certificate {certificate.thumbprint} is for lifetime signing: whatever it signs ends with it on "
            f"{iso_utc(leaf.not_valid_after_utc)}, timestamped or not",
            "Use a certificate without the extended key usage 1.3.6.1.4.1.311.10.3.13 for what is to last longer.",
        )


def no_timestamp_warning(certificate: SyncedCertificate) -> RunWarning:
    """What a run without timestamps means."""
    end = iso_utc(parse_certificate(certificate.chain[0]).not_valid_after_utc)
    return RunWarning(
        "NO_TIMESTAMP",
        f"signatures get no timestamp: they end with certificate {certificate.thumbprint} on {end}",
        "Sign with timestamps, or add them before that day with `kspsign timestamp`.",
    )


def selection_warnings(selection: Selection) -> Iterator[RunWarning]:
    """Patterns that changed nothing."""
    includes = [pattern for pattern in selection.idle if not pattern.excludes]
    excludes = [pattern for pattern in selection.idle if pattern.excludes]
    if includes:
        yield RunWarning(
            "PATTERN_UNMATCHED",
            f"no file matches {_listed(includes)}, while other patterns matched",
            "Check that the build made these files, and the pattern: a file that is missing is not signed.",
        )
    if excludes:
        yield RunWarning(
            "EXCLUSION_UNMATCHED",
            f"nothing is excluded by {_listed(excludes)}",
            "Check the pattern, and put it after the patterns that it is to limit: patterns count in their order.",
        )


def clickonce_warnings(artifacts: Sequence[Artifact]) -> Iterator[RunWarning]:
    """Files whose hashes a ClickOnce manifest holds, and that signing changes."""
    found = [*listed_in_manifests(artifacts)]
    if found:
        names = _first([artifact.name for artifact, _manifest in found])
        yield RunWarning(
            "CLICKONCE_MANIFEST",
            f"the ClickOnce manifest {found[0][1].name} holds hashes of files that are to be signed: {names}. Signing "
            "changes them, and the application will not install",
            "Sign the manifests in the same run (the whole published folder), sign the files before the manifest is "
            "created, or exclude them.",
        )


def skipped_warnings(outcomes: Iterable[FileOutcome], certificate: CertificateFacts | None) -> Iterator[RunWarning]:
    """Files of other publishers that --skip-signed left alone."""
    ours = certificate.subject if certificate is not None else None
    skipped = [
        outcome
        for outcome in outcomes
        if outcome.outcome == "skipped"
        and outcome.signatures
        and all(signature.subject != ours for signature in outcome.signatures)
    ]
    if skipped:
        names = _first([f"{outcome.path} ({outcome.signatures[0].subject})" for outcome in skipped])
        yield RunWarning(
            "VENDOR_SIGNED",
            f"not signed, since others have signed them: {names}",
            "Nothing, if they are libraries of others. Sign your own files before they are shipped: --append or "
            "--replace.",
        )


def signature_warnings(outcomes: Iterable[FileOutcome]) -> Iterator[RunWarning]:
    """What is to be said of the signatures that were judged."""
    files = [outcome for outcome in outcomes if any(is_ecdsa(signature.key) for signature in outcome.signatures)]
    if files:
        first = f"{files[0].path}" + (f" and {len(files) - 1} more" if len(files) > 1 else "")
        yield RunWarning("ECDSA_CERTIFICATE", f"signed with an ECDSA key: {first}; {_RSA_ONLY}", _USE_RSA)


def is_ecdsa(key: str) -> bool:
    """Whether a key of that kind (see `key_kind`) signs with ECDSA."""
    return key.startswith("EC ")


def _listed(patterns: Sequence[IdlePattern]) -> str:
    return _first([f"{pattern.shown}{f' ({pattern.reason})' if pattern.reason else ''}" for pattern in patterns])


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
