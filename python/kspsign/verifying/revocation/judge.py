"""The check of a chain's revocation: each certificate is looked up once in a run, by OCSP or else by CRL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from kspsign.certificates.parse import display_name, extension, to_der
from kspsign.concurrency.single_flight import SingleFlight
from kspsign.model.checks import CheckName
from kspsign.model.errors import TrustError
from kspsign.model.hresults import Hresult
from kspsign.model.network_options import NetworkOptions
from kspsign.model.values import Finding, iso_utc
from kspsign.network.address import shown_url
from kspsign.network.fetch import open_fetching
from kspsign.verifying.revocation.answers import RevocationAnswer, Revoked, undetermined
from kspsign.verifying.revocation.crl import (
    delta_points,
    distribution_points,
    is_supplemented,
    load_crl,
    look_up,
)
from kspsign.verifying.revocation.ocsp import ask_responder
from kspsign.verifying.usage import CertificatePurpose

_COMPROMISED = frozenset(
    {x509.ReasonFlags.key_compromise, x509.ReasonFlags.ca_compromise, x509.ReasonFlags.aa_compromise}
)


class Revocation:
    """Asks about chains and remembers every answer; safe to share between threads.

    Raises ConfigurationError for a proxy or a CA file of `network` that can't be used.
    """

    def __init__(self, network: NetworkOptions) -> None:
        self._pool = open_fetching(network)
        self._answers: SingleFlight[RevocationAnswer] = SingleFlight()
        self._crls: SingleFlight[x509.CertificateRevocationList] = SingleFlight()

    def finding(
        self, path: Sequence[x509.Certificate], purpose: CertificatePurpose, stamped: datetime | None
    ) -> Finding:
        """The check "revocation" ("timestamp-revocation") of a valid chain, leaf first, its root last.

        `stamped` is the trusted time of what the leaf signed, None when there is none: revoked counts then.
        """
        check: CheckName = "revocation" if purpose is CertificatePurpose.CODE_SIGNING else "timestamp-revocation"
        seen: list[str] = []
        unknown: list[str] = []
        for certificate, issuer in pairwise(path):
            try:
                answer = self._answer(certificate, issuer)
            except TrustError as error:
                unknown.append(f"{display_name(certificate)}: {error.message}")
                continue
            said, counts = _told(certificate, answer, purpose, stamped)
            if counts:
                return Finding(check, said, Hresult.CERT_E_REVOKED)
            seen.append(said)
        if unknown:
            return Finding(check, "; ".join(unknown), Hresult.CRYPT_E_REVOCATION_OFFLINE)
        return Finding(check, "; ".join(seen) or "the certificate itself is trusted by name, so it can't be revoked")

    def _answer(self, certificate: x509.Certificate, issuer: x509.Certificate) -> RevocationAnswer:
        return self._answers.get((to_der(certificate), to_der(issuer)), lambda: self._ask(certificate, issuer))

    def _ask(self, certificate: x509.Certificate, issuer: x509.Certificate) -> RevocationAnswer:
        """The first answer that counts. Raises TrustError naming what each place did wrong."""
        now = datetime.now(UTC)
        faults = []
        for url in _responders(certificate):
            try:
                return ask_responder(self._pool, url, certificate, issuer, now, self._vouch_for)
            except TrustError as error:
                faults.append(f"OCSP {shown_url(url)}: {error.message}")
        for answer in self._from_crls(certificate, issuer, faults, now):
            return answer
        raise undetermined("; ".join(faults) or "the certificate names neither an OCSP responder nor a CRL")

    def _from_crls(
        self, certificate: x509.Certificate, issuer: x509.Certificate, faults: list[str], now: datetime
    ) -> Iterator[RevocationAnswer]:
        for point in distribution_points(certificate):
            try:
                crl = self._load(point.url)
                delta = self._delta(crl, certificate)
                yield look_up(crl, point, certificate, issuer, now, delta)
            except TrustError as error:
                faults.append(f"CRL {shown_url(point.url)}: {error.message}")

    def _load(self, url: str) -> x509.CertificateRevocationList:
        return self._crls.get(url, lambda: load_crl(self._pool, url))

    def _delta(
        self, crl: x509.CertificateRevocationList, certificate: x509.Certificate
    ) -> x509.CertificateRevocationList | None:
        """The delta CRL to `crl`, None when there is none; raises TrustError when one can't be obtained."""
        if not is_supplemented(crl, certificate):
            return None
        faults = []
        for point in delta_points(crl, certificate):
            try:
                return self._load(point.url)
            except TrustError as error:
                faults.append(f"{shown_url(point.url)}: {error.message}")
        raise undetermined("; ".join(["there is a delta CRL to it that could not be obtained", *faults]))

    def _vouch_for(self, responder: x509.Certificate, issuer: x509.Certificate) -> None:
        """Only a CRL may speak of a responder: others of its kind can't."""
        faults: list[str] = []
        for answer in self._from_crls(responder, issuer, faults, datetime.now(UTC)):
            if answer.revoked is not None:
                raise undetermined(f"the responder {display_name(responder)} is revoked")
            return
        raise undetermined(
            "; ".join([f"whether the responder {display_name(responder)} is revoked is unknown", *faults])
        )


def _told(
    certificate: x509.Certificate, answer: RevocationAnswer, purpose: CertificatePurpose, stamped: datetime | None
) -> tuple[str, bool]:
    """What is to be said of a certificate, and whether it counts as revoked."""
    if answer.revoked is None:
        return f"{display_name(certificate)} good by {answer.source} until {iso_utc(answer.until)}", False
    since, reason = answer.revoked.since, answer.revoked.reason
    why = (
        f"{display_name(certificate)} revoked since {iso_utc(since)} ({reason.value if reason else 'no reason given'})"
    )
    if _counts(answer.revoked, purpose, stamped):
        return f"{why}, by {answer.source}", True
    return f"{why}, after the timestamp, by {answer.source}", False


def _counts(revoked: Revoked, purpose: CertificatePurpose, stamped: datetime | None) -> bool:
    """Whether a revocation reaches back to what was stamped at that time."""
    if stamped is None or revoked.since <= stamped or revoked.reason in _COMPROMISED:
        return True
    return purpose is CertificatePurpose.TIMESTAMPING and revoked.reason is None


def _responders(certificate: x509.Certificate) -> list[str]:
    stated = extension(certificate, x509.AuthorityInformationAccess)
    return [
        description.access_location.value
        for description in (stated.value if stated is not None else ())
        if description.access_method == AuthorityInformationAccessOID.OCSP
        and isinstance(description.access_location, x509.UniformResourceIdentifier)
        and description.access_location.value.lower().startswith(("http://", "https://"))
    ]
