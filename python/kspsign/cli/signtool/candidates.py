"""The certificates that a call may sign with, and SignTool's filters on them.

The portable thumbprint store has the place of the store "MY" of user and machine; on Windows that store itself counts
too, for certificates whose private key is there.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from kspsign.certificates.parse import (
    distinguished_name,
    extension,
    parse_certificate,
    thumbprint_of,
)
from kspsign.certsync.portable_store import list_entries
from kspsign.cli.signtool.grammar import Call
from kspsign.cli.signtool.words import CertificateWords
from kspsign.model.errors import TrustError


class SigningCandidate(NamedTuple):
    """A certificate, its issuers as far as they are known (DER, leaf first), and whether only Windows has its key."""

    parsed: x509.Certificate
    chain: tuple[bytes, ...]
    in_windows: bool = False

    @property
    def thumbprint(self) -> str:
        """Its SHA-1, 40 upper-case hex digits."""
        return thumbprint_of(self.chain[0])

    @property
    def words(self) -> CertificateWords:
        """The certificate as SignTool shows it."""
        return CertificateWords.of(self.parsed)


class Filtered(NamedTuple):
    """What was considered, how many each filter left, and which remain."""

    considered: tuple[SigningCandidate, ...]
    counts: tuple[tuple[str, int], ...]
    left: tuple[SigningCandidate, ...]


def find_candidates(store: Path, *, machine: bool) -> tuple[SigningCandidate, ...]:
    """Every certificate that could be meant. Raises PrerequisiteError when the portable store is damaged."""
    entries = list_entries(store)
    known = [SigningCandidate(parse_certificate(entry.chain[0]), entry.chain) for entry in entries]
    thumbprints = {candidate.thumbprint for candidate in known}
    return (*known, *(found for found in _in_windows(machine=machine) if found.thumbprint not in thumbprints))


def filtered(candidates: Sequence[SigningCandidate], call: Call, thumbprint: str | None) -> Filtered:
    """SignTool's filters in its order; the one for private keys is the key store's to apply."""
    left = tuple(candidates)
    counts: list[tuple[str, int]] = []
    for name, keeps in _filters(call, thumbprint):
        left = tuple(candidate for candidate in left if keeps(candidate))
        counts.append((name, len(left)))
    return Filtered(tuple(candidates), tuple(counts), left)


def _filters(call: Call, thumbprint: str | None) -> Iterator[tuple[str, Callable[[SigningCandidate], bool]]]:
    yield "EKU", _for_code_signing
    now = datetime.now(UTC)
    yield "expiry", lambda candidate: now <= candidate.parsed.not_valid_after_utc
    if thumbprint is not None:
        yield "Hash", lambda candidate: candidate.thumbprint == thumbprint
    for option, name, of in (
        ("n", "Subject Name", lambda candidate: candidate.parsed.subject),
        ("i", "Issuer Name", lambda candidate: candidate.parsed.issuer),
        ("r", "Root Name", lambda candidate: parse_certificate(candidate.chain[-1]).issuer),
    ):
        wanted = call.value(option)
        if wanted is not None:
            yield name, _named(wanted, of)


def _named(wanted: str, of: Callable[[SigningCandidate], x509.Name]) -> Callable[[SigningCandidate], bool]:
    return lambda candidate: wanted.casefold() in distinguished_name(of(candidate)).casefold()


def _for_code_signing(candidate: SigningCandidate) -> bool:
    try:
        found = extension(candidate.parsed, x509.ExtendedKeyUsage)
    except TrustError:
        return False
    return found is None or ExtendedKeyUsageOID.CODE_SIGNING in found.value


def _in_windows(*, machine: bool) -> tuple[SigningCandidate, ...]:
    """Those of the store My whose private key Windows knows; none elsewhere."""
    found: list[SigningCandidate] = []
    if sys.platform == "win32":
        from kspsign.keys.windows.certificate_store import read_store  # noqa: PLC0415 - Windows alone has one

        for listed in read_store("system" if machine else "user", "MY"):
            with contextlib.suppress(TrustError):  # a damaged certificate of a stranger
                if listed.container is not None:
                    found.append(SigningCandidate(parse_certificate(listed.der), (listed.der,), in_windows=True))
    return tuple(found)
