"""X.509 certificates as chain validation needs them (RFC 5280 §4.1): parsed once, or only outlined.

Parsing is `cryptography`'s; what it refuses leaves this module as TrustError. The outline (issuer, subject,
key) is a walk over a handful of DER headers, cheap enough to index hundreds of roots at start-up.
"""

from __future__ import annotations

import hashlib
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from kspsign.certificates import der as tlv
from kspsign.model.errors import TrustError
from kspsign.model.hresults import Hresult

CHAIN_CHECK: Final = "certificate-chain"

_MAX_SIZE = 64 * 1024  # real certificates stay below 8 KiB; the caches below must stay bounded by something
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_BASIC_CONSTRAINTS = tlv.oid("2.5.29.19")
_FIRST_FIELDS = [tlv.INTEGER, *[tlv.SEQUENCE] * 5]
"""Serial number, signature algorithm, issuer, validity, subject and key, after the version where there is one."""

_CURVE_NAMES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_quiet_lock = threading.Lock()

_ExtensionT = TypeVar("_ExtensionT", bound=x509.ExtensionType)


class Outline(NamedTuple):
    """Serial number, issuer and subject Name and SubjectPublicKeyInfo of a certificate, each its whole DER element."""

    serial: bytes
    issuer: bytes
    subject: bytes
    key: bytes

    @property
    def serial_number(self) -> int:
        """The serial number, of whatever sign and length."""
        return int.from_bytes(tlv.parse(self.serial, tlv.INTEGER).content, signed=True)


@lru_cache(maxsize=2048)
def parse_certificate(der: bytes) -> x509.Certificate:
    """The parsed certificate of exactly these DER bytes; the same object for the same bytes.

    Raises TrustError (TRUST_E_MALFORMED_SIGNATURE) when the bytes are not a certificate or data follows.
    """
    outline(der)
    try:
        with quiet():
            parsed = x509.load_der_x509_certificate(der)
            _parse_the_rest(parsed)
    except (ValueError, TypeError, x509.InvalidVersion) as error:
        raise malformed(f"a certificate can't be parsed: {error}") from error
    return parsed


@lru_cache(maxsize=4096)
def to_der(parsed: x509.Certificate) -> bytes:
    """The DER bytes `parsed` was made of."""
    return parsed.public_bytes(Encoding.DER)


def thumbprint_of(der: bytes) -> str:
    """The SHA-1 thumbprint of a certificate: 40 upper-case hex digits, as Windows shows it."""
    return hashlib.sha1(der, usedforsecurity=False).hexdigest().upper()


@lru_cache(maxsize=4096)
def outline(der: bytes) -> Outline:
    """Issuer, subject and key of a DER certificate, found without parsing the rest (RFC 5280 §4.1).

    Raises TrustError (TRUST_E_MALFORMED_SIGNATURE) when the bytes have not a certificate's structure.
    """
    if len(der) > _MAX_SIZE:
        raise malformed(f"a certificate of {len(der)} bytes is larger than any real one ({_MAX_SIZE} bytes)")
    try:
        signed = tlv.parse(der).first()
        fields = signed.leading(len(_FIRST_FIELDS) + 1)
    except TrustError as broken:
        raise malformed(f"the bytes do not have the structure of a certificate: {broken.message}") from broken
    begin = 1 if fields and fields[0].tag == _VERSION else 0
    fields = fields[begin : begin + len(_FIRST_FIELDS)]
    if signed.tag != tlv.SEQUENCE or [field.tag for field in fields] != _FIRST_FIELDS:
        raise malformed("the bytes do not have the structure of a certificate")
    serial, _signature, issuer, _validity, subject, key = fields
    return Outline(serial.der, issuer.der, subject.der, key.der)


def extension(parsed: x509.Certificate, kind: type[_ExtensionT]) -> x509.Extension[_ExtensionT] | None:
    """The extension of that kind, or None.

    Raises TrustError (TRUST_E_MALFORMED_SIGNATURE) when the certificate's extensions are malformed.
    """
    found: x509.Extension[_ExtensionT] | None = _by_class(parsed).get(kind)
    return found


