"""Which certificate of a Windows store is meant: by thumbprint, friendly name or key container; the newest valid."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from kspsign.certificates.parse import parse_certificate
from kspsign.keys.windows.certificate_store import StoreCertificate
from kspsign.keys.windows.options import WindowsOptions
from kspsign.model.errors import TrustError
from kspsign.model.values import iso_utc


@dataclass(frozen=True, slots=True)
class Candidate:
    """A certificate of the store that can be read, with what it can be known by."""

    thumbprint: str
    der: bytes
    subject: str
    not_before: datetime
    not_after: datetime
    friendly_name: str | None
    provider: str | None
    container: str | None

    @property
    def until(self) -> str:
        """The end of its validity, for people."""
        return iso_utc(self.not_after)

    def __str__(self) -> str:
        return f"{self.thumbprint} {self.friendly_name or '(no friendly name)'} ({self.subject}, until {self.until})"


def candidates_of(certificates: Iterable[StoreCertificate]) -> tuple[Candidate, ...]:
    """The readable ones; a damaged certificate of a stranger is passed over."""
    return tuple(found for each in certificates if (found := _candidate(each)) is not None)


def matching(candidates: Sequence[Candidate], options: WindowsOptions) -> tuple[Candidate, ...]:
    """Those that --thumbprint names, else those whose friendly name or key container is the alias, case and all."""
    if options.thumbprint is not None:
        return tuple(each for each in candidates if each.thumbprint == options.thumbprint)
    alias = options.keypair_alias
    return tuple(each for each in candidates if alias in {each.friendly_name, each.container})


def newest_valid(candidates: Sequence[Candidate], now: datetime) -> Candidate | None:
    """Of those valid at `now` the one issued last, then the one that is valid longest; one with a key first."""
    valid = [each for each in candidates if each.not_before <= now <= each.not_after]
    return max(valid, key=lambda each: (each.container is not None, each.not_before, each.not_after), default=None)


def near_miss(wanted: str, candidates: Sequence[Candidate]) -> str | None:
    """The name in the store that `wanted` was probably meant to be: the same in another case, else a near one."""
    names = sorted({name for each in candidates for name in _names(each)} - {wanted})
    same = next((name for name in names if name.casefold() == wanted.strip().casefold()), None)
    if same is not None:
        return same
    return next(iter(difflib.get_close_matches(wanted, names, n=1, cutoff=0.75)), None)


def _names(candidate: Candidate) -> tuple[str, ...]:
    return tuple(name for name in (candidate.friendly_name, candidate.container, candidate.thumbprint) if name)


def _candidate(certificate: StoreCertificate) -> Candidate | None:
    try:
        parsed = parse_certificate(certificate.der)
        subject = parsed.subject.rfc4514_string()
    except (TrustError, ValueError):
        return None
    return Candidate(
        thumbprint=hashlib.sha1(certificate.der, usedforsecurity=False).hexdigest().upper(),
        der=certificate.der,
        subject=subject,
        not_before=parsed.not_valid_before_utc,
        not_after=parsed.not_valid_after_utc,
        friendly_name=certificate.friendly_name,
        provider=certificate.provider,
        container=certificate.container,
    )
