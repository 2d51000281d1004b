"""One CMS SignedData read for verification (RFC 5652 §5, RFC 3161 §2.4.2 for tokens): nothing trusted, nothing lost.

The octets that were signed are kept as they stand in the file; attribute order is not normalised, as Windows
accepts sets that are not sorted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from asn1crypto import core
from cryptography import x509

from kspsign.authenticode import asn1
from kspsign.authenticode.algorithms import OID_RSA_PSS, digest_algorithm, signature_holds
from kspsign.errors import TrustError
from kspsign.hresults import Hresult
from kspsign.model import DigestAlgorithm

T = TypeVar("T")


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
    pss: bool
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
        try:
            certificate = x509.load_der_x509_certificate(der)
            if signer.sid.key_identifier is not None:
                found = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
                if found == signer.sid.key_identifier:
                    return der
            elif (certificate.serial_number, certificate.issuer.public_bytes()) == (
                signer.sid.serial,
                signer.sid.issuer,
            ):
                return der
        except (ValueError, x509.ExtensionNotFound):
            continue  # a certificate that can't be read is not the signer's
    return None


def content_fault(message: SignedMessage) -> str | None:
    """Why the signed attributes do not speak of the content (RFC 5652 §5.4, §11.1, §11.2), None when they do."""
    signer = message.signer
    kind = _single(signer, asn1.OID_CONTENT_TYPE)
    if kind is None or core.ObjectIdentifier.load(kind).dotted != message.content_type:
        return "the contentType attribute differs from the content"
    digest = message_digest(signer)
    if signer.digest is None or digest != hashlib.new(signer.digest, message.content).digest():
        return "the messageDigest attribute differs from the content's digest"
    return None


def message_digest(signer: Signer) -> bytes | None:
    """The messageDigest attribute (RFC 5652 §11.2), None unless there is exactly one."""
    value = _single(signer, asn1.OID_MESSAGE_DIGEST)
    return None if value is None else bytes(core.OctetString.load(value).native)


def signer_fault(signer: Signer, certificate: bytes | None) -> str | None:
    """Why the signature value does not hold under `certificate` (DER), None when it does."""
    if certificate is None:
        return "the signer's certificate is not in the signature"
    if signer.digest is None:
        return "the digest algorithm is unknown"
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except ValueError as broken:
        return f"the signer's certificate can't be used: {broken}"
    if not signature_holds(key, signer.value, signer.signed_digest(), signer.digest, pss=signer.pss):
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
    content = signed["encap_content_info"]["content"].parse()
    return SignedMessage(
        version=int(signed["version"].native),
        content_type=signed["encap_content_info"]["content_type"].dotted,
        content=bytes(content.native if isinstance(content, core.OctetString) else content.contents),
        content_der=bytes(content.untag().dump()),
        digest_algorithms=tuple(digest_algorithm(each) for each in signed["digest_algorithms"]),
        certificates=_certificates(signed["certificates"]),
        signer=_signer(signers[0]),
    )


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
    return Signer(
        version=int(info["version"].native),
        sid=who,
        digest=digest_algorithm(info["digest_algorithm"]),
        signed=signed.untag().dump(),
        signed_attributes=_attributes(signed, unique=True),
        unsigned_attributes={} if isinstance(unsigned, core.Void) else _attributes(unsigned, unique=False),
        pss=info["signature_algorithm"]["algorithm"].dotted == OID_RSA_PSS,
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
    dumped = (each.dump() for each in certificates)
    return tuple(each for each in dumped if each[:1] == b"\x30")


def _single(signer: Signer, kind: str) -> bytes | None:
    values = signer.signed_attributes.get(kind, ())
    return values[0] if len(values) == 1 else None


def guarded(read: Callable[[], T], check: str) -> T:
    """What `read` returns; whatever asn1crypto raises on hostile bytes becomes a TrustError of `check`."""
    try:
        return read()
    except (
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as broken:
        raise TrustError(
            Hresult.TRUST_E_MALFORMED_SIGNATURE,
            f"it can't be parsed: {str(broken).splitlines()[0]}",
            check=check,
        ) from broken


def _malformed(detail: str) -> TrustError:
    return TrustError(Hresult.TRUST_E_MALFORMED_SIGNATURE, detail, check="cms-structure")
