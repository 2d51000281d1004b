"""The search for paths from a leaf certificate to trust anchors (RFC 5280 §6; path building as in RFC 4158).

Certificates reach us in any order, with cross-certificates, repetitions and, in hostile files, hundreds of
look-alikes: the search is bounded in signature checks, steps, paths and depth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum, auto
from hashlib import sha1
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from kspsign.authenticode.cms.algorithms import signature_holds
from kspsign.certificates.parse import (
    CHAIN_CHECK,
    Outline,
    display_name,
    extension,
    outline,
    parse_certificate,
    quoted_name,
    to_der,
)
from kspsign.model.errors import TrustError
from kspsign.model.hresults import Hresult
from kspsign.model.values import DigestAlgorithm
from kspsign.verifying.roots import Anchor, TrustAnchors
from kspsign.verifying.strength import Strength
from kspsign.verifying.usage import ChainFault

_MAX_DEPTH = 10
_MAX_PATHS = 16
_MAX_STEPS = 256
_MAX_SIGNATURE_CHECKS = 64


class FoundPath(NamedTuple):
    """A path the search ended with: at an anchor, or at `end`, the fault that says why it went no further."""

    certificates: tuple[x509.Certificate, ...]
    anchor: Anchor | None
    end: ChainFault | None


class _Signature(Enum):
    """What checking a certificate's signature with an issuer's key showed."""

    GOOD = auto()
    WRONG = auto()
    UNSUPPORTED = auto()
    MALFORMED = auto()
    UNCHECKED = auto()


class PathSearch:
    """Depth-first search for paths from a leaf to the anchors, within fixed bounds."""

    def __init__(self, candidates: Sequence[bytes], anchors: TrustAnchors, strength: Strength) -> None:
        self._anchors = anchors
        self._strength = strength
        self._by_subject: dict[bytes, list[bytes]] = {}
        for der in dict.fromkeys(candidates):
            subject = _subject(der)
            if subject is not None:
                self._by_subject.setdefault(subject, []).append(der)
        self._signatures: dict[tuple[x509.Certificate, bytes], _Signature] = {}
        self._steps = 0
        self._found: list[FoundPath] = []

    def paths_from(self, leaf: x509.Certificate) -> list[FoundPath]:
        """Every path found, at least one; the leaf itself is trusted only as an explicitly given anchor."""
        for anchor in self._anchors.holding(leaf):
            if anchor.explicit:
                self._found.append(FoundPath((leaf,), anchor, None))
        if not self._found:
            self._extend((leaf,))
        return self._found

    def _extend(self, path: tuple[x509.Certificate, ...]) -> None:
        self._steps += 1
        last = path[-1]
        used = {_identity(outline(to_der(used))) for used in path}
        seen = set()
        for issuer, anchor in self._issuers(last):
            if self._exhausted():
                break
            if isinstance(issuer, TrustError):
                seen.add(_Signature.MALFORMED)
            elif _identity(outline(to_der(issuer))) not in used:
                signature = self._signature(last, issuer)
                seen.add(signature)
                if signature is _Signature.GOOD:
                    self._descend((*path, issuer), anchor)
        if _Signature.GOOD not in seen:
            self._found.append(FoundPath(path, None, self._end(path, seen)))

    def _descend(self, path: tuple[x509.Certificate, ...], anchor: Anchor | None) -> None:
        if anchor is not None:
            self._found.append(FoundPath(path, anchor, None))
        elif len(path) < _MAX_DEPTH:
            self._extend(path)
        else:
            too_long = f"the chain is longer than {_MAX_DEPTH} certificates"
            self._found.append(FoundPath(path, None, ChainFault(CHAIN_CHECK, Hresult.CERT_E_CHAINING, too_long)))

    def _exhausted(self) -> bool:
        return len(self._found) >= _MAX_PATHS or self._steps >= _MAX_STEPS

    def _issuers(self, issued: x509.Certificate) -> Iterator[tuple[x509.Certificate | TrustError, Anchor | None]]:
        """Who may have issued it, by name: the right key identifier first, then anchors before others."""
        possible: list[tuple[x509.Certificate | TrustError, Anchor | None]] = [
            (anchor.certificate, anchor) for anchor in self._anchors.issuers_of(issued)
        ]
        anchored = {issuer for issuer, _ in possible}
        for der in self._by_subject.get(outline(to_der(issued)).issuer, ()):
            try:
                issuer = parse_certificate(der)
            except TrustError as error:
                possible.append((error, None))
                continue
            if issuer not in anchored:
                possible.append((issuer, None))
        yield from sorted(possible, key=lambda entry: _key_distance(issued, entry[0]))

    def _signature(self, issued: x509.Certificate, issuer: x509.Certificate) -> _Signature:
        """Check one signature, once per issuer's key however many certificates carry it."""
        pair = issued, outline(to_der(issuer)).key
        if pair not in self._signatures:
            if len(self._signatures) >= _MAX_SIGNATURE_CHECKS:
                return _Signature.UNCHECKED
            self._signatures[pair] = _checked(issued, issuer, self._strength)
        return self._signatures[pair]

    def _end(self, path: tuple[x509.Certificate, ...], seen: set[_Signature]) -> ChainFault:
        """Why the path ends at its last certificate, none of whose issuers is at hand and right."""
        last = path[-1]
        issuer = quoted_name(last.issuer)
        named = outline(to_der(last))
        if named.issuer == named.subject and _key_distance(last, last) < _DIFFERENT_KEY:
            own = self._signature(last, last)
            if own in (_Signature.GOOD, _Signature.UNSUPPORTED):  # how an unknown root is signed says nothing
                reason = f"the chain ends in {display_name(last)}, which is self-signed and not a trusted root"
                return ChainFault(CHAIN_CHECK, Hresult.CERT_E_UNTRUSTEDROOT, reason)
            seen = {*seen, own}
        if self._exhausted() or _Signature.UNCHECKED in seen:
            reason = f"too many certificates could be {issuer}, the issuer of {display_name(last)}: search given up"
            return ChainFault(CHAIN_CHECK, Hresult.CERT_E_CHAINING, reason)
        if _Signature.WRONG in seen:
            reason = f"the signature of {display_name(last)} was not made by {issuer}"
            return ChainFault(CHAIN_CHECK, Hresult.TRUST_E_CERT_SIGNATURE, reason)
        if _Signature.UNSUPPORTED in seen:
            reason = f"the algorithm that {issuer} signed {display_name(last)} with is too weak or not supported"
            return ChainFault(CHAIN_CHECK, Hresult.NTE_BAD_ALGID, reason)
        if _Signature.MALFORMED in seen:
            reason = f"the certificate of {issuer} can't be parsed"
            return ChainFault(CHAIN_CHECK, Hresult.TRUST_E_MALFORMED_SIGNATURE, reason)
        reason = (
            f"{issuer}, which issued {display_name(last)}, is not among the trusted roots, and its own certificate is "
            "not at hand"
        )
        return ChainFault(CHAIN_CHECK, Hresult.CERT_E_CHAINING, reason)


