"""NIST's Public Key Interoperability Test Suite (PKITS 1.0.1): its paths and CRLs, and what each must come to.

The files are those of the package cryptography-vectors; the tests have their names there. Settings are the suite's
defaults: any policy is acceptable, and none is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from pathlib import Path

import cryptography_vectors
from cryptography import x509

from kspsign.certificates.parse import extension
from kspsign.model.errors import TrustError
from kspsign.verifying.chain import CertificatePurpose, ChainResult, validate_chain
from kspsign.verifying.revocation.crl import DistributionPoint, is_supplemented, look_up
from kspsign.verifying.roots import TrustAnchors

DATA = Path(cryptography_vectors.__file__).parent / "x509" / "PKITS_data"
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
"""The suite's certificates are valid from 2010 to 2030."""
SECTIONS: dict[str, tuple[str, str]] = {
    "4.1": (
        "Signature verification",
        "CertificatePath CASignature EESignature DSASignatures DSAParameterInheritance DSASignature",
    ),
    "4.2": (
        "Validity periods",
        (
            "CAnotBeforeDate EEnotBeforeDate pre2000UTCnotBeforeDate GeneralizedTimenotBeforeDate CAnotAfterDate "
            "EEnotAfterDate pre2000UTCEEnotAfterDate GeneralizedTimenotAfterDate"
        ),
    ),
    "4.3": (
        "Name chaining",
        (
            "NameChaining NameChainingOrder NameChainingWhitespace NameChainingCapitalization NameUIDs "
            "RFC3280MandatoryAttributeTypes RFC3280OptionalAttributeTypes UTF8StringEncodedNames "
            "RolloverfromPrintableStringtoUTF8String UTF8StringCaseInsensitiveMatch"
        ),
    ),
    "4.4": (
        "Revocation",
        (
            "MissingCRL RevokedCA RevokedEE BadCRLSignature BadCRLIssuerName WrongCRL TwoCRLs "
            "UnknownCRLEntryExtension UnknownCRLExtension OldCRLnextUpdate pre2000CRLnextUpdate "
            "GeneralizedTimeCRLnextUpdate NegativeSerialNumber LongSerialNumber SeparateCertificateandCRLKeys"
        ),
    ),
    "4.5": (
        "Self-issued certificates",
        "BasicSelfIssuedOldWithNew BasicSelfIssuedNewWithOld BasicSelfIssuedCRLSigningKey",
    ),
    "4.6": (
        "Basic constraints",
        "MissingbasicConstraints cAFalse basicConstraintsNotCritical pathLenConstraint SelfIssuedpathLenConstraint",
    ),
    "4.7": (
        "Key usage",
        (
            "keyUsageCriticalkeyCertSignFalse keyUsageNotCriticalkeyCertSignFalse keyUsageNotCritical "
            "keyUsageCriticalcRLSignFalse keyUsageNotCriticalcRLSignFalse"
        ),
    ),
    "4.8": (
        "Certificate policies",
        (
            "AllCertificatesNoPolicies DifferentPolicies OverlappingPolicies AllCertificatesSamePolicies "
            "AllCertificatesanyPolicy AnyPolicy UserNoticeQualifier CPSPointerQualifier"
        ),
    ),
    "4.9": (
        "Explicit policies required",
        "requireExplicitPolicy SelfIssuedrequireExplicitPolicy",
    ),
    "4.10": (
        "Policy mappings",
        "PolicyMapping MappingFromanyPolicy MappingToanyPolicy",
    ),
    "4.11": (
        "Policy mappings inhibited",
        "inhibitPolicyMapping SelfIssuedinhibitPolicyMapping",
    ),
    "4.12": (
        "anyPolicy inhibited",
        "inhibitAnyPolicy SelfIssuedinhibitAnyPolicy",
    ),
    "4.13": (
        "Name constraints",
        "DNnameConstraints RFC822nameConstraints DNandRFC822nameConstraints DNSnameConstraints URInameConstraints",
    ),
    "4.14": (
        "Distribution points",
        (
            "distributionPoint NoissuingDistributionPoint onlyContainsUserCerts onlyContainsCACerts "
            "onlyContainsAttributeCerts onlySomeReasons IDPwithindirectCRL cRLIssuer"
        ),
    ),
    "4.15": (
        "Delta CRLs",
        "deltaCRLIndicatorNoBase deltaCRL",
    ),
    "4.16": (
        "Private extensions",
        "UnknownNotCriticalCertificateExtension UnknownCriticalCertificateExtension",
    ),
}
"""Each section's title, and the names of its tests without what they expect and their number."""
WITH_CRLS = frozenset({"4.4", "4.5", "4.14", "4.15", "4.7.4", "4.7.5"})
"""Sections and tests that are about revocation; in the others every certificate is good."""
_INVALID_BY_POLICY = frozenset({"4.8.4", "4.8.5", "4.8.7", "4.8.8", "4.8.9", "4.8.12"})
"""What the suite expects to fail under its default settings without saying so in the name."""
_NAME = re.compile(r"(Valid|Invalid|)(.+)Test(\d+)EE")


