"""Finds a certificate in a Windows store: by thumbprint, friendly name or key container; the newest valid one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from kspsign.certificates.choice import newest_valid
from kspsign.certificates.parse import parse_certificate, thumbprint_of
from kspsign.keys.windows.certificate_store import StoreCertificate
from kspsign.keys.windows.options import WindowsOptions
from kspsign.model.errors import TrustError
from kspsign.model.suggest import suggest
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
    return tuple(found for certificate in certificates if (found := _candidate(certificate)) is not None)


def matching(candidates: Sequence[Candidate], options: WindowsOptions) -> tuple[Candidate, ...]:
    """Those that --thumbprint names, else those whose friendly name or key container is the alias, case and all."""
    if options.thumbprint is not None:
        return tuple(candidate for candidate in candidates if candidate.thumbprint == options.thumbprint)
    alias = options.keypair_alias
    return tuple(candidate for candidate in candidates if alias in {candidate.friendly_name, candidate.container})


def newest_candidate(candidates: Sequence[Candidate], now: datetime) -> Candidate | None:
    """The newest one valid at `now` that has a key, else the newest valid one."""
    with_key = [candidate for candidate in candidates if candidate.container is not None]
    return newest_valid(with_key, now, _validity) or newest_valid(candidates, now, _validity)


@dataclass(frozen=True, slots=True)
class Choice:
    """What there was to choose from, for people; `superseded` when a newer one than the named one would sign too."""

    remarks: tuple[str, ...] = ()
    superseded: bool = False


def choice(chosen: Candidate, present: Sequence[Candidate], options: WindowsOptions, now: datetime) -> Choice:
    """Why `chosen` signs of all that the store holds for its key: the newest valid one with a private key, or the one
    that --thumbprint names."""
    if options.thumbprint is not None:
        names = {chosen.friendly_name, chosen.container} - {None}
        newer = [
            candidate
            for candidate in present
            if names & {candidate.friendly_name, candidate.container}
            and candidate.container is not None
            and candidate.not_before <= now <= candidate.not_after
            and candidate.not_before > chosen.not_before
        ]
        said = f"{chosen.thumbprint} is superseded by {'; '.join(map(_dated, newer))}"
        return Choice((said,), superseded=True) if newer else Choice()
    found = matching(present, options)
    others = "; ".join(_dated(candidate) for candidate in found if candidate != chosen)
    if not others:
        return Choice()
    where = f"{options.keypair_alias} has {len(found)} certificates in the store My of the {options.certificate_store}"
    return Choice((f"{where}; the newest valid one with a private key is used: {_dated(chosen)}; not used: {others}",))


def near_miss(wanted: str, candidates: Sequence[Candidate]) -> str | None:
    """The name in the store that `wanted` was probably meant to be: the same in another case, else a near one."""
    names = {name for candidate in candidates for name in _names(candidate)} - {wanted}
    return next(iter(suggest(wanted, names, cutoff=0.75)), None)


def _dated(candidate: Candidate) -> str:
    keyless = ", no private key" if candidate.container is None else ""
    return f"{candidate.thumbprint} {candidate.subject} ({iso_utc(candidate.not_before)} to {candidate.until}{keyless})"


def _validity(candidate: Candidate) -> tuple[datetime, datetime]:
    return candidate.not_before, candidate.not_after


def _names(candidate: Candidate) -> tuple[str, ...]:
    return tuple(name for name in (candidate.friendly_name, candidate.container, candidate.thumbprint) if name)


def _candidate(certificate: StoreCertificate) -> Candidate | None:
    try:
        parsed = parse_certificate(certificate.der)
        subject = parsed.subject.rfc4514_string()
    except (TrustError, ValueError):
        return None
    return Candidate(
        thumbprint=thumbprint_of(certificate.der),
        der=certificate.der,
        subject=subject,
        not_before=parsed.not_valid_before_utc,
        not_after=parsed.not_valid_after_utc,
        friendly_name=certificate.friendly_name,
        provider=certificate.provider,
        container=certificate.container,
    )
