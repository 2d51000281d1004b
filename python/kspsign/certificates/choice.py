"""Which of several certificates for one key signs: of those valid now the newest."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

from cryptography import x509

from kspsign.certificates.parse import display_name, to_der
from kspsign.model.errors import PrerequisiteError
from kspsign.model.values import iso_utc


def choose_newest(
    candidates: Sequence[x509.Certificate], now: datetime, where: str
) -> tuple[x509.Certificate, tuple[str, ...]]:
    """Of those valid at `now` the one issued last, and what to say of the choice if there was one to make.

    `where` names the key for people. Raises PrerequisiteError when none is valid.
    """
    valid = [each for each in candidates if each.not_valid_before_utc <= now <= each.not_valid_after_utc]
    if not valid:
        raise PrerequisiteError(
            f"no certificate of {where} is valid now: {'; '.join(map(_described, candidates)) or 'there is none'}",
            code="CERTIFICATE_NOT_VALID",
            remedy="Renew the certificate for this key (or correct the agent's clock), then run kspsign certsync.",
        )
    chosen = max(valid, key=lambda each: (each.not_valid_before_utc, each.not_valid_after_utc))
    others = [each for each in candidates if each != chosen]
    if not others:
        return chosen, ()
    listed = "; ".join(map(_described, others))
    remark = f"{where} has {len(candidates)} certificates; the newest valid one is taken: {_described(chosen)}"
    return chosen, (f"{remark}; not taken: {listed}",)


def superseded(
    chosen: x509.Certificate, candidates: Sequence[x509.Certificate], now: datetime, where: str
) -> tuple[str, ...]:
    """What to say of a certificate that was named although a newer one is valid at `now`."""
    newer = [
        each
        for each in candidates
        if each.not_valid_before_utc <= now <= each.not_valid_after_utc
        and each.not_valid_before_utc > chosen.not_valid_before_utc
    ]
    if not newer:
        return ()
    return (f"{where}: {_described(chosen)} is superseded by {'; '.join(map(_described, newer))}",)


def _described(certificate: x509.Certificate) -> str:
    thumbprint = hashlib.sha1(to_der(certificate), usedforsecurity=False).hexdigest().upper()
    begin, end = iso_utc(certificate.not_valid_before_utc), iso_utc(certificate.not_valid_after_utc)
    return f"{thumbprint} {display_name(certificate)} ({begin} to {end})"