def extensions(parsed: x509.Certificate) -> x509.Extensions:
    """All extensions. Raises TrustError (TRUST_E_MALFORMED_SIGNATURE) when they are malformed or repeated."""
    try:
        return _extensions(parsed)
    except (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise malformed(f"an extension of {display_name(parsed)} can't be parsed: {error}") from error


@lru_cache(maxsize=2048)
def _extensions(parsed: x509.Certificate) -> x509.Extensions:
    with quiet():
        return _lenient(parsed).extensions


@lru_cache(maxsize=2048)
def _by_class(parsed: x509.Certificate) -> dict[type[x509.ExtensionType], Any]:
    """The extensions by the class of their value; of those of no known kind the last."""
    return {type(found.value): found for found in extensions(parsed)}


def _lenient(parsed: x509.Certificate) -> x509.Certificate:
    """A certificate to read extensions of: without the path length that one which is not a CA must not have (RFC 5280
    §4.2.1.9), of which the parser makes an error for all of its extensions. It limits nothing there."""
    try:
        _ = parsed.extensions
    except ValueError:
        return _without_path_length(parsed)
    return parsed


def _without_path_length(parsed: x509.Certificate) -> x509.Certificate:
    """The certificate with empty basic constraints where they have a path length and no cA, else itself."""
    whole = tlv.parse(to_der(parsed))
    signed, *others = whole.children()
    fields = signed.children()
    wrapped = fields[-1]
    if wrapped.tag != _EXTENSIONS:
        return parsed
    kept = tlv.sequence(*(_mended(child) for child in wrapped.first().children()))
    content = tlv.sequence(*(field.der for field in fields[:-1]), tlv.element(_EXTENSIONS, kept))
    return x509.load_der_x509_certificate(tlv.sequence(content, *(other.der for other in others)))


def _mended(found: tlv.Element) -> bytes:
    """One extension; basic constraints that say no CA and have a path length are empty."""
    kind, *rest = found.children()
    if kind.der != _BASIC_CONSTRAINTS or not rest or rest[-1].tag != tlv.OCTET_STRING:
        return found.der
    stated = [(child.tag, child.content) for child in tlv.parse(rest[-1].content).children()]
    if stated[:1] == [(tlv.BOOLEAN, b"\0")]:
        stated = stated[1:]
    if [tag for tag, _ in stated] != [tlv.INTEGER]:
        return found.der
    return tlv.sequence(kind.der, *(field.der for field in rest[:-1]), tlv.octet_string(tlv.sequence()))


_DESCRIPTORS = {
    x509.NameOID.POSTAL_CODE: "postalCode",
    x509.NameOID.SERIAL_NUMBER: "serialNumber",
    x509.NameOID.BUSINESS_CATEGORY: "businessCategory",
    x509.NameOID.JURISDICTION_COUNTRY_NAME: "jurisdictionC",
    x509.NameOID.JURISDICTION_STATE_OR_PROVINCE_NAME: "jurisdictionST",
    x509.NameOID.JURISDICTION_LOCALITY_NAME: "jurisdictionL",
    x509.NameOID.ORGANIZATION_IDENTIFIER: "organizationIdentifier",
    x509.NameOID.GIVEN_NAME: "givenName",
    x509.NameOID.SURNAME: "sn",
    x509.NameOID.TITLE: "title",
    x509.NameOID.EMAIL_ADDRESS: "emailAddress",
}
"""Descriptors of attribute types (RFC 4514 §2.3 with RFC 4519, and those that CAs use) besides the nine of §3."""


def distinguished_name(name: x509.Name) -> str:
    """A name as a string of RFC 4514, with the descriptors that people know in place of dotted numbers."""
    return name.rfc4514_string(_DESCRIPTORS)


def display_name(parsed: x509.Certificate) -> str:
    """The certificate as people name it, in quotation marks."""
    return quoted_name(parsed.subject)


def quoted_name(name: x509.Name) -> str:
    """A distinguished name as people say it, in quotation marks."""
    return f'"{common_name(name)}"'


def common_name(name: x509.Name) -> str:
    """The common name, else the organisational unit or organisation, else the whole name (RFC 4514)."""
    for kind in (x509.NameOID.COMMON_NAME, x509.NameOID.ORGANIZATIONAL_UNIT_NAME, x509.NameOID.ORGANIZATION_NAME):
        if values := name.get_attributes_for_oid(kind):
            return str(values[-1].value)
    return distinguished_name(name)


def common_name_of(der: bytes | None) -> str:
    """The common name of a certificate's subject; "unknown" when there is no certificate."""
    return "unknown" if der is None else common_name(parse_certificate(der).subject)


@lru_cache(maxsize=2048)
def subject_of(der: bytes | None) -> str:
    """A certificate's subject (RFC 4514); "unknown" when there is no certificate."""
    return "unknown" if der is None else distinguished_name(parse_certificate(der).subject)


def key_kind(parsed: x509.Certificate) -> str:
    """The kind of the certificate's key for people: "RSA 3072", "EC P-256"; "unknown" for what is not supported."""
    try:
        key = parsed.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return "unknown"
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {_CURVE_NAMES.get(key.curve.name, key.curve.name)}"
    return type(key).__name__.removesuffix("PublicKey")


def malformed(detail: str) -> TrustError:
    """The error for bytes that are not a proper certificate."""
    return TrustError(Hresult.TRUST_E_MALFORMED_SIGNATURE, detail, check=CHAIN_CHECK)


def _parse_the_rest(parsed: x509.Certificate) -> tuple[object, ...]:
    """Read what is parsed on first use only, so that it fails here or never; extensions fail where they are read."""
    return (
        parsed.version, parsed.subject, parsed.issuer, parsed.serial_number,
        parsed.not_valid_before_utc, parsed.not_valid_after_utc, parsed.signature_algorithm_oid,
    )  # fmt: skip


@contextmanager
def quiet() -> Iterator[None]:
    """Keep `cryptography` from warning of serial numbers of zero and long names, which roots in use do have."""
    with _quiet_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield
