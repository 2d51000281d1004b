"""Chooses among several certificates for one key: the newest one that is valid now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TypeVar

from cryptography import x509

from kspsign.certificates.parse import display_name, thumbprint_of, to_der
from kspsign.certificates.validity import validity
from kspsign.model.errors import PrerequisiteError
from kspsign.model.values import iso_utc

_Candidate = TypeVar("_Candidate")


def newest_valid(
    candidates: Iterable[_Candidate], now: datetime, validity_of: Callable[[_Candidate], tuple[datetime, datetime]]
) -> _Candidate | None:
    """Of those valid at `now` the one issued last, then the one that is valid longest; None when none is valid."""
    valid = [candidate for candidate in candidates if validity_of(candidate)[0] <= now <= validity_of(candidate)[1]]
    return max(valid, key=validity_of, default=None)


def choose_newest(
    candidates: Sequence[x509.Certificate], now: datetime, where: str
) -> tuple[x509.Certificate, tuple[str, ...]]:
    """The newest valid one at `now`, and a remark on the choice if there was one to make.

    `where` names the key for people. Raises PrerequisiteError when none is valid.
    """
    chosen = newest_valid(candidates, now, validity)
    if chosen is None:
        raise PrerequisiteError(
            f"no certificate of {where} is valid now: {'; '.join(map(_described, candidates)) or 'it has none'}",
            code="CERTIFICATE_NOT_VALID",
            remedy="Renew the certificate for this key (or correct the agent's clock), then run kspsign certsync.",
        )
    others = [candidate for candidate in candidates if candidate != chosen]
    if not others:
        return chosen, ()
    listed = "; ".join(map(_described, others))
    remark = f"{where} has {len(candidates)} certificates; the newest valid one is used: {_described(chosen)}"
    return chosen, (f"{remark}; not used: {listed}",)


def superseded(
    chosen: x509.Certificate, candidates: Sequence[x509.Certificate], now: datetime, where: str
) -> tuple[str, ...]:
    """A remark on a certificate that was named although a newer one is valid at `now`."""
    newer = [
        candidate
        for candidate in candidates
        if candidate.not_valid_before_utc <= now <= candidate.not_valid_after_utc
        and candidate.not_valid_before_utc > chosen.not_valid_before_utc
    ]
    if not newer:
        return ()
    return (f"{where}: {_described(chosen)} is superseded by {'; '.join(map(_described, newer))}",)


def _described(certificate: x509.Certificate) -> str:
    begin, end = map(iso_utc, validity(certificate))
    return f"{thumbprint_of(to_der(certificate))} {display_name(certificate)} ({begin} to {end})"
