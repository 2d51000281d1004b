"""A certificate with its issuers, in order, as far as they are known."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from kspsign.certificates.parse import parse_certificate, to_der


def ordered_chain(leaf: bytes, certificates: Sequence[x509.Certificate]) -> tuple[bytes, ...]:
    """`leaf` and its issuers as DER, leaf first, as far as they are among `certificates`; strangers are left out.

    Of a cross-signed root the cross certificate is taken: those who trust the root need neither, the others need it.
    Raises TrustError when `leaf` is not a certificate.
    """
    chain = [parse_certificate(leaf)]
    crossed_first = sorted(certificates, key=lambda certificate: certificate.subject == certificate.issuer)
    while issuer := next(
        (candidate for candidate in crossed_first if candidate not in chain and _issued(candidate, chain[-1])), None
    ):
        chain.append(issuer)
    return tuple(to_der(certificate) for certificate in chain)


def _issued(issuer: x509.Certificate, subject: x509.Certificate) -> bool:
    if issuer.subject != subject.issuer:
        return False
    try:
        subject.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
