"""The requirements on each certificate of a path for code signing and timestamping (RFC 5280 §6.1).

Where Windows' chain engine differs from RFC 5280 its rule holds: an intermediate's extended key usage limits
what is below it, and RSA keys under 2048 bits are refused. Stricter than Windows: without a policy that admits
it, SHA-1 counts in no chain, also not in one that was timestamped before 2016; a code-signing certificate must
state its usage; a critical extension that isn't evaluated here is refused. A timestamping certificate's extended
key usage is critical, as RFC 3161 §2.3 wants it, except below roots of the Microsoft root program: Microsoft's own
authorities of before 2021 left it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import Enum
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from kspsign.certificates.parse import CHAIN_CHECK, display_name, extension, extensions, outline, to_der
from kspsign.model.checks import CheckName
from kspsign.model.errors import TrustError
from kspsign.model.hresults import Hresult
from kspsign.model.values import iso_utc
from kspsign.verifying.certificate_policies import POLICY_MAPPINGS, policy_violations
from kspsign.verifying.name_constraints import name_violations
from kspsign.verifying.roots import Anchor
from kspsign.verifying.strength import Strength

_VALIDITY_CHECK: Final = "certificate-validity"
_EXTENDED_USAGE_CHECK: Final = "extended-key-usage"
_USAGE_CHECK: Final = "key-usage"

_OTHER_CERTIFICATE = "Ask the CA for a certificate that follows RFC 5280."
_SERIAL_BITS = 159
"""Of 20 octets, the first bit of which is the sign."""
_ANY_USAGE = "2.5.29.37.0"
_EVALUATED = frozenset(
    (
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.NAME_CONSTRAINTS,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.CERTIFICATE_POLICIES,
        ExtensionOID.POLICY_CONSTRAINTS,
        ExtensionOID.INHIBIT_ANY_POLICY,
        POLICY_MAPPINGS,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.CRL_DISTRIBUTION_POINTS,  # says where to look, constrains nothing
        ExtensionOID.AUTHORITY_INFORMATION_ACCESS,
    )
)


class CertificatePurpose(Enum):
    """What a chain is validated for; the value is the extended key usage's OID (RFC 5280 §4.2.1.12)."""

    CODE_SIGNING = "1.3.6.1.5.5.7.3.3"
    TIMESTAMPING = "1.3.6.1.5.5.7.3.8"

    @property
    def words(self) -> str:
        """The purpose in a sentence."""
        return "code signing" if self is CertificatePurpose.CODE_SIGNING else "timestamping"


class ChainFault(NamedTuple):
    """One named check that failed, as Windows would say it, and what was seen; `remedy` where it is not the term's."""

    check: CheckName
    hresult: Hresult
    detail: str
    remedy: str | None = None


def time_independent_faults(
    path: Sequence[x509.Certificate], anchor: Anchor | None, purpose: CertificatePurpose, strength: Strength
) -> Iterator[ChainFault]:
    """The faults of a path (leaf first) that are the same at any moment."""
    try:
        for position, certificate in enumerate(path):
            weakness = strength.key_weakness(certificate)
            if weakness:
                reason = f"the key of {display_name(certificate)} {weakness}"
                yield ChainFault(CHAIN_CHECK, Hresult.NTE_BAD_ALGID, reason)
            if position < len(path) - 1 or anchor is None or not anchor.explicit:
                yield from _path_faults(certificate)
            if position > 0:
                yield from _ca_faults(path, position, anchor)
                yield from _nested_usage_faults(certificate, purpose)
        yield from _leaf_usage_faults(path[0], purpose)
        if purpose is CertificatePurpose.TIMESTAMPING:
            yield from _authority_usage_faults(path[0], anchor)
        yield from _constraint_faults(path, anchor)
    except TrustError as error:
        yield ChainFault(CHAIN_CHECK, error.hresult or Hresult.TRUST_E_MALFORMED_SIGNATURE, error.message)
    if anchor is not None and not anchor.allows(purpose.value):
        reason = f"the root {display_name(anchor.certificate)} is not trusted for {purpose.words}"
        yield ChainFault(_EXTENDED_USAGE_CHECK, Hresult.CERT_E_WRONG_USAGE, reason)


