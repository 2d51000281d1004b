"""One CMS SignedData read for verification (RFC 5652 §5, RFC 3161 §2.4.2 for tokens): nothing trusted, nothing lost.

Octets that were signed are kept as they stand in the file: Windows accepts attribute sets that are not sorted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from asn1crypto import core, parser
from asn1crypto import x509 as asn1_x509
from cryptography.exceptions import UnsupportedAlgorithm

from kspsign.authenticode import asn1
from kspsign.authenticode.algorithms import Scheme, digest_algorithm, signature_holds, signature_scheme
from kspsign.authenticode.certificates import certificate
from kspsign.errors import TrustError
from kspsign.hresults import Hresult
from kspsign.model import DigestAlgorithm

T = TypeVar("T")

_PLAIN_CONTENT = frozenset({asn1.OID_SPC_INDIRECT_DATA, asn1.OID_CTL})
"""Content types that are a SEQUENCE in the place of CMS' OCTET STRING."""


@dataclass(frozen=True, slots=True)
class SignerId:
    """Who signed: issuer name (DER) and serial number, or the subject key identifier."""

    issuer: bytes
    serial: int
    key_identifier: bytes | None


@dataclass(frozen=True, slots=True)
class Signer:
    """One SignerInfo. `signed` is the DER SET OF signed attributes (tag 0x31), the octets the signature covers."""

    version: int
    sid: SignerId
    digest: DigestAlgorithm | None
    signed: bytes
    signed_attributes: dict[str, tuple[bytes, ...]]
    unsigned_attributes: dict[str, tuple[bytes, ...]]
    scheme: Scheme
    value: bytes

    def signed_digest(self) -> bytes:
        """What the signature value was made over: the digest of the signed attributes."""
        return hashlib.new(self.digest or DigestAlgorithm.SHA256, self.signed).digest()


@dataclass(frozen=True, slots=True)
class SignedMessage:
    """A SignedData: its content's type and octets (without tag and length), certificates (DER) and one signer."""

    version: int
    content_type: str
    content: bytes
    content_der: bytes
    digest_algorithms: tuple[DigestAlgorithm | None, ...]
    certificates: tuple[bytes, ...]
    signer: Signer


def read_signed_message(der: bytes) -> SignedMessage:
    """The SignedData in the ContentInfo `der`.

    Raises TrustError (TRUST_E_MALFORMED_SIGNATURE, check "cms-structure") when it is no such thing, has not
    exactly one signer, lacks signed attributes, or bytes follow it.
    """
    return guarded(lambda: _read(der), "cms-structure")


def read_signer(der: bytes) -> Signer:
    """A bare SignerInfo (a PKCS#9 counter-signature); raises like read_signed_message."""
    return guarded(lambda: _signer(asn1.SignerInfo.load(der, strict=True)), "cms-structure")


def find_signer(signer: Signer, certificates: tuple[bytes, ...]) -> bytes | None:
    """The certificate among `certificates` (DER) that the SignerInfo names, None when it is not there."""
    for der in certificates:
        candidate = asn1_x509.Certificate.load(der)
        if signer.sid.key_identifier is not None:
            if candidate.key_identifier == signer.sid.key_identifier:
                return der
        elif (candidate.serial_number, candidate.issuer.dump()) == (signer.sid.serial, signer.sid.issuer):
            return der
    return None


def content_fault(message: SignedMessage) -> str | None:
    """Why the signed attributes do not speak of the content (RFC 5652 §5.4, §11.1, §11.2), None when they do."""
    signer = message.signer
    if _single(signer, asn1.OID_CONTENT_TYPE) != core.ObjectIdentifier(message.content_type).dump():
        return "the contentType attribute differs from the content"
    if signer.digest is None or not states_digest(signer, hashlib.new(signer.digest, message.content).digest()):
        return "the messageDigest attribute differs from the content's digest"
    return None


def states_digest(signer: Signer, digest: bytes) -> bool:
    """Whether there is exactly one messageDigest attribute (RFC 5652 §11.2), and it holds `digest`."""
    return bool(_single(signer, asn1.OID_MESSAGE_DIGEST) == core.OctetString(digest).dump())


def signer_fault(signer: Signer, der: bytes | None) -> str | None:
    """Why the signature value does not hold under the certificate `der`, None when it does."""
    if der is None:
        return "the signer's certificate is not in the signature"
    if signer.digest is None:
        return "the digest algorithm is unknown"
    try:
        key = certificate(der).public_key()
    except (ValueError, UnsupportedAlgorithm) as broken:
        return f"the key of the signer's certificate can't be used: {broken}"
    if not signature_holds(key, signer.value, signer.signed_digest(), signer.digest, signer.scheme):
        return "the signature does not fit the signer's certificate"
    return None


