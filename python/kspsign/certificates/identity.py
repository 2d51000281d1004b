"""Who a certificate speaks for, beyond one certificate: what stays the same when it is renewed."""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple, Self

from cryptography import x509

from kspsign.certificates.parse import extension, outline, parse_certificate, thumbprint_of
from kspsign.model.errors import TrustError

_DURABLE = re.compile(r"1\.3\.6\.1\.4\.1\.311\.97\.(?:(?!1\.)\d+(?:\.\d+){3}|1\.[34]\.1(?:\.\d+)+)")
"""The extended key usages by which Azure Artifact Signing names a subscriber: four numbers for Public Trust, those
below 1.3.1 and 1.4.1 for Private Trust. Usages that all its certificates share (1.0 and others) identify no one."""


def is_durable_usage(oid: str) -> bool:
    """Whether the extended key usage `oid` (dotted) names one subscriber for good."""
    return _DURABLE.fullmatch(oid) is not None


class PublisherIdentity(NamedTuple):
    """The publisher that a certificate names.

    `thumbprint` is the certificate's own; `subject` and `issuer` are whole DER names (RFC 5280 §4.1.2.4, §4.1.2.6);
    `durable` holds the usages (dotted OIDs) that a service gives one subscriber for good. Whether two identities are
    the same decides what is "ours" and is left alone; it proves nothing: a file is trusted when it verifies.
    """

    thumbprint: str
    subject: bytes
    issuer: bytes
    durable: frozenset[str]

    @classmethod
    def of(cls, leaf: bytes) -> Self:
        """The identity in the certificate `leaf` (DER); raises TrustError when it can't be read."""
        outlined = outline(leaf)
        return cls(thumbprint_of(leaf), outlined.subject, outlined.issuer, _durable_usages(parse_certificate(leaf)))

    def is_same(self, other: PublisherIdentity) -> bool:
        """Whether both are one certificate, have subject and issuer in common, or a durable usage."""
        return (
            self.thumbprint == other.thumbprint
            or (self.subject, self.issuer) == (other.subject, other.issuer)
            or not self.durable.isdisjoint(other.durable)
        )

    @property
    def label(self) -> str:
        """40 upper-case hex digits that outlive a renewal: of the durable usages, else of subject and issuer."""
        lasting = "\n".join(sorted(self.durable)).encode() or self.subject + self.issuer
        return hashlib.sha1(lasting, usedforsecurity=False).hexdigest().upper()


def _durable_usages(parsed: x509.Certificate) -> frozenset[str]:
    try:
        usages = extension(parsed, x509.ExtendedKeyUsage)
    except TrustError:
        return frozenset()  # the verifier meets the same fault and reports it
    named = (usage.dotted_string for usage in usages.value) if usages is not None else ()
    return frozenset(oid for oid in named if is_durable_usage(oid))