def _constraint_faults(path: Sequence[x509.Certificate], anchor: Anchor | None) -> Iterator[ChainFault]:
    for violation in name_violations(path):
        yield ChainFault(CHAIN_CHECK, Hresult.CERT_E_INVALID_NAME, violation)
    for violation in policy_violations(path) if anchor is not None else ():
        yield ChainFault(CHAIN_CHECK, Hresult.CERT_E_INVALID_POLICY, violation, _OTHER_CERTIFICATE)


def faults_at_time(
    path: Sequence[x509.Certificate], anchor: Anchor | None, purpose: CertificatePurpose, moment: datetime
) -> Iterator[ChainFault]:
    """The faults of a path (leaf first) at the moment that counts (timezone-aware)."""
    for certificate in path:
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if not begin <= moment <= end:
            reason = f"{display_name(certificate)} was valid from {iso_utc(begin)} to {iso_utc(end)}"
            yield ChainFault(_VALIDITY_CHECK, Hresult.CERT_E_EXPIRED, reason)
    if anchor is not None:
        yield from _distrust_faults(path[0], anchor, purpose, moment)


def _distrust_faults(
    leaf: x509.Certificate, anchor: Anchor, purpose: CertificatePurpose, moment: datetime
) -> Iterator[ChainFault]:
    root = display_name(anchor.certificate)
    if anchor.disallowed_after is not None and moment > anchor.disallowed_after:
        reason = f"the root {root} is disabled since {iso_utc(anchor.disallowed_after)}"
        yield ChainFault(CHAIN_CHECK, Hresult.TRUST_E_EXPLICIT_DISTRUST, reason)
    if anchor.issued_until is not None and not anchor.counts_when_issued(leaf.not_valid_before_utc, purpose.value):
        reason = f"the root {root} is not trusted for {purpose.words} certificates issued after"
        yield ChainFault(CHAIN_CHECK, Hresult.TRUST_E_EXPLICIT_DISTRUST, f"{reason} {iso_utc(anchor.issued_until)}")


def _path_faults(certificate: x509.Certificate) -> Iterator[ChainFault]:
    """What no certificate of a path may have (RFC 5280 §4.1.2.2, §4.2). An anchor that the user named is not asked: it
    is trusted for its name and key."""
    serial = outline(to_der(certificate)).serial_number
    if not 0 < serial < 1 << _SERIAL_BITS:
        reason = f"the serial number of {display_name(certificate)} is not a positive one of at most 20 octets"
        yield ChainFault(CHAIN_CHECK, Hresult.TRUST_E_MALFORMED_SIGNATURE, reason, _OTHER_CERTIFICATE)
    for found in extensions(certificate):
        if found.critical and found.oid not in _EVALUATED:
            reason = (
                f"{display_name(certificate)} has a critical extension that is not known: {found.oid.dotted_string}"
            )
            yield ChainFault(CHAIN_CHECK, Hresult.CERT_E_CRITICAL, reason)