def _read(der: bytes) -> SignedMessage:
    info = asn1.ContentInfo.load(der, strict=True)
    if info["content_type"].native not in {"signed_data", asn1.OID_SIGNED_DATA}:
        raise _malformed(f"the content type is {info['content_type'].dotted}, not signedData")
    signed = info["content"]
    signers = signed["signer_infos"]
    if len(signers) != 1:
        raise _malformed(f"{len(signers)} signers where one is allowed")
    if isinstance(signed["encap_content_info"]["content"], core.Void):
        raise _malformed("the signed content is missing")
    kind = signed["encap_content_info"]["content_type"].dotted
    content_der, content = _content(signed["encap_content_info"]["content"].dump(), kind)
    return SignedMessage(
        version=int(signed["version"].native),
        content_type=kind,
        content=content,
        content_der=content_der,
        digest_algorithms=tuple(digest_algorithm(each) for each in signed["digest_algorithms"]),
        certificates=_certificates(signed["certificates"]),
        signer=_signer(signers[0]),
    )


def _content(element: bytes, kind: str) -> tuple[bytes, bytes]:
    """What is in the [0] of the encapsulated content: the whole element, and its octets, which the signature covers.

    PKCS#7 v1.5, and so Authenticode and a catalogue, has the content itself where CMS has it in an OCTET STRING
    (RFC 5652 §5.2.1).
    """
    inner: bytes = parser.parse(element, strict=True)[4]
    octets: bytes = parser.parse(inner, strict=True)[4]
    tags = element[:1] + inner[:1]
    if tags != (b"\xa0\x30" if kind in _PLAIN_CONTENT else b"\xa0\x04"):
        raise _malformed(f"the content {kind} has the wrong type")
    return inner, octets


def _signer(info: Any) -> Signer:
    signed = info["signed_attrs"]
    if isinstance(signed, core.Void):
        raise _malformed("the signer has no signed attributes")
    unsigned = info["unsigned_attrs"]
    sid = info["sid"]
    if sid.name == "issuer_and_serial_number":
        issuer = sid.chosen
        who = SignerId(issuer["issuer"].dump(), int(issuer["serial_number"].native), None)
    else:
        who = SignerId(b"", 0, bytes(sid.chosen.native))
    version = int(info["version"].native)
    if version != (1 if sid.name == "issuer_and_serial_number" else 3):
        raise _malformed(f"signer version {version} does not go with the way it names its certificate")
    digest = digest_algorithm(info["digest_algorithm"])
    scheme = signature_scheme(info["signature_algorithm"], digest)
    if scheme is None:
        raise _malformed(f"the signature algorithm {info['signature_algorithm']['algorithm'].native} is unknown here")
    return Signer(
        version=version,
        sid=who,
        digest=digest,
        signed=signed.untag().dump(),
        signed_attributes=_attributes(signed, unique=True),
        unsigned_attributes={} if isinstance(unsigned, core.Void) else _attributes(unsigned, unique=False),
        scheme=scheme,
        value=bytes(info["signature"].native),
    )


def _attributes(attributes: Any, *, unique: bool) -> dict[str, tuple[bytes, ...]]:
    found: dict[str, tuple[bytes, ...]] = {}
    for attribute in attributes:
        kind = attribute["type"].dotted
        if unique and kind in found:
            raise _malformed(f"the signed attribute {kind} occurs twice")
        found[kind] = found.get(kind, ()) + tuple(value.dump() for value in attribute["values"])
    return found


def _certificates(certificates: Any) -> tuple[bytes, ...]:
    """X.509 certificates only: attribute certificates and other choices carry a context tag (RFC 5652 §10.2.2)."""
    if isinstance(certificates, core.Void):
        return ()
    found = tuple(der for each in certificates if (der := each.dump())[:1] == b"\x30")
    for der in found:
        _check_certificate(der)
    return found


@lru_cache(maxsize=256)
def _check_certificate(der: bytes) -> None:
    """Raise for a certificate that can't be parsed, or that is odd where its signature does not reach.

    The outer algorithm repeats the inner one (RFC 5280 §4.1.1.2), and a signature value is whole octets.
    """
    structure = asn1_x509.Certificate.load(der, strict=True)
    if structure["signature_algorithm"].dump() != structure["tbs_certificate"]["signature"].dump():
        raise _malformed("a certificate contradicts itself about its signature algorithm")
    if structure["signature_value"].contents[:1] != b"\0":
        raise _malformed("a certificate's signature value is cut off within an octet")
    certificate(der)


def _single(signer: Signer, kind: str) -> bytes | None:
    values = signer.signed_attributes.get(kind, ())
    return values[0] if len(values) == 1 else None


def guarded(read: Callable[[], T], check: str) -> T:
    """What `read` returns; whatever asn1crypto raises on hostile bytes becomes a TrustError of `check`."""
    try:
        return read()
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as broken:
        first_line = next(iter(str(broken).splitlines()), type(broken).__name__)
        detail = f"it can't be parsed: {first_line}"
        raise TrustError(Hresult.TRUST_E_MALFORMED_SIGNATURE, detail, check=check) from broken


def _malformed(detail: str) -> TrustError:
    return TrustError(Hresult.TRUST_E_MALFORMED_SIGNATURE, detail, check="cms-structure")
