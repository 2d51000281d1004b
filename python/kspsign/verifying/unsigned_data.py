"""What stands in a signature without being signed: nothing may, but what is verified in its own right.

Authenticode leaves two places that no signature covers, and both are used to hide data in files that stay valid:
unsigned attributes (osslsigncode's 1.3.6.1.4.1.42921.1.2.1), and certificates that no chain needs. Windows and the
peers look past them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from kspsign.authenticode.profile import FileSignature
from kspsign.certificates.parse import display_name, outline, parse_certificate, to_der
from kspsign.model.checks import CheckName
from kspsign.model.hresults import Hresult
from kspsign.model.values import Finding
from kspsign.verifying.roots import TrustAnchors

_MOST = 32
"""Certificates beside the paths that are looked into; real signatures have one or two."""


def attributes_finding(signature: FileSignature) -> Finding:
    """The check "unsigned-attributes": timestamps and further signatures alone, which are verified themselves."""
    known, attributes = signature.known_attributes, signature.unsigned_attributes
    unknown = {name: sum(map(len, values)) for name, values in attributes.items() if name not in known}
    if not unknown:
        return Finding("unsigned-attributes", "timestamps and signatures only")
    said = ", ".join(f"{name} ({size} bytes)" for name, size in unknown.items())
    return _surplus("unsigned-attributes", f"attributes that nothing signs and nobody judges: {said}")


def certificates_finding(
    certificates: Sequence[bytes], path: Sequence[x509.Certificate], anchors: TrustAnchors
) -> Finding:
    """The check "embedded-certificates" of a message's `certificates` (DER) whose signer's valid chain is `path`.

    Beside the path there may be other certificates of its CAs' names and keys (cross-certificates), the issuers of
    these, and what they or the anchors issued. Raises TrustError for one that can't be parsed.
    """
    kept = {to_der(each) for each in path}
    names = {_identity(each) for each in kept}
    waiting = [each for each in dict.fromkeys(certificates) if each not in kept]
    if len(waiting) > _MOST:
        return _surplus("embedded-certificates", f"{len(waiting)} certificates that its chain does not need")
    found = [each for each in waiting if _identity(each) in names or anchors.holds(parse_certificate(each))]
    while found:
        kept.update(found)
        waiting = [each for each in waiting if each not in kept]
        found = [each for each in waiting if _is_linked(parse_certificate(each), kept, anchors)]
    if waiting:
        foreign = ", ".join(f"{display_name(parse_certificate(each))} ({len(each)} bytes)" for each in waiting)
        return _surplus("embedded-certificates", f"certificates that belong to no chain of it: {foreign}")
    return Finding("embedded-certificates", "those of its chains only")


def _is_linked(candidate: x509.Certificate, kept: Iterable[bytes], anchors: TrustAnchors) -> bool:
    """Whether an anchor or one of `kept` issued `candidate`, or `candidate` one of `kept`."""
    beside = [parse_certificate(each) for each in kept]
    above = (*(anchor.certificate for anchor in anchors.issuers_of(candidate)), *beside)
    return any(_issued(candidate, each) for each in above) or any(_issued(each, candidate) for each in beside)


def _issued(issued: x509.Certificate, issuer: x509.Certificate) -> bool:
    if issued.issuer != issuer.subject:
        return False
    try:
        issued.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def _identity(data: bytes) -> tuple[bytes, bytes]:
    return outline(data).subject, outline(data).key


def _surplus(check: CheckName, detail: str) -> Finding:
    return Finding(check, detail, Hresult.TRUST_E_MALFORMED_SIGNATURE)