def _ca_faults(path: Sequence[x509.Certificate], position: int, anchor: Anchor | None) -> Iterator[ChainFault]:
    """Whether path[position] may issue the one before it (RFC 5280 §6.1.4 k to n)."""
    certificate = path[position]
    constraints = extension(certificate, x509.BasicConstraints)
    is_anchor = anchor is not None and position == len(path) - 1
    if constraints is None:
        if not (is_anchor and certificate.version is x509.Version.v1):  # which can't say so, but was chosen as root
            reason = f"{display_name(certificate)} issues certificates but is not a CA"
            yield ChainFault(CHAIN_CHECK, Hresult.TRUST_E_BASIC_CONSTRAINTS, reason)
    elif not constraints.value.ca:
        reason = f"{display_name(certificate)} issues certificates but says it is not a CA"
        yield ChainFault(CHAIN_CHECK, Hresult.TRUST_E_BASIC_CONSTRAINTS, reason)
    elif constraints.value.path_length is not None:
        below = sum(ca.issuer != ca.subject for ca in path[1:position])
        if below > constraints.value.path_length:
            reason = (
                f"{display_name(certificate)} allows {constraints.value.path_length} CAs below it, there are {below}"
            )
            yield ChainFault(CHAIN_CHECK, Hresult.TRUST_E_BASIC_CONSTRAINTS, reason)
    usage = extension(certificate, x509.KeyUsage)
    if usage is not None and not usage.value.key_cert_sign:
        reason = f"the key usage of {display_name(certificate)} doesn't include signing certificates"
        yield ChainFault(_USAGE_CHECK, Hresult.CERT_E_WRONG_USAGE, reason)


def _nested_usage_faults(certificate: x509.Certificate, purpose: CertificatePurpose) -> Iterator[ChainFault]:
    stated = _stated_usages(certificate)
    if stated is not None and not stated & {purpose.value, _ANY_USAGE}:
        reason = f"the CA {display_name(certificate)} may not issue certificates for {purpose.words}"
        yield ChainFault(_EXTENDED_USAGE_CHECK, Hresult.CERT_E_WRONG_USAGE, reason)


def _leaf_usage_faults(leaf: x509.Certificate, purpose: CertificatePurpose) -> Iterator[ChainFault]:
    """The leaf's own usages; a timestamping certificate may do nothing else (RFC 3161 §2.3)."""
    stated = _stated_usages(leaf)
    reason = None
    if stated is None:
        reason = f"{display_name(leaf)} states no extended key usage; it must state {purpose.words} ({purpose.value})"
    elif purpose.value not in stated:
        reason = f"the extended key usage of {display_name(leaf)} doesn't include {purpose.words} ({purpose.value})"
    elif purpose is CertificatePurpose.TIMESTAMPING and len(stated) > 1:
        reason = f"{display_name(leaf)} may do more than timestamping"
    if reason:
        yield ChainFault(_EXTENDED_USAGE_CHECK, Hresult.CERT_E_WRONG_USAGE, reason)
    fault = _key_usage_fault(leaf, purpose)
    if fault:
        yield ChainFault(_USAGE_CHECK, Hresult.CERT_E_WRONG_USAGE, f"the key usage of {display_name(leaf)} {fault}")


def _key_usage_fault(leaf: x509.Certificate, purpose: CertificatePurpose) -> str | None:
    usage, constraints = extension(leaf, x509.KeyUsage), extension(leaf, x509.BasicConstraints)
    if usage is None:
        return None
    commits = purpose is CertificatePurpose.TIMESTAMPING and usage.value.content_commitment
    if not (usage.value.digital_signature or commits):
        return "doesn't include digital signatures"
    if usage.value.key_cert_sign and not (constraints is not None and constraints.value.ca):
        return "includes signing certificates, and it is not a CA"
    return None


def _authority_usage_faults(leaf: x509.Certificate, anchor: Anchor | None) -> Iterator[ChainFault]:
    usages = extension(leaf, x509.ExtendedKeyUsage)
    if usages is not None and not usages.critical and anchor is not None and anchor.explicit:
        reason = f"the extended key usage of {display_name(leaf)} is not critical"
        yield ChainFault(_EXTENDED_USAGE_CHECK, Hresult.CERT_E_WRONG_USAGE, reason)


def _stated_usages(certificate: x509.Certificate) -> frozenset[str] | None:
    stated = extension(certificate, x509.ExtendedKeyUsage)
    return None if stated is None else frozenset(usage.dotted_string for usage in stated.value)
