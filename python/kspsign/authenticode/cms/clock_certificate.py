"""The certificate of a timestamp authority's clock: the one thing in a message that can't be verified, and is bounded.

Microsoft's timestamp service (nCipher Time Stamp Server) puts an attribute certificate (X.509 of 1997, [1] among the
certificates) into each token. The key that signs it is nowhere published. So it is held to one form: it names the
signer's certificate by subject and digest, an issuer known for such clocks, and has clock parameters alone. What is
left that can't be checked is the issuer's serial number in its name, its own serial number, its times, a dozen small
numbers and its signature value: at most 600 bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from kspsign.certificates import der
from kspsign.certificates.parse import outline
from kspsign.model.errors import TrustError

MAX_SIZE = 1024
_PUBLIC_KEY_CERTIFICATE = der.element(0x0A, b"\1")
_SHA1 = frozenset({der.sequence(der.oid("1.3.14.3.2.26")), der.sequence(der.oid("1.3.14.3.2.26"), b"\5\0")})
_RSA = frozenset(der.sequence(der.oid(f"1.2.840.113549.1.1.{arc}"), b"\5\0") for arc in (5, 11))
_SIGNATURES = frozenset({128, 256})
_CLOCK, _POLICY = der.oid("1.3.6.1.4.1.601.10.4.1"), der.oid("1.3.6.1.4.1.601.10.4.2")
_POLICIES = frozenset(der.sequence(der.oid(f"1.3.6.1.4.1.601.10.3.{arc}")) for arc in (1, 2))
_TWO = range(2, 3)
_CLOCK_NUMBERS = (_TWO, range(2, 4), _TWO, _TWO)
_MAX_NUMBER = 8
_MAX_SERIAL = 20
_MAX_NAME = 200
_NAME_ATTRIBUTES, _PRINTABLE_STRING = b"\x55\x04", 0x13
_MASTER_CLOCK = der.sequence(der.oid("2.5.4.3"), der.element(_PRINTABLE_STRING, b"Microsoft Time Source Master Clock"))
_CONTEXT_0, _CONTEXT_1, _CONTEXT_2, _DIRECTORY_NAME = 0xA0, 0xA1, 0xA2, 0xA4


def clock_certificate_fault(clock: der.Element, signer: bytes) -> str | None:
    """Why `clock` (an AttributeCertificateV1, tag [1]) is not that of the token signer's clock, None when it is."""
    if clock.end - clock.start > MAX_SIZE:
        return f"it is longer than {MAX_SIZE} bytes"
    try:
        return _fault(clock, signer)
    except TrustError as malformed:
        return malformed.message


def _fault(clock: der.Element, signer: bytes) -> str | None:
    fields = clock.fields()
    info, algorithm, value = fields.take(der.SEQUENCE).fields(), fields.take(der.SEQUENCE), fields.take(der.BIT_STRING)
    fields.end()
    version, holder, issuer = info.take(der.INTEGER), info.take(der.SEQUENCE).fields(), info.take(_CONTEXT_0)
    signed_algorithm, serial = info.take(der.SEQUENCE), info.take(der.INTEGER)
    times, attributes = info.take(der.SEQUENCE).fields(), info.take(der.SEQUENCE).fields()
    info.end()
    named = outline(signer)
    if _name(holder.take(_CONTEXT_1)) != named.subject:
        return "it names another holder than the signer's certificate"
    if (issued_by := _name(_only(issuer))) != named.issuer and not _is_master_clock(issued_by):
        return "it names an issuer that issues no clock's certificates"
    _check_digest(holder.take(_CONTEXT_2).fields(), signer)
    holder.end()
    if algorithm.der not in _RSA or signed_algorithm.der != algorithm.der or der.integer_of(version) != 1:
        return "its version or its signature algorithm is not that of a clock's certificate"
    if value.content[:1] != b"\0" or len(value.content) - 1 not in _SIGNATURES:
        return "its signature value is none of RSA with 1024 or 2048 bits"
    der.integer_of(serial)
    if len(serial.content) > _MAX_SERIAL:
        return "its serial number is too long"
    for _ in ("not before", "not after"):
        der.time_of(times.take(der.GENERALIZED_TIME))
    times.end()
    _check_attributes(attributes)
    return None


def _check_digest(digest: der.Fields, signer: bytes) -> None:
    """ObjectDigestInfo: SHA-1 of the signer's certificate."""
    kind, algorithm, value = digest.take(0x0A), digest.take(der.SEQUENCE), digest.take(der.BIT_STRING)
    digest.end()
    expected = hashlib.sha1(signer, usedforsecurity=False).digest()
    if kind.der != _PUBLIC_KEY_CERTIFICATE or algorithm.der not in _SHA1 or value.content != b"\0" + expected:
        raise der.malformed("a clock's certificate for another certificate than the signer's")


def _check_attributes(attributes: der.Fields) -> None:
    """Clock parameters, and the policy of the clock's accuracy: small numbers in a fixed order."""
    for expected in (_CLOCK, _POLICY):
        fields = attributes.take(der.SEQUENCE).fields()
        if fields.take(der.OID).der != expected:
            raise der.malformed("an attribute of no clock's certificate")
        value = _only(fields.take(der.SET)).fields()
        fields.end()
        if expected == _CLOCK:
            _check_numbers(*(value.take(der.SEQUENCE) for _ in _CLOCK_NUMBERS), counts=_CLOCK_NUMBERS)
        else:
            if value.take(der.SEQUENCE).der not in _POLICIES:
                raise der.malformed("a policy of no clock's certificate")
            _check_numbers(_only(value.take(_CONTEXT_0)), _only(value.take(_CONTEXT_1)), counts=(_TWO, _TWO))
        value.end()
    attributes.end()


def _check_numbers(*structures: der.Element, counts: Sequence[range]) -> None:
    for structure, count in zip(structures, counts, strict=True):
        numbers = structure.children()
        if structure.tag != der.SEQUENCE or len(numbers) not in count:
            raise der.malformed("parameters of no clock")
        for number in numbers:
            if number.tag != der.INTEGER or number.end - number.content_start > _MAX_NUMBER:
                raise der.malformed("a parameter of no clock")
            der.integer_of(number)


def _is_master_clock(name: bytes) -> bool:
    """Whether the Name is that of one of Microsoft's master clocks: plain words, the last of them the clock's."""
    if not name or len(name) > _MAX_NAME:
        return False
    last = b""
    for rdn in der.parse(name).children():
        attribute = _only(rdn)
        fields = attribute.fields()
        kind = fields.take(der.OID)
        fields.take(_PRINTABLE_STRING)
        fields.end()
        if kind.content[:2] != _NAME_ATTRIBUTES:
            return False
        last = attribute.der
    return last == _MASTER_CLOCK


def _name(general_names: der.Element) -> bytes:
    """The Name in a GeneralNames of one directoryName."""
    name = _only(general_names)
    return _only(name).der if name.tag == _DIRECTORY_NAME else b""


def _only(structure: der.Element) -> der.Element:
    found = structure.children(1)
    if not found:
        raise der.malformed("an empty element in a clock's certificate")
    return found[0]