_DIFFERENT_KEY = 2


def _key_distance(issued: x509.Certificate, issuer: x509.Certificate | TrustError) -> int:
    """0 when the issuer has the key identifier that `issued` names, 1 when one has none, 2 otherwise."""
    if isinstance(issuer, TrustError):
        return _DIFFERENT_KEY
    try:
        wanted = extension(issued, x509.AuthorityKeyIdentifier)
        held = extension(issuer, x509.SubjectKeyIdentifier)
    except TrustError:
        return 1
    if wanted is None or wanted.value.key_identifier is None or held is None:
        return 1
    return 0 if wanted.value.key_identifier == held.value.digest else _DIFFERENT_KEY


def _checked(issued: x509.Certificate, issuer: x509.Certificate, strength: Strength) -> _Signature:
    if not strength.admits_signature_of(issued):
        return _Signature.UNSUPPORTED
    try:
        if isinstance(issued.signature_hash_algorithm, hashes.SHA1):
            return _checked_sha1(issued, issuer)
        issued.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError):
        return _Signature.WRONG
    except (TypeError, UnsupportedAlgorithm):
        return _Signature.UNSUPPORTED
    return _Signature.GOOD


def _checked_sha1(issued: x509.Certificate, issuer: x509.Certificate) -> _Signature:
    """As `_checked` with what the library no longer checks by itself; the issuer was found by its name."""
    digest = sha1(issued.tbs_certificate_bytes, usedforsecurity=False).digest()
    holds = signature_holds(issuer.public_key(), issued.signature, digest, DigestAlgorithm.SHA1, None)
    return _Signature.GOOD if holds else _Signature.WRONG


def _identity(named: Outline) -> tuple[bytes, bytes]:
    """What must not come twice in a path: whatever its certificates, a CA is one name with one key."""
    return named.subject, named.key


def _subject(der: bytes) -> bytes | None:
    """The subject of a candidate; None for bytes that are not a certificate and so can't be any path's part."""
    try:
        return outline(der).subject
    except TrustError:
        return None