@dataclass(frozen=True)
class PkitsTest:
    """One test: its number ("4.1.1"), the name of its end entity's file, whether its path is valid."""

    number: str
    name: str
    valid: bool

    @property
    def section(self) -> str:
        return self.number.rpartition(".")[0]


def pkits_tests() -> Iterator[PkitsTest]:
    """All tests, in the suite's order."""
    found: dict[tuple[str, int], str] = {("4.8", 1): "ValidCertificatePathTest1EE"}
    sections = {name: section for section, (_, names) in SECTIONS.items() for name in names.split()}
    for path in (DATA / "certs").glob("*EE.crt"):
        parts = _NAME.fullmatch(path.stem)
        assert parts is not None
        found[sections[parts[2]], int(parts[3])] = path.stem
    for (section, number), name in sorted(found.items(), key=lambda entry: (int(entry[0][0][2:]), entry[0][1])):
        full = f"{section}.{number}"
        yield PkitsTest(full, name, not name.startswith("Invalid") and full not in _INVALID_BY_POLICY)


def verdict(test: PkitsTest) -> str | None:
    """Why our judge refuses the test's path, None when it accepts it.

    That no certificate of the suite is for code signing is left aside: it is about paths, not about purposes.
    """
    leaf = (DATA / "certs" / f"{test.name}.crt").read_bytes()
    result = validate_chain(leaf, _authorities(), _anchors(), CertificatePurpose.CODE_SIGNING, MOMENT)
    faults = [fault for fault in result.faults if fault.check != "extended-key-usage"]
    if faults:
        return f"{faults[0].hresult.name}: {faults[0].detail}"
    if test.section in WITH_CRLS or test.number in WITH_CRLS:
        return _revocation_fault(result)
    return None


def _revocation_fault(result: ChainResult) -> str | None:
    """What the CRLs of the suite say of the path, each asked as one that its certificate names."""
    for certificate, issuer in pairwise(result.path):
        answer = _ask(certificate, issuer)
        if answer is not None:
            return answer
    return None


def _ask(certificate: x509.Certificate, issuer: x509.Certificate) -> str | None:
    said = "CRYPT_E_REVOCATION_OFFLINE: there is no CRL"
    stated = extension(certificate, x509.CRLDistributionPoints)
    names = frozenset(name for point in (stated.value if stated else ()) for name in point.full_name or ())
    of_issuer = [crl for crl in _crls() if crl.issuer == issuer.subject]
    deltas = [
        crl
        for crl in of_issuer
        if any(isinstance(extension.value, x509.DeltaCRLIndicator) for extension in crl.extensions)
    ]
    for crl in of_issuer:
        delta = deltas[0] if deltas and is_supplemented(crl, certificate) else None
        try:
            found = look_up(crl, DistributionPoint("", names), certificate, issuer, MOMENT, delta).revoked
        except TrustError as refused:
            said = f"{refused.code}: {refused.message}"
            continue
        return None if found is None else "CERT_E_REVOKED"
    return said


@cache
def _anchors() -> TrustAnchors:
    return TrustAnchors.from_certificates([(DATA / "certs" / "TrustAnchorRootCertificate.crt").read_bytes()])


@cache
def _authorities() -> Sequence[bytes]:
    """The certificates of all CAs, as a machine's store would have them."""
    return tuple(path.read_bytes() for path in sorted((DATA / "certs").glob("*Cert.crt")))


@cache
def _crls() -> tuple[x509.CertificateRevocationList, ...]:
    return tuple(x509.load_der_x509_crl(path.read_bytes()) for path in sorted((DATA / "crls").glob("*.crl")))
