"""Rejects what a message carries unsigned: attributes that nothing verifies, and certificates that no chain needs.

Both are used to hide data in files that stay valid (osslsigncode's attribute 1.3.6.1.4.1.42921.1.2.1, certificates
with a payload as extension); Windows and the peers look past them. What else is unsigned is accounted for as a message
is read (authenticode.cms.account); that a certificate belongs to a chain is only known once there is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import sha1

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from kspsign.authenticode.cms.account import list_refused
from kspsign.authenticode.cms.algorithms import signature_holds
from kspsign.authenticode.profile import FileSignature
from kspsign.certificates.parse import display_name, outline, parse_certificate, to_der
from kspsign.model.checks import CheckName
from kspsign.model.hresults import Hresult
from kspsign.model.values import DigestAlgorithm, Finding
from kspsign.verifying.roots import TrustAnchors

_MOST = 32
"""Certificates beyond the paths that are examined; real signatures have one or two."""
_MOST_UNVERIFIED, _MAX_UNVERIFIED = 2, 2048
"""How many cross-certificates by unknown issuers may stay, each with one root of its issuer's, and the bytes of each:
roots that left the root programme (AAA Certificate Services, Microsoft Code Verification Root) have signed some that
vendors still ship."""
_NAMED = 4
_PASSED = "those of its chains only"


def attributes_finding(signature: FileSignature) -> Finding:
    """The check "unsigned-attributes": timestamps and further signatures alone, which are verified themselves."""
    if not signature.refused:
        return Finding("unsigned-attributes", "timestamps and signatures only")
    return _surplus("unsigned-attributes", list_refused(signature.refused))


def certificates_finding(
    certificates: Sequence[bytes], path: Sequence[x509.Certificate], anchors: TrustAnchors
) -> Finding:
    """The check "embedded-certificates" of a message's `certificates` (DER) whose signer's valid chain is `path`.

    Beside the path there may be other certificates of its CAs, and the issuers of these, each verified by a signature:
    an anchor's, its own, or that of one that is. A CA's name and key alone prove nothing. Only where the issuer of a
    cross-certificate is at hand nowhere, a few small ones may stay (see _UNVERIFIED). Raises TrustError for one that
    can't be parsed.
    """
    chain = {to_der(certificate) for certificate in path}
    waiting = {der: parse_certificate(der) for der in dict.fromkeys(certificates) if der not in chain}
    if not waiting:
        return Finding("embedded-certificates", _PASSED)
    if len(waiting) > _MOST:
        return _surplus("embedded-certificates", f"{len(waiting)} certificates that its chain does not need")
    embedded = _Embedded(chain, waiting, anchors)
    foreign = [der for der in waiting if der not in embedded.verified and der not in embedded.tolerated]
    if foreign:
        named = ", ".join(f"{display_name(waiting[der])} ({len(der)} bytes)" for der in foreign[:_NAMED])
        more = f" and {len(foreign) - _NAMED} more" if len(foreign) > _NAMED else ""
        return _surplus("embedded-certificates", f"certificates that no signature ties to a chain of it: {named}{more}")
    return Finding("embedded-certificates", _PASSED)


class _Embedded:
    """The certificates beyond a chain: which are `verified`, and which are `tolerated` although they can't be."""

    def __init__(
        self, chain: Iterable[bytes], waiting: Mapping[bytes, x509.Certificate], anchors: TrustAnchors
    ) -> None:
        self._known = {certificate: parse_certificate(certificate) for certificate in chain}
        self._waiting = waiting
        self._anchors = anchors
        self._above: set[tuple[bytes, bytes]] = set()
        """Names and keys of the chain's CAs, and of those who certified one of them."""
        for issuer in self._known.values():
            self._add(issuer)
        self.verified: set[bytes] = set()
        while found := {der for der, parsed in waiting.items() if der not in self.verified and self._holds(parsed)}:
            self.verified |= found
        self.tolerated = self._unverifiable()

    def _add(self, certificate: x509.Certificate) -> None:
        self._known[to_der(certificate)] = certificate
        self._above.add(_identity(certificate))
        possible = (*self._issuers(certificate), *self._waiting.values())
        self._above |= {_identity(candidate) for candidate in possible if _signed(certificate, candidate)}

    def _holds(self, candidate: x509.Certificate) -> bool:
        """Whether it is of a CA of the chain or above it, and is an anchor, self-signed or signed by a known one."""
        if _identity(candidate) not in self._above:
            return False
        holds = self._anchors.holds(candidate) or any(
            _signed(candidate, issuer) for issuer in (candidate, *self._issuers(candidate))
        )
        if holds:
            self._add(candidate)
        return holds

    def _issuers(self, candidate: x509.Certificate) -> tuple[x509.Certificate, ...]:
        """Whoever of the anchors and the known has the name of its issuer."""
        anchors = (anchor.certificate for anchor in self._anchors.issuers_of(candidate))
        return (*anchors, *(known for known in self._known.values() if known.subject == candidate.issuer))

    def _unverifiable(self) -> frozenset[bytes]:
        """Cross-certificates of those CAs by issuers that are unknown here, and these where they are embedded: few
        and small, or none."""
        left = {der: parsed for der, parsed in self._waiting.items() if der not in self.verified}
        crossed = {
            der: parsed
            for der, parsed in left.items()
            if _identity(parsed) in self._above and parsed.issuer != parsed.subject and not self._issuers(parsed)
        }
        roots = {
            der
            for der, parsed in left.items()
            if _signed(parsed, parsed) and any(_signed(below, parsed) for below in crossed.values())
        }
        crowded = len(crossed) > _MOST_UNVERIFIED or len(roots) > len(crossed)  # anyone can be a root of that name
        if crowded or any(len(der) > _MAX_UNVERIFIED for der in (*crossed, *roots)):
            return frozenset()
        return frozenset({*crossed, *roots})


@lru_cache(maxsize=256)
def _signed(issued: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether `issued` names `issuer` and bears its signature, over SHA-1 too: old chains are not judged here."""
    if issued.issuer != issuer.subject:
        return False
    try:
        if isinstance(issued.signature_hash_algorithm, hashes.SHA1):
            digest = sha1(issued.tbs_certificate_bytes, usedforsecurity=False).digest()
            return signature_holds(issuer.public_key(), issued.signature, digest, DigestAlgorithm.SHA1, None)
        issued.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def _identity(certificate: x509.Certificate) -> tuple[bytes, bytes]:
    """Name and key: what makes a CA, whatever its certificates."""
    outlined = outline(to_der(certificate))
    return outlined.subject, outlined.key


def _surplus(check: CheckName, detail: str) -> Finding:
    return Finding(check, detail, Hresult.TRUST_E_MALFORMED_SIGNATURE)
